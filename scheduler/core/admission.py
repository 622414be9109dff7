"""The decision: whether a command may happen, where, and who makes way for it.

Owns the promise: no instant oversells a subscription or a node, and nobody inside a window is
ended. It looks and never changes; ``Pool.apply`` changes. Every way to seats (create, booking,
adoption, extension, re-placement) asks ``Calendar.fits`` and ``Account.shortage`` and nothing
else. Called by the placement loop after ``Pool.advance``, and by what-if questions.
"""

from __future__ import annotations

import dataclasses

from scheduler.core import eviction, forecast, placement
from scheduler.core.calendar import MINUTE_S
from scheduler.core.commands import (
    NO_NODE_ID,
    Admitted,
    Book,
    Cancel,
    Command,
    Create,
    Detail,
    Extend,
    Refused,
    Repeated,
    Replace,
    Verdict,
)
from scheduler.core.lifecycle import RUNNING
from scheduler.core.model import Meeting, Node, Pool, Subscription
from scheduler.core.placement import Ask
from schemas.values import MeetingState, Reason, Window

_REPLACEABLE = frozenset({MeetingState.PLACING, MeetingState.LOST, MeetingState.BOOKED})


def decide(pool: Pool, command: Command, now_s: int) -> Verdict:
    """Return the verdict for `command`, changing nothing.

    The pool must have been advanced to `now_s` (``ValueError`` otherwise); an earlier `now_s` is
    taken as the pool's own time.
    """
    if now_s > pool.now_s:
        raise ValueError(f"the pool must be advanced to {now_s} first, it is at {pool.now_s}")
    if isinstance(command, Create):
        return _create(pool, command)
    if isinstance(command, Extend):
        return _extend(pool, command)
    if isinstance(command, Book):
        return _book(pool, command)
    if isinstance(command, Replace):
        return _replace(pool, command)
    return _cancel(pool, command)


def due_booking(pool: Pool, key: str) -> Meeting | None:
    """Return the booking of the key that may be adopted now, the earliest if there are several."""
    bookings = pool.bookings_by_key.get(key)
    if bookings is None:
        return None
    now_s = pool.now_s
    due = [
        (booking.window.start_s, booking.id)
        for booking in map(pool.meetings.__getitem__, bookings)
        if booking.window.end_s > now_s
        and booking.window.start_s - now_s <= pool.rules.adopt_early_s
    ]
    return pool.meetings[min(due)[1]] if due else None


def _create(pool: Pool, command: Create) -> Verdict:
    if command.meeting in pool.meetings:
        return Repeated(command.meeting)
    now_s = pool.now_s
    holder = pool.by_key.get(command.key)
    if holder is not None:
        meeting = pool.meetings[holder]
        if meeting.state is not MeetingState.LOST:
            return Repeated(holder)
        window = Window(now_s, meeting.window.end_s)
        ask = Ask(meeting.subscription, meeting.seats, window, meeting)
        return _start(pool, command, ask)
    subscription = pool.subscriptions.get(command.subscription)
    if subscription is None:
        return _refuse_unknown(command.seats, command.duration_s)
    window = Window(now_s, now_s + command.duration_s)
    ask = Ask(command.subscription, command.seats, window)
    if subscription.meetings_max is not None and subscription.meetings >= subscription.meetings_max:
        return _refuse(pool, ask, Reason.MAX_MEETINGS)
    booking = due_booking(pool, command.key)
    if booking is not None:
        return _adopt(pool, command, booking)
    return _start(pool, command, ask)


def _adopt(pool: Pool, command: Create, booking: Meeting) -> Verdict:
    """Turn a booking into a meeting: more than was booked if it fits, else what was booked."""
    now_s = pool.now_s
    end_s = max(booking.window.end_s, now_s + command.duration_s)
    seats = max(booking.seats, command.seats)
    wishes = dict.fromkeys(
        ((seats, end_s), (booking.seats, end_s), (booking.seats, booking.window.end_s))
    )
    reason = Reason.NO_NODE
    for wish_seats, wish_end_s in wishes:
        ask = Ask(booking.subscription, wish_seats, Window(now_s, wish_end_s), booking)
        placed = _place(pool, ask)
        if not isinstance(placed, Reason):
            return _admit(pool, command, ask, *placed)
        reason = placed
    ask = Ask(booking.subscription, booking.seats, Window(now_s, booking.window.end_s), booking)
    refusal = _refuse(pool, ask, reason)
    if booking.window.start_s <= now_s or booking.node is None or refusal.detail.permanent:
        return refusal
    # At its start at the latest the booking has its seats.
    detail = dataclasses.replace(refusal.detail, fits_at_s=booking.window.start_s)
    return dataclasses.replace(refusal, detail=detail)


