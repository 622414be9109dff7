"""Bookings: seats for later meetings, made, moved and given back; and all reservations of a span.

Owns who may book what, and the limits of a subscription on it; whether there is room is decided by
the one writer of the pool. Called by the management API and by the command line.
"""

from typing import Any, Final, Literal

from sqlalchemy import or_, select, tuple_

from scheduler.checks import ConflictError, OperationError, UnavailableError
from scheduler.directory_records import Credential, terms_of
from scheduler.manage import errands, instants, meeting_rows, paging
from scheduler.manage.context import Context
from scheduler.manage.meeting_rows import MEETING
from scheduler.manage.meetings import check_length, note
from scheduler.manage.operation import Access, Operation
from schemas.identifiers import made_ms
from schemas.management.bookings import (
    BookingAsked,
    BookingChange,
    BookingsAsked,
    BookingShown,
    BookingsMade,
    MeetingMove,
    NewBooking,
    ReservationsAsked,
    ReservationShown,
)
from schemas.management.paging import Listed
from schemas.values import MeetingState

_DAY_S: Final = 86_400
#: How far ahead seats are booked.
_AHEAD_S: Final = 2 * 366 * _DAY_S
_DURATION_MAX_S: Final = 366 * _DAY_S


async def add(context: Context, asked: NewBooking) -> BookingsMade:
    """Book seats for one meeting or several of the same meetingID: all of them or none."""
    owner = context.subscription(asked.subscription)
    credential = meeting_rows.main_credential(context, owner, asked.credential)
    _check_seats(credential, asked.seats)
    windows = [asked.span(), *(repeat.span() for repeat in asked.repeats)]
    now_s = instants.now_s()
    for start_s, end_s in windows:
        if end_s <= now_s:
            raise OperationError("a window that is over cannot be booked")
        if start_s > now_s + _AHEAD_S:
            raise OperationError("that is too far ahead: seats are booked for two years at most")
        check_length(context, owner.id, end_s - start_s)
    await note(
        *(context, "booking.add"),
        {"external_id": asked.meeting_id, "subscription_id": owner.id},
        {"seats": asked.seats, "windows": windows},
        subject=f"subscription {owner.slug}",
    )
    command = {
        "kind": "book",
        "subscription": owner.id,
        "credential": credential.id,
        "external_id": asked.meeting_id,
        "seats": asked.seats,
        "windows": windows,
    }
    answer = await errands.ask(context, meeting_rows.pool_of(context, owner).name, command)
    if not answer["ok"]:
        errands.refuse(answer)
    made = [view["id"] for view in answer["views"]]
    rows = await meeting_rows.fetched(
        context, select(*meeting_rows.COLUMNS).where(MEETING.c.id.in_(made))
    )
    rows.sort(key=lambda found: made.index(found["id"]))
    return BookingsMade(items=[_shown(context, found) for found in rows])


async def list_bookings(context: Context, asked: BookingsAsked) -> Listed[BookingShown]:
    """List bookings by the begin of their windows."""
    statement = meeting_rows.seen(
        context,
        select(*meeting_rows.COLUMNS).where(meeting_rows.is_booking()),
        subscription=asked.subscription,
        credential=asked.credential,
        node=asked.node,
    )
    if asked.which != "all":
        statement = statement.where(MEETING.c.live.is_(asked.which == "live"))
    if asked.meeting_id is not None:
        statement = statement.where(MEETING.c.external_id == asked.meeting_id)
    after = paging.read_cursor(asked.after, int, str)
    if after is not None:
        statement = statement.where(tuple_(MEETING.c.start_s, MEETING.c.id) > after)
    statement = statement.order_by(MEETING.c.start_s, MEETING.c.id).limit(asked.limit + 1)
    return paging.page(
        await meeting_rows.fetched(context, statement),
        asked.limit,
        keys=lambda row: (row["start_s"], row["id"]),
        shown=lambda row: _shown(context, row),
    )


async def show(context: Context, asked: BookingAsked) -> BookingShown:
    """Show a booking."""
    return _shown(context, await _row(context, asked.booking, live=False))


async def cancel(context: Context, asked: BookingAsked) -> None:
    """Give a booking back."""
    row = await _row(context, asked.booking)
    await note(context, "booking.cancel", row, {})
    answer = await errands.ask(
        context, _pool(context, row), {"kind": "cancel", "meeting": row["id"]}
    )
    if not answer["ok"]:
        errands.refuse(answer)


async def move(context: Context, asked: BookingChange) -> BookingShown:
    """Give a booking another window, number of seats or node, in one decision."""
    row = await _row(context, asked.booking)
    sent = asked.model_fields_set
    if "node" in sent:
        context.operate("the node of a booking is chosen")
    command: dict[str, Any] = {"kind": "move", "meeting": row["id"]}
    if sent & {"start_at", "end_at", "duration_s"}:
        command["start_s"], command["end_s"] = _window(context, asked, row)
    if "seats" in sent:
        credential = context.directory.current.credentials.get(row["credential_id"])
        if credential is not None:
            _check_seats(credential, asked.seats)
        command["seats"] = asked.seats
    if "node" in sent:
        command["node"] = meeting_rows.node_id(context, asked.node)
    detail = {name: value for name, value in command.items() if name not in ("kind", "meeting")}
    await note(context, "booking.move", row, detail)
    answer = await errands.ask(context, _pool(context, row), command)
    if not answer["ok"]:
        errands.refuse(answer)
    return await show(context, BookingAsked(booking=row["id"]))


