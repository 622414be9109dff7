"""The fingerprint of a pool: equal for equal state, whatever order things arrived in.

Owns the canonical form behind ``Pool.state_hash``, by which a replay, a restored pool and two
processes prove that they agree. It changes nothing but the clocks of lagging calendars.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

from scheduler.core.accounts import Account

if TYPE_CHECKING:
    from scheduler.core.model import Pool


def digest(pool: Pool) -> str:
    """Return the SHA-256 of the canonical form, in hexadecimal digits."""
    lines: list[object] = [("pool", pool.now_s, dataclasses.astuple(pool.rules))]
    for key in sorted(pool.subscriptions):
        subscription = pool.subscriptions[key]
        lines.append(_account(subscription, pool.now_s))
        lines.append((subscription.meetings_max, subscription.meetings))
        lines.append(sorted(subscription.node_tags))
    for key in sorted(pool.credentials):
        limits = pool.credentials[key]
        if limits.account is not None:
            lines.append(_account(limits.account, pool.now_s))
        lines.append((key, limits.meetings_max, limits.meetings))
    for key in sorted(pool.nodes):
        node = pool.nodes[key]
        lines.append(_account(node, pool.now_s))
        lines.append((node.name, node.meeting_seats_max, node.active, node.alive))
        lines.append((node.running_seats, sorted(node.placed), node.weight, sorted(node.tags)))
        lines.append([window for window in node.closed if window.end_s > pool.now_s])
    lines.append(pool.order.entries)
    lines.append(sorted(pool.by_key.items()))
    lines.append(sorted((key, sorted(ids)) for key, ids in pool.bookings_by_key.items()))
    lines.append(sorted((key, sorted(ids)) for key, ids in pool.rooms.items()))
    lines.extend(dataclasses.astuple(pool.meetings[key]) for key in sorted(pool.meetings))
    return hashlib.sha256("\n".join(map(repr, lines)).encode()).hexdigest()


def _account(account: Account, now_s: int) -> tuple[object, ...]:
    calendar = account.calendar
    calendar.advance(now_s)
    return (
        (account.id, calendar.capacity, calendar.used_now, calendar.steps()),
        (account.overtime_seats, account.late_seats, sorted(account.overdue)),
    )
