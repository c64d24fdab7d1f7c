"""What a batch tells while it runs, so that its caller can show progress.

Work is counted in HR pixels times passes. The engine counts pixels of whole windows, with their halos, because they
take the time.
"""

from collections.abc import Mapping

from hcdcodec.batch.outcome import Outcome
from hcdcodec.files.job import Job


class Observer:
    """Follows a batch; this one takes no notice. Several threads call it, each about its own group."""

    def begin(self, works: Mapping[Job, int]) -> None:
        """A group begins to be computed in this thread; `works` says how much work each job is."""

    def work(self, amount: int) -> None:
        """Work of this thread's group is done."""

    def leave(self) -> None:
        """This thread's group has been computed, or has failed."""

    def end(self, job: Job, outcome: Outcome) -> None:
        """A job has ended: its result is written, or there will be none."""


UNOBSERVED = Observer()
