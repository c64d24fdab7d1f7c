"""One batch on all machines of a Ray cluster: workers with warm networks, to which only names of files travel.

    plan --> queue --groups of jobs--> worker, one a GPU or N cores --outcomes--> queue --in order--> report

A worker is a process that may die: a picture can kill it (out of memory, a crash in a codec), or its machine fails. The
jobs that it has not finished go back to the queue in two halves, until the picture that kills is alone. A picture fails
if a worker dies twice while it works on this picture alone. All machines must share the storage of sources and results.
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from hcdcodec.batch.observer import UNOBSERVED, Observer
from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.errors import UsageError
from hcdcodec.files.job import Job

GROUP_SIZE = 32
"""Largest number of jobs in a group. Many jobs keep a worker busy; few are quickly repeated when it dies."""

_GROUPS_PER_WORKER = 4
"""Smallest number of groups for each worker, if there are enough jobs: then all workers end at nearly the same time."""

_STORE_BYTES = 80_000_000
"""Size of the object store of a local cluster. Only outcomes and one copy of the network pass through it."""

_FATAL = (
    "its worker process died of it twice, out of memory or by a crash; "
    "try it alone on a machine with more memory, or leave it out"
)


class Runner(Protocol):
    """Encodes or decodes files: an `Encoding` or a `Decoding`."""

    @property
    def manner(self) -> str:
        """Return a short text that says how it computes."""

    def run(self, jobs: Iterable[Job], observer: Observer = UNOBSERVED) -> Iterator[Outcome]:
        """Yield one outcome for each job, in order."""

    def forecast(self, job: Job) -> int | None:
        """Return the work of a job by the head of its source; None where that does not tell."""


MakeRunner = Callable[[Sequence[str]], Runner]
"""Makes a runner on the named devices. It is pickled, so it must be a function of a module, or a `partial` of one."""


@dataclass(frozen=True)
class JobGroup:
    """Jobs that one worker does in one go.

    Attributes:
        places: indices of the jobs in the plan, ascending.
        deaths: how many workers have died while they worked on this group and nothing else.
    """

    places: tuple[int, ...]
    deaths: int = 0


class JobQueue:
    """Groups of jobs that wait for a worker, and outcomes that wait for the outcomes of earlier jobs.

    Args:
        jobs: the jobs of the plan.
        size: jobs in a group.
        observer: is told when jobs end.
    """

    def __init__(self, jobs: Sequence[Job], size: int, observer: Observer = UNOBSERVED) -> None:
        self.jobs, self._observer = jobs, observer
        places = range(len(jobs))
        self._todo = deque(JobGroup(tuple(places[start : start + size])) for start in places[::size])
        self._outcomes: dict[int, Outcome] = {}
        self._yielded = 0

    @property
    def is_done(self) -> bool:
        """Whether all outcomes have been yielded."""
        return self._yielded == len(self.jobs)

    def take(self) -> JobGroup | None:
        """Return the next group; None if no group waits at the moment."""
        return self._todo.popleft() if self._todo else None

    def record(self, place: int, outcome: Outcome) -> None:
        """Record how a job ended."""
        # The worker saw absolute paths; messages show the path that the user gave.
        target = self.jobs[place].target if outcome.target else None
        self._outcomes[place] = replace(outcome, target=target)
        self._observer.end(self.jobs[place], outcome)

    def requeue(self, group: JobGroup) -> None:
        """Put back the jobs that a dead worker has not finished; fail a picture that has killed two workers alone."""
        left = tuple(place for place in group.places if place >= self._yielded and place not in self._outcomes)
        half = len(left) // 2
        if half:
            # At the front, because outcomes are yielded in order and all others wait for these.
            self._todo.extendleft((JobGroup(left[half:]), JobGroup(left[:half])))
        elif left and group.deaths:
            job = self.jobs[left[0]]
            self.record(left[0], Outcome(name=job.name, target=job.target, status=Status.FAILED, message=_FATAL))
        elif left:
            # If the worker had finished other jobs of its group, one of those may have caused its death.
            self._todo.appendleft(JobGroup(left, deaths=int(left == group.places)))

    def pop_outcomes(self) -> Iterator[Outcome]:
        """Yield the known outcomes in order, up to the first job that has none yet."""
        while (outcome := self._outcomes.pop(self._yielded, None)) is not None:
            self._yielded += 1
            yield outcome


@dataclass(frozen=True)
class WorkerPlan:
    """The workers that fit into a cluster.

    Attributes:
        count: number of workers.
        device: device on which each worker computes.
        resources: resources that Ray reserves for each worker.
    """

    count: int
    device: str
    resources: Mapping[str, int]


def check_call(device: str) -> None:
    """Check what needs no cluster.

    Raises:
        UsageError: Ray is not installed, or the device is none to choose from.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device {device!r} is for Ray to choose; with --engine ray there are auto, cpu and cuda")
    _import_ray()


