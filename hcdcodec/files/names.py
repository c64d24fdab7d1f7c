"""Names as messages may show them."""


def printable(text: str) -> str:
    """Escape what would break a line, drive a terminal or not encode; everything else stays readable."""
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def _escaped(sign: str) -> str:
    if "\udc80" <= sign <= "\udcff":  # a byte that is no UTF-8, as the operating system handed it to Python
        return f"\\x{ord(sign) - 0xDC00:02x}"
    return sign.encode("unicode_escape").decode("ascii")
