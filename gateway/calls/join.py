"""The join call: sends one user to the node of the meeting.

Owns roles, the join's error channels, and the translated URL. Counts nobody: who gets a seat is
asked of the gate, before anything of the call reaches the node. Called by the dispatch.
"""

import asyncio
import random
import re
import string
from typing import Final
from urllib.parse import parse_qsl, quote_plus, urlsplit

import orjson
import structlog
from aiohttp import web

from gateway import failures
from gateway.failures import ApiFailure, xml
from gateway.gate import FULL, Gate, person_of
from gateway.incoming import GET, Call, Calls, Incoming
from gateway.keys import Caller
from gateway.live import Live
from gateway.meetings import PLACING, Entry
from gateway.parts import Parts
from gateway.provider.branding import Branding
from gateway.sessions import Sessions
from scheduler.directory_records import Node
from scheduler.nodes import NodeError, RawReply, parse
from schemas import answers, checksum, params, refusals
from schemas.params import Params
from schemas.refusals import Wording
from schemas.values import Reason

#: A join that overtakes its create waits this long for it.
PLACING_WAIT_S: Final = 5.0
_ROLES: Final = frozenset(("moderator", "viewer"))
_WRONG_PASSWORD: Final = ("Params required", "You must enter a valid password")
_NO_ROLE: Final = (
    "Params required",
    "You must either send the valid role of the user, or the password, sould the meeting has one.",
)
_ROLE_NEEDED: Final = (
    "Params required",
    "You must send the 'role' parameter, since this meeting doesn't have any password.",
)
_STALE: Final = ("mismatchCreateTimeParam", answers.MESSAGES["mismatchCreateTimeParam"])
_UNAVAILABLE: Final = (
    Reason.UNAVAILABLE.value,
    answers.MESSAGES[Reason.UNAVAILABLE.value],
)
#: How nodes say that they do not have the meeting any more.
_GONE: Final = frozenset(("notFound", "meetingForciblyEnded", "invalidMeetingIdentifier"))
#: What nodes replace in an address that a user is sent to; in errors they are left empty.
_TOKENS: Final = ("%%MEETINGID%%", "%%USERID%%", "%%USERNAME%%")
_SIGNS: Final = string.ascii_lowercase + string.digits
_OK: Final = 200
#: What `quote_plus` leaves as it is, but for blanks.
_WORDS: Final = re.compile(r"[A-Za-z0-9_.~ -]*\Z")
_ANSWERED: Final = (
    "messageKey",
    "message",
    "user_id",
    "auth_token",
    "session_token",
    "guestStatus",
    "url",
)

log = structlog.get_logger(__name__)


class Join:
    """The join call of one gateway."""

    def __init__(self, parts: Parts, live: Live, gate: Gate, sessions: Sessions) -> None:
        self._parts = parts
        self._meetings = parts.meetings
        self._live = live
        self._gate = gate
        self._sessions = sessions
        self._branding = Branding(parts.settings)
        # Names for nobody else to guess are not needed, only such that no two are the same.
        self._draw = random.Random()  # noqa: S311

    def calls(self) -> Calls:
        """Return the call by its name."""
        return {"join": Call(self.join, GET, forms=False)}

    async def join(self, incoming: Incoming) -> web.Response:
        """Redirect to the node, or answer its XML with `redirect=false`."""
        caller, given = incoming.caller, incoming.params
        values = given.values
        entry = self._meetings.lookup(caller.credential, values.get("meetingID", ""))
        if entry is None:
            entry = await self._arriving(caller, given)
        violation = _violation(given, entry)
        if violation is not None or entry is None:
            return _error(given, violation or params.FORCIBLY_ENDED, caller.wording)
        moderator = _is_moderator(entry, values)
        node = await self._live.node(entry)
        if node is None:
            return _error(given, _UNAVAILABLE, caller.wording)
        if caller.rules.join is not None or caller.assets:
            values = self._ruled(incoming)
        if not _takes_no_seat(values):
            if not values.get("userID"):
                # The node would make one up; this way the person is known when seen there.
                values = {**values, "userID": self._new_user_id()}
            person = person_of(values["userID"])
            if not self._gate.passes(entry.view["id"], person):
                over = moderator and caller.moderators_pass
                refusal = await self._gate.admit(entry, person, pool=caller.pool, over=over)
                if refusal is not None:
                    return _error(given, refusal, caller.wording)
        self._note(entry)
        query = _encoded(values, entry.node_meeting_id)
        query = checksum.signed_query("join", query, node.secret)
        if values.get("redirect", "").lower() == "false":
            return await self._fetched(entry, node, query)
        return failures.redirect(f"{node.base_url}api/join?{query}")

    def _ruled(self, incoming: Incoming) -> dict[str, str]:
        """Return the parameters behind the provider's rules, with the customer's style sheet."""
        caller, given = incoming.caller, incoming.params
        rules = caller.rules.join
        values = given.values if rules is None else rules.apply(given).params.values
        return self._branding.style(incoming.request, caller, values)

    def _note(self, entry: Entry) -> None:
        """Note that somebody is on the way, so that nobody believes the meeting to be empty."""
        told = self._meetings.observed.join_here(entry.view["id"], self._parts.now_ms())
        if told is not None:
            self._parts.bus.broadcast_soon({**told})

    def _new_user_id(self) -> str:
        """Return a user id as BBB makes them for those who come without one."""
        return "w_" + "".join(self._draw.choices(_SIGNS, k=12))

    async def _arriving(self, caller: Caller, given: Params) -> Entry | None:
        """Return the meeting from the ledger; waits for one that is being placed."""
        meeting_id = given.get("meetingID")
        entry = await self._meetings.find(caller.credential, meeting_id)
        if entry is not None and entry.view["state"] == PLACING:
            settled = self._meetings.settled(entry.view["id"])
            try:
                async with asyncio.timeout(PLACING_WAIT_S):
                    await settled
            except TimeoutError as error:
                raise ApiFailure(*_UNAVAILABLE) from error
            entry = self._meetings.lookup(caller.credential, meeting_id)
        return entry

    async def _fetched(self, entry: Entry, node: Node, query: str) -> web.Response:
        """Make the join for the caller, and answer what the node said."""
        try:
            reply = await self._parts.nodes.exchange(
                node, "join", query, timeout_s=self._parts.settings.node_timeout_s
            )
            root = parse(reply.content) if reply.status == _OK else None
        except (NodeError, ValueError) as error:
            log.warning("node did not answer a join", node=node.name, reason=str(error))
            raise ApiFailure(*_UNAVAILABLE) from error
        if root is None:
            raise _refused(entry, node, *_redirected(reply))
        fields = {name: _foreign(entry, root.findtext(name) or "") for name in _ANSWERED}
        if root.findtext("returncode") != "SUCCESS":
            raise _refused(entry, node, fields["messageKey"], fields["message"])
        await self._sessions.remember(entry, node, fields["session_token"], reply.cookies)
        return xml(answers.joined(entry.view, fields))