def _start(pool: Pool, command: Create | Replace, ask: Ask) -> Verdict:
    placed = _place(pool, ask)
    if isinstance(placed, Reason):
        return _refuse(pool, ask, placed)
    return _admit(pool, command, ask, *placed)


def _admit(
    pool: Pool, command: Create | Replace, ask: Ask, node: Node, evicted: tuple[str, ...]
) -> Admitted:
    replaced = ask.own if isinstance(command, Create) else None
    return Admitted(
        command.meeting,
        command,
        node.id,
        ask.window,
        ask.seats,
        evicted,
        replaced is not None and replaced.state is MeetingState.BOOKED,
        None if replaced is None else replaced.id,
        pool.revision,
    )


def _place(pool: Pool, ask: Ask) -> tuple[Node, tuple[str, ...]] | Reason:
    """Find a node for a start now, with the cheapest evictions that make it possible."""
    now_s = pool.now_s
    subscription = pool.subscriptions[ask.subscription]
    calendar = subscription.calendar
    calendar.advance(now_s)
    if not calendar.fits(ask.window.start_s, ask.window.end_s, ask.seats, own=ask.own_span()):
        return Reason.MAX_PARTICIPANTS
    short = subscription.shortage(ask.seats, ask.own_seats_at(now_s))
    if short <= 0:
        node = placement.choose(pool, ask)
        if node is not None:
            return node, ()
    else:
        cover = eviction.cheapest(
            [_candidate(meeting, own=True, node=None) for meeting in subscription.overdue.values()],
            subscription_seats=short,
            node_seats=0,
        )
        if cover is None:
            return Reason.MAX_PARTICIPANTS
        freed: dict[int, int] = {}
        for victim in cover.ids:
            meeting = subscription.overdue[victim]
            node_id = pool.node_of(meeting).id
            freed[node_id] = freed.get(node_id, 0) + meeting.seats
        node = placement.choose(pool, ask, freed)
        if node is not None:
            return node, cover.ids
    return _make_room(pool, ask, subscription, short)


def _make_room(
    pool: Pool, ask: Ask, subscription: Subscription, short: int
) -> tuple[Node, tuple[str, ...]] | Reason:
    """Evict for a node's sake: own overtime first, that of others as the last resort."""
    open_nodes: list[tuple[Node, int]] = []
    for _, _, node_id in pool.order.entries:
        node = pool.nodes[node_id]
        if node.overdue and placement.can_hold(node, ask, pool.now_s):
            open_nodes.append((node, placement.shortage(node, ask, pool.now_s)))
    own = list(subscription.overdue.values())
    for across in (False, True):
        if across and not pool.rules.evict_across_subscriptions:
            break
        best: tuple[eviction.Cover, Node] | None = None
        for node, node_short in open_nodes:
            candidates = [
                _candidate(meeting, own=True, node=node.id)
                for meeting in own
                if short > 0 or meeting.node == node.id
            ]
            if across:
                candidates += [
                    _candidate(meeting, own=False, node=node.id)
                    for meeting in node.overdue.values()
                    if meeting.subscription != subscription.id
                ]
            cover = eviction.cheapest(candidates, subscription_seats=short, node_seats=node_short)
            if cover is not None and (best is None or cover < best[0]):
                best = cover, node
        if best is not None:
            return best[1], best[0].ids
    return Reason.NO_NODE


def _candidate(meeting: Meeting, *, own: bool, node: int | None) -> eviction.Candidate:
    return eviction.Candidate(
        meeting.window.end_s,
        meeting.id,
        meeting.connected,
        meeting.seats if own else 0,
        meeting.seats if meeting.node == node else 0,
    )


