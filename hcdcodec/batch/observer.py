"""What a batch tells while it runs, so that its caller can show progress.

Work is counted in HR pixels times passes. The engine counts pixels of whole windows, with their halos, because they
take the time.
"""

from collections.abc import Mapping
from typing import Protocol

from hcdcodec.batch.outcome import Outcome
from hcdcodec.files.job import Job


class Observer(Protocol):
    """Follows a batch. Several threads call it, each about its own group."""

    def begin(self, works: Mapping[Job, int]) -> None:
        """A group begins to be computed in this thread; `works` says how much work each job is."""

    def work(self, amount: int) -> None:
        """Work of this thread's group is done."""

    def leave(self) -> None:
        """This thread's group has been computed, or has failed."""

    def end(self, job: Job, outcome: Outcome) -> None:
        """A job has ended: its result is written, or there will be none."""


class Unobserved:
    """An observer that does nothing."""

    def begin(self, works: Mapping[Job, int]) -> None:
        """Do nothing."""

    def work(self, amount: int) -> None:
        """Do nothing."""

    def leave(self) -> None:
        """Do nothing."""

    def end(self, job: Job, outcome: Outcome) -> None:
        """Do nothing."""


UNOBSERVED = Unobserved()
