"use strict";

const ZOOMS = ["fit", "1:1", "4:1"];
const GAINS = ["x2", "x4", "x8"];
const SMALLEST = 240; // CSS pixels of a stage's width, so that its labels fit
const TALLEST = 0.8; // of the window's height
const STEP = 40; // CSS pixels by which a key moves a picture
const LARGEST_FACTOR = 8; // by which a tiny picture is enlarged to fit

function create(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** A row of buttons of which one is pressed. */
class Choice {
  constructor(label, texts, pressed, onChoose) {
    this.onChoose = onChoose;
    this.buttons = texts.map((text, index) =>
      create("button", { type: "button", textContent: text, onclick: () => this.choose(index) }));
    const group = create("span", {}, ...this.buttons);
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", label);
    this.element = create("div", { className: "choice" }, label, group);
    this.mark(pressed);
  }

  mark(index) {
    this.index = index;
    this.buttons.forEach((button, other) => button.setAttribute("aria-pressed", other === index));
  }

  choose(index) {
    this.mark(index);
    this.onChoose(index);
  }

  next() {
    this.choose((this.index + 1) % this.buttons.length);
  }
}

/** The stage of one picture: a line divides it between two versions, which zoom and move together. */
class Viewer {
  constructor(section) {
    this.section = section;
    this.width = Number(section.dataset.width);
    this.height = Number(section.dataset.height);
    this.images = [...section.querySelectorAll(".pictures img")];
    this.images.forEach((image) => {
      image.style.setProperty("--columns", image.getAttribute("width") + "px");
      image.style.setProperty("--rows", image.getAttribute("height") + "px");
      image.draggable = false;
      image.decoding = "sync"; // otherwise a version flashes when it is chosen
    });
    this.error = this.images.length; // number of the error, after all versions
    this.hasError = this.images.some((image, index) => this.isJudged(index));
    this.judged = this.images.findIndex((image, index) => this.isJudged(index)); // the version whose error is shown
    this.chosen = [0, Math.max(this.judged, 0)];
    this.split = 50; // per cent
    this.centre = [0.5, 0.5]; // of the picture, in the middle of the stage
    this.build();
    this.show();
    this.layOut();
  }

  isJudged(index) {
    const image = this.images[index];
    return image !== undefined && image.dataset.role !== "original" && image.dataset.role !== "LR";
  }

  build() {
    this.sides = ["left", "right"].map((name) => create("div", { className: `side ${name}` }));
    this.chips = ["first", "second"].map((name) => create("div", { className: `chip ${name}` }));
    this.handle = create("div", { className: "handle", tabIndex: 0 });
    const spoken = { role: "slider", "aria-label": "line between the two versions", "aria-valuemin": 0, "aria-valuemax": 100 };
    Object.entries(spoken).forEach(([name, value]) => this.handle.setAttribute(name, value));
    this.stage = create("div", { className: "stage" }, ...this.sides, ...this.chips, this.handle);
    this.stage.style.setProperty("--width", this.width + "px");
    this.stage.style.setProperty("--height", this.height + "px");
    this.zoom = new Choice("zoom", ZOOMS, 0, () => this.place());
    this.gain = new Choice("error", GAINS, 1, () => this.showError());
    const tools = create("div", { className: "tools" }, this.zoom.element, ...(this.hasError ? [this.gain.element] : []));
    const pictures = this.section.querySelector(".pictures");
    this.room = create("div", { className: "room" }, this.stage, tools);
    pictures.replaceWith(this.room);
    this.section.classList.add("live");
    this.buildPicks();
    this.listen();
  }

  /** Put two columns into the table of versions, which choose what each side shows, and a row for the error. */
  buildPicks() {
    const table = this.section.querySelector(".versions");
    const rows = [...table.tBodies[0].rows];
    if (this.hasError) {
      const cell = create("th", { scope: "row", textContent: "error" }, create("small", {}));
      this.errorText = cell.querySelector("small");
      const row = create("tr", {}, cell);
      for (let count = rows[0].cells.length; count > 1; count -= 1) row.append(create("td"));
      table.tBodies[0].append(row);
      rows.push(row);
    }
    const heads = ["left", "right"].map((name) => create("th", { scope: "col", className: "pick", textContent: name }));
    table.tHead.rows[0].prepend(...heads);
    this.picks = rows.map((row, index) => {
      const inputs = [0, 1].map((side) => {
        const input = create("input", { type: "radio", name: `${this.section.id}-${side}`, onchange: () => this.choose(side, index) });
        input.setAttribute("aria-label", `${row.cells[0].firstChild.textContent.trim()} on the ${side ? "right" : "left"}`);
        return input;
      });
      if (index < 9) row.cells[0].firstChild.after(create("kbd", { textContent: index + 1 }));
      row.prepend(...inputs.map((input) => create("td", { className: "pick" }, create("label", {}, input))));
      return inputs;
    });
  }

  choose(side, index) {
    if (index >= this.picks.length) return;
    this.chosen[side] = index;
    if (this.isJudged(index)) this.judged = index;
    this.show();
  }

  show() {
    this.chosen.forEach((index, side) => {
      const isError = index === this.error;
      const shown = isError ? [0, this.judged] : [index];
      this.sides[side].classList.toggle("error", isError);
      this.sides[side].replaceChildren(create("div", { className: "canvas" }, ...shown.map((other) => this.images[other].cloneNode())));
      this.picks[index][side].checked = true;
    });
    this.showError();
  }

  showError() {
    const name = this.hasError ? `of ${this.images[this.judged].dataset.name}, ${GAINS[this.gain.index]}` : "";
    this.stage.style.setProperty("--gain", 2 ** (this.gain.index + 1));
    if (this.errorText) this.errorText.textContent = name;
    this.chosen.forEach((index, side) => {
      this.chips[side].textContent = index === this.error ? `error ${name}` : this.images[index].dataset.name;
    });
  }

  /** Give the stage the size of the picture that fits. Small pictures are enlarged by a whole number of screen pixels. */
  layOut() {
    const ratio = window.devicePixelRatio;
    const available = this.room.clientWidth;
    let fit = Math.min(available / this.width, (TALLEST * window.innerHeight) / this.height);
    if (fit * ratio >= 1) fit = Math.min(Math.floor(fit * ratio), LARGEST_FACTOR) / ratio;
    this.fit = fit;
    this.size = [Math.max(this.width * fit, Math.min(SMALLEST, available)), Math.max(this.height * fit, 96)];
    this.stage.style.width = `${this.size[0]}px`;
    this.stage.style.height = `${this.size[1]}px`;
    this.place();
  }

  /** Move both sides so that the same point of the picture is in the middle. */
  place() {
    const ratio = window.devicePixelRatio;
    this.unit = this.zoom.index === 0 ? this.fit : [1, 4][this.zoom.index - 1] / ratio;
    const full = [this.width * this.unit, this.height * this.unit];
    const corner = full.map((size, axis) => {
      const spare = this.size[axis] - size;
      if (spare >= 0) return spare / 2;
      const offset = clamp(this.size[axis] / 2 - this.centre[axis] * size, spare, 0);
      this.centre[axis] = (this.size[axis] / 2 - offset) / size;
      return offset;
    });
    const [left, top] = corner.map((offset) => `${Math.round(offset * ratio) / ratio}px`);
    Object.entries({ "--unit": this.unit, "--left": left, "--top": top, "--split": `${this.split}%` })
      .forEach(([name, value]) => this.stage.style.setProperty(name, value));
    this.stage.classList.toggle("sharp", this.unit * ratio >= 1);
    this.stage.classList.toggle("zoomed", full.some((size, axis) => size > this.size[axis] + 1));
    this.handle.setAttribute("aria-valuenow", Math.round(this.split));
  }

  divideAt(x) {
    const box = this.stage.getBoundingClientRect();
    this.split = clamp((100 * (x - box.left)) / box.width, 0, 100);
    this.place();
  }

  move(x, y) {
    this.centre[0] -= x / (this.width * this.unit);
    this.centre[1] -= y / (this.height * this.unit);
    this.place();
  }

  /** Zoom to 1:1 at a point of the stage, or back. */
  zoomAt(event) {
    const box = this.stage.getBoundingClientRect();
    if (this.zoom.index === 0) {
      const offsets = ["--left", "--top"].map((name) => parseFloat(this.stage.style.getPropertyValue(name)));
      this.centre = [
        (event.clientX - box.left - offsets[0]) / (this.width * this.unit),
        (event.clientY - box.top - offsets[1]) / (this.height * this.unit),
      ];
    }
    this.zoom.choose(this.zoom.index === 0 ? 1 : 0);
  }

  listen() {
    const { stage, handle } = this;
    let last = null; // the pointer's place while it pans
    let divides = false;
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      stage.setPointerCapture(event.pointerId);
      divides = event.target === handle || !stage.classList.contains("zoomed");
      last = [event.clientX, event.clientY];
      if (divides && event.pointerType === "mouse") this.divideAt(event.clientX);
      stage.classList.add("held");
    });
    stage.addEventListener("pointermove", (event) => {
      if (last === null) return;
      if (divides) this.divideAt(event.clientX);
      else this.move(event.clientX - last[0], event.clientY - last[1]);
      last = [event.clientX, event.clientY];
    });
    for (const name of ["pointerup", "pointercancel"]) {
      stage.addEventListener(name, () => {
        last = null;
        stage.classList.remove("held");
      });
    }
    stage.addEventListener("dblclick", (event) => this.zoomAt(event));
    handle.addEventListener("keydown", (event) => {
      const places = { ArrowLeft: this.split - 2, ArrowRight: this.split + 2, Home: 0, End: 100 };
      const moves = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
      if (!(event.key in (event.shiftKey ? moves : places))) return;
      event.preventDefault();
      if (event.shiftKey) this.move(...moves[event.key]);
      else this.split = clamp(places[event.key], 0, 100);
      this.place();
    });
  }
}

