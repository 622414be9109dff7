"""Whether a booking may be changed: another window, more or fewer seats, another node.

Owns the rule that a change is one decision: what the booking holds counts as free for itself, and
when the change is refused the booking stays what it was. Nobody is evicted for it. It looks and
never changes. Called by ``admission``.
"""

from __future__ import annotations

import dataclasses

from scheduler.core import placement
from scheduler.core.calendar import MINUTE_S
from scheduler.core.commands import Admitted, Detail, Rebook, Refused, Repeated, Verdict
from scheduler.core.model import Pool
from scheduler.core.placement import Ask
from scheduler.core.refusal import refuse, unknown
from schemas.values import MeetingState, Reason, Window


def whole_minutes(window: Window, now_s: int) -> Window | None:
    """Return the window widened to whole minutes, what is past cut off; None when all of it is."""
    end_s = -(-window.end_s // MINUTE_S) * MINUTE_S
    start_s = max(window.start_s, now_s) // MINUTE_S * MINUTE_S
    return Window(start_s, end_s) if end_s > now_s and start_s < end_s else None


def rebook(pool: Pool, command: Rebook) -> Verdict:
    """Give a booking what it asks for, or leave it alone."""
    booking = pool.meetings.get(command.meeting)
    if booking is None or booking.state is not MeetingState.BOOKED:
        return unknown(Reason.NOT_FOUND, seats=command.seats, duration_s=command.window.duration_s)
    window = booking.window
    if command.window != window:
        # What has begun of the booking itself is not cut off.
        now_s = min(pool.now_s, window.start_s)
        moved = whole_minutes(command.window, now_s)
        if moved is None or moved.end_s <= pool.now_s:
            return _over(pool, command, booking.subscription)
        window = moved
    stays = command.node is None or command.node == booking.node
    if window == booking.window and command.seats == booking.seats and stays and booking.node:
        return Repeated(booking.id)
    others = () if command.node is None else (node for node in pool.nodes if node != command.node)
    ask = Ask(
        booking.subscription,
        command.seats,
        window,
        booking,
        frozenset(others),
        booking.credential,
        pool.subscriptions[booking.subscription].node_tags,
    )
    # The figures of a refusal speak of what others hold; the booking itself is kept.
    told = dataclasses.replace(ask, own=None)
    for other_id in pool.bookings_by_key.get(booking.key, ()):
        other = pool.meetings[other_id].window
        if other_id != booking.id and other.start_s < window.end_s and window.start_s < other.end_s:
            return refuse(pool, told, Reason.NOT_UNIQUE)
    for account in pool.payers(booking.subscription, booking.credential):
        account.calendar.advance(pool.now_s)
        if not account.calendar.fits(
            window.start_s, window.end_s, command.seats, own=ask.own_span()
        ):
            return refuse(pool, told, Reason.MAX_PARTICIPANTS)
    node = _node(pool, ask, keep=booking.node if command.node is None else None)
    if node is None:
        return refuse(pool, told, Reason.NO_NODE)
    return Admitted(
        booking.id,
        command,
        node,
        window,
        command.seats,
        (),
        adopted=False,
        replaces=None,
        revision=pool.revision,
    )


def _node(pool: Pool, ask: Ask, *, keep: int | None) -> int | None:
    """Return the node that it has when that can hold it, else the best one for its window."""
    known = pool.nodes.get(keep or 0)
    if (
        known is not None
        and known.active
        and known.alive
        and placement.can_hold(known, ask, pool.now_s)
    ):
        return known.id
    chosen = placement.choose_for_later(pool, ask)
    return None if chosen is None else chosen.id


def _over(pool: Pool, command: Rebook, subscription: int) -> Refused:
    seats = pool.subscriptions[subscription].seats
    detail = Detail(
        0, seats, command.seats, command.window.duration_s, fits_at_s=None, permanent=True
    )
    return Refused(Reason.UNSUPPORTED, detail)
