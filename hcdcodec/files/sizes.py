"""Write numbers of bytes for people."""

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def format_bytes(count: int) -> str:
    """Return a number of bytes with three digits or more, in powers of 1000."""
    power = min(len(_UNITS) - 1, (len(str(count)) - 1) // 3)
    digits = 2 - (len(str(count)) - 1) % 3 if power else 0
    return f"{count / 1000**power:.{digits}f} {_UNITS[power]}"
