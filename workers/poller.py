"""Polling one node.

Owns what was last told of a node: it asks for all meetings, turns the answer into facts for the
placement worker and a view for readers, and sends them when they differ from the last ones or those
are old. Never decides what a difference means, and takes only a complete list for proof of absence.
Driven by the observer, one call of `poll` at a time.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, Final

import structlog

from scheduler import node_probe, nodes, sightings
from scheduler.bus.errors import BusError
from scheduler.bus.interface import Bus
from scheduler.directory_records import Node
from scheduler.node_faults import Fault
from scheduler.settings import Settings
from scheduler.sightings import MeetingSeen
from schemas.messages import (
    NodeHealth,
    NodeSeen,
    NodeSnapshot,
    RoomSeen,
    SeenMeeting,
    SeenUser,
)
from workers import node_health
from workers.naming import Naming
from workers.node_health import NodeHealthTracker

#: Facts and views that did not change are sent again after these times.
SEEN_REFRESH_S: Final = 30.0
HEALTH_REFRESH_S: Final = 60.0
#: The same of a node that misses polls: people watch it.
MISSES_REFRESH_S: Final = 10.0
#: How often a node is asked for its version.
VERSION_REFRESH_S: Final = 900.0
SNAPSHOT_REFRESH_S: Final = 10.0
#: A publication is given up after this time; the next poll tries again.
PUBLISH_TIMEOUT_S: Final = 10.0
#: Longer lists are read in a thread, so that nobody else waits.
_INLINE_MEETINGS_MAX: Final = 50
#: Longer names are cut, characters.
_NAME_MAX: Final = 255

log = structlog.get_logger(__name__)


class NodePoller:
    """What is known of one node; `node_id` stays, its address may change between polls."""

    def __init__(
        self,
        settings: Settings,
        *,
        node_id: int,
        pool: str,
        bus: Bus,
        client: nodes.NodeClient,
        naming: Naming | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node_id = node_id
        self._pool = pool
        self._bus = bus
        self._client = client
        #: None: nobody is named.
        self._naming = naming
        self._monotonic_s = monotonic_s
        self._timeout_s = min(settings.node_timeout_s, settings.poll_interval_s)
        self.health = NodeHealthTracker(
            down_after=settings.node_down_after,
            up_after=settings.node_up_after,
            lost_after_s=settings.node_lost_after_s,
        )
        self._health_sent: tuple[object, ...] | None = None
        self._health_sent_s = 0.0
        self._answered_ms: int | None = None
        self._version = ""
        self._version_asked_s: float | None = None
        self._seen_sent: list[SeenMeeting] | None = None
        self._seen_sent_s = 0.0
        #: What was sent last has been seen twice, which is what makes an absence certain.
        self._seen_confirmed = False
        self._shown: tuple[dict[str, dict[str, Any]], dict[str, RoomSeen]] | None = None
        self._shown_s = 0.0
        self._people: set[tuple[str, str]] = set()
        self._as_of_ms = 0
        #: When the poll began since which people came or went; None when nobody did.
        self.moved_since_ms: int | None = None

    async def poll(self, node: Node) -> None:
        """Ask the node once, and tell what has changed; never raises for a node or the bus."""
        as_of_ms = time.time_ns() // 1_000_000
        listed = await self._ask(node)
        self.moved_since_ms = None
        facts: list[NodeHealth | NodeSeen] = []
        if listed is not None:
            await self._ask_version(node)
        if (health := self._health_fact(node)) is not None:
            facts.append(health)
        seen = None
        if listed is not None:
            ours = {
                meeting_id: meeting
                for meeting in listed
                if (meeting_id := sightings.meeting_id(meeting))
            }
            # Whoever is in a room is in its meeting too, so rooms are shown and never counted.
            rooms = sightings.rooms(ours, listed)
            if foreign := len(listed) - len(ours) - len(rooms):
                log.debug("node has foreign meetings", node=node.name, meetings=foreign)
            self._show(as_of_ms, ours, rooms)
            people = {(known, user) for known, one in ours.items() for user in one.users}
            if people != self._people:
                self.moved_since_ms = self._as_of_ms
            self._people, self._as_of_ms = people, as_of_ms
            named = await self._naming.among(ours) if self._naming is not None else set()
            seen = self._seen_fact(as_of_ms, ours, named)
            if seen is not None:
                facts.append(seen)
        if facts and await self._publish(node, facts):
            self._remember(health, seen)

    async def _ask(self, node: Node) -> list[MeetingSeen] | None:
        """Return the meetings of the node, or None when it gave no complete list."""
        try:
            reply = await self._client.call(node, "getMeetings", (), timeout_s=self._timeout_s)
        except nodes.NodeError as error:
            self._missed(node, error.detail, error.fault)
            return None
        if not reply.ok:
            fault = Fault.SECRET if reply.key == "checksumError" else Fault.FAILED
            self._missed(node, f"answered {reply.key or 'FAILED'}", fault)
            return None
        meetings = reply.root.find("meetings")
        if meetings is None:
            self._missed(node, "answered without a list of meetings", Fault.NOT_BBB)
            return None
        was = self.health.state
        self.health.answered()
        self._answered_ms = time.time_ns() // 1_000_000
        if self.health.state != was:
            log.info("node is up", node=node.name, before=was)
        if len(meetings) > _INLINE_MEETINGS_MAX:
            return await asyncio.to_thread(sightings.read_meetings, reply.root)
        return sightings.read_meetings(reply.root)

    async def _ask_version(self, node: Node) -> None:
        """Ask the node what it is, now and then and after an outage; it need not answer."""
        now_s = self._monotonic_s()
        asked_s = self._version_asked_s
        if asked_s is not None and now_s - asked_s < VERSION_REFRESH_S:
            return
        self._version_asked_s = now_s
        try:
            self._version = await node_probe.version(self._client, node, timeout_s=self._timeout_s)
        except nodes.NodeError as error:
            log.debug("node did not tell its version", node=node.name, reason=error.detail)

    def _missed(self, node: Node, reason: str, fault: Fault) -> None:
        # What is not known for a while is told anew: the pool may have given the node's meetings up
        # meanwhile, and those that it still has must be ended without waiting for the refresh.
        self._seen_sent, self._seen_confirmed = None, False
        # A node that comes back may have been upgraded.
        self._version_asked_s = None
        was, was_lost = self.health.state, self.health.lost
        self.health.missed(reason, fault, now_s=self._monotonic_s())
        if self.health.state != was:
            log.warning("node is down", node=node.name, reason=reason, before=was)
        elif self.health.lost and not was_lost:
            log.error("node is lost", node=node.name, reason=reason)
        elif self.health.state != node_health.DOWN:
            log.info("node did not answer a poll", node=node.name, reason=reason)

    def _health_fact(self, node: Node) -> NodeHealth | None:
        """Return the health if it is known and changed, or was told long ago."""
        health = self.health
        if health.state == node_health.UNKNOWN:
            return None
        fact: NodeHealth = {
            "kind": "nodeHealth",
            "node": self._node_id,
            "up": health.state == node_health.UP,
            "reason": health.reason,
            "lost": health.lost,
            "at_ms": time.time_ns() // 1_000_000,
            "fault": health.fault.value,
            "misses": health.misses,
        }
        if self._answered_ms is not None:
            fact["answered_ms"] = self._answered_ms
        if self._version:
            fact["version"] = self._version
        if node.other_secret and fact["up"]:
            fact["previous_in_use"] = node.previous_in_use != self._client.takes_other(node)
        age_s = self._monotonic_s() - self._health_sent_s
        refresh_s = HEALTH_REFRESH_S if not health.misses else MISSES_REFRESH_S
        if _told(fact) == self._health_sent and age_s < refresh_s:
            return None
        return fact

    def _seen_fact(
        self, as_of_ms: int, ours: dict[str, MeetingSeen], named: Collection[str]
    ) -> NodeSeen | None:
        """Return what was seen if it changed, awaits its confirmation, or was told long ago."""
        meetings: list[SeenMeeting] = [
            {
                "meeting": meeting_id,
                "running": meeting.running,
                "ended": meeting.ended,
                "users": _users(meeting, named=meeting_id in named),
            }
            for meeting_id, meeting in sorted(ours.items())
        ]
        fresh = self._monotonic_s() - self._seen_sent_s < SEEN_REFRESH_S
        if meetings == self._seen_sent and self._seen_confirmed and fresh:
            return None
        return {
            "kind": "nodeSeen",
            "node": self._node_id,
            "as_of_ms": as_of_ms,
            "meetings": meetings,
        }

    def _show(
        self, as_of_ms: int, ours: dict[str, MeetingSeen], rooms: dict[str, RoomSeen]
    ) -> None:
        """Broadcast the full picture if it changed or was shown long ago; best effort."""
        now_s = self._monotonic_s()
        meetings = {meeting_id: meeting.fields for meeting_id, meeting in ours.items()}
        if (meetings, rooms) == self._shown and now_s - self._shown_s < SNAPSHOT_REFRESH_S:
            return
        self._shown, self._shown_s = (meetings, rooms), now_s
        view: NodeSnapshot = {
            "kind": "node",
            "node": self._node_id,
            "as_of_ms": as_of_ms,
            "meetings": meetings,
        }
        if rooms:
            view["rooms"] = rooms
        self._bus.broadcast_soon(dict(view))

    async def _publish(self, node: Node, facts: list[NodeHealth | NodeSeen]) -> bool:
        """Put the facts into the queue of the pool; False when the next poll must try again."""
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                await self._bus.publish_facts(self._pool, [dict(fact) for fact in facts])
        except (BusError, TimeoutError) as error:
            log.warning("facts were not published", node=node.name, error=str(error))
            return False
        return True

    def _remember(self, health: NodeHealth | None, seen: NodeSeen | None) -> None:
        """Take note of what the placement worker has been told."""
        now_s = self._monotonic_s()
        if health is not None:
            self._health_sent = _told(health)
            self._health_sent_s = now_s
        if seen is not None:
            self._seen_confirmed = seen["meetings"] == self._seen_sent
            self._seen_sent = seen["meetings"]
            self._seen_sent_s = now_s


def _told(health: NodeHealth) -> tuple[object, ...]:
    """Return what makes a fact of health worth telling at once."""
    return (
        *(health["up"], health["lost"], health.get("fault")),
        *(health.get("version"), health.get("previous_in_use")),
    )


def _users(meeting: MeetingSeen, *, named: bool) -> list[SeenUser]:
    """Return who is in a meeting; who is there more than once with the number of times."""
    attendees = meeting.fields.get("attendees", ())
    visits = Counter(one.get("userID", "") for one in attendees)
    names = {one.get("userID", ""): one.get("fullName", "") for one in attendees if named}
    users: list[SeenUser] = []
    for user, moderator in sorted(meeting.users.items()):
        seen: SeenUser = {"user": user, "moderator": moderator}
        if visits[user] > 1:
            seen["visits"] = visits[user]
        if names.get(user):
            seen["name"] = names[user][:_NAME_MAX]
        users.append(seen)
    return users
