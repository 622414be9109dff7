"""The calls of the web client: by session token and cookie, answered in JSON.

Owns the check of token and cookie, and the quirks of getJoinUrl's answer (SHA-1, a leading `&`,
names encoded twice). Never changes a meeting, except that signing out ends a session. Called by
`api` only.
"""

from typing import Any, Final
from urllib.parse import quote_plus

import orjson
from aiohttp import web

from deploy.simulator import rules
from deploy.simulator.calls import failed
from deploy.simulator.model import Meeting, User
from deploy.simulator.node import Node
from deploy.simulator.wire import ApiCall
from schemas import checksum, documents
from schemas.documents import Raw

_NO_TOKEN: Final = "You must provide a session token"  # noqa: S105 - a sentence
_BAD_TOKEN: Final = "Invalid session token"  # noqa: S105 - a sentence
_PASSED_ON: Final = ("sessionName", "enforceLayout")


class _Refused(Exception):  # noqa: N818 - a verdict about a token, not a defect
    """The token opens nothing; the argument is the sentence of the answer."""


def get_sessions(node: Node, call: ApiCall) -> str:
    """List all sessions of all meetings."""
    refusal = rules.signature(call, node.settings.secret)
    if refusal is None and call.has_foreign_type():
        refusal = rules.BAD_TYPE
    if refusal is not None:
        return failed(refusal)
    shown = [
        documents.element(
            "meeting",
            [
                ("meetingID", user.meeting_id),
                ("meetingName", node.state.meetings[user.meeting_id].name),
                ("userName", user.name),
            ],
        )
        for user in node.state.sessions.values()
    ]
    if not shown:
        return documents.success(
            [
                ("sessions", Raw("")),
                ("messageKey", "noSessions"),
                ("message", "no sessions were found on this serverr"),
            ]
        )
    return documents.success([("sessions", Raw("".join(shown)))])


def get_join_url(node: Node, call: ApiCall) -> web.Response:
    """Answer a signed URL by which the user gets one more session."""
    try:
        user, meeting = _session(node, call)
    except _Refused as refusal:
        return _failed(str(refusal))
    pairs = [
        ("redirect", "true"),
        ("existingUserID", user.internal_id),
        ("role", user.role),
        ("fullName", quote_plus(user.name)),
        ("meetingID", quote_plus(meeting.external_id)),
    ]
    if call.is_true("replaceSession"):
        pairs.append(("replaceSessionToken", call.given("sessionToken")))
    pairs += [
        (name, value)
        for name, value in call.params.items()
        if name in _PASSED_ON or name.startswith("userdata-")
    ]
    query = "&" + "&".join(f"{name}={quote_plus(value)}" for name, value in pairs)
    signed = checksum.signed_query("join", query, node.settings.secret, algorithm="sha1")
    return _answer(
        {
            "returncode": "SUCCESS",
            "message": "Join URL provided successfully.",
            "url": f"{call.origin}/bigbluebutton/api/join?{signed}",
        }
    )


def learning_dashboard(node: Node, call: ApiCall) -> web.Response:
    """Answer what moderators may know of everybody: a JSON document inside a JSON document."""
    try:
        user, meeting = _session(node, call)
    except _Refused as refusal:
        return _failed(str(refusal))
    if user.role != "MODERATOR":
        return _failed("Access denied")
    data = {
        "intId": meeting.internal_id,
        "extId": meeting.external_id,
        "name": meeting.name,
        "users": {
            other.internal_id: {"name": other.name, "extId": other.external_id}
            for other in node.state.users_of(meeting).values()
        },
    }
    return _answer(
        {
            "returncode": "SUCCESS",
            "data": orjson.dumps(data).decode(),
            "sessionToken": call.given("sessionToken"),
        }
    )


