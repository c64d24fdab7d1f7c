"""All errors that hcdcodec raises on purpose.

    HcdError                    catch this to catch them all
    ├── UsageError              the call makes no sense: unknown name, value out of range, two results with one name
    ├── PictureError            a source cannot be read, or cannot be stored
    ├── ContainerError          a file should be one of ours, but cannot be decoded
    │   ├── NotOursError        no header: an ordinary picture, or no picture
    │   ├── DamagedError        truncated, wrong CRC, impossible or contradicting fields
    │   ├── EditedError         the file is intact, but its pixels are not the ones that were encoded
    │   └── UnsupportedError    a format version or rule that this release does not know
    ├── ModelError              weights are missing, do not fit, or are not the ones that a header names
    └── OutputError             a result cannot be stored: the user's file at its target, full disk, lock held

A message is one line: what is wrong, then what to do. It does not name a path; the caller puts it in front.
"""


class HcdError(Exception):
    """Base of all errors that hcdcodec raises on purpose."""


class UsageError(HcdError):
    """The call makes no sense, and nothing was started."""


class PictureError(HcdError):
    """A source picture cannot be read, or cannot be stored."""


class ContainerError(HcdError):
    """A file should be one of ours, but cannot be decoded."""


class NotOursError(ContainerError):
    """The file has no hcdcodec header."""


class DamagedError(ContainerError):
    """The file is truncated, fails a CRC, or its fields are impossible or contradict each other."""


class EditedError(ContainerError):
    """The file is intact, but its pixels are not the ones that were encoded."""


class UnsupportedError(ContainerError):
    """The header asks for a format version or a rule that this release does not know."""


class ModelError(HcdError):
    """Weights are missing, do not fit the network, or are not the ones that a header names."""


class OutputError(HcdError):
    """A result cannot be stored."""
