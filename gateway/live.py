"""Questions to the one node of a meeting, asked live.

Owns the time that a caller may lose to a slow node, and the sharing of identical questions. Never
retries: when a node does not answer, the caller falls back on what was observed. Used by join and
the queries.
"""

from collections.abc import Mapping
from typing import Any, Final

import structlog

from gateway.failures import ApiFailure
from gateway.flights import Flights
from gateway.meetings import Entry
from gateway.parts import Parts
from scheduler import sightings
from scheduler.directory_records import Node
from scheduler.nodes import NodeError, NodeReply
from schemas.params import NOT_FOUND

#: A read that waits for a node may take this long before the observed state is shown.
QUESTION_TIMEOUT_S: Final = 2.0

log = structlog.get_logger(__name__)


class Live:
    """Live questions of one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._running: Flights[str, bool | None] = Flights(self._ask_running)
        self._info: Flights[str, Mapping[str, Any] | None] = Flights(self._ask_info)

    async def close(self) -> None:
        """Give up all questions."""
        await self._running.close()
        await self._info.close()

    async def node(self, entry: Entry) -> Node | None:
        """Return the node of a meeting; None when it is not in the directory."""
        return await self._parts.directory.node(entry.view["node"])

    async def running(self, entry: Entry) -> bool | None:
        """Return whether the meeting runs; None when its node does not answer."""
        return await self._running.get(entry.view["id"])

    async def info(self, entry: Entry) -> Mapping[str, Any] | None:
        """Return the elements of getMeetingInfo by name; None when the node does not answer.

        Raises `ApiFailure` notFound when the node does not have the meeting any more.
        """
        return await self._info.get(entry.view["id"])

    async def _ask(self, meeting_id: str, call: str) -> NodeReply | None:
        entry = self._parts.meetings.by_id(meeting_id)
        node = await self.node(entry) if entry is not None else None
        if entry is None or node is None:
            return None
        try:
            return await self._parts.nodes.call(
                node,
                call,
                (("meetingID", entry.node_meeting_id),),
                timeout_s=min(QUESTION_TIMEOUT_S, self._parts.settings.node_timeout_s),
            )
        except NodeError as error:
            log.warning("node did not answer", node=node.name, call=call, reason=error.detail)
            return None

    async def _ask_running(self, meeting_id: str) -> bool | None:
        asked_ms = self._parts.now_ms()
        reply = await self._ask(meeting_id, "isMeetingRunning")
        if reply is None or not reply.ok:
            return None
        running = reply.text("running") == "true"
        self._note(meeting_id, running=running, as_of_ms=asked_ms)
        return running

    async def _ask_info(self, meeting_id: str) -> Mapping[str, Any] | None:
        asked_ms = self._parts.now_ms()
        reply = await self._ask(meeting_id, "getMeetingInfo")
        if reply is None:
            return None
        if not reply.ok:
            if reply.key == NOT_FOUND[0]:
                raise ApiFailure(*NOT_FOUND)
            log.warning("node refused a question", call="getMeetingInfo", key=reply.key)
            return None
        fields = sightings.read_meeting(reply.root).fields
        self._note(meeting_id, running=bool(fields.get("running")), as_of_ms=asked_ms)
        return fields

    def _note(self, meeting_id: str, *, running: bool, as_of_ms: int) -> None:
        if self._parts.meetings.by_id(meeting_id) is not None:
            self._parts.meetings.observed.note(meeting_id, running=running, as_of_ms=as_of_ms)
