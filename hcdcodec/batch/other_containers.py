"""Results in another container than the wanted one. They stay, or --force replaces them.

photo.jpg.hcd.webp is a result of photo.jpg, and so is photo.jpg.hcd.png. With both of them, nobody could tell which one
is current.

If the user has named the result otherwise, as x.hcd.png, then x.hcd.webp can be that of another picture. It counts only
if it records the digest of this source.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from hcdcodec.batch.options import FileOptions
from hcdcodec.batch.stamp import read_encoded_stamp
from hcdcodec.errors import OutputError
from hcdcodec.files import disk
from hcdcodec.files.encoded_names import source_name, twins
from hcdcodec.files.find import is_file
from hcdcodec.files.job import Job


def refuse_twin(job: Job, files: FileOptions, digest: Callable[[], bytes]) -> None:
    """Refuse a first result where there is one in another container.

    Args:
        job: source and target.
        files: says whether the user has chosen `--force`.
        digest: returns the digest of the source; called only where names do not decide.

    Raises:
        OutputError: there is such a result, or it cannot be read.
    """
    if files.force or job.target is None or job.target.exists():
        return
    for twin in _standing(job, job.target, digest):
        raise OutputError(
            f"{twin} is its result in another container; choose that with --container, or use --force to replace it"
        )


def remove_twins(job: Job, files: FileOptions, digest: Callable[[], bytes]) -> str:
    """Remove results in other containers, if the user has chosen `--force`. The new result must be on the disk.

    Args:
        job: as for `refuse_twin`.
        files: as for `refuse_twin`.
        digest: as for `refuse_twin`.

    Returns:
        A warning that names results that could not be removed; empty if there are none.
    """
    if not files.force or job.target is None:
        return ""
    left = [str(twin) for twin in _standing(job, job.target, digest) if not disk.remove(twin)]
    return f"{' and '.join(left)} could not be removed; remove it, as it holds an older result" if left else ""


def _standing(job: Job, target: Path, digest: Callable[[], bytes]) -> Iterator[Path]:
    """Yield our results in other containers. Other files of these names belong to the user."""
    is_named_so = job.source is not None and source_name(target.name) == job.source.name
    for twin in twins(target):
        stamp = read_encoded_stamp(twin) if is_file(twin) else None
        if stamp and (is_named_so or stamp.source_digest == digest()):
            yield twin
