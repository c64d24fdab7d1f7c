"""Results in another container than the wanted one. They stay, or --force replaces them.

photo.jpg.hcd.webp is a result of photo.jpg, and so is photo.jpg.hcd.png. With both of them, nobody could tell which one
is current.
"""

from collections.abc import Iterator
from pathlib import Path

from hcdcodec.batch.options import FileOptions
from hcdcodec.batch.stamp import read_encoded_stamp
from hcdcodec.errors import OutputError
from hcdcodec.files import disk
from hcdcodec.files.encoded_names import twins
from hcdcodec.files.find import is_file
from hcdcodec.files.job import Job


def refuse_twin(job: Job, files: FileOptions) -> None:
    """Refuse a first result where there is one in another container.

    Raises:
        OutputError: there is such a result, or it cannot be read.
    """
    if files.force or job.target is None or job.target.exists():
        return
    for twin in _standing(job.target):
        raise OutputError(
            f"{twin} is its result in another container; choose that with --container, or use --force to replace it"
        )


def remove_twins(job: Job, files: FileOptions) -> str:
    """Remove results in other containers, if the user has chosen `--force`. The new result must be on the disk.

    Returns:
        A warning that names results that could not be removed; empty if there are none.
    """
    if not files.force or job.target is None:
        return ""
    left = [str(twin) for twin in _standing(job.target) if not disk.remove(twin)]
    return f"{' and '.join(left)} could not be removed; remove it, as it holds an older result" if left else ""


def _standing(target: Path) -> Iterator[Path]:
    """Yield our results in other containers. Other files of these names belong to the user."""
    for twin in twins(target):
        if is_file(twin) and read_encoded_stamp(twin) is not None:
            yield twin
