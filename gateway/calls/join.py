"""The join call: sends one user to the node of the meeting.

Owns roles, the join's error channels, and the translated URL. Counts nobody: the node enforces the
number of participants. Called by the dispatch.
"""

import asyncio
from typing import Final
from urllib.parse import quote_plus

from aiohttp import web

from gateway import failures
from gateway.failures import ApiFailure, xml
from gateway.incoming import GET, Call, Calls, Incoming
from gateway.keys import Caller
from gateway.live import Live
from gateway.meetings import PLACING, Entry
from gateway.parts import Parts
from scheduler.directory import Node
from scheduler.nodes import NodeError
from schemas import answers, checksum, params
from schemas.params import Params
from schemas.values import Reason

#: A join that overtakes its create waits this long for it.
PLACING_WAIT_S: Final = 5.0
_ROLES: Final = frozenset(("moderator", "viewer"))
_WRONG_PASSWORD: Final = ("Params required", "You must enter a valid password")
_NO_ROLE: Final = (
    "Params required",
    "You must either send the valid role of the user, or the password, sould the meeting has one.",
)
_ANSWERED: Final = (
    "messageKey",
    "message",
    "user_id",
    "auth_token",
    "session_token",
    "guestStatus",
    "url",
)


class Join:
    """The join call of one gateway."""

    def __init__(self, parts: Parts, live: Live) -> None:
        self._parts = parts
        self._meetings = parts.meetings
        self._live = live

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
        violation = params.join_violation(given, known=entry is not None)
        if violation is not None or entry is None:
            return _error(given, violation or params.FORCIBLY_ENDED)
        bound = entry.view["bound"]
        create_time = values.get("createTime")
        if create_time is not None and (
            bound is None or not create_time or int(create_time) != bound["create_time_ms"]
        ):
            key = "mismatchCreateTimeParam"
            return _error(given, (key, answers.MESSAGES[key]))
        _check_role(entry, values)
        node = self._live.node(entry)
        if node is None:
            raise ApiFailure(Reason.UNAVAILABLE)
        if caller.rules.join is not None:
            values = caller.rules.join.apply(given).params.values
        pairs = [
            (name, entry.node_meeting_id if name == "meetingID" else value)
            for name, value in values.items()
        ]
        told = self._meetings.observed.join_here(entry.view["id"], self._parts.now_ms())
        if told is not None:
            self._parts.bus.broadcast_soon({**told})
        if values.get("redirect", "").lower() == "false":
            return await self._fetched(entry, node, pairs)
        query = checksum.signed_query("join", _encoded(pairs), node.secret)
        return failures.redirect(f"{node.base_url}api/join?{query}")

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
                raise ApiFailure(Reason.UNAVAILABLE) from error
            entry = self._meetings.lookup(caller.credential, meeting_id)
        return entry

    async def _fetched(
        self, entry: Entry, node: Node, pairs: list[tuple[str, str]]
    ) -> web.Response:
        try:
            reply = await self._parts.nodes.call(
                node, "join", pairs, timeout_s=self._parts.settings.node_timeout_s
            )
        except NodeError as error:
            raise ApiFailure(Reason.UNAVAILABLE) from error
        if not reply.ok:
            if reply.key == params.NOT_FOUND[0]:
                raise ApiFailure(*params.FORCIBLY_ENDED)
            raise ApiFailure(reply.key or Reason.UNAVAILABLE, _foreign(entry, reply.message))
        fields = {name: reply.text(name) for name in _ANSWERED}
        fields["message"] = _foreign(entry, fields["message"])
        return xml(answers.joined(entry.view, fields))


def _encoded(pairs: list[tuple[str, str]]) -> str:
    """Return the pairs as a query; plain words, which most are, are not looked at twice."""
    return "&".join(
        [
            f"{name if name.isalpha() and name.isascii() else quote_plus(name)}="
            f"{value if value.isalnum() and value.isascii() else quote_plus(value)}"
            for name, value in pairs
        ]
    )


def _foreign(entry: Entry, text: str) -> str:
    """Return a node's sentence with the caller's id in it."""
    return text.replace(entry.node_meeting_id, entry.view["external_id"])


def _check_role(entry: Entry, values: dict[str, str]) -> None:
    """Raise `ApiFailure` unless a role, or a password of the meeting, was given."""
    if values.get("role", "").lower() in _ROLES:
        return
    password = values.get("password")
    if not password:
        raise ApiFailure(*_NO_ROLE)
    doc = entry.view["doc"]
    if password not in (doc["moderator_pw"], doc["attendee_pw"]):
        raise ApiFailure(*_WRONG_PASSWORD)


def _error(given: Params, violation: params.Violation) -> web.Response:
    """Answer an error as XML, or by redirect when the signed call names a web address for it."""
    key, message = violation
    if given.values.get("redirect", "").lower() != "false":
        for name in ("errorRedirectUrl", "logoutURL"):
            target = params.web_url(given.get(name))
            if target is not None:
                return failures.redirect(answers.error_location(target, key, message))
    raise ApiFailure(key, message)
