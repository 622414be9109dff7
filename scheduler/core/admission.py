"""The decision: whether a command may happen, where, and who makes way for it.

Owns the promise: no instant oversells a subscription, a credential or a node, and nobody inside a
window is ended. It looks and never changes; ``Pool.apply`` changes. Every way to seats (create,
booking, adoption, extension, re-placement) asks ``Calendar.fits`` and ``Account.shortage`` and
nothing else. Called by the placement loop after ``Pool.advance``, and by what-if questions.
"""

from __future__ import annotations

import dataclasses

from scheduler.core import bookings, eviction, placement, rooms
from scheduler.core.accounts import Account, Node, Subscription
from scheduler.core.books import Meeting
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
    OpenRoom,
    Rebook,
    Refused,
    Repeated,
    Replace,
    TakeOver,
    Verdict,
)
from scheduler.core.lifecycle import RUNNING
from scheduler.core.model import Pool
from scheduler.core.placement import Ask
from scheduler.core.refusal import refuse, unknown
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
    if isinstance(command, Rebook):
        return bookings.rebook(pool, command)
    if isinstance(command, OpenRoom):
        return rooms.open_room(pool, command)
    if isinstance(command, TakeOver):
        return _take_over(pool, command)
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
        if meeting.parent is not None:
            # A room holds no seats, so it cannot stand for a meeting that is promised some.
            return unknown(Reason.NOT_UNIQUE, seats=command.seats, duration_s=command.duration_s)
        if meeting.state is not MeetingState.LOST:
            return Repeated(holder)
        window = Window(now_s, meeting.window.end_s)
        return _start(pool, command, _ask_for(pool, meeting, window=window, command=command))
    subscription = pool.subscriptions.get(command.subscription)
    if subscription is None:
        return unknown(Reason.NOT_FOUND, seats=command.seats, duration_s=command.duration_s)
    window = Window(now_s, now_s + command.duration_s)
    ask = _ask(pool, command, window)
    if _is_reached(subscription.meetings, subscription.meetings_max):
        return refuse(pool, ask, Reason.MAX_MEETINGS, of_credential=False)
    limits = pool.credentials.get(command.credential)
    if limits is not None and _is_reached(limits.meetings, limits.meetings_max):
        return refuse(pool, ask, Reason.MAX_MEETINGS, of_credential=True)
    booking = due_booking(pool, command.key)
    if booking is not None:
        return _adopt(pool, command, booking)
    return _start(pool, command, ask)


def _is_reached(count: int, limit: int | None) -> bool:
    return limit is not None and count >= limit


def _ask(pool: Pool, command: Create | Book, window: Window) -> Ask:
    """Return the request for seats that nobody holds yet."""
    tags = pool.subscriptions[command.subscription].node_tags
    ask = Ask(command.subscription, command.seats, window, credential=command.credential, tags=tags)
    return _wished(ask, command) if isinstance(command, Create) else ask


def _wished(ask: Ask, command: Create) -> Ask:
    """Return the request with what a create itself asks of its node."""
    if command.tags or command.prefers:
        ask.tags |= command.tags
        ask.prefers = command.prefers
    return ask


def _ask_for(
    pool: Pool,
    own: Meeting,
    *,
    window: Window,
    seats: int | None = None,
    exclude: frozenset[int] = frozenset(),
    command: Create | None = None,
) -> Ask:
    """Return the request for the seats of a reservation that is charged already.

    With the `command` that takes them up, what that one asks of a node counts.
    """
    ask = Ask(
        own.subscription,
        own.seats if seats is None else seats,
        window,
        own,
        exclude,
        own.credential,
        pool.subscriptions[own.subscription].node_tags,
    )
    if command is not None:
        return _wished(ask, command)
    if own.tags:
        ask.tags = ask.tags.union(own.tags)
    return ask


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
        window = Window(now_s, wish_end_s)
        ask = _ask_for(pool, booking, window=window, seats=wish_seats, command=command)
        placed = _place(pool, ask)
        if not isinstance(placed, Reason):
            return _admit(pool, command, ask, *placed)
        reason = placed
    ask = _ask_for(pool, booking, window=Window(now_s, booking.window.end_s), command=command)
    refusal = refuse(pool, ask, reason)
    if booking.window.start_s <= now_s or booking.node is None or refusal.detail.permanent:
        return refusal
    if pool.nodes[booking.node].closed_within(booking.window.start_s, booking.window.end_s):
        return refusal
    # At its start at the latest the booking has its seats.
    detail = dataclasses.replace(refusal.detail, fits_at_s=booking.window.start_s)
    return dataclasses.replace(refusal, detail=detail)


