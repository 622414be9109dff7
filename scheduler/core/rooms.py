"""Whether a breakout room may be opened: beside a running meeting, on its node, for no seats.

Owns the rules of rooms at their making; that they follow their meeting afterwards is ``model``.
It looks and never changes. Called by ``admission``.
"""

from __future__ import annotations

from scheduler.core.commands import Admitted, OpenRoom, Repeated, Verdict
from scheduler.core.model import Pool
from scheduler.core.refusal import unknown
from schemas.values import MeetingState, Reason

_OPEN = (MeetingState.HELD, MeetingState.OVERTIME)


def open_room(pool: Pool, command: OpenRoom) -> Verdict:
    """Admit a room of a meeting that its node has confirmed; seats and limits are not asked."""
    if command.meeting in pool.meetings:
        return Repeated(command.meeting)
    parent = pool.meetings.get(command.parent)
    if (
        parent is None
        or parent.node is None
        or parent.parent is not None
        or parent.state not in _OPEN
        or parent.credential != command.credential
    ):
        return unknown(Reason.NO_PARENT)
    holder = pool.by_key.get(command.key)
    if holder is not None:
        if pool.meetings[holder].parent == parent.id:
            return Repeated(holder)
        return unknown(Reason.NOT_UNIQUE)
    return Admitted(
        command.meeting,
        command,
        parent.node,
        parent.window,
        0,
        (),
        adopted=False,
        replaces=None,
        revision=pool.revision,
    )
