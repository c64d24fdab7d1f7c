"""Make file names safe to print."""


def printable(text: str) -> str:
    """Escape characters that end a line, control a terminal or cannot be encoded; all others stay readable."""
    return "".join(sign if sign.isprintable() else _escape(sign) for sign in text)


def _escape(sign: str) -> str:
    if "\udc80" <= sign <= "\udcff":  # Python's stand-in for a byte that is not UTF-8 (PEP 383)
        return f"\\x{ord(sign) - 0xDC00:02x}"
    return sign.encode("unicode_escape").decode("ascii")
