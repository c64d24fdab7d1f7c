"""Join the two XMP packets of a JPEG into one, since other formats hold only one.

The properties of the extension are put behind those of the main packet, and the note that names the extension is
removed. The texts are cut and joined as they are; no XML serialiser rewrites them.

Source: Adobe XMP part 3, section 1.1.3.1.
"""

import re
from xml.etree import ElementTree

_OPENING = re.compile(rb"<([\w.-]+):RDF\b[^<>]*>")
# It begins where a run of spaces begins: a search from each space of a long run would take quadratic time.
_NOTE = re.compile(
    rb"(?<!\s)(?:"
    rb"\s+[\w.-]+:HasExtendedXMP\s*=\s*(?:\"[^\"]*\"|'[^']*')"
    rb"|\s*<([\w.-]+:HasExtendedXMP)\s*>[^<]*</\1\s*>)"
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
    place, content = _find_content(main), _find_content(extension)
    # "<!" begins entities, comments and CDATA. XMP needs none of them, and entities could expand without end.
    if place is None or content is None or b"<!" in main + extension:
        return None
    joined = _NOTE.sub(b"", main[: place.stop]) + extension[content] + main[place.stop :]
    # A prefix that only the extension declares makes the joined text invalid; the parser finds this.
    try:
        ElementTree.fromstring(joined.strip(_PADDING))
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    return joined


def _find_content(packet: bytes) -> slice | None:
    """Return the place of what stands in the RDF element; None where there is none. The parser checks the rest."""
    opening = _OPENING.search(packet)
    end = packet.rfind(b"</%b:RDF" % opening[1]) if opening else -1
    return slice(opening.end(), end) if opening and opening.end() <= end else None