def _violation(given: Params, entry: Entry | None) -> params.Violation | None:
    """Return what is wrong with the parameters, the age of the link included."""
    violation = params.join_violation(given, known=entry is not None)
    create_time = given.values.get("createTime")
    if violation is not None or entry is None or create_time is None:
        return violation
    bound = entry.view["bound"]
    if bound is not None and create_time and int(create_time) == bound["create_time_ms"]:
        return None
    return _STALE


def _takes_no_seat(values: dict[str, str]) -> bool:
    """Tell whether nobody new comes: a second session of somebody who is in.

    A bot takes a connection like anybody; if it took no seat, whoever signs could fill a node.
    """
    return bool(values.get("existingUserID"))


def _redirected(reply: RawReply) -> tuple[str, str]:
    """Return key and message of a failure that a node tells by redirect; those before 3.0 do."""
    query = dict(parse_qsl(urlsplit(reply.location).query))
    try:
        error = orjson.loads(query.get("errors", ""))[0]
        return str(error["key"]), str(error["message"])
    except (ValueError, LookupError, TypeError):
        return "", ""


def _refused(entry: Entry, node: Node, key: str, message: str) -> ApiFailure:
    """Return what the caller hears of a node's refusal."""
    if key in _GONE:
        return ApiFailure(*params.FORCIBLY_ENDED)
    if not key or key == "checksumError":
        # Between us and the node; the caller's own signature was right.
        log.warning("node refused a join", node=node.name, key=key)
        return ApiFailure(*_UNAVAILABLE)
    return ApiFailure(key, _foreign(entry, message))


def _encoded(values: dict[str, str], node_meeting_id: str) -> str:
    """Return the parameters as a query for the node, with the id that it knows the meeting by."""
    parts = []
    for name, value in values.items():
        if name == "meetingID":
            parts.append("meetingID=" + node_meeting_id)
            continue
        # Plain words, which most are, and names of people need no escapes.
        key = name if name.isascii() and name.isalpha() else quote_plus(name)
        if value.isascii() and value.isalnum():
            text = value
        elif _WORDS.match(value):
            text = value.replace(" ", "+")
        else:
            text = quote_plus(value)
        parts.append(key + "=" + text)
    return "&".join(parts)


def _foreign(entry: Entry, text: str) -> str:
    """Return a node's sentence with the caller's id in it."""
    return text.replace(entry.node_meeting_id, entry.view["external_id"])


def _is_moderator(entry: Entry, values: dict[str, str]) -> bool:
    """Return the role; raises `ApiFailure` unless one, or a password of the meeting, was given."""
    role = values.get("role", "").lower()
    if role in _ROLES:
        return role == "moderator"
    doc = entry.view["doc"]
    password = values.get("password")
    if password:
        if password == doc["moderator_pw"]:
            return True
        if password == doc["attendee_pw"]:
            return False
        raise ApiFailure(*_WRONG_PASSWORD)
    raise ApiFailure(*(_NO_ROLE if doc["moderator_pw"] or doc["attendee_pw"] else _ROLE_NEEDED))


def _error(given: Params, violation: params.Violation, wording: Wording) -> web.Response:
    """Answer an error as XML, or by redirect when the signed call names a web address for it."""
    key, message = violation
    failure = ApiFailure(key, message)
    if violation is FULL:
        failure = ApiFailure(key, refusals.full_sentence(wording), worded=True)
    failure.tell(wording)
    if given.values.get("redirect", "").lower() != "false":
        for name in ("errorRedirectUrl", "logoutURL"):
            address = given.get(name)
            for token in _TOKENS:
                address = address.replace(token, "")
            target = params.web_url(address)
            if target is not None:
                location = answers.error_location(target, key, failure.message)
                return failures.redirect(location)
    raise failure
