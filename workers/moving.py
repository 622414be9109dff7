"""Bookings whose node will not take them any more: moved to another one in good time.

Owns when a booking is displaced (its node is drained or disabled, lacks a tag now, or has
maintenance within the window) and how often another node is looked for. Whether one fits is the
core's decision; a booking that fits nowhere keeps its seats and its node, and is looked at again.
Called by the shard at the start of a turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from scheduler.core import commands as core
from scheduler.core.admission import decide
from scheduler.core.books import Meeting
from schemas.values import MeetingState

if TYPE_CHECKING:
    from workers.shard import Shard, Turn

log = structlog.get_logger()

#: A booking that fits nowhere is tried again after this time.
_AGAIN_MS: Final = 60_000
#: Bookings that one turn looks at; the next turn goes on.
_AT_ONCE_MAX: Final = 500


def displaced(shard: Shard, turn: Turn) -> None:
    """Move what must move, when the directory changed or a minute has passed."""
    if turn.now_ms < shard.displaced_at_ms or shard.directory is None:
        return
    shard.displaced_at_ms = turn.now_ms + _AGAIN_MS
    pool = shard.pool
    found = [meeting for meeting in pool.meetings.values() if is_displaced(shard, meeting)]
    found.sort(key=lambda meeting: (meeting.window.start_s, meeting.id))
    if len(found) > _AT_ONCE_MAX:
        shard.displaced_at_ms = 0
    stay = 0
    for meeting in found[:_AT_ONCE_MAX]:
        verdict = decide(pool, core.Replace(meeting.id), turn.now_s)
        if isinstance(verdict, core.Admitted) and verdict.node != meeting.node:
            pool.apply(verdict)
            shard.sync(turn, shard.lives[meeting.id])
            turn.count("moved")
        else:
            stay += 1
    if stay:
        log.warning("bookings fit on no other node yet", bookings=stay)


def is_displaced(shard: Shard, meeting: Meeting) -> bool:
    """Whether it is a booking that its node will not take."""
    if meeting.state is not MeetingState.BOOKED or meeting.node is None:
        return False
    node = shard.pool.nodes[meeting.node]
    known = shard.directory.nodes.get(node.id) if shard.directory else None
    if known is None or known.state != "active":
        return True
    if not shard.pool.subscriptions[meeting.subscription].node_tags <= node.tags:
        return True
    window = meeting.window
    return node.closed_within(max(window.start_s, shard.pool.now_s), window.end_s) is not None
