"""One batch on all machines of a Ray cluster: workers with warm networks, to which only names of files travel.

    plan --> board --chunks of jobs--> worker, one a GPU or N cores --outcomes--> board --in order--> report

A worker is a process that may die: of a picture (out of memory, a crash in a codec) or with its machine. What it had
not finished then goes back in halves, to others, until the picture to blame is alone; one that is alone when a worker
dies, twice, has failed. Sources, results and everybody's view of them are on storage that all machines share.
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.errors import UsageError
from hcdcodec.files.job import Job

CHUNK = 32
"""Jobs that travel together at most: many keep a worker busy, few are soon done again when it dies."""

_CHUNKS_A_WORKER = 4
"""At least so many, where there are enough jobs, so that workers end at nearly the same time."""

_STORE_BYTES = 80_000_000
"""Object store of a cluster of our own: nothing but outcomes, and the network once, passes through it."""

_FATAL = (
    "its worker process died of it twice, out of memory or by a crash; "
    "try it alone on a machine with more memory, or leave it out"
)


class Files(Protocol):
    """What works on files: an `Encoding` or a `Decoding`."""

    @property
    def manner(self) -> str:
        """Return how it computes, for a line of text."""

    def run(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Yield one outcome a job, in order."""


Make = Callable[[Sequence[str]], Files]
"""Returns what works on the devices that are named."""


@dataclass(frozen=True)
class Chunk:
    """Jobs that one worker does in one go.

    Attributes:
        places: of the jobs in the plan, ascending.
        deaths: of workers that had nothing else to do.
    """

    places: tuple[int, ...]
    deaths: int = 0


class Board:
    """Chunks that are to be done, and outcomes that wait for those before them.

    Args:
        jobs: the plan.
        size: jobs in a chunk.
    """

    def __init__(self, jobs: Sequence[Job], size: int) -> None:
        self.jobs = jobs
        places = range(len(jobs))
        self._todo = deque(Chunk(tuple(places[start : start + size])) for start in places[::size])
        self._outcomes: dict[int, Outcome] = {}
        self._told = 0

    @property
    def is_told(self) -> bool:
        """Whether the last outcome has been told."""
        return self._told == len(self.jobs)

    def take(self) -> Chunk | None:
        """Return what to do next; None if there is nothing at the moment."""
        return self._todo.popleft() if self._todo else None

    def settle(self, place: int, outcome: Outcome) -> None:
        """Note how a job ended; what it was called on the other machine does not matter here."""
        target = self.jobs[place].target if outcome.target else None
        self._outcomes[place] = replace(outcome, target=target)

    def mourn(self, chunk: Chunk) -> None:
        """Split what a dead worker has not finished; a picture that is alone to blame, twice, has failed."""
        left = tuple(place for place in chunk.places if place >= self._told and place not in self._outcomes)
        half = len(left) // 2
        if half:
            self._todo.extendleft((Chunk(left[half:]), Chunk(left[:half])))
        elif left and chunk.deaths:
            job = self.jobs[left[0]]
            self.settle(left[0], Outcome(name=job.name, target=job.target, status=Status.FAILED, message=_FATAL))
        elif left:
            self._todo.appendleft(Chunk(left, deaths=int(left == chunk.places)))

    def tell(self) -> Iterator[Outcome]:
        """Yield the outcomes that have become known up to the first job that still goes on."""
        while (outcome := self._outcomes.pop(self._told, None)) is not None:
            self._told += 1
            yield outcome


@dataclass(frozen=True)
class Crew:
    """The workers that fit into a cluster.

    Attributes:
        count: how many.
        device: where each computes.
        needs: what Ray is to reserve for each.
    """

    count: int
    device: str
    needs: Mapping[str, int]


