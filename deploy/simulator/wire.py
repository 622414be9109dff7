"""One API request as it arrived: name, raw query, parameters, checksum, body.

Owns the reading of requests: what is signed, what is decoded, what is cleaned. Never looks at
meetings. Built by `calls` for each request and handed to the handler of the call.
"""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from schemas import checksum

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
_XML: Final = frozenset({"application/xml", "text/xml"})
_FORMS: Final = frozenset({_FORM, _MULTIPART})
_ALLOWED_TYPES: Final = {"create": _FORMS | _XML, "insertDocument": _XML}


@dataclass(slots=True)
class ApiCall:
    """A request; `params` holds the first value of each name, cleaned, without the checksum."""

    name: str
    method: str
    query: str
    checksums: list[str]
    params: dict[str, str]
    origin: str
    body: bytes = b""
    content_type: str = ""
    #: Files of a multipart form by the name of their field.
    files: dict[str, bytes] = field(default_factory=dict)
    #: The `JSESSIONID` that was sent.
    cookie: str = ""

    def given(self, name: str) -> str:
        """Return a parameter, or the empty text: both mean the default nearly everywhere."""
        return self.params.get(name, "")

    def is_true(self, name: str) -> bool:
        """Tell whether a parameter is `true` in any case; `1` and `yes` are not."""
        return self.params.get(name, "").lower() == "true"

    def number(self, name: str, default: int = 0) -> int:
        """Return a parameter as a number; bad text silently is the default."""
        try:
            return int(self.params.get(name, ""))
        except ValueError:
            return default

    def is_signed(self, secret: str) -> bool:
        """Tell whether exactly one checksum was sent and signs the query."""
        return len(self.checksums) == 1 and checksum.matches(
            self.name, self.query, self.checksums[0], (secret,)
        )

    def has_foreign_type(self) -> bool:
        """Tell whether the body is of a type that this call does not take."""
        if not self.body:
            return False
        return self.content_type not in _ALLOWED_TYPES.get(self.name, _FORMS)


async def read(request: web.Request, name: str, *, public_url: str | None, most: int) -> ApiCall:
    """Read a request; `ValueError` when it has more than `most` parameters."""
    query, checksums = checksum.split_checksum(request.rel_url.raw_query_string)
    call = ApiCall(
        name=name,
        method=request.method,
        query=query,
        checksums=checksums,
        params={},
        origin=public_url or f"{request.scheme}://{request.host}",
        cookie=request.cookies.get("JSESSIONID", ""),
    )
    _take(call.params, parse_qsl(query, keep_blank_values=True, max_num_fields=most))
    if request.can_read_body:
        call.content_type = request.content_type.lower() if _has_type(request) else ""
        if call.content_type == _MULTIPART:
            form = await request.post()
            fields = [(key, value) for key, value in form.items() if isinstance(value, str)]
            for key, value in form.items():
                if isinstance(value, web.FileField):
                    call.files.setdefault(key, value.file.read())
            call.body = b"multipart" if form else b""
        else:
            call.body = await request.read()
            fields = []
            if call.content_type == _FORM:
                text = call.body.decode("utf-8", "replace")
                fields = parse_qsl(text, keep_blank_values=True, max_num_fields=most)
        checksums.extend(value for key, value in fields if key == "checksum")
        _take(call.params, [pair for pair in fields if pair[0] != "checksum"])
    return call


def _has_type(request: web.Request) -> bool:
    # aiohttp reports a default type for a request that names none.
    return "Content-Type" in request.headers


def _take(params: dict[str, str], fields: list[tuple[str, str]]) -> None:
    for name, value in fields:
        params.setdefault(_clean(name), _clean(value))


def _clean(text: str) -> str:
    if not text.isprintable() and _CONTROL.search(text):
        text = _CONTROL.sub("", text)
    return text.strip()
