"""The call `join`: who may enter as what, and where they are sent.

Owns roles, guests, the createTime check and the two ways of answering, redirect or XML. Never makes
anybody present unless told to: that is what opening the client page does. Called by `api` only.
"""

from typing import NamedTuple
from urllib.parse import quote

import orjson
from aiohttp import web

from deploy.simulator import rules
from deploy.simulator.calls import failed
from deploy.simulator.model import Meeting, Role, User
from deploy.simulator.node import Node
from deploy.simulator.rules import Violation
from deploy.simulator.state import Full
from deploy.simulator.wire import ApiCall
from schemas import documents


def join(node: Node, call: ApiCall) -> str | web.Response:
    """Let somebody in: a redirect to the client page, or XML when `redirect=false`."""
    meeting = node.state.find(call.given("meetingID"))
    refusal = rules.signature(call, node.settings.secret)
    if refusal is not None:
        return _refuse_join(call, refusal, call.origin)
    target = call.given("errorRedirectUrl") or call.given("logoutURL") or call.origin
    refusal = rules.check(call, meeting)
    if meeting is None or refusal is not None:
        return _refuse_join(call, refusal or rules.NOT_FOUND, target)
    create_time = call.params.get("createTime")
    if create_time is not None and create_time != str(meeting.create_ms):
        text = "The createTime parameter submitted mismatches with the current meeting."
        return _refuse_join(call, Violation("mismatchCreateTimeParam", text), target)
    if call.given("existingUserID"):
        return _again(node, call, meeting)
    role = _role(call, meeting)
    if isinstance(role, Violation):
        return failed(role)
    try:
        user = _register(node, call, meeting, role)
        if user.guest_status != "DENY" and (
            node.settings.auto_connect or call.is_true("auto_connect")
        ):
            node.state.connect(user, node.clock.now_ms())
    except Full:
        text = "The number of participants allowed for this meeting has been reached."
        return _refuse_join(call, Violation("maxParticipantsReached", text), target)
    if user.guest_status == "DENY":
        node.state.leave(user, node.clock.now_ms())
        text = "You have been denied access to this meeting based on the meeting's guest policy"
        return _refuse_join(call, Violation("guestDeniedAccess", text), target)
    return _joined(call, meeting, user, _Session(user.token, node.state.draw.lower(12)))


class _Session(NamedTuple):
    token: str
    auth_token: str


def _again(node: Node, call: ApiCall, meeting: Meeting) -> str | web.Response:
    """Give a user who is present one more session, instead of an earlier one if asked to."""
    user = node.state.users_of(meeting).get(call.given("existingUserID"))
    if user is None:
        text = "No active session found for the provided user ID."
        return failed(Violation("userNotFound", text))
    token = node.state.add_session(user)
    replaced = call.given("replaceSessionToken")
    if replaced in user.cookies and replaced != token:
        node.state.sign_out(replaced, node.clock.now_ms())
    return _joined(call, meeting, user, _Session(token, node.state.draw.lower(12)))


def _register(node: Node, call: ApiCall, meeting: Meeting, role: Role) -> User:
    user = node.state.register(
        meeting,
        name=call.given("fullName"),
        role=role,
        external_id=call.given("userID"),
        now_ms=node.clock.now_ms(),
        userdata={
            name[9:]: value for name, value in call.params.items() if name.startswith("userdata-")
        },
    )
    user.guest = call.is_true("guest")
    authenticated = call.is_true("auth") if call.given("auth") else "guest" not in call.params
    user.guest_status = _guest_status(meeting, user, authenticated=authenticated)
    return user


def _joined(call: ApiCall, meeting: Meeting, user: User, session: _Session) -> web.Response:
    url = f"{call.origin}/html5client/?sessionToken={session.token}"
    response = web.Response(headers={"Cache-Control": "no-cache"})
    response.set_cookie("JSESSIONID", user.cookies[session.token], path="/", httponly=True)
    if call.given("redirect").lower() == "false":
        response.text = documents.success(
            [
                ("messageKey", "successfullyJoined"),
                ("message", "You have joined successfully."),
                ("meeting_id", meeting.internal_id),
                ("user_id", user.internal_id),
                ("auth_token", session.auth_token),
                ("session_token", session.token),
                ("guestStatus", user.guest_status),
                ("url", url),
            ]
        )
        response.headers["Content-Type"] = "text/xml;charset=UTF-8"
    else:
        response.set_status(302)
        response.headers["Location"] = url
    return response


def _role(call: ApiCall, meeting: Meeting) -> Role | Violation:
    role, password = call.given("role").upper(), call.given("password")
    if role == "MODERATOR":
        return "MODERATOR"
    if role == "VIEWER":
        return "VIEWER"
    if password == meeting.moderator_pw and password:
        return "MODERATOR"
    if password == meeting.attendee_pw and password:
        return "VIEWER"
    if password:
        return Violation("Params required", "You must enter a valid password")
    text = (
        "You must either send the valid role of the user, or the password, "
        "sould the meeting has one."
    )
    return Violation("Params required", text)


def _guest_status(meeting: Meeting, user: User, *, authenticated: bool) -> str:
    if user.role == "MODERATOR":
        return "ALLOW"
    match meeting.guest_policy:
        case "ALWAYS_ACCEPT":
            return "ALLOW"
        case "ASK_MODERATOR":
            return "WAIT" if user.guest or authenticated else "ALLOW"
        case "ALWAYS_ACCEPT_AUTH":
            return "WAIT" if user.guest else "ALLOW"
        case _:
            return "DENY"


def _refuse_join(call: ApiCall, violation: Violation, target: str) -> str | web.Response:
    if call.given("redirect").lower() == "false":
        return failed(violation)
    errors = orjson.dumps([{"message": violation.message, "key": violation.key}]).decode()
    joint = "&" if "?" in target else "?"
    location = f"{target}{joint}errors={quote(errors, safe='[]:,')}"
    return web.Response(status=302, headers={"Location": location, "Cache-Control": "no-cache"})