def _start(pool: Pool, command: Create | Replace, ask: Ask) -> Verdict:
    placed = _place(pool, ask)
    if isinstance(placed, Reason):
        return refuse(pool, ask, placed)
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
    short = _short(subscription, ask, now_s)
    own_short: int | None = 0
    if ask.credential in pool.credentials:
        account = pool.credentials[ask.credential].account
        own_short = 0 if account is None else _short(account, ask, now_s)
    if short is None or own_short is None:
        return Reason.MAX_PARTICIPANTS
    if short <= 0 and own_short <= 0:
        node = placement.choose(pool, ask)
        if node is not None:
            return node, ()
    else:
        cover = eviction.cheapest(
            [_candidate(meeting, ask, node=None) for meeting in subscription.overdue.values()],
            subscription_seats=short,
            node_seats=0,
            credential_seats=own_short,
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
    return _make_room(pool, ask, subscription, (short, own_short))


def _short(account: Account, ask: Ask, now_s: int) -> int | None:
    """Return the seats to be freed on the account now; ``None`` when the window does not fit."""
    calendar = account.calendar
    calendar.advance(now_s)
    if not calendar.fits(ask.window.start_s, ask.window.end_s, ask.seats, own=ask.own_span()):
        return None
    return account.shortage(ask.seats, ask.own_seats_at(now_s))


def _make_room(
    pool: Pool, ask: Ask, subscription: Subscription, short: tuple[int, int]
) -> tuple[Node, tuple[str, ...]] | Reason:
    """Evict for a node's sake: own overtime first, that of others as the last resort.

    `short` are the seats that the subscription and the credential lack.
    """
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
                _candidate(meeting, ask, node=node.id)
                for meeting in own
                if max(short) > 0 or meeting.node == node.id
            ]
            if across:
                candidates += [
                    _candidate(meeting, ask, node=node.id)
                    for meeting in node.overdue.values()
                    if meeting.subscription != subscription.id
                ]
            cover = eviction.cheapest(
                candidates,
                subscription_seats=short[0],
                node_seats=node_short,
                credential_seats=short[1],
            )
            if cover is not None and (best is None or cover < best[0]):
                best = cover, node
        if best is not None:
            return best[1], best[0].ids
    return Reason.NO_NODE


def _candidate(meeting: Meeting, ask: Ask, *, node: int | None) -> eviction.Candidate:
    own = meeting.subscription == ask.subscription
    return eviction.Candidate(
        meeting.window.end_s,
        meeting.id,
        meeting.connected,
        meeting.seats if own else 0,
        meeting.seats if meeting.node == node else 0,
        meeting.seats if own and meeting.credential == ask.credential else 0,
    )


