"""The control API under `/simulator/`: users come and go, meetings end, faults, the clock.

Owns the JSON that tests and demos steer a node with. Answers loopback peers only and has no
other protection; it must never be published. Wired by `app`.
"""

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final

import orjson
from aiohttp import web

from deploy.simulator import faults, mapped_events
from deploy.simulator.model import Meeting, User
from deploy.simulator.node import NODE, Node
from deploy.simulator.state import Full

_CALLS_SHOWN: Final = 1_000
_ADVANCE_S_MAX: Final = 366 * 24 * 3600
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Missing(Exception):  # noqa: N818 - becomes a 404
    """There is no such thing on this node."""


def routes() -> list[web.RouteDef]:
    """Return the control API's routes."""
    meeting = "/simulator/meetings/{meeting}"
    return [
        web.get("/simulator/state", _guarded(show_state)),
        web.get("/simulator/calls", _guarded(show_calls)),
        web.delete("/simulator/calls", _guarded(clear_calls)),
        web.post(f"{meeting}/users", _guarded(add_user)),
        web.delete(f"{meeting}/users/{{user}}", _guarded(remove_user)),
        web.post(f"{meeting}/end", _guarded(end_meeting)),
        web.post(f"{meeting}/breakouts", _guarded(add_breakout)),
        web.post(f"{meeting}/recording-marks", _guarded(mark_recording)),
        web.post("/simulator/events", _guarded(tell_event)),
        web.post("/simulator/hooks/forget", _guarded(forget_hooks)),
        web.post("/simulator/faults", _guarded(put_fault)),
        web.post("/simulator/forget", _guarded(forget)),
        web.post("/simulator/forget-all", _guarded(forget_all)),
        web.post("/simulator/clock", _guarded(advance_clock)),
        web.post("/simulator/reinstall", _guarded(reinstall)),
    ]


def _guarded(handler: _Handler) -> _Handler:
    """Refuse peers from elsewhere, and pages of other origins in a local browser."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if not _is_loopback(request.remote):
            return _refuse(403, "The control API answers loopback peers only.")
        if "Origin" in request.headers:
            return _refuse(403, "The control API does not answer web pages.")
        try:
            return await handler(request)
        except _Missing as error:
            return _refuse(404, str(error))
        except ValueError as error:
            return _refuse(400, str(error))

    return guarded


async def show_state(request: web.Request) -> web.Response:
    """Show everything; `?calls=N` limits the received calls shown (1,000 unless told)."""
    node = request.app[NODE]
    shown = int(request.query.get("calls", _CALLS_SHOWN))
    state = node.state
    calls = list(node.calls)
    return _json(
        {
            "name": node.settings.name,
            "now_ms": node.clock.now_ms(),
            "meetings": [_meeting(node, meeting) for meeting in state.meetings.values()],
            "hooks": [asdict(hook) for hook in state.hooks.values()],
            "recordings": [asdict(recording) for recording in state.recordings.values()],
            "faults": node.faults.listed(),
            "callbacks": list(node.postman.attempts),
            "calls": calls[max(0, len(calls) - shown) :],
        }
    )


async def show_calls(request: web.Request) -> web.Response:
    """Show the received API calls, oldest first; `?call=NAME` only those of one name."""
    name = request.query.get("call")
    known = request.app[NODE].calls
    return _json({"calls": [c for c in known if name is None or c["call"] == name]})


async def clear_calls(request: web.Request) -> web.Response:
    """Forget the received API calls."""
    request.app[NODE].calls.clear()
    return _json({})


async def add_user(request: web.Request) -> web.Response:
    """Let somebody be present at once; 409 when the meeting is full."""
    node = request.app[NODE]
    meeting = _found(node, request.match_info["meeting"])
    document = await _document(request)
    role = str(document.get("role", "VIEWER")).upper()
    now_ms = node.clock.now_ms()
    try:
        user = node.state.register(
            meeting,
            name=str(document.get("fullName", "User")),
            role="MODERATOR" if role == "MODERATOR" else "VIEWER",
            external_id=str(document.get("userID", "")),
            now_ms=now_ms,
        )
        user.listening_only = bool(document.get("isListeningOnly", False))
        user.voice = bool(document.get("hasJoinedVoice", False))
        user.video = bool(document.get("hasVideo", False))
        node.state.connect(user, now_ms)
    except Full:
        return _json({"error": "maxParticipantsReached"}, status=409)
    finally:
        node.settle()
    return _json(_user(user), status=201)


async def remove_user(request: web.Request) -> web.Response:
    """Let a user go, by the caller's or the node's user id."""
    node = request.app[NODE]
    meeting = _found(node, request.match_info["meeting"])
    wanted = request.match_info["user"]
    users = [
        user
        for user in node.state.users_of(meeting).values()
        if wanted in {user.external_id, user.internal_id}
    ]
    for user in users:
        node.state.leave(user, node.clock.now_ms())
    node.settle()
    if not users:
        raise _Missing("There is no such user in this meeting.")
    return _json({"removed": len(users)})


async def end_meeting(request: web.Request) -> web.Response:
    """End a meeting as its moderator would."""
    node = request.app[NODE]
    node.state.end(_found(node, request.match_info["meeting"]), node.clock.now_ms())
    node.settle()
    return _json({})


async def add_breakout(request: web.Request) -> web.Response:
    """Open a breakout room as the meeting's moderator would."""
    node = request.app[NODE]
    parent = _found(node, request.match_info["meeting"])
    document = await _document(request)
    rooms = len(node.state.children.get(parent.internal_id, ()))
    room = node.state.make_breakout(
        parent,
        sequence=int(document.get("sequence", rooms + 1)),
        now_ms=node.clock.now_ms(),
        name=str(document.get("name", "")),
    )
    node.settle()
    return _json(_meeting(node, room), status=201)


