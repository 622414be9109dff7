"""When a refused request would fit: the date that a refusal carries.

Owns a search over whole minutes, bounded in time ahead and in work, through the same calendars
that admission reads. Overtime that may yield does not count; overtime that may not yield counts
for good, since nobody knows its end. It decides nothing. Called by ``admission``.
"""

from __future__ import annotations

from scheduler.core.accounts import Account, Node, Subscription
from scheduler.core.model import Pool
from scheduler.core.placement import Ask, suits

#: How far ahead a date is looked for.
HORIZON_S = 28 * 24 * 3600
#: Windows that one search may look at, over all calendars.
PROBES_MAX = 1_500
#: How often the accounts and the nodes may disagree on a date.
_ROUNDS_MAX = 16


def fits_at(pool: Pool, ask: Ask) -> int | None:
    """Return the earliest whole minute after now at which the request would fit, if one is found.

    Never earlier than the start of the window asked for.
    """
    #: Everybody who must have room; ``None`` stands for the nodes, of which one must.
    parties: list[Account | None] = [*pool.payers(ask.subscription, ask.credential), None]
    at_s = ask.window.start_s
    until_s = at_s + HORIZON_S
    probes = PROBES_MAX
    agreed = 0
    for turn in range(_ROUNDS_MAX * len(parties)):
        account = parties[turn % len(parties)]
        if account is None:
            free_s, probes = _earliest_node(pool, ask, from_s=at_s, until_s=until_s, probes=probes)
        else:
            account.calendar.advance(pool.now_s)
            free_s, used = account.calendar.earliest(
                ask.seats + account.late_seats,
                ask.window.duration_s,
                from_s=at_s,
                until_s=until_s,
                probes_max=probes,
            )
            probes -= used
        if free_s is None:
            return None
        agreed = agreed + 1 if free_s == at_s else 1
        at_s = free_s
        if agreed == len(parties):
            return at_s
    return None


def _stuck_seats(pool: Pool, subscription: Subscription, node: Node) -> int:
    """Return the overtime seats on the node that this subscription cannot make yield."""
    if pool.rules.evict_across_subscriptions or not node.overdue:
        return node.late_seats
    own = sum(one.seats for one in node.overdue.values() if one.subscription == subscription.id)
    return node.overtime_seats - own


def _earliest_node(
    pool: Pool, ask: Ask, *, from_s: int, until_s: int, probes: int
) -> tuple[int | None, int]:
    """Return the first minute at which some node has room, and the probes left."""
    subscription = pool.subscriptions[ask.subscription]
    best_s: int | None = None
    for _, _, node_id in pool.order.entries:
        node = pool.nodes[node_id]
        if not suits(node, ask):
            continue
        node.calendar.advance(pool.now_s)
        free_s, used = node.earliest(
            ask.seats + _stuck_seats(pool, subscription, node),
            ask.window.duration_s,
            from_s=from_s,
            until_s=until_s,
            probes_max=probes,
        )
        probes -= used
        if free_s is not None:
            best_s, until_s = free_s, free_s - 1
            if free_s == from_s:
                break
    return best_s, probes