async def list_reservations(context: Context, asked: ReservationsAsked) -> Listed[ReservationShown]:
    """List the seats that are reserved in a span: of meetings and of bookings."""
    now_s = instants.now_s()
    from_s = now_s if asked.from_at is None else int(asked.from_at.timestamp())
    to_s = from_s + _DAY_S if asked.to_at is None else instants.seconds(asked.to_at)
    if to_s <= from_s:
        raise OperationError("the span must end after its begin")
    # What runs in overtime reserves nothing, but is there.
    touches = MEETING.c.end_s > from_s
    if from_s <= now_s < to_s:
        touches = or_(touches, MEETING.c.state == MeetingState.OVERTIME.value)
    statement = meeting_rows.seen(
        context,
        select(*meeting_rows.COLUMNS)
        .where(MEETING.c.live.is_(True), MEETING.c.parent_id.is_(None))
        .where(MEETING.c.state != MeetingState.ENDING.value)
        .where(MEETING.c.start_s < to_s, touches),
        subscription=asked.subscription,
        credential=asked.credential,
        node=asked.node,
    )
    after = paging.read_cursor(asked.after, int, str)
    if after is not None:
        statement = statement.where(tuple_(MEETING.c.start_s, MEETING.c.id) > after)
    statement = statement.order_by(MEETING.c.start_s, MEETING.c.id).limit(asked.limit + 1)
    return paging.page(
        await meeting_rows.fetched(context, statement),
        asked.limit,
        keys=lambda row: (row["start_s"], row["id"]),
        shown=lambda row: _reservation(context, row),
    )


def _check_seats(credential: Credential, seats: int) -> None:
    most = terms_of(credential).seats_max
    if most is not None and seats > most:
        raise OperationError(f"meetings of {credential.name} have {most} seats at most")


def _window(context: Context, asked: BookingChange, row: dict[str, Any]) -> tuple[int, int]:
    """Return the new window; a begin alone moves the window as it is."""
    sent = asked.model_fields_set
    start_s = int(asked.start_at.timestamp()) if "start_at" in sent else row["start_s"]
    if "end_at" in sent:
        end_s = instants.seconds(asked.end_at)
    elif "duration_s" in sent:
        end_s = start_s + asked.duration_s
    else:
        end_s = start_s + row["end_s"] - row["start_s"]
    if not 0 < end_s - start_s <= _DURATION_MAX_S:
        raise OperationError("the window must end after its begin, and within 366 days")
    now_s = instants.now_s()
    if end_s <= now_s:
        raise OperationError("a booking cannot be moved into the past")
    if start_s > now_s + _AHEAD_S:
        raise OperationError("that is too far ahead: seats are booked for two years at most")
    check_length(context, row["subscription_id"], end_s - start_s)
    return start_s, end_s


async def _row(context: Context, booking_id: str, *, live: bool = True) -> dict[str, Any]:
    """Return the row of a booking; with `live` one that still stands."""
    row = await meeting_rows.one(context, booking_id, what="booking")
    if live and row["live"] and row["state"] != MeetingState.BOOKED:
        raise ConflictError("the meeting has begun: it can be ended or extended, not moved")
    if live and not row["live"]:
        raise ConflictError(f"the booking is over ({row['end_reason']})")
    return row


def _pool(context: Context, row: dict[str, Any]) -> str:
    pool = context.directory.current.pools.get(row["pool_id"])
    if pool is None:
        raise UnavailableError("the pool of the booking is not known here yet: try again")
    return pool.name


def _shown(context: Context, row: dict[str, Any]) -> BookingShown:
    state: Literal["booked", "adopted", "cancelled", "expired"] = "booked"
    if not row["live"]:
        state = row["end_reason"] if row["end_reason"] in ("adopted", "cancelled") else "expired"
    elif row["state"] != MeetingState.BOOKED:
        state = "adopted"
    return BookingShown(
        **meeting_rows.names(context, row),
        id=row["id"],
        meeting_id=row["external_id"],
        seats=row["seats"],
        start_at=instants.of_s(row["start_s"]),
        end_at=instants.of_s(row["end_s"]),
        state=state,
        created_at=instants.of_ms(made_ms(row["id"])),
    )


def _reservation(context: Context, row: dict[str, Any]) -> ReservationShown:
    named = meeting_rows.names(context, row)
    return ReservationShown(
        id=row["id"],
        kind="booking" if row["state"] == MeetingState.BOOKED else "meeting",
        meeting_id=row["external_id"],
        subscription=named["subscription"],
        credential=named["credential"],
        node=named["node"],
        state=row["state"],
        seats=row["seats"],
        start_at=instants.of_s(row["start_s"]),
        end_at=instants.of_s(row["end_s"]),
        overtime=row["state"] == MeetingState.OVERTIME,
    )


OPERATIONS: Final = (
    Operation(
        "booking.list", "GET", "/bookings", list_bookings, BookingsAsked, Listed[BookingShown]
    ),
    Operation(
        *("booking.add", "POST", "/bookings", add, NewBooking, BookingsMade),
        access=Access.WRITE,
        status=201,
    ),
    Operation("booking.show", "GET", "/bookings/{booking}", show, BookingAsked, BookingShown),
    Operation(
        *("booking.move", "PATCH", "/bookings/{booking}", move, BookingChange, BookingShown),
        access=Access.WRITE,
        shown_by=show,
    ),
    Operation(
        *("booking.cancel", "DELETE", "/bookings/{booking}", cancel, BookingAsked, None),
        access=Access.WRITE,
        status=204,
        shown_by=show,
    ),
    Operation(
        *("meeting.move", "POST", "/meetings/{meeting}/move", move, MeetingMove, BookingShown),
        access=Access.WRITE,
    ),
    Operation(
        *("reservation.list", "GET", "/reservations", list_reservations, ReservationsAsked),
        Listed[ReservationShown],
    ),
)
