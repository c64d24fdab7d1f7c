"""Results that stand in another container than the one that is asked for: left, or with --force replaced.

photo.jpg.hcd.webp is the result of photo.jpg as much as photo.jpg.hcd.png is. A second one beside it would leave
everybody to guess which of them is meant.
"""

from collections.abc import Iterator
from pathlib import Path

from hcdcodec.batch.options import FileOptions
from hcdcodec.batch.stamp import read_encoded_stamp
from hcdcodec.errors import OutputError
from hcdcodec.files import disk
from hcdcodec.files.encoded_names import twins
from hcdcodec.files.job import Job


def refuse_twin(job: Job, files: FileOptions) -> None:
    """Refuse to store a first result where there is one in another container.

    Raises:
        OutputError: there is one, or it cannot be read.
    """
    if files.force or job.target is None or job.target.exists():
        return
    for twin in _standing(job.target):
        raise OutputError(f"{twin} is its result in another container; choose that one, or use --force to replace it")


def remove_twins(job: Job, files: FileOptions) -> str:
    """Remove results in other containers once the new one is on the disk, if the user has said so.

    Returns:
        What could not be removed, as a warning; empty if nothing.
    """
    if not files.force or job.target is None:
        return ""
    left = [str(twin) for twin in _standing(job.target) if not disk.remove(twin)]
    return f"{' and '.join(left)} could not be removed; remove it, as it holds an older result" if left else ""


def _standing(target: Path) -> Iterator[Path]:
    """Yield the results of ours in other containers; whatever else is called like one is the user's."""
    for twin in twins(target):
        if twin.is_file() and read_encoded_stamp(twin) is not None:
            yield twin
