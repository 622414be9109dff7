"""The calls of BigBlueButton's own web client: with a session token instead of a checksum.

Owns how they reach the node that gave the token out, and what of its answer is passed on: JSON with
the caller's ids, and a join URL that leads through this gateway. A token that is unknown here, or
belongs to another credential, is the same wrong token. Called by the dispatch.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import orjson
import structlog
from aiohttp import web

from gateway import failures, wording
from gateway.calls import join_urls
from gateway.failures import xml
from gateway.incoming import GET, GET_POST, POST, Auth, Call, Calls, Incoming
from gateway.parts import Parts
from gateway.sessions import Session, Sessions, session_cookie
from gateway.urls import Urls
from scheduler import nodes
from scheduler.ledger.errors import StoreDown
from scheduler.nodes import NodeError, RawReply
from schemas import answers, documents, params
from schemas.values import Reason

_NO_TOKEN: Final = "You must provide a session token"  # noqa: S105  # a sentence
_BAD_TOKEN: Final = "Invalid session token"  # noqa: S105  # a sentence
_KEYS: Final = {_NO_TOKEN: "missingToken", _BAD_TOKEN: "missingSession"}
_NO_MEETING: Final = "Meeting not found"
_UNAVAILABLE: Final = answers.MESSAGES[Reason.UNAVAILABLE]
_NOT_THERE: Final = frozenset((404, 405))
_REDIRECTS: Final = frozenset((301, 302, 303, 307))
_OK: Final = 200
_JSON: Final = "application/json"
#: Documents above this size are read outside the event loop.
_INLINE_BYTES_MAX: Final = 65_536
#: Parameters that the node must not see: ours, and an id that it would not know.
_OWN: Final = frozenset(("checksum", "meetingID"))
_SIGNED_OUT: Final = documents.success()

log = structlog.get_logger(__name__)

_Refusal = Callable[[str], web.Response]


class WrongTokenError(Exception):
    """The token opens nothing; the message is the sentence of the answer."""


class Tokens:
    """The session-token calls of one gateway."""

    def __init__(self, parts: Parts, sessions: Sessions, urls: Urls) -> None:
        self._parts = parts
        self._sessions = sessions
        self._urls = urls

    def calls(self) -> Calls:
        """Return the calls by name."""
        return {
            "getJoinUrl": Call(self.get_join_url, GET_POST, auth=Auth.OPEN),
            "learningDashboard": Call(self.learning_dashboard, GET_POST, auth=Auth.OPEN),
            "stuns": Call(self.stuns, GET_POST, auth=Auth.OPEN),
            "signOut": Call(self.sign_out, GET_POST, auth=Auth.OPEN),
            "feedback": Call(self.feedback, POST, auth=Auth.OPEN),
            "enter": Call(self.enter, GET_POST, auth=Auth.OPEN),
            "guestWait": Call(self.guest_wait, GET, auth=Auth.OPEN),
        }

    async def get_join_url(self, incoming: Incoming) -> web.Response:
        """Answer the URL by which the user gets one more session, through this gateway."""

        def through_us(session: Session, found: Any) -> Any:
            response = found.get("response") if isinstance(found, dict) else None
            if not isinstance(response, dict) or response.get("returncode") != "SUCCESS":
                return found
            url = join_urls.through_us(
                session.entry,
                str(response.get("url", "")),
                incoming.caller,
                self._urls.base(incoming.request, incoming.caller.name),
            )
            if url is None:
                log.warning("node gave a join URL that is not understood", node=session.node.name)
                return _failed(_NO_MEETING)
            return {"response": {**response, "url": url}}

        return await self._asked(incoming, "getJoinUrl", _plain, through_us)

    async def learning_dashboard(self, incoming: Incoming) -> web.Response:
        """Answer what moderators may know of everybody."""
        return await self._asked(incoming, "learningDashboard", _plain)

    async def stuns(self, incoming: Incoming) -> web.Response:
        """Answer the servers that help media through firewalls."""
        here = self._urls.origin(incoming.request)

        def refused(message: str) -> web.Response:
            if message in _KEYS:
                message = "Could not find conference."
            return _json({"returncode": "FAILED", "message": message, "logoutURL": here})

        return await self._asked(incoming, "stuns", refused)

    async def sign_out(self, incoming: Incoming) -> web.Response:
        """End a session; whatever the token is, it is over afterwards."""
        try:
            session = await self.session(incoming)
            await self._reached(incoming, session, "signOut")
        except (NodeError, StoreDown) as error:
            # The node ends a session that is not used by itself.
            log.warning("a node was not told of the end of a session", error=str(error))
        except WrongTokenError:
            return xml(_SIGNED_OUT)
        try:
            await self._sessions.forget(incoming.caller, incoming.params.get("sessionToken"))
        except StoreDown as error:
            log.warning("a session token is not forgotten until its time is over", error=str(error))
        return xml(_SIGNED_OUT)

    async def feedback(self, incoming: Incoming) -> web.Response:
        """Hand on what a user says of a meeting, to a node that takes it."""
        return await self._asked(incoming, "feedback", _keyed)

    async def enter(self, incoming: Incoming) -> web.Response:
        """Answer what the web client of old releases needs to know of its session."""
        return await self._asked(incoming, "enter", self._keyed_with_exit(incoming))

    async def guest_wait(self, incoming: Incoming) -> web.Response:
        """Answer whether a guest may come in, or lead him there."""
        here = self._urls.origin(incoming.request)

        def refused(message: str) -> web.Response:
            if message in _KEYS:
                message = "Could not process waiting guest."
            return _json(_failed(message, logoutURL=here))

        return await self._asked(incoming, "guestWait", refused)

    def _keyed_with_exit(self, incoming: Incoming) -> _Refusal:
        here = self._urls.origin(incoming.request)
        return lambda message: _keyed(message, logoutURL=here)

    async def session(self, incoming: Incoming) -> Session:
        """Return the session of a call's token; raises `WrongTokenError` and `StoreDown`.

        Raises `ApiFailure` when the credential may not make the call: only the holder of a valid
        token learns that.
        """
        token = incoming.params.get("sessionToken")
        if not token:
            raise WrongTokenError(_NO_TOKEN)
        session = await self._sessions.find(incoming.caller, token)
        if session is None:
            raise WrongTokenError(_BAD_TOKEN)
        incoming.admit()
        return session

    async def _asked(
        self,
        incoming: Incoming,
        call: str,
        refused: _Refusal,
        changed: Callable[[Session, Any], Any] | None = None,
    ) -> web.Response:
        """Have the node of the token answer; `refused` renders a sentence when it cannot."""
        try:
            session = await self.session(incoming)
            raw = await self._reached(incoming, session, call)
        except WrongTokenError as error:
            return refused(str(error))
        except (NodeError, StoreDown) as error:
            log.warning("a call with a session token failed", call=call, error=str(error))
            return refused(_UNAVAILABLE)
        if raw.status in _NOT_THERE:
            document = _failed(answers.MESSAGES[Reason.UNSUPPORTED], Reason.UNSUPPORTED)
            return _json(document, status=404)
        if raw.status in _REDIRECTS and params.web_url(raw.location) is not None:
            return failures.redirect(raw.location)
        found = await _read(raw)
        if found is None:
            log.warning("node gave no JSON", node=session.node.name, call=call, status=raw.status)
            return refused(_UNAVAILABLE)
        if changed is not None:
            found = changed(session, found)
        shown = await _off_the_loop(
            lambda _: _dumped(wording.document(session.entry, found)), raw.content
        )
        return _native(shown)

    async def _reached(self, incoming: Incoming, session: Session, call: str) -> RawReply:
        return await reached(self._parts, incoming, session, call)


async def reached(parts: Parts, incoming: Incoming, session: Session, call: str) -> RawReply:
    """Make the call at the node of the session, with the cookies that belong to the token."""
    values = incoming.params.values
    query = nodes.encode([(name, value) for name, value in values.items() if name not in _OWN])
    cookies = session_cookie(incoming.request.cookies) | dict(session.cookies)
    timeout_s = parts.settings.node_timeout_s
    body = incoming.body
    if body is not None and not body.is_form:
        content, kind = await body.read(), body.media_type or _JSON
        return await parts.nodes.exchange(
            session.node,
            call,
            query,
            body=content,
            content_type=kind if kind == _JSON else "application/octet-stream",
            cookies=cookies,
            timeout_s=timeout_s,
        )
    long = len(query) > nodes.QUERY_BYTES_MAX
    return await parts.nodes.exchange(
        session.node,
        call,
        "" if long else query,
        form=query if long else None,
        cookies=cookies,
        timeout_s=timeout_s,
    )


async def _read(raw: RawReply) -> Any:
    """Return the JSON document of an answer; None when there is none."""
    if raw.status != _OK:
        return None
    try:
        return await _off_the_loop(orjson.loads, raw.content)
    except ValueError:
        return None


async def _off_the_loop(work: Callable[[bytes], Any], content: bytes) -> Any:
    """Return what the work makes of an answer, in a thread when that is long."""
    if len(content) > _INLINE_BYTES_MAX:
        return await asyncio.to_thread(work, content)
    return work(content)


def _plain(message: str) -> web.Response:
    return _json(_failed(message))


def _keyed(message: str, **more: str) -> web.Response:
    return _json(_failed(message, _KEYS.get(message, Reason.UNAVAILABLE), **more))


def _failed(message: str, key: str = "", **more: str) -> dict[str, Any]:
    keyed = {"messageKey": str(key)} if key else {}
    return {"response": {"returncode": "FAILED", **keyed, "message": message, **more}}


def _json(document: Any, *, status: int = _OK) -> web.Response:
    return _native(_dumped(document), status=status)


def _dumped(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _native(body: bytes, *, status: int = _OK) -> web.Response:
    headers = {"Content-Type": _JSON, "Cache-Control": "no-cache"}
    return web.Response(status=status, body=body, headers=headers)
