"""The calls of the draft dialect of 2009, translated into today's calls and back.

Owns its parameters, its signature rule and its meeting tokens. There is no second way to seats:
each call ends in the handler of today's call. Never decides who may use the dialect. Called by the
dispatch.
"""

import hmac
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from gateway.failures import ApiFailure, refuse, xml
from gateway.incoming import GET, Auth, Call, Calls, Incoming
from gateway.keys import Caller
from gateway.meetings import Entry, view_of
from gateway.parts import Parts
from gateway.urls import Urls
from schemas import answers, checksum, draft
from schemas.params import Params, Violation

NO_ACTION: Final = draft.NO_ACTION
#: What the calls are called today.
MODERN: Final = {"endMeeting": "end", "listAttendees": "getMeetingInfo"}

_SHA1_LENGTH: Final = 40
#: Calls of other times, whose signatures must not open anything here.
_FORMER_CALLS: Final = ("setPollXML",)
#: Parameters of the dialect, and of today's join, that mean nothing to the calls behind.
_OURS: Final = frozenset(
    ("meetingToken", "meetmeRoom", "meetmeServer", "redirectImmediately", "random")
)
_OF_JOIN: Final = frozenset(
    ("role", "password", "redirect", "errorRedirectUrl", "logoutURL", "meetingID")
)
_SWITCHES: Final = frozenset(
    ("record", "autoStartRecording", "allowStartStopRecording", "muteOnStart", "guest", "renew")
)
_SWITCHED: Final = {"1": "true", "0": "false"}
_TRUE: Final = frozenset(("1", "true"))
_ALGORITHMS: Final = ("sha256", "sha512", "sha384", "sha1")


def retitle(response: web.Response) -> None:
    """Spell the result of a finished answer as the dialect does."""
    if isinstance(response.body, bytes):
        response.body = draft.retitled(response.body)


def verified(caller: Caller, raw_query: str, today: tuple[str, ...]) -> str:
    """Return the query that the one SHA-1 checksum of a request signs; `today` are today's calls.

    What a signature covers today begins with the name of a call. Such a text is refused here, or a
    signature made for one call today would open every call of this dialect.
    """
    if not raw_query:
        raise ApiFailure(*draft.NO_QUERY)
    query, found = checksum.split_checksum(raw_query)
    if not found:
        raise ApiFailure("checksumError", answers.CHECKSUM_MISSING)
    sha1 = len(found) == 1 and len(found[0]) == _SHA1_LENGTH
    if not (sha1 and caller.signed("", query, found[0])):
        raise ApiFailure("checksumError")
    if query.startswith(today):
        raise ApiFailure(
            "checksumError", "The first parameter must not begin with the name of a call."
        )
    return query


