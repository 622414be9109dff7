"""The forms of an answer besides XML: JSON, JSONP, and the headers that browsers ask for.

Owns who gets which form and when a script or another origin may have the answer. Never changes what
an answer says, and costs a request that asks for none of it three looks. Called by the dispatch.
"""

import asyncio
import re
from typing import Final
from urllib.parse import unquote_plus

import structlog
from aiohttp import web

from gateway.failures import ApiFailure
from gateway.incoming import GET, Auth, Call, Incoming
from gateway.keys import Caller
from schemas import json_form

_JSON: Final = "application/json"
_JSON_FORMS: Final = frozenset(("json", "jsonp"))
_QUALITY: Final = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")
_JSON_TYPE: Final = "application/json; charset=utf-8"
_SCRIPT_TYPE: Final = "application/javascript; charset=utf-8"
_CALLBACK: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.]{0,63}\Z")
#: Line ends in a script of old, though not in JSON.
_LINE_ENDS: Final = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))
#: An `Accept` that is longer is a browser's or nonsense: XML.
_ACCEPT_LENGTH_MAX: Final = 1_024
#: Longer documents are converted outside the event loop: this takes about a millisecond.
_INLINE_BYTES_MAX: Final = 16_384
_PREFLIGHT_SECONDS: Final = 600
_PREFLIGHT_HEADERS: Final = "Accept, Content-Type, X-Requested-With"

NO_JSONP: Final = ("jsonpNotAllowed", "JSONP is not offered for this call or credential.")
BAD_CALLBACK: Final = (
    "invalidCallback",
    "The callback must be a name of at most 64 letters, digits, dots, `_` and `$`.",
)

log = structlog.get_logger(__name__)


class Manner:
    """How one request wants its answer, and what of that it may have."""

    __slots__ = ("_allowed", "_callback", "_granted", "_json", "_jsonp", "_origin")

    def __init__(self, query: str, accept: str, origin: str) -> None:
        form, self._callback = _asked_in(query)
        self._jsonp = form == "jsonp"
        self._json = form in _JSON_FORMS or (form != "xml" and _prefers_json(accept))
        self._origin = origin
        #: The value of `Access-Control-Allow-Origin`; "" while there is none.
        self._allowed = ""
        #: The callback that the answer calls; "" until the request has shown that it may be.
        self._granted = ""

    def meet(self, call: Call, caller: Caller) -> None:
        """Note whether the caller lets pages of the origin read answers of the call."""
        if self._origin and call.reads:
            if self._origin in caller.origins:
                self._allowed = self._origin
            elif "*" in caller.origins:
                self._allowed = "*"

    def admit(self, call: Call, caller: Caller, incoming: Incoming) -> None:
        """Note what a form asks for; raise `ApiFailure` when the answer may not be a script.

        Before anything is done, and for requests only whose signature is right.
        """
        request = incoming.request
        if request.body_exists and (form := incoming.params.get("format").lower()) in _JSON_FORMS:
            self._json = True
            self._jsonp |= form == "jsonp"
        if not self._jsonp:
            return
        signed = call.auth is not Auth.OPEN
        if not (call.reads and signed and caller.jsonp and request.method in GET):
            raise ApiFailure(*NO_JSONP)
        if not _CALLBACK.match(self._callback):
            raise ApiFailure(*BAD_CALLBACK)
        self._granted = self._callback

    def preflight(self, call: Call) -> web.Response | None:
        """Answer a browser that asks before the request itself; None when it may not ask."""
        if not self._allowed:
            return None
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": ", ".join(sorted(call.methods)),
                "Access-Control-Allow-Headers": _PREFLIGHT_HEADERS,
                "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
            },
        )

    async def dressed(self, response: web.Response) -> web.Response:
        """Return the answer as it was asked for; what has no such form stays as it is."""
        headers = response.headers
        if self._allowed:
            headers["Access-Control-Allow-Origin"] = self._allowed
            headers["Vary"] = "Origin"
        if not self._json:
            return response
        body = response.body
        if isinstance(body, bytes) and json_form.is_document(body):
            try:
                if len(body) > _INLINE_BYTES_MAX:
                    body = await asyncio.to_thread(json_form.converted, body)
                else:
                    body = json_form.converted(body)
            except json_form.MalformedError as error:
                # Only a node's own document, passed on as it came, can be that.
                log.warning("answer has no JSON form", error=str(error))
                return response
            response.body = body
            headers["Content-Type"] = _JSON_TYPE
            headers["X-Content-Type-Options"] = "nosniff"
        if self._granted and isinstance(body, bytes) and response.content_type == _JSON:
            response.body = _script(self._granted, body)
            headers["Content-Type"] = _SCRIPT_TYPE
            headers["X-Content-Type-Options"] = "nosniff"
        return response


def asked(request: web.Request) -> Manner | None:
    """Return what a request asks for besides plain XML; None, as nearly always, is nothing."""
    headers = request.headers
    accept = headers.get("Accept", "").lower()
    query = request.rel_url.raw_query_string
    plain = "json" not in accept and "format=" not in query and "Origin" not in headers
    if plain and not request.body_exists:
        return None
    return Manner(query, accept, headers.get("Origin", ""))


def json(document: bytes) -> web.Response:
    """Return an XML document as JSON."""
    return web.Response(
        body=json_form.converted(document),
        headers={
            "Content-Type": _JSON_TYPE,
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
        },
    )


def is_json_typed(request: web.Request) -> bool:
    """Tell whether the request says of its body, which it has not, that it is JSON."""
    return request.content_type == _JSON


def _asked_in(query: str) -> tuple[str, str]:
    """Return the first `format` and `callback` of a still encoded query, "" for none."""
    found = {"format": "", "callback": ""}
    if "format=" in query:
        for item in reversed(query.split("&")):
            name, _, value = item.partition("=")
            if name in found:
                found[name] = unquote_plus(value)
    return found["format"].lower(), found["callback"]


def _prefers_json(accept: str) -> bool:
    """Tell whether JSON is liked better than XML; a tie is XML, which all clients read.

    Libraries that send `application/json, */*` whatever they expect therefore go on as before.
    """
    if "json" not in accept or len(accept) > _ACCEPT_LENGTH_MAX:
        return False
    liked: dict[str, float] = {}
    wanted = 0.0
    for item in accept.split(","):
        media, *params = (part.strip() for part in item.split(";"))
        quality = _quality(params)
        liked[media] = quality
        if media == _JSON or media.endswith("+json"):
            wanted = max(wanted, quality)
    return wanted > max(_liking(liked, "text/xml"), _liking(liked, "application/xml"))


def _liking(liked: dict[str, float], media: str) -> float:
    """Return the quality of the most specific range that a media type falls into."""
    for name in (media, media.partition("/")[0] + "/*", "*/*"):
        if name in liked:
            return liked[name]
    return 0.0


def _quality(params: list[str]) -> float:
    for param in params:
        if param.startswith("q="):
            return float(param[2:]) if _QUALITY.match(param[2:]) else 0.0
    return 1.0


def _script(callback: str, document: bytes) -> bytes:
    for sign, escaped in _LINE_ENDS:
        document = document.replace(sign, escaped)
    # The comment keeps the first bytes of the file out of the hands of whoever chose the name.
    return b"/**/" + callback.encode() + b"(" + document + b");"