def _book(pool: Pool, command: Book) -> Verdict:
    if command.meeting in pool.meetings:
        return Repeated(command.meeting)
    subscription = pool.subscriptions.get(command.subscription)
    if subscription is None:
        return unknown(Reason.NOT_FOUND, seats=command.seats, duration_s=command.window.duration_s)
    now_s = pool.now_s
    end_s = -(-command.window.end_s // MINUTE_S) * MINUTE_S
    start_s = max(command.window.start_s, now_s) // MINUTE_S * MINUTE_S
    if end_s <= now_s:
        detail = Detail(0, subscription.seats, command.seats, command.window.duration_s, None, True)  # noqa: FBT003
        return Refused(Reason.UNSUPPORTED, detail)
    window = Window(start_s, end_s)
    ask = _ask(pool, command, window)
    for other in pool.bookings_by_key.get(command.key, ()):
        window = pool.meetings[other].window
        if window.start_s < end_s and start_s < window.end_s:
            return refuse(pool, ask, Reason.NOT_UNIQUE)
    for account in pool.payers(command.subscription, command.credential):
        account.calendar.advance(now_s)
        if not account.calendar.fits(start_s, end_s, command.seats):
            return refuse(pool, ask, Reason.MAX_PARTICIPANTS)
    node = placement.choose_for_later(pool, ask)
    if node is None:
        return refuse(pool, ask, Reason.NO_NODE)
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
        return unknown(Reason.NOT_FOUND)
    return _change(pool, command, meeting, meeting.node or NO_NODE_ID, meeting.window)


def _extend(pool: Pool, command: Extend) -> Verdict:
    meeting = pool.meetings.get(command.meeting)
    if meeting is None or meeting.state not in RUNNING or meeting.node is None:
        return unknown(Reason.NOT_FOUND, duration_s=command.duration_s)
    end_s = pool.now_s + command.duration_s
    if end_s <= meeting.window.end_s or meeting.parent is not None:
        return Repeated(meeting.id)
    reason = _cannot_last(pool, meeting, pool.nodes[meeting.node], end_s)
    if reason is not None:
        window = Window(pool.now_s, end_s)
        ask = dataclasses.replace(_ask_for(pool, meeting, window=window), own=None)
        return refuse(pool, ask, reason)
    window = Window(meeting.window.start_s, end_s)
    return _change(pool, command, meeting, meeting.node, window)


def _take_over(pool: Pool, command: TakeOver) -> Verdict:
    meeting = pool.meetings.get(command.meeting)
    if meeting is None or meeting.state not in RUNNING or meeting.node is None:
        return unknown(Reason.NOT_FOUND)
    booking = due_booking(pool, meeting.key)
    if booking is None or booking.seats > meeting.seats or meeting.parent is not None:
        # The limit of a meeting on its node cannot grow: a larger booking is not this meeting's.
        return unknown(Reason.NOT_FOUND)
    end_s = max(meeting.window.end_s, booking.window.end_s)
    reason = _cannot_last(pool, meeting, pool.nodes[meeting.node], end_s, booking)
    if reason is not None:
        window = Window(pool.now_s, end_s)
        return refuse(pool, _ask_for(pool, booking, window=window, seats=meeting.seats), reason)
    window = Window(meeting.window.start_s, end_s)
    taken = _change(pool, command, meeting, meeting.node, window)
    return dataclasses.replace(taken, adopted=True, replaces=booking.id)


def _cannot_last(
    pool: Pool, meeting: Meeting, node: Node, end_s: int, booking: Meeting | None = None
) -> Reason | None:
    """Return why a running meeting cannot have a window until `end_s` without evictions.

    `booking` is given up for it. Overtime is charged now already; there it must only fit.
    """
    now_s = pool.now_s
    from_s = max(meeting.window.end_s, now_s)
    over = meeting.window.end_s <= now_s
    for account in (*pool.payers(meeting.subscription, meeting.credential), node):
        reason = Reason.NO_NODE if account is node else Reason.MAX_PARTICIPANTS
        account.calendar.advance(now_s)
        own, own_seats = None, 0
        if booking is not None and (account is not node or booking.node == node.id):
            own = (booking.window.start_s, booking.window.end_s, booking.seats)
            own_seats = booking.seats if booking.window.start_s <= now_s else 0
        if from_s < end_s and not account.calendar.fits(from_s, end_s, meeting.seats, own=own):
            return reason
        if over and account.shortage(0, own_seats) > 0:
            return reason
    if from_s < end_s and node.closed_within(from_s, end_s):
        return Reason.NO_NODE
    return None


def _replace(pool: Pool, command: Replace) -> Verdict:
    meeting = pool.meetings.get(command.meeting)
    if meeting is None or meeting.state not in _REPLACEABLE:
        return unknown(Reason.NOT_FOUND)
    window = meeting.window
    ask = _ask_for(pool, meeting, window=window, exclude=command.exclude)
    if window.end_s <= pool.now_s or meeting.parent is not None:
        # Nothing is left of the reservation, or it is a room, which has one node only.
        return refuse(pool, ask, Reason.NO_NODE)
    if meeting.state is not MeetingState.BOOKED:
        return _start(pool, command, ask)
    node = placement.choose_for_later(pool, ask)
    if node is None:
        return refuse(pool, ask, Reason.NO_NODE)
    return _change(pool, command, meeting, node.id, window)


def _change(
    pool: Pool,
    command: Cancel | Extend | Replace | TakeOver,
    meeting: Meeting,
    node: int,
    window: Window,
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
