"""The reading calls: isMeetingRunning, getMeetingInfo, getMeetings.

Owns when a read may be answered from memory and when the node is asked. getMeetings never touches a
node. Called by the dispatch.
"""

from typing import Final

from aiohttp import web

from gateway.failures import ApiFailure, refuse, xml
from gateway.incoming import GET_POST, Call, Calls, Incoming
from gateway.live import Live
from gateway.parts import Parts
from schemas import answers, params

_RUNNING: Final = answers.RUNNING.encode()
_NOT_RUNNING: Final = answers.NOT_RUNNING.encode()


class Queries:
    """The reading calls of one gateway."""

    def __init__(self, parts: Parts, live: Live) -> None:
        self._meetings = parts.meetings
        self._observed = parts.meetings.observed
        self._now_ms = parts.now_ms
        self._live = live

    def calls(self) -> Calls:
        """Return the calls by name."""
        return {
            "isMeetingRunning": Call(self.is_meeting_running, GET_POST, reads=True),
            "getMeetingInfo": Call(self.get_meeting_info, GET_POST, reads=True),
            "getMeetings": Call(self.get_meetings, GET_POST, reads=True),
        }

    async def is_meeting_running(self, incoming: Incoming) -> web.Response:
        """Tell whether somebody is in the meeting; an unknown one is not running."""
        caller, given = incoming.caller, incoming.params
        meeting_id = given.values.get("meetingID", "")
        entry = self._meetings.lookup(caller.credential, meeting_id)
        if entry is None:
            refuse(params.running_violation(given))
            entry = await self._meetings.find(caller.credential, meeting_id)
            if entry is None or not entry.shown:
                room = self._meetings.room(caller.credential, meeting_id)
                return xml(_RUNNING if room and room.fields.get("running") else _NOT_RUNNING)
        running = self._observed.running(entry.view, self._now_ms())
        if running is None:
            running = await self._live.running(entry)
            if running is None:
                running = self._observed.last_running(entry.view)
        return xml(_RUNNING if running else _NOT_RUNNING)

    async def get_meeting_info(self, incoming: Incoming) -> web.Response:
        """Show one meeting as its node has it now, else as it was observed last."""
        caller, given = incoming.caller, incoming.params
        entry = await self._meetings.find(caller.credential, given.get("meetingID"))
        if entry is not None and not entry.shown:
            entry = None
        if entry is None:
            room = self._meetings.room(caller.credential, given.get("meetingID"))
            if room is not None:
                shown = answers.room_elements(room.parent.view, room.fields)
                return xml(answers.meeting_info(shown))
        refuse(params.info_violation(given, known=entry is not None))
        if entry is None:
            raise ApiFailure(*params.NOT_FOUND)
        fields = await self._live.info(entry)
        if fields is None:
            return xml(answers.meeting_info(self._meetings.fragment(entry)))
        seen = self._meetings.seen(entry, fields)
        return xml(answers.meeting_info(answers.meeting_elements(entry.view, seen)))

    async def get_meetings(self, incoming: Incoming) -> web.Response:
        """List the caller's meetings from memory."""
        return xml(self._meetings.document(incoming.caller.credential))