async def mark_recording(request: web.Request) -> web.Response:
    """Press the record button: a meeting with `record=true` leaves a recording."""
    node = request.app[NODE]
    meeting = _found(node, request.match_info["meeting"])
    node.state.mark_recording(meeting, node.clock.now_ms())
    node.settle()
    return _json({})


async def tell_event(request: web.Request) -> web.Response:
    """Send any mapped event to the webhooks, of a meeting that is over too; changes nothing.

    `{id, meetingID, internalMeetingID, userID, internalUserID, attributes, ts}`: ids that are not
    given are those of the live meeting and user.
    """
    node = request.app[NODE]
    given = await _document(request)
    kind, attributes = str(given.get("id", "")), given.get("attributes", {})
    if not kind or not isinstance(attributes, dict):
        raise ValueError("An event needs an id, and attributes are an object.")
    external_id = str(given.get("meetingID", ""))
    live = node.state.find(external_id)
    meeting = {"internal-meeting-id": "", "external-meeting-id": external_id}
    user: dict[str, str] | None = None
    wanted = {str(given[key]) for key in ("userID", "internalUserID") if key in given}
    if wanted:
        user = {"internal-user-id": "", "external-user-id": ""}
    if live is not None:
        meeting = mapped_events.meeting_ids(live)
        for known in node.state.users_of(live).values():
            if wanted & {known.external_id, known.internal_id}:
                user = mapped_events.ids_of(known)
    meeting |= _given(given, meeting, {"internalMeetingID": "internal-meeting-id"})
    if user is not None:
        keys = {"userID": "external-user-id", "internalUserID": "internal-user-id"}
        user |= _given(given, user, keys)
    at_ms = int(given.get("ts", node.clock.now_ms()))
    document = mapped_events.made_up(kind, attributes, meeting=meeting, user=user, at_ms=at_ms)
    node.postman.tell_hooks(document, meeting["external-meeting-id"], at_ms, node.state.hooks)
    return _json(document, status=201)


