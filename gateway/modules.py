"""The check of XML modules: well-formed, flat, without a document type, and nothing else.

Reads in one pass and keeps nothing, so a body of any length costs a few milliseconds and no memory.
Never resolves, loads or fetches anything: the documents that modules name are the node's business.
Called by the calls that take XML.
"""

from typing import Final
from xml.parsers import expat

from gateway.spool import Content

#: Elements within elements. Modules have four levels.
DEPTH_MAX: Final = 32
ELEMENTS_MAX: Final = 10_000
#: One tag, comment or instruction; text and CDATA are read as they come and have no limit.
TOKEN_BYTES_MAX: Final = 262_144
_PIECE_BYTES: Final = 65_536
#: What the parser reads by itself; for others it would look among Python's codecs.
_ENCODINGS: Final = frozenset(("utf-8", "utf-16", "iso-8859-1", "us-ascii"))
_MODULE_DEPTH: Final = 2
_DOCUMENT_DEPTH: Final = 3


class MalformedError(Exception):
    """The body is no XML that is passed on; the text says why, in a sentence."""


class _Check:
    """What is counted while the parser reads."""

    def __init__(self) -> None:
        self.depth = 0
        self.elements = 0
        #: Documents of the presentation module; of several such modules the last one counts.
        self.documents = 0
        self._presentation = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        self.elements += 1
        if self.depth > DEPTH_MAX:
            raise MalformedError(f"The XML has elements within elements, over {DEPTH_MAX} deep.")
        if self.elements > ELEMENTS_MAX:
            raise MalformedError(f"The XML has more than {ELEMENTS_MAX} elements.")
        if self.depth == _MODULE_DEPTH:
            self._presentation = attributes.get("name") == "presentation"
            if self._presentation:
                self.documents = 0
        elif self.depth == _DOCUMENT_DEPTH and self._presentation and name == "document":
            self.documents += 1

    def end(self, _name: str) -> None:
        self.depth -= 1

    def declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise MalformedError("The XML is in an encoding that is not read; use UTF-8.")

    def document_type(self, *_: object) -> None:
        """Refuse before the first entity can be declared."""
        raise MalformedError("The XML has a document type; leave it out.")


def documents(content: Content) -> int:
    """Return how many documents the presentation module has; raises `MalformedError`."""
    check = _Check()
    parser = expat.ParserCreate()
    parser.StartElementHandler = check.start
    parser.EndElementHandler = check.end
    parser.XmlDeclHandler = check.declaration
    parser.StartDoctypeDeclHandler = check.document_type
    try:
        for offset in range(0, len(content), _PIECE_BYTES):
            parser.Parse(content[offset : offset + _PIECE_BYTES])
            # The parser begins an unfinished token anew with each piece.
            if offset + _PIECE_BYTES - parser.CurrentByteIndex > TOKEN_BYTES_MAX:
                raise MalformedError("The XML has a tag or comment that is too long.")
        parser.Parse(b"", True)  # noqa: FBT003 - it takes no name
    except expat.ExpatError as error:
        raise MalformedError("The request body is not well-formed XML.") from error
    return check.documents