def connect(device: str, cores: int) -> WorkerPlan:
    """Connect to the Ray cluster, or start one on this machine if there is none.

    Args:
        device: "cuda" for a worker on each GPU, "cpu", or "auto" for GPUs if there are any.
        cores: largest number of CPU cores for a worker without GPU.

    Raises:
        UsageError: Ray is not installed, no cluster answers, or the cluster has no such device.
    """
    check_call(device)
    nodes = [node["Resources"] for node in _connect().nodes() if node["Alive"]]
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    if gpus and device != "cpu":
        return WorkerPlan(gpus, "cuda", {"num_gpus": 1})
    if device == "cuda":
        raise UsageError("the Ray cluster has no GPU; use --device cpu")
    cpus = [count for node in nodes if (count := int(node.get("CPU", 0)))]
    if not cpus:
        raise UsageError("the Ray cluster has no CPU to give away; start nodes with 'ray start'")
    # A worker lives on one node, so it cannot have more cores than the smallest node.
    cores = min(cores, *cpus)
    return WorkerPlan(sum(count // cores for count in cpus), "cpu", {"num_cpus": cores})


def run_on_cluster(
    make: MakeRunner, workers: WorkerPlan, jobs: Iterable[Job], observer: Observer = UNOBSERVED
) -> Iterator[Outcome]:
    """Yield one outcome for each job, in order.

    Args:
        make: makes a runner; it is sent to each worker once.
        workers: the workers of the cluster.
        jobs: what to do; all sources and targets are files.
        observer: is told when jobs end, and nothing else.

    Raises:
        UsageError: no worker can start.
    """
    jobs = tuple(jobs)
    size = max(1, min(GROUP_SIZE, len(jobs) // (_GROUPS_PER_WORKER * workers.count)))
    queue = JobQueue(jobs, size, observer)
    pool = _WorkerPool(make, workers)
    try:
        pool.start_workers(min(workers.count, -(-len(jobs) // size)))
        while not queue.is_done:
            pool.advance(queue)
            yield from queue.pop_outcomes()
    except SystemExit as end:
        # While Ray waits, it replaces the exit status that our handler of SIGTERM raises.
        raise SystemExit(128 + signal.SIGTERM) from end
    finally:
        pool.stop_workers()


class Worker:
    """Runs jobs in a process of its own, usually on another machine."""

    def __init__(self, make: MakeRunner, device: str) -> None:
        self._files = make((device,))

    def wait_until_started(self) -> None:
        """Do nothing; Ray answers this call once the network is loaded."""

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Yield one outcome for each job, in order, each as soon as it is known."""
        yield from self._files.run(jobs)


@dataclass(frozen=True)
class _Task:
    """The task that a worker is busy with: a group of jobs or, without a group, its own start."""

    worker: Any
    group: JobGroup | None = None
    finished: int = 0
    """Number of jobs in the group whose outcome is known."""


class _WorkerPool:
    """The workers and their tasks. Each worker has one group at a time."""

    def __init__(self, make: MakeRunner, workers: WorkerPlan) -> None:
        self._ray = _import_ray()
        # In the object store, the network is sent to each machine once and not to each worker.
        self._make, self._plan = self._ray.put(make), workers
        self._busy: dict[Any, _Task] = {}  # by the reference or stream that Ray waits for
        self._free: list[Any] = []

    def start_workers(self, count: int) -> None:
        """Start workers."""
        kind = self._ray.remote(**self._plan.resources)(Worker)
        for _ in range(count):
            worker = kind.remote(self._make, self._plan.device)
            self._busy[worker.wait_until_started.remote()] = _Task(worker)

    def advance(self, queue: JobQueue) -> None:
        """Give groups to free workers, then wait for one event of any worker and handle it."""
        while self._free and (group := queue.take()):
            worker = self._free.pop()
            jobs = [_make_absolute(queue.jobs[place]) for place in group.places]
            # A stream gives each outcome when it is known. If the worker dies, the finished jobs are not repeated.
            outcomes = worker.run.options(num_returns="streaming").remote(jobs)
            self._busy[outcomes] = _Task(worker, group)
        if not self._busy:
            raise UsageError("no worker can start; install hcdcodec[ray], with the same versions, on all machines")
        (event,), _ = self._ray.wait(list(self._busy), num_returns=1)
        task = self._busy.pop(event)
        try:
            if task.group is None:
                self._ray.get(event)
                self._free.append(task.worker)
            else:
                outcome = self._ray.get(next(event))
                queue.record(task.group.places[task.finished], outcome)
                self._busy[event] = replace(task, finished=task.finished + 1)
        except StopIteration:
            self._free.append(task.worker)
        except self._ray.exceptions.RayError:
            self._ray.kill(task.worker)
            # A worker that died before it had started is not replaced: the next one would fail in the same way.
            if task.group is not None:
                queue.requeue(task.group)
                self.start_workers(1)

    def stop_workers(self) -> None:
        """End all workers at once. This is safe, since files are written completely or not at all."""
        for worker in (*self._free, *(task.worker for task in self._busy.values())):
            self._ray.kill(worker)


def _make_absolute(job: Job) -> Job:
    """Return a job that means the same in another working directory."""
    return replace(job, source=job.source and job.source.absolute(), target=job.target and job.target.absolute())


def _connect() -> Any:
    """Return the library, connected to a cluster."""
    ray = _import_ray()
    if ray.is_initialized():
        return ray
    before = signal.getsignal(signal.SIGTERM)
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        ray.init("auto", **quiet)
    except ConnectionError as error:
        # A local cluster in place of the one that the user named would be a surprise.
        if address := os.environ.get("RAY_ADDRESS"):
            raise UsageError(f"no Ray cluster answers at {address}; start it, or unset RAY_ADDRESS") from error
        ray.init("local", object_store_memory=_STORE_BYTES, include_dashboard=False, **quiet)
    signal.signal(signal.SIGTERM, before)  # Ray's own handler would leave with another exit status
    return ray


def _import_ray() -> Any:
    # Nobody expects a codec to send usage statistics.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UsageError("Ray is not installed; pip install 'hcdcodec[ray]'") from error
    return ray