def _given(given: dict[str, Any], known: dict[str, str], keys: dict[str, str]) -> dict[str, str]:
    """Return the ids that were given for what is not known."""
    return {name: str(given[key]) for key, name in keys.items() if key in given and not known[name]}


async def forget_hooks(request: web.Request) -> web.Response:
    """Lose all webhooks, as when the service's memory was cleared."""
    node = request.app[NODE]
    gone = list(node.state.hooks)
    for hook_id in gone:
        node.state.drop_hook(hook_id)
    node.settle()
    return _json({"removed": len(gone)})


async def put_fault(request: web.Request) -> web.Response:
    """Take a fault in force, or lift one with the mode `ok`."""
    node = request.app[NODE]
    node.faults.put(faults.parse(await _document(request)))
    return _json({"faults": node.faults.listed()})


async def forget(request: web.Request) -> web.Response:
    """Let one meeting vanish without events."""
    node = request.app[NODE]
    document = await _document(request)
    node.state.forget(_found(node, str(document.get("meetingID", ""))))
    node.settle()
    return _json({})


async def forget_all(request: web.Request) -> web.Response:
    """Lose meetings, users and hooks without events."""
    request.app[NODE].forget_all()
    return _json({})


async def advance_clock(request: web.Request) -> web.Response:
    """Move the node's clock; what is due then happens before the answer."""
    node = request.app[NODE]
    advance_s = (await _document(request)).get("advance_s")
    if not isinstance(advance_s, int | float) or not 0 <= advance_s <= _ADVANCE_S_MAX:
        raise ValueError("advance_s is a number of seconds, up to a year.")
    node.advance(int(advance_s * 1000))
    return _json({"now_ms": node.clock.now_ms()})


async def reinstall(request: web.Request) -> web.Response:
    """Have another secret or version from now on."""
    document = await _document(request)
    given = {name: document.get(name) for name in ("secret", "version")}
    for name, text in given.items():
        if text is not None and not isinstance(text, str):
            raise ValueError(f"{name} is a text.")
    request.app[NODE].reinstall(**given)
    return _json({})


def _found(node: Node, meeting_id: str) -> Meeting:
    meeting = node.state.find(meeting_id)
    if meeting is None:
        raise _Missing("There is no such meeting on this node.")
    return meeting


def _meeting(node: Node, meeting: Meeting) -> dict[str, Any]:
    return {
        "meetingID": meeting.external_id,
        "internalMeetingID": meeting.internal_id,
        "meetingName": meeting.name,
        "createTime": meeting.create_ms,
        "attendeePW": meeting.attendee_pw,
        "moderatorPW": meeting.moderator_pw,
        "maxUsers": meeting.max_users,
        "duration": meeting.duration_min,
        "metadata": meeting.metadata,
        "record": meeting.record,
        "welcome": meeting.welcome,
        "moderatorOnlyMessage": meeting.moderator_only_message,
        "logoutURL": meeting.logout_url,
        "meetingEndedURL": meeting.ended_url,
        "isBreakout": meeting.is_breakout,
        "parentMeetingID": meeting.parent_id,
        "documents": meeting.documents,
        "messages": meeting.messages,
        "expires_ms": meeting.expires_ms,
        "users": [_user(user) for user in node.state.users_of(meeting).values()],
    }


def _user(user: User) -> dict[str, Any]:
    return {
        "userID": user.external_id,
        "internalUserID": user.internal_id,
        "fullName": user.name,
        "role": user.role,
        "sessionToken": user.token,
    }


async def _document(request: web.Request) -> dict[str, Any]:
    body = await request.read()
    document = orjson.loads(body) if body else {}
    if not isinstance(document, dict):
        raise ValueError("The body is a JSON object.")  # noqa: TRY004 - the peer's, not a caller's
    return document


def _json(document: object, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")


def _refuse(status: int, sentence: str) -> web.Response:
    return _json({"error": sentence}, status=status)


def _is_loopback(remote: str | None) -> bool:
    try:
        return ipaddress.ip_address(remote or "").is_loopback
    except ValueError:
        return False