class Draft:
    """The dialect of one gateway; `calls` is the table of today's calls."""

    def __init__(self, parts: Parts, calls: Calls) -> None:
        self._parts = parts
        self._meetings = parts.meetings
        self._urls = Urls(parts.settings)
        self._calls = calls
        self._today_names = (*calls, *_FORMER_CALLS)
        self.table: Calls = {
            name: Call(handler, GET, auth=Auth.DRAFT, forms=False, reads=reads)
            for name, handler, reads in (
                ("create", self._create, False),
                ("join", self._join, False),
                ("end", self._end, False),
                ("endMeeting", self._end_meeting, False),
                ("isMeetingRunning", self._is_meeting_running, True),
                ("listAttendees", self._list_attendees, True),
                ("getMeetingInfo", self._get_meeting_info, True),
                ("getMeetings", self._get_meetings, True),
            )
        }

    def verified(self, caller: Caller, raw_query: str) -> str:
        """Return the query that the checksum of a request signs; raises `ApiFailure`."""
        return verified(caller, raw_query, self._today_names)

    async def _create(self, incoming: Incoming) -> web.Response:
        given = _bound("create", incoming)
        if not given.get("name"):
            raise ApiFailure(*draft.NO_NAME)
        values = {name: value for name, value in given.items() if name not in _OURS}
        meeting_id = values.get("meetingID") or draft.made_up_id()
        values["meetingID"] = meeting_id
        if values.get("maxParticipants", "").startswith("-"):
            # Without a limit then; here the default of the subscription.
            del values["maxParticipants"]
        for name in _SWITCHES & values.keys():
            values[name] = _SWITCHED.get(values[name], values[name])
        response = await self._today("create", incoming, values)
        entry = await self._meetings.find(incoming.caller.credential, meeting_id)
        if entry is None or not _succeeded(response):
            return response
        token = draft.token_of(entry.view["id"])
        return xml(draft.created(_body(response), token=token, meeting_id=meeting_id))

    async def _join(self, incoming: Incoming) -> web.Response:
        given = _bound("join", incoming)
        if not given.get("fullName"):
            raise ApiFailure(*draft.NO_FULL_NAME)
        entry = await self._found(incoming, draft.NOT_IDENTIFIED, placing=True)
        role = _role(entry, given)
        values = {
            "meetingID": entry.view["external_id"],
            **{n: v for n, v in given.items() if n not in _OURS | _OF_JOIN},
            "role": role,
        }
        if given.get("redirectImmediately", "").lower() in _TRUE:
            return await self._today("join", incoming, values)
        if entry.view["bound"] is not None:
            # The address is for this meeting, not for a later one of the same id.
            values["createTime"] = str(entry.view["bound"]["create_time_ms"])
        return xml(draft.entry(self._address(incoming, values)))

    async def _end(self, incoming: Incoming) -> web.Response:
        entry = await self._found(incoming, draft.NOT_RUNNING)
        password = _bound("end", incoming).get("password", "")
        _moderates(entry, password)
        values = {"meetingID": entry.view["external_id"], "password": password}
        return await self._today("end", incoming, values)

    async def _end_meeting(self, incoming: Incoming) -> web.Response:
        response = await self._end(incoming)
        return xml(draft.ended()) if _succeeded(response) else response

    async def _is_meeting_running(self, incoming: Incoming) -> web.Response:
        given = _bound("isMeetingRunning", incoming)
        if not given.get("meetingToken") and not given.get("meetingID"):
            raise ApiFailure(*draft.NOT_IDENTIFIED)
        entry = await self._known(incoming)
        if entry is None:
            return xml(answers.NOT_RUNNING)
        values = {"meetingID": entry.view["external_id"]}
        return await self._today("isMeetingRunning", incoming, values)

    async def _list_attendees(self, incoming: Incoming) -> web.Response:
        response, _entry, _moderator = await self._info("listAttendees", incoming)
        return xml(draft.attendees(_body(response)))

    async def _get_meeting_info(self, incoming: Incoming) -> web.Response:
        response, entry, moderator = await self._info("getMeetingInfo", incoming)
        token = draft.token_of(entry.view["id"])
        return xml(draft.meeting_info(_body(response), token=token, passwords=moderator))

    async def _info(self, call: str, incoming: Incoming) -> tuple[web.Response, Entry, bool]:
        """Return today's getMeetingInfo, the meeting, and whether a moderator asks.

        The token opens a meeting by itself; the id, which others know, with the moderator's
        password, as it did then.
        """
        given = _bound(call, incoming)
        entry = await self._found(incoming, draft.NOT_FOUND)
        password = given.get("password", "")
        if password or not given.get("meetingToken"):
            _moderates(entry, password)
        values = {"meetingID": entry.view["external_id"]}
        return await self._today("getMeetingInfo", incoming, values), entry, bool(password)

    async def _get_meetings(self, incoming: Incoming) -> web.Response:
        if "random" not in _bound("getMeetings", incoming):
            # Nothing else tells that the query was signed for this call.
            raise ApiFailure(*draft.NO_RANDOM)
        response = await self._today("getMeetings", incoming, {})
        body, credential = _body(response), incoming.caller.credential
        tokens = {
            internal_id: draft.token_of(entry.view["id"])
            for internal_id in draft.internal_ids(body)
            if (entry := self._meetings.lookup(credential, internal_id)) is not None
        }
        return xml(draft.meetings(body, tokens))

    async def _today(self, call: str, incoming: Incoming, values: dict[str, str]) -> web.Response:
        """Make a call of today with other parameters."""
        altered = incoming.params.altered
        return await self._calls[call].handler(
            Incoming(incoming.caller, Params(values, altered), None, incoming.request)
        )

    async def _found(
        self, incoming: Incoming, unknown: Violation, *, placing: bool = False
    ) -> Entry:
        """Return the meeting that a request names; raises `ApiFailure` when there is none."""
        entry = await self._known(incoming, placing=placing)
        if entry is None:
            token = incoming.params.get("meetingToken")
            raise ApiFailure(*(draft.UNKNOWN_TOKEN if token else unknown))
        return entry

    async def _known(self, incoming: Incoming, *, placing: bool = False) -> Entry | None:
        """Return the caller's meeting by its token, which goes first, or by his id."""
        caller, token = incoming.caller, incoming.params.get("meetingToken")
        if token:
            return await self._by_token(caller, token)
        entry = await self._meetings.find(caller.credential, incoming.params.get("meetingID"))
        if entry is not None and not entry.shown and not placing:
            return None
        return entry

    async def _by_token(self, caller: Caller, token: str) -> Entry | None:
        meeting_id = draft.meeting_id_of(token)
        if not meeting_id:
            return None
        entry = self._meetings.by_id(meeting_id)
        if entry is None:
            record = await self._parts.reader.meeting(meeting_id)
            if record is None or not record.live or record.credential_id != caller.credential:
                return None
            self._meetings.apply(view_of(record))
            entry = self._meetings.by_id(meeting_id)
        mine = entry is not None and entry.view["credential"] == caller.credential
        return entry if mine and entry is not None and entry.shown else None

    def _address(self, incoming: Incoming, values: dict[str, str]) -> str:
        """Return the address of today's join, signed so that it is good for that alone."""
        caller = incoming.caller
        algorithm = next(name for name in _ALGORITHMS if name in caller.algorithms)
        query = checksum.signed_query(
            "join", urlencode(values), caller.secrets[0], algorithm=algorithm
        )
        return f"{self._urls.base(incoming.request, caller.name)}api/join?{query}"


def _bound(call: str, incoming: Incoming) -> dict[str, str]:
    """Return the parameters; raises `ApiFailure` when they were signed for another call."""
    values = incoming.params.values
    refuse(draft.violation_of_binding(call, values))
    return values


def _role(entry: Entry, given: dict[str, str]) -> str:
    """Return the role that the password opens; the token alone opens the lesser one."""
    password, doc = given.get("password", ""), entry.view["doc"]
    if not password and given.get("meetingToken"):
        return "VIEWER"
    if _same(password, doc["moderator_pw"]):
        return "MODERATOR"
    if _same(password, doc["attendee_pw"]):
        return "VIEWER"
    raise ApiFailure(*draft.WRONG_PASSWORD)


def _moderates(entry: Entry, password: str) -> None:
    """Raise `ApiFailure` unless the password is the moderator's."""
    if not _same(password, entry.view["doc"]["moderator_pw"]):
        raise ApiFailure(*draft.NOT_MODERATOR)


def _same(given: str, wanted: str) -> bool:
    return bool(wanted) and hmac.compare_digest(given.encode(), wanted.encode())


def _succeeded(response: web.Response) -> bool:
    return b"<returncode>SUCCESS<" in _body(response)


def _body(response: web.Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b""
