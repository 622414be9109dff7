"""What a logo, a slide and a style sheet may consist of.

Owns the recognition of types by their first bytes, which alone counts, and what style sheets may
not do: load anything from elsewhere, which would tell others who takes part in a meeting. Pure.
Called by `assets`.
"""

import re
from typing import Final

from scheduler.checks import OperationError

LOGO: Final = "logo"
SLIDE: Final = "slide"
CSS: Final = "css"
KINDS: Final = (CSS, LOGO, SLIDE)

_PPTX: Final = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_ODP: Final = "application/vnd.oasis.opendocument.presentation"
#: Endings under which servers know what to do with a file.
ENDINGS: Final = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "application/pdf": ".pdf",
    _PPTX: ".pptx",
    _ODP: ".odp",
    "text/css": ".css",
}
#: What each kind may be. SVG is not among them: it may hold scripts.
MEDIA_TYPES: Final = {
    LOGO: ("image/png", "image/jpeg", "image/gif", "image/webp"),
    SLIDE: ("application/pdf", "image/png", "image/jpeg", _PPTX, _ODP),
    CSS: ("text/css",),
}
_BEGINNINGS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
_ZIP: Final = b"PK\x03\x04"
#: Where the name of the first file of an archive stands; that of an OpenDocument holds its type.
_ODP_BEGINS: Final = b"mimetype" + _ODP.encode()
_NAME_AT: Final = 30
#: The directory at the end of an archive has the names of its files as they are.
_PPTX_HAS: Final = b"ppt/presentation.xml"

#: Comments, texts, addresses without quotes, at-rules, and everything else letter by letter, as
#: browsers read a style sheet: what looks like a comment within a text is none.
_TOKEN: Final = re.compile(
    r"""
    (?P<comment>/\*.*?(?:\*/|\Z))
    |(?P<text>"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)
    |(?P<address>(?<![\w-])url\([ \t\n]*(?!["' \t\n])[^)]*\)?)
    |(?P<rule>@[\w-]+)
    |(?P<escape>\\)
    |.
    """,
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
_ESCAPE: Final = re.compile(r"\\(?:([0-9a-fA-F]{1,6})[ \t\n]?|(\n)|(.))", re.DOTALL)
#: With a scheme or a host; what a style sheet names without one is on our own host.
_ELSEWHERE: Final = re.compile(r"[\x00-\x20]*(?:[a-z][a-z0-9+.-]*:|[/\\]{2})", re.IGNORECASE)
_INLINE: Final = re.compile(r"[\x00-\x20]*data:", re.IGNORECASE)
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
_UNICODE_MAX: Final = 0x10FFFF


def media_type(kind: str, content: bytes) -> str:
    """Return what the content is; raises `OperationError` when it is nothing for this kind."""
    if not content:
        raise OperationError("the file is empty")
    found = "text/css" if kind == CSS else _recognised(content)
    if found not in MEDIA_TYPES[kind]:
        known = ", ".join(ENDINGS[name][1:].upper() for name in MEDIA_TYPES[kind])
        hint = "; an SVG may hold scripts, so save it as PNG" if b"<svg" in content[:4_096] else ""
        raise OperationError(f"a {kind} is a file of one of these types: {known}{hint}")
    if kind == CSS:
        check_style(content)
    return found


def check_style(content: bytes) -> None:
    """Raise `OperationError` unless a style sheet is text that loads nothing from elsewhere."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OperationError("a style sheet is UTF-8 text; save it as that") from error
    if _CONTROL.search(text):
        raise OperationError("a style sheet has no control characters; take them out")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    for token in _TOKEN.finditer(text):
        said = token.group()
        if token.lastgroup == "text":
            _check_address(_unescaped(said[1:]))
        elif token.lastgroup == "address":
            _check_address(said[4:].strip(" \t\n"))
            if "\\" in said:
                raise OperationError("an address in a style sheet has no backslash in it")
        elif token.lastgroup == "rule" and said.lower() == "@import":
            raise OperationError("a style sheet imports no other; copy its lines into this one")
        elif token.lastgroup == "escape":
            raise OperationError("backslashes stand inside quotes only; write names without them")


def _check_address(text: str) -> None:
    if _ELSEWHERE.match(text) and not _INLINE.match(text):
        raise OperationError(
            "a style sheet loads nothing from elsewhere: write pictures and fonts into it as"
            f" data: URLs; {text[:40]!r} is an address"
        )


def _unescaped(text: str) -> str:
    def plain(found: re.Match[str]) -> str:
        digits, newline, sign = found.groups()
        if digits is None:
            return "" if newline else str(sign)
        number = int(digits, 16)
        return chr(number) if 0 < number <= _UNICODE_MAX else "\ufffd"

    return _ESCAPE.sub(plain, text)


def _recognised(content: bytes) -> str:
    for begins, found in _BEGINNINGS:
        if content.startswith(begins):
            return found
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if content.startswith(_ZIP):
        if content.startswith(_ODP_BEGINS, _NAME_AT):
            return _ODP
        if _PPTX_HAS in content:
            return _PPTX
    return ""
