"""Join the two XMP packets of a JPEG into one, since other formats hold only one.

The properties of the extension are put behind those of the main packet, and the note that names the extension is
removed. The texts are cut and joined as they are; no XML serialiser rewrites them.

Source: Adobe XMP part 3, section 1.1.3.1.
"""

import re
from xml.etree import ElementTree

_CONTENT = re.compile(rb"<(?P<prefix>[\w.-]+):RDF\b[^>]*>(?P<all>.*)</(?P=prefix):RDF\s*>", re.DOTALL)
_NOTE = re.compile(
    rb"\s+[\w.-]+:HasExtendedXMP\s*=\s*(?:\"[^\"]*\"|'[^']*')"
    rb"|\s*<([\w.-]+:HasExtendedXMP)\s*>[^<]*</\1\s*>"
)
_PADDING = b"\xef\xbb\xbf\0 \t\r\n"


def join_packets(main: bytes, extension: bytes) -> bytes | None:
    """Join a main packet and its extension.

    Args:
        main: UTF-8, with the note that names the extension.
        extension: UTF-8.

    Returns:
        One packet; None where the two are written in a way that cannot be joined.
    """
    place, content = _CONTENT.search(main), _CONTENT.search(extension)
    # "<!" begins entities, comments and CDATA. XMP needs none of them, and entities could expand without end.
    if place is None or content is None or b"<!" in main + extension:
        return None
    joined = _NOTE.sub(b"", main[: place.end("all")]) + content["all"] + main[place.end("all") :]
    # A prefix that only the extension declares makes the joined text invalid; the parser finds this.
    try:
        ElementTree.fromstring(joined.strip(_PADDING))
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    return joined