def _book(pool: Pool, command: Book) -> Verdict:
    if command.meeting in pool.meetings:
        return Repeated(command.meeting)
    subscription = pool.subscriptions.get(command.subscription)
    if subscription is None:
        return _refuse_unknown(command.seats, command.window.duration_s)
    now_s = pool.now_s
    end_s = -(-command.window.end_s // MINUTE_S) * MINUTE_S
    start_s = max(command.window.start_s, now_s) // MINUTE_S * MINUTE_S
    if end_s <= now_s:
        detail = Detail(0, subscription.seats, command.seats, command.window.duration_s, None, True)  # noqa: FBT003
        return Refused(Reason.UNSUPPORTED, detail)
    ask = Ask(command.subscription, command.seats, Window(start_s, end_s))
    for other in pool.bookings_by_key.get(command.key, ()):
        window = pool.meetings[other].window
        if window.start_s < end_s and start_s < window.end_s:
            return _refuse(pool, ask, Reason.NOT_UNIQUE)
    subscription.calendar.advance(now_s)
    if not subscription.calendar.fits(start_s, end_s, command.seats):
        return _refuse(pool, ask, Reason.MAX_PARTICIPANTS)
    node = placement.choose_for_later(pool, ask)
    if node is None:
        return _refuse(pool, ask, Reason.NO_NODE)
    return Admitted(
        command.meeting,
        command,
        node.id,
        ask.window,
        command.seats,
        (),
        adopted=False,
        replaces=None,
        revision=pool.revision,
    )


def _cancel(pool: Pool, command: Cancel) -> Verdict:
    meeting = pool.meetings.get(command.meeting)
    if meeting is None or meeting.state is not MeetingState.BOOKED:
        return _refuse_unknown(0, 0)
    return _change(pool, command, meeting, meeting.node or NO_NODE_ID, meeting.window)


def _extend(pool: Pool, command: Extend) -> Verdict:
    meeting = pool.meetings.get(command.meeting)
    if meeting is None or meeting.state not in RUNNING or meeting.node is None:
        return _refuse_unknown(0, command.duration_s)
    now_s = pool.now_s
    end_s = now_s + command.duration_s
    window = meeting.window
    if end_s <= window.end_s:
        return Repeated(meeting.id)
    subscription = pool.subscriptions[meeting.subscription]
    node = pool.nodes[meeting.node]
    own = (window.start_s, window.end_s, meeting.seats)
    over = window.end_s <= now_s
    ask = Ask(meeting.subscription, meeting.seats, Window(now_s, end_s))
    for account, reason in ((subscription, Reason.MAX_PARTICIPANTS), (node, Reason.NO_NODE)):
        account.calendar.advance(now_s)
        # A meeting in overtime is charged now already, as overtime; it must fit without evictions.
        if not account.calendar.fits(now_s, end_s, meeting.seats, own=own) or (
            over and account.shortage(0) > 0
        ):
            return _refuse(pool, ask, reason)
    return _change(pool, command, meeting, node.id, Window(window.start_s, end_s))


def _replace(pool: Pool, command: Replace) -> Verdict:
    meeting = pool.meetings.get(command.meeting)
    if meeting is None or meeting.state not in _REPLACEABLE:
        return _refuse_unknown(0, 0)
    window = meeting.window
    ask = Ask(meeting.subscription, meeting.seats, window, meeting, command.exclude)
    if window.end_s <= pool.now_s:
        return _refuse(pool, ask, Reason.NO_NODE)  # nothing is left of the reservation
    if meeting.state is not MeetingState.BOOKED:
        return _start(pool, command, ask)
    node = placement.choose_for_later(pool, ask)
    if node is None:
        return _refuse(pool, ask, Reason.NO_NODE)
    return _change(pool, command, meeting, node.id, window)


def _change(
    pool: Pool, command: Cancel | Extend | Replace, meeting: Meeting, node: int, window: Window
) -> Admitted:
    return Admitted(
        meeting.id,
        command,
        node,
        window,
        meeting.seats,
        (),
        adopted=False,
        replaces=None,
        revision=pool.revision,
    )


def _refuse(pool: Pool, ask: Ask, reason: Reason) -> Refused:
    subscription = pool.subscriptions[ask.subscription]
    calendar = subscription.calendar
    calendar.advance(pool.now_s)
    peak = calendar.peak(ask.window.start_s, ask.window.end_s)
    if ask.own is not None and ask.own.state is not MeetingState.BOOKED:
        peak -= ask.own.seats
    free = max(0, calendar.capacity - subscription.late_seats - peak)
    permanent = False
    fits_at_s: int | None = None
    if reason in {Reason.MAX_PARTICIPANTS, Reason.NO_NODE}:
        if ask.own is None and ask.seats > calendar.capacity:
            reason, permanent = Reason.MAX_PARTICIPANTS, True
        elif pool.nodes and ask.seats > pool.largest_seats:
            reason, permanent = Reason.NO_NODE, True
        elif ask.own is None:
            fits_at_s = forecast.fits_at(pool, ask)
    detail = Detail(free, calendar.capacity, ask.seats, ask.window.duration_s, fits_at_s, permanent)
    return Refused(reason, detail)


def _refuse_unknown(seats: int, duration_s: int) -> Refused:
    """Refuse a command about a subscription or meeting that is not here."""
    return Refused(
        Reason.NOT_FOUND,
        Detail(0, 0, seats, duration_s, fits_at_s=None, permanent=True),
    )
