"""Everything that hcdcodec raises on purpose.

    HcdError                    catch this to catch them all
    ├── UsageError              the call itself makes no sense: unknown name, bad range, colliding outputs
    ├── PictureError            a source that cannot be read, or not be kept without loss
    ├── ContainerError          a file that should be one of ours and cannot be decoded
    │   ├── NotOursError        no header: an ordinary PNG, or no PNG at all
    │   ├── DamagedError        truncated, wrong CRC, impossible or contradicting fields
    │   ├── EditedError         intact PNG, but its pixels are not the ones that were encoded
    │   └── UnsupportedError    a format version or rule that this release does not know
    ├── ModelError              weights that are missing, are not the ones a header names, or do not fit
    └── OutputError             a result that cannot be stored: foreign file in the way, full disk, lock held

Messages are one line: what is wrong, then what to do. They name no path: the caller knows it and puts it in front.
"""


class HcdError(Exception):
    """Base of all errors that hcdcodec raises on purpose."""


class UsageError(HcdError):
    """The call itself makes no sense; nothing was started."""


class PictureError(HcdError):
    """A source picture cannot be read, or not be kept without loss."""


class ContainerError(HcdError):
    """A file that should be one of ours cannot be decoded."""


class NotOursError(ContainerError):
    """The file carries no hcdcodec header."""


class DamagedError(ContainerError):
    """The file is truncated, fails a CRC, or its fields are impossible or contradict each other."""


class EditedError(ContainerError):
    """The PNG is intact, but its pixels are not the ones that were encoded."""


class UnsupportedError(ContainerError):
    """The header asks for a format version or a rule that this release does not know."""


class ModelError(HcdError):
    """Weights are missing, are not those that a header names, or do not fit the network."""


class OutputError(HcdError):
    """A result cannot be stored."""