/** Return the viewer that is nearest to the middle of the window. */
function nearest(viewers) {
  const distance = (viewer) => {
    const box = viewer.stage.getBoundingClientRect();
    return Math.abs((box.top + box.bottom - window.innerHeight) / 2);
  };
  return viewers.reduce((best, viewer) => (distance(viewer) < distance(best) ? viewer : best));
}

function listenToKeys(viewers) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const viewer = nearest(viewers);
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
    if (digit) viewer.choose(event.shiftKey ? 0 : 1, digit[1] - 1);
    else if (event.key === "z") viewer.zoom.next();
    else if (event.key === "e") viewer.choose(1, viewer.error);
  });
}

/** Let the heads of the table of all pictures sort it, and the pictures in the same order. */
function makeSortable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const compare = (column, direction) => (one, other) => {
    const [first, second] = [one, other].map((row) => row.cells[column]);
    if (column === 0) return direction * first.textContent.localeCompare(second.textContent, undefined, { numeric: true });
    const [key, otherKey] = [first, second].map((cell) => cell.dataset.key);
    if (key === "" || otherKey === "") return (key === "") - (otherKey === ""); // what is not known comes last
    return direction * (Number(key) - Number(otherKey) || 0); // the difference of two infinities is no number
  };
  const sort = (head, column) => {
    const isAscending = head.getAttribute("aria-sort") !== "ascending";
    const rows = [...body.rows].sort(compare(column, isAscending ? 1 : -1));
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", isAscending ? "ascending" : "descending");
    body.append(...rows);
    const main = document.querySelector("main");
    main.append(...rows.map((row) => document.querySelector(row.querySelector("a").getAttribute("href"))));
  };
  heads.forEach((head, column) => {
    head.replaceChildren(create("button", { type: "button", textContent: head.textContent, onclick: () => sort(head, column) }));
  });
}

const viewers = [...document.querySelectorAll("main > section")].map((section) => new Viewer(section));
if (viewers.length > 0) {
  listenToKeys(viewers);
  window.addEventListener("resize", () => viewers.forEach((viewer) => viewer.layOut()));
  document.querySelector(".hint").hidden = false;
}
document.querySelectorAll(".overview").forEach(makeSortable);