def stuns(node: Node, call: ApiCall) -> web.Response:
    """Answer the servers that help media through firewalls; there are none here but names."""
    try:
        _session(node, call)
    except _Refused:
        text = "Could not find conference."
        return _json({"returncode": "FAILED", "message": text, "logoutURL": call.origin})
    return _json(
        {
            "stunServers": [{"url": f"stun:{node.settings.name}.example:3478"}],
            "turnServers": [],
            "remoteIceCandidates": [],
        }
    )


def sign_out(node: Node, call: ApiCall) -> str:
    """End a session; an unknown one is over already."""
    try:
        _session(node, call)
    except _Refused:
        return documents.success()
    node.state.sign_out(call.given("sessionToken"), node.clock.now_ms())
    return documents.success()


def feedback(node: Node, call: ApiCall) -> web.Response:
    """Take what a user says of a meeting; it is counted in the remembered calls only."""
    try:
        _session(node, call)
    except _Refused:
        return _failed(_BAD_TOKEN, "missingSession")
    try:
        document = orjson.loads(call.body)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not {"userName", "rating"} <= set(document):
        return _failed("One or more required parameters are missing", "missingParameters")
    return _json({"status": "ok"})


def enter(node: Node, call: ApiCall) -> web.Response:
    """Answer what the web client of old needs to know of its session."""
    try:
        user, meeting = _session(node, call)
    except _Refused:
        return _failed(_BAD_TOKEN, "missingSession", logoutURL=call.origin)
    return _answer(
        {
            "returncode": "SUCCESS",
            "fullname": user.name,
            "meetingID": meeting.internal_id,
            "externMeetingID": meeting.external_id,
            "internalUserID": user.internal_id,
            "externUserID": user.external_id,
            "role": user.role,
            "confname": meeting.name,
        }
    )


def guest_wait(node: Node, call: ApiCall) -> web.Response:
    """Answer whether a guest may come in, with a redirect once that is so."""
    try:
        user, meeting = _session(node, call)
    except _Refused:
        return _failed("Could not process waiting guest.", logoutURL=call.origin)
    url = f"{call.origin}/html5client/join?sessionToken={call.given('sessionToken')}"
    if user.guest_status == "ALLOW" and call.given("redirect").lower() != "false":
        return web.Response(status=302, headers={"Location": url})
    return _answer(
        {
            "returncode": "SUCCESS",
            "messageKey": "guestAllowed" if user.guest_status == "ALLOW" else "guestWait",
            "message": "",
            "meeting_id": meeting.internal_id,
            "user_id": user.internal_id,
            "session_token": call.given("sessionToken"),
            "guestStatus": user.guest_status,
            "lobbyMessage": "",
            "url": url,
        }
    )


def session_of(node: Node, call: ApiCall) -> Meeting | None:
    """Return the meeting that the call's token and cookie open."""
    try:
        return _session(node, call)[1]
    except _Refused:
        return None


def _session(node: Node, call: ApiCall) -> tuple[User, Meeting]:
    """Return who asks; raises `_Refused` unless token and cookie belong together."""
    token = call.given("sessionToken")
    if not token:
        raise _Refused(_NO_TOKEN)
    user = node.state.sessions.get(token)
    if user is None:
        raise _Refused(_BAD_TOKEN)
    meeting = node.state.meetings[user.meeting_id]
    if not meeting.without_session and call.cookie != user.cookies.get(token):
        raise _Refused(_BAD_TOKEN)
    return user, meeting


def _failed(message: str, key: str = "", **more: str) -> web.Response:
    found = {"messageKey": key} if key else {}
    return _answer({"returncode": "FAILED", **found, "message": message, **more})


def _answer(response: dict[str, Any]) -> web.Response:
    return _json({"response": response})


def _json(document: dict[str, Any]) -> web.Response:
    return web.Response(
        text=orjson.dumps(document, option=orjson.OPT_INDENT_2).decode(),
        content_type="application/json",
        headers={"Cache-Control": "no-cache"},
    )
