"""The API's front door: which call, which fault, what was received, what is answered.

Owns the route `/bigbluebutton/api`, the methods of each call, and the memory of received calls.
Decides nothing about meetings. Wired by `app`; hands each request to `calls`, `recording_calls`
or `hook_calls`.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from aiohttp import web
from multidict import CIMultiDict

from deploy.simulator import (
    calls,
    config_calls,
    faults,
    hook_calls,
    join_call,
    recording_calls,
    session_calls,
    track_calls,
    wire,
)
from deploy.simulator.node import NODE, Node
from deploy.simulator.wire import ApiCall
from schemas import documents

Handler: TypeAlias = Callable[[Node, ApiCall], "str | bytes | web.Response"]


class Offer(NamedTuple):
    """A call and the methods it is routed for."""

    handler: Handler
    methods: frozenset[str]
    #: The setting without which the call does not exist.
    switch: str = ""
    #: Whether a checksum opens it; the others want a session token.
    signed: bool = True


_GET: Final = frozenset({"GET", "HEAD"})
_POST: Final = frozenset({"POST"})
_BOTH: Final = _GET | _POST

CALLS: Final = {
    "create": Offer(calls.create, _BOTH),
    "join": Offer(join_call.join, _GET),
    "isMeetingRunning": Offer(calls.is_meeting_running, _BOTH),
    "end": Offer(calls.end, _BOTH),
    "getMeetingInfo": Offer(calls.get_meeting_info, _BOTH),
    "getMeetings": Offer(calls.get_meetings, _BOTH),
    "insertDocument": Offer(calls.insert_document, _POST),
    "sendChatMessage": Offer(calls.send_chat_message, _GET),
    "getRecordings": Offer(recording_calls.get_recordings, _BOTH),
    "publishRecordings": Offer(recording_calls.publish_recordings, _GET),
    "deleteRecordings": Offer(recording_calls.delete_recordings, _GET),
    "updateRecordings": Offer(recording_calls.update_recordings, _BOTH),
    "getRecordingTextTracks": Offer(track_calls.get_tracks, _BOTH),
    "putRecordingTextTrack": Offer(track_calls.put_track, _POST),
    "hooks/create": Offer(hook_calls.create, _GET),
    "hooks/destroy": Offer(hook_calls.destroy, _GET),
    "hooks/list": Offer(hook_calls.list_hooks, _GET),
    "getSessions": Offer(session_calls.get_sessions, _BOTH),
    "getJoinUrl": Offer(session_calls.get_join_url, _BOTH, signed=False),
    "learningDashboard": Offer(session_calls.learning_dashboard, _BOTH, signed=False),
    "stuns": Offer(session_calls.stuns, _BOTH, signed=False),
    "signOut": Offer(session_calls.sign_out, _BOTH, signed=False),
    "feedback": Offer(session_calls.feedback, _POST, "feedback", signed=False),
    "enter": Offer(session_calls.enter, _BOTH, "legacy_guest_calls", signed=False),
    "guestWait": Offer(session_calls.guest_wait, _GET, "legacy_guest_calls", signed=False),
    "getDefaultConfigXML": Offer(config_calls.get_default, _GET, "legacy_config_xml"),
    "setConfigXML": Offer(config_calls.store, _POST, "legacy_config_xml"),
    "configXML": Offer(config_calls.show, _GET, "legacy_config_xml", signed=False),
}

_HEADERS: Final = CIMultiDict(
    [("Content-Type", "text/xml;charset=UTF-8"), ("Cache-Control", "no-cache")]
)
_INDEX: Final = "index"
_OUTCOME_CHARS_MAX: Final = 60


def routes() -> list[web.RouteDef]:
    """Return the API's routes."""
    return [
        web.route("*", "/bigbluebutton/api/{call:.+}", handle),
        *(web.route("*", f"/bigbluebutton{tail}", index) for tail in ("", "/", "/api", "/api/")),
    ]


async def index(request: web.Request) -> web.StreamResponse:
    """Answer the version."""
    node = request.app[NODE]
    entry = _remember(node, _INDEX, request)
    fault = node.faults.take(_INDEX)
    if fault is not None:
        entry["fault"] = fault.mode
        early = await node.faults.instead(fault, request)
        if early is not None or fault.mode == "drop_after_doing":
            return early or faults.drop(request)
    if node.settings.delay_s:
        await asyncio.sleep(node.settings.delay_s)
    origin = request.host
    shown = documents.success(
        [
            ("version", "2.0"),
            ("apiVersion", "2.0"),
            ("bbbVersion", node.settings.version),
            ("html5PluginSdkVersion", "0.0.90"),
            ("graphqlWebsocketUrl", f"ws://{origin}/graphql"),
            ("graphqlApiUrl", f"{request.scheme}://{origin}/api/rest"),
        ]
    )
    return _xml(shown)


async def handle(request: web.Request) -> web.StreamResponse:
    """Answer one API call, or fail as told."""
    node = request.app[NODE]
    name = request.match_info["call"]
    if name == "hooks/ping":
        return web.Response(text="bbb-webhooks API up!")
    offer = CALLS.get(name)
    if offer is None or (offer.switch and not getattr(node.settings, offer.switch)):
        page = "<html><body><h1>HTTP Status 404 - Not Found</h1></body></html>"
        return web.Response(status=404, text=page, content_type="text/html")
    if request.method not in offer.methods:
        raise web.HTTPMethodNotAllowed(request.method, sorted(offer.methods))
    entry = _remember(node, name, request)
    fault = node.faults.take(name)
    try:
        settings = node.settings
        call = await wire.read(
            request, name, public_url=settings.public_url, most=settings.parameters_max
        )
    except ValueError:
        return _xml(documents.failure("requestTooLarge", "The request has too many parameters."))
    entry["params"] = call.params
    entry["body_bytes"] = len(call.body)
    if fault is not None:
        entry["fault"] = fault.mode
        early = await node.faults.instead(fault, request)
        if early is not None:
            return early
    if settings.delay_s:
        await asyncio.sleep(settings.delay_s)
    answer = offer.handler(node, call)
    node.settle()
    entry["outcome"] = _outcome(answer)
    if fault is not None and fault.mode == "drop_after_doing":
        return faults.drop(request)
    return answer if isinstance(answer, web.Response) else _xml(answer)


def _xml(document: str | bytes) -> web.Response:
    body = document.encode() if isinstance(document, str) else document
    return web.Response(body=body, headers=_HEADERS)


def _remember(node: Node, name: str, request: web.Request) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "at_ms": node.clock.now_ms(),
        "call": name,
        "method": request.method,
        "query": request.rel_url.raw_query_string,
        "params": {},
        "body_bytes": 0,
        "traceparent": request.headers.get("traceparent", ""),
        "fault": None,
        "outcome": None,
    }
    node.calls.append(entry)
    return entry


def _outcome(answer: str | bytes | web.Response) -> str:
    """Return `SUCCESS`, the messageKey of a failure, `redirect`, or `answered` for JSON."""
    if isinstance(answer, web.Response):
        if answer.status in (302, 303):
            return "redirect"
        answer = answer.text or ""
        if not answer.startswith("<response>"):
            return "answered"
    if isinstance(answer, bytes) or answer.startswith("<response><returncode>SUCCESS"):
        return "SUCCESS"
    _, _, rest = answer.partition("<messageKey>")
    return rest.partition("<")[0][:_OUTCOME_CHARS_MAX] or "FAILED"
