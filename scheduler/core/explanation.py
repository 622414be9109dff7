"""Why a meeting is where it is: what the decision looked at, in numbers.

Owns the short record of an admitted create, made before the verdict is applied and kept with the
meeting. Most creates take the first node that the policy names, and then nothing is looked at but
the ranks that are there anyway: about 2 µs, a twelfth of a decision. Making sentences of it is the
reader's work. It changes nothing. Called by the placement worker for creates, and by what-if.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from scheduler.core import placement
from scheduler.core.accounts import Node
from scheduler.core.commands import Admitted, Create
from scheduler.core.model import Pool
from scheduler.core.placement import Ask

#: Nodes that are named with their ranks: the first in the order of the policy.
NAMED = 3
#: Nodes whose reason is looked for; further ones are not told of.
LOOKED_AT = 32
#: Why a node was passed over.
REASONS = ("size", "tags", "maintenance", "full", "calendar")


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """What an admitted create looked at."""

    mode: str
    node: int
    #: Nodes of the pool, and those of them that took meetings then.
    nodes: int
    open_nodes: int
    #: The first by policy before the decision: rank, name and id, see ``Pool.order``.
    best: Sequence[tuple[int, str, int]]
    #: Meetings that made way, and the users that were in them.
    evicted: Sequence[str]
    disturbed: int
    #: Whether seats that were held already were taken up: a booking's, or a lost meeting's.
    resumed: bool
    #: Nodes that came before the chosen one, by ``REASONS``.
    passed: Sequence[int]


def unpacked(stored: Sequence[Any]) -> Explanation:
    """Return what ``explain`` made, from its stored form."""
    return Explanation(*stored)


def explain(pool: Pool, verdict: Admitted) -> tuple[object, ...] | None:
    """Return why this verdict names its node, as a short tuple; None for anything but a create.

    The verdict must not have been applied yet.
    """
    command = verdict.command
    if not isinstance(command, Create):
        return None
    entries = pool.order.entries
    first = placement.first(pool, verdict.seats)
    best = entries[first : first + NAMED]
    passed: Sequence[int] = ()
    if not best or best[0][2] != verdict.node:
        best, passed = _looked_at(pool, verdict, command)
    evicted = verdict.evicted
    return (
        pool.rules.mode.value,
        verdict.node,
        len(pool.nodes),
        len(entries),
        best,
        evicted,
        sum(pool.meetings[victim].connected for victim in evicted) if evicted else 0,
        verdict.replaces is not None,
        passed,
    )


def _looked_at(
    pool: Pool, verdict: Admitted, command: Create
) -> tuple[list[tuple[int, str, int]], list[int]]:
    """Return the first nodes that came into question, and how many were passed over, and why."""
    ask = Ask(
        command.subscription,
        verdict.seats,
        verdict.window,
        None if verdict.replaces is None else pool.meetings[verdict.replaces],
        credential=command.credential,
        tags=pool.subscriptions[command.subscription].node_tags | command.tags,
    )
    if command.prefers and command.prefers <= pool.nodes[verdict.node].tags:
        ask.tags |= command.prefers
    best: list[tuple[int, str, int]] = []
    passed = [0] * len(REASONS)
    before = True
    for entry in itertools.islice(placement.walk(pool, ask), LOOKED_AT):
        node = pool.nodes[entry[2]]
        before = before and node.id != verdict.node
        if before:
            passed[_why_not(pool, node, ask)] += 1
        if len(best) < NAMED and placement.suits(node, ask):
            best.append(entry)
        elif not before:
            break
    return best, passed


def _why_not(pool: Pool, node: Node, ask: Ask) -> int:
    """Return which of ``REASONS`` it was."""
    if ask.seats > node.largest_seats:
        return 0
    if not ask.tags <= node.tags:
        return 1
    if node.closed and node.closed_within(max(ask.window.start_s, pool.now_s), ask.window.end_s):
        return 2
    return 3 if node.seats - node.running_seats < ask.seats else 4
