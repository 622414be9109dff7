"""Facts: what was observed on the nodes, turned into changes of state exactly once.

Owns the comparison of what a poll saw with what the ledger holds. A fact only says what was seen
and since when that is known; what it means is decided here, so two sources of one fact make one
event. Called by the placement loop only; every handler may be repeated, because it compares states.
"""

from typing import cast

import structlog

from scheduler.bus.interface import Item
from schemas.messages import Joins, NodeHealth, NodeSeen, Pushed, SeenMeeting
from schemas.values import EndReason, MeetingState
from workers import announcements, joins, people, pushed
from workers.live import Live
from workers.shard import OrphanCall, Shard, Turn

log = structlog.get_logger()

_RUNNING = frozenset({MeetingState.HELD.value, MeetingState.OVERTIME.value})


def handle(shard: Shard, turn: Turn, item: Item) -> None:
    """Take in one fact."""
    if item["kind"] == "nodeSeen":
        node_seen(shard, turn, cast("NodeSeen", item))
    elif item["kind"] == "pushed":
        pushed.handle(shard, turn, cast("Pushed", item))
    elif item["kind"] == "nodeHealth":
        node_health(shard, turn, cast("NodeHealth", item))
    elif item["kind"] == "joins":
        joins.reported(shard, turn, cast("Joins", item))
    elif item["kind"] != "tick":  # a tick has done its work by starting the turn
        log.error("fact is of no known kind", kind=item["kind"])


def node_seen(shard: Shard, turn: Turn, seen: NodeSeen) -> None:
    """Compare everything that one poll saw on a node with what should be there."""
    node = seen["node"]
    if shard.suspect_ms.get(node, seen["as_of_ms"]) < seen["as_of_ms"]:
        del shard.suspect_ms[node]
        shard.mark_node(node)
    listed: set[str] = set()
    for meeting in seen["meetings"]:
        listed.add(meeting["meeting"])
        item = shard.lives.get(meeting["meeting"])
        if item is None or item.record.node_id != node or item.record.state == MeetingState.LOST:
            turn.count("orphan")
            turn.calls.append(OrphanCall(meeting["meeting"], node))
        elif item.record.state in _RUNNING:
            _seen(shard, turn, item, meeting, seen["as_of_ms"])
    for item in list(shard.lives.values()):
        if item.record.node_id == node and item.record.id not in listed:
            _absent(turn, item, seen["as_of_ms"])


def _seen(shard: Shard, turn: Turn, item: Live, meeting: SeenMeeting, as_of_ms: int) -> None:
    if as_of_ms < item.confirmed_ms:
        return  # the poll started before the meeting was there: it says nothing about it
    people.listed(shard, turn, item, meeting, as_of_ms=as_of_ms)


def _absent(turn: Turn, item: Live, as_of_ms: int) -> None:
    if as_of_ms > item.confirmed_ms:
        # One poll is no proof: a second, live look decides (see `outcomes.absent`).
        turn.look(item)


def node_health(shard: Shard, turn: Turn, health: NodeHealth) -> None:
    """A node went down, came up, or was away so long that its meetings are lost."""
    node = health["node"]
    if node not in shard.pool.nodes:
        return
    if health["up"]:
        shard.down.discard(node)
        shard.suspect_ms.pop(node, None)
    else:
        shard.down.add(node)
    shard.mark_node(node)
    turn.health.append(health)
    if health["lost"]:
        gone = [item for item in shard.lives.values() if item.record.node_id == node]
        for event in announcements.node_lost(gone, now_ms=turn.now_ms):
            fact = f"nodeLost:{node}:{event['subscription']}:{health['at_ms']}"
            shard.write(turn, event, fact)
        for item in gone:
            if item.record.id in shard.lives:  # a room goes with its meeting
                lose(shard, turn, item)


def lose(shard: Shard, turn: Turn, item: Live) -> None:
    """The node of a meeting is lost: a guarantee stays with the subscription, the rest is gone."""
    state = item.record.state
    if state in (MeetingState.PLACING, MeetingState.LOST, MeetingState.ENDED):
        return  # a meeting being placed moves by itself; a room is gone with its meeting
    turn.count("lost")
    if state != MeetingState.HELD or item.record.parent_id is not None:
        shard.forget(turn, item, EndReason.NODE_LOST)
        return
    for room in shard.rooms_of(item):
        shard.forget(turn, room, EndReason.NODE_LOST)
    shard.pool.lose(item.record.id)
    shard.sync(turn, item)
    item.record.end_reason = EndReason.NODE_LOST.value
    shard.tell_ended(turn, item)
