"""The answers of the API as XML documents.

Owns the one escaper and the rendering of elements; a document is a list of (name, value) pairs,
where a value is text, a number, a boolean, None (left out), a list, or `Raw` markup that this
module made. Never parses. Used by the gateway and by the simulated node.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

#: Characters that XML 1.0 cannot carry, not even escaped, and lone surrogates, which UTF-8 cannot.
_ILLEGAL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL: Final = re.compile("[&<>\r]")
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*\Z")


class Raw(NamedTuple):
    """Markup that was rendered by this module already."""

    markup: str


Value: TypeAlias = "str | int | bool | Raw | Sequence[Pair] | None"
Pair: TypeAlias = "tuple[str, Value]"


def escape(text: str) -> str:
    """Return `text` as XML character data; characters that XML cannot carry are dropped."""
    if _ILLEGAL.search(text):
        text = _ILLEGAL.sub("", text)
    if _SPECIAL.search(text):
        text = _SPECIAL.sub(lambda found: _ESCAPES[found.group()], text)
    return text


def cdata(text: str) -> Raw:
    """Return `text` as a CDATA section; characters that XML cannot carry are dropped."""
    kept = _ILLEGAL.sub("", text).replace("]]>", "]]]]><![CDATA[>")
    return Raw(f"<![CDATA[{kept}]]>")


def is_element_name(name: str) -> bool:
    """Tell whether caller-supplied text (a metadata key) may become an element name."""
    return _NAME.match(name) is not None


def element(name: str, value: Value) -> str:
    """Render one element; `None` renders nothing."""
    if value is None:
        return ""
    if isinstance(value, Raw):
        inner = value.markup
    elif isinstance(value, bool):
        inner = "true" if value else "false"
    elif isinstance(value, int):
        inner = str(value)
    elif isinstance(value, str):
        inner = escape(value)
    else:
        inner = elements(value)
    return f"<{name}>{inner}</{name}>"


def elements(pairs: Iterable[Pair]) -> str:
    """Render the pairs one after the other."""
    return "".join([element(name, value) for name, value in pairs])


def success(pairs: Iterable[Pair] = ()) -> str:
    """Return a SUCCESS document; `returncode` is always the first child."""
    return f"<response><returncode>SUCCESS</returncode>{elements(pairs)}</response>"


def failure(key: str, message: str) -> str:
    """Return a FAILED document, which always has both `messageKey` and `message`."""
    return (
        "<response><returncode>FAILED</returncode>"
        f"{element('messageKey', key)}{element('message', message)}</response>"
    )