def join(device: str, cores: int) -> Crew:
    """Connect to the Ray cluster, or start one on this machine if there is none.

    Args:
        device: "cuda" for a worker on each GPU, "cpu", or "auto": what there is.
        cores: CPU cores of a worker without GPU, at most.

    Raises:
        UsageError: Ray is not installed or not there, or has no such device.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device {device!r} is for Ray to choose; with --engine ray there are auto, cpu and cuda")
    nodes = [node["Resources"] for node in _connected().nodes() if node["Alive"]]
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    if gpus and device != "cpu":
        return Crew(gpus, "cuda", {"num_gpus": 1})
    if device == "cuda":
        raise UsageError("the Ray cluster has no GPU; use --device cpu")
    cpus = [count for node in nodes if (count := int(node.get("CPU", 0)))]
    if not cpus:
        raise UsageError("the Ray cluster has no CPU to give away; start nodes with 'ray start'")
    cores = min(cores, *cpus)
    return Crew(sum(count // cores for count in cpus), "cpu", {"num_cpus": cores})


def run(make: Make, crew: Crew, jobs: Iterable[Job]) -> Iterator[Outcome]:
    """Yield one outcome a job, in order.

    Args:
        make: returns what works on devices; it travels to each worker once.
        crew: who does it.
        jobs: what to do; files all.

    Raises:
        UsageError: no worker can start.
    """
    jobs = tuple(jobs)
    size = max(1, min(CHUNK, len(jobs) // (_CHUNKS_A_WORKER * crew.count)))
    board = Board(jobs, size)
    shifts = _Shifts(make, crew)
    try:
        shifts.hire(min(crew.count, -(-len(jobs) // size)))
        while not board.is_told:
            shifts.advance(board)
            yield from board.tell()
    except SystemExit as end:
        # Ray puts a status of its own into what the handler of SIGTERM raises while it waits.
        raise SystemExit(128 + signal.SIGTERM) from end
    finally:
        shifts.dismiss()


class Worker:
    """What runs on the other machines."""

    def __init__(self, make: Make, device: str) -> None:
        self._files = make((device,))

    def greet(self) -> None:
        """Return once the worker has started."""

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Yield one outcome a job, in order, each as soon as it is known."""
        yield from self._files.run(jobs)


@dataclass(frozen=True)
class _Shift:
    """What a worker is busy with; without a chunk, with starting."""

    worker: Any
    chunk: Chunk | None = None
    told: int = 0
    """Jobs of the chunk whose outcome is known."""


class _Shifts:
    """The workers, and what each of them is busy with: one chunk at a time."""

    def __init__(self, make: Make, crew: Crew) -> None:
        self._ray = _imported()
        self._make, self._crew = self._ray.put(make), crew
        self._busy: dict[Any, _Shift] = {}  # by what Ray waits for
        self._free: list[Any] = []

    def hire(self, count: int) -> None:
        """Start workers."""
        kind = self._ray.remote(**self._crew.needs)(Worker)
        for _ in range(count):
            worker = kind.remote(self._make, self._crew.device)
            self._busy[worker.greet.remote()] = _Shift(worker)

    def advance(self, board: Board) -> None:
        """Give chunks to free workers, wait until any worker tells something, and note it."""
        while self._free and (chunk := board.take()):
            worker = self._free.pop()
            jobs = [_absolute(board.jobs[place]) for place in chunk.places]
            told = worker.run.options(num_returns="streaming").remote(jobs)
            self._busy[told] = _Shift(worker, chunk)
        if not self._busy:
            raise UsageError("no worker can start; install hcdcodec[ray], with the same versions, on all machines")
        (event,), _ = self._ray.wait(list(self._busy), num_returns=1)
        shift = self._busy.pop(event)
        try:
            if shift.chunk is None:
                self._ray.get(event)
                self._free.append(shift.worker)
            else:
                outcome = self._ray.get(next(event))
                board.settle(shift.chunk.places[shift.told], outcome)
                self._busy[event] = replace(shift, told=shift.told + 1)
        except StopIteration:
            self._free.append(shift.worker)
        except self._ray.exceptions.RayError:
            self._ray.kill(shift.worker)
            # A worker that cannot even start will not start next time either.
            if shift.chunk is not None:
                board.mourn(shift.chunk)
                self.hire(1)

    def dismiss(self) -> None:
        """End all workers, whatever they are busy with: files are written whole or not at all."""
        for worker in (*self._free, *(shift.worker for shift in self._busy.values())):
            self._ray.kill(worker)


def _absolute(job: Job) -> Job:
    """Return a job that means the same in another working directory."""
    return replace(job, source=job.source and job.source.absolute(), target=job.target and job.target.absolute())


def _connected() -> Any:
    """Return the library, connected to a cluster."""
    ray = _imported()
    if ray.is_initialized():
        return ray
    before = signal.getsignal(signal.SIGTERM)
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        ray.init("auto", **quiet)
    except ConnectionError as error:
        if address := os.environ.get("RAY_ADDRESS"):
            raise UsageError(f"no Ray cluster answers at {address}; start it, or unset RAY_ADDRESS") from error
        ray.init("local", object_store_memory=_STORE_BYTES, include_dashboard=False, **quiet)
    signal.signal(signal.SIGTERM, before)  # Ray's own handler would leave with another exit status
    return ray


def _imported() -> Any:
    # A codec that phones home would surprise.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UsageError("Ray is not installed; pip install 'hcdcodec[ray]'") from error
    return ray
