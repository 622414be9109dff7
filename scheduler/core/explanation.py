"""Why a meeting is where it is: what the decision looked at, in numbers.

Owns the short record of an admitted create, made before the verdict is applied and small enough to
be kept with every meeting; making sentences of it is the reader's work. It looks at a few nodes
only, so that large pools cost no more than small ones. It changes nothing. Called by the placement
worker for creates, and by what-if questions.
"""

from __future__ import annotations

import dataclasses
import itertools

from scheduler.core import placement
from scheduler.core.accounts import Node
from scheduler.core.commands import Admitted, Create
from scheduler.core.model import Pool
from scheduler.core.placement import Ask

#: Nodes that are named with their free seats: the first in the order of the policy.
NAMED = 3
#: Nodes whose reason is looked for; a walk that is longer than this is told as such.
LOOKED_AT = 32
#: Why a node was passed over, in the order of the record.
REASONS = ("size", "tags", "maintenance", "full", "calendar")


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """What an admitted create looked at."""

    mode: str
    node: int
    #: Nodes of the pool, and those of them that take meetings at present.
    nodes: int
    open_nodes: int
    #: The first nodes by policy, each with its free seats before the decision.
    best: tuple[tuple[int, int], ...]
    #: How many came before the chosen one and why not, as in ``REASONS``.
    passed: tuple[int, ...]
    #: Meetings that made way, and the users that were in them.
    evicted: tuple[str, ...]
    disturbed: int
    #: Whether seats that were held already were taken up: a booking's, or a lost meeting's.
    resumed: bool

    def packed(self) -> list[object]:
        """Return it as a short list, for storing."""
        return [getattr(self, name) for name in self.__slots__]


def unpacked(stored: list[object]) -> Explanation:
    """Return what was packed."""
    values = dict(zip(Explanation.__slots__, stored, strict=True))
    return Explanation(**values)  # type: ignore[arg-type]  # as packed


def explain(pool: Pool, verdict: Admitted) -> Explanation | None:
    """Return why this verdict names its node; None for anything but a create.

    The verdict must not have been applied yet.
    """
    command = verdict.command
    if not isinstance(command, Create):
        return None
    own = None if verdict.replaces is None else pool.meetings[verdict.replaces]
    tags = pool.subscriptions[command.subscription].node_tags
    ask = Ask(
        command.subscription,
        verdict.seats,
        verdict.window,
        own,
        credential=command.credential,
        tags=tags,
    )
    best: list[tuple[int, int]] = []
    passed = [0] * len(REASONS)
    before = True
    for _, _, node_id in itertools.islice(placement.walk(pool, ask), LOOKED_AT):
        node = pool.nodes[node_id]
        before = before and node_id != verdict.node
        if before:
            passed[_why_not(pool, node, ask)] += 1
        if len(best) < NAMED:
            best.append((node_id, node.seats - node.running_seats))
        elif not before:
            break
    return Explanation(
        pool.rules.mode.value,
        verdict.node,
        len(pool.nodes),
        len(pool.order.entries),
        tuple(best),
        tuple(passed),
        verdict.evicted,
        sum(pool.meetings[victim].connected for victim in verdict.evicted),
        own is not None,
    )


def _why_not(pool: Pool, node: Node, ask: Ask) -> int:
    """Return which of ``REASONS`` it was."""
    if ask.seats > node.largest_seats:
        return 0
    if not ask.tags <= node.tags:
        return 1
    if node.closed and node.closed_within(max(ask.window.start_s, pool.now_s), ask.window.end_s):
        return 2
    return 3 if node.seats - node.running_seats < ask.seats else 4
