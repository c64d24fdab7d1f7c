"""Drive a real Chromium by its DevTools protocol, as a person would use it."""

import base64
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import websocket
from PIL import Image

from hcdcodec.pictures.picture import Levels

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--force-color-profile=srgb")
_TIME_S = 60


class Tab:
    """A tab of a running browser."""

    def __init__(self, url: str) -> None:
        self._socket = websocket.create_connection(url, timeout=_TIME_S, suppress_origin=True)
        self._count, self._address, self._events = 0, dict[str, str](), set[str]()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._address = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        self.call("Page.enable")

    def call(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol, and return its result."""
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": params, **self._address}))
        while (answer := self._read()).get("id") != self._count:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, page: Path, width: int, height: int, *, touch: bool = False) -> None:
        """Show a page in a window of this size, and wait until it is complete."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch)
        self._events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while "Page.loadEventFired" not in self._events:
            self._read()

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, code: str, *, shift: bool = False) -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code, modifiers=8 * shift)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag with the mouse, from one point of the window to another."""
        self.mouse("mousePressed", start)
        self.mouse("mouseMoved", end)
        self.mouse("mouseReleased", end)

    def click(self, point: tuple[float, float], *, count: int = 1) -> None:
        """Click, or click twice in a row."""
        for number in range(1, count + 1):
            self.mouse("mousePressed", point, count=number)
            self.mouse("mouseReleased", point, count=number)

    def mouse(self, kind: str, point: tuple[float, float], *, count: int = 1) -> None:
        """Send one event of the mouse."""
        x, y = point
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=count)

    def swipe(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag with a finger."""
        for kind, points in (("touchStart", [start]), ("touchMove", [end]), ("touchEnd", [])):
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y} for x, y in points])

    def screenshot(self) -> Levels:
        """Return what the window shows, (H, W, 3)."""
        # Pictures are decoded by then, and after two frames, all that has changed is painted.
        self.value("Promise.all([...document.images].filter(i => i.complete).map(i => i.decode().catch(() => 0)))")
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return self.frame()

    def frame(self) -> Levels:
        """Return what the window shows at once, without the help of scripts."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def close(self) -> None:
        """End the browser."""
        self._address = {}
        self.call("Browser.close")
        self._socket.close()

    def _read(self) -> Any:
        message = json.loads(self._socket.recv())
        if "method" in message:
            self._events.add(message["method"])
        return message


@contextmanager
def browsing(profile: Path) -> Iterator[Tab]:
    """Run a browser, and give one tab of it.

    Args:
        profile: folder for the browser's own files.
    """
    command = [str(CHROMIUM), *_OPTIONS, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr
        try:
            url = next(line.split()[-1] for line in run.stderr if line.startswith("DevTools listening on "))
            tab = Tab(url)
            yield tab
            tab.close()
        finally:
            run.kill()
