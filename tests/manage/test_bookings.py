"""Bookings in management: made together or not at all, moved in one decision, given back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from scheduler import operations
from scheduler.checks import ConflictError, ForbiddenError, NotFoundError, OperationError
from scheduler.manage import bookings, meetings, whatif
from schemas.management.bookings import (
    BookingAsked,
    BookingChange,
    BookingsAsked,
    BookingShown,
    MeetingMove,
    NewBooking,
    ReservationsAsked,
)
from schemas.management.capacity import WhatIfAsked
from schemas.management.meetings import MeetingAsked, MeetingsAsked
from schemas.management.windows import WindowAsked
from tests.manage.desk import Desk, desk

HOUR = timedelta(hours=1)


def at(hours: float) -> datetime:
    """Return the whole minute so many hours from now."""
    now = datetime.now(UTC) + timedelta(hours=hours)
    return now.replace(second=0, microsecond=0)


def wanted(meeting_id: str = "seminar", seats: int = 10, **more: Any) -> NewBooking:
    fields = {"subscription": "acme", "duration_s": 3_600, "start_at": at(1)}
    asked = fields | {"meeting_id": meeting_id, "seats": seats} | more
    return NewBooking.model_validate(asked)


async def book(here: Desk, meeting_id: str = "seminar", **more: Any) -> BookingShown:
    return (await bookings.add(here.operator, wanted(meeting_id, **more))).items[0]


async def test_a_booking_is_made_told_and_adopted_by_its_create(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        made = (await bookings.add(here.owner("acme"), wanted())).items[0]
        assert (made.state, made.seats, made.credential, made.node) == ("booked", 10, "acme", None)
        assert (made.start_at, made.end_at) == (at(1), at(1) + HOUR)
        await book(here, "other", start_at=at(3))
        listed = await bookings.list_bookings(here.owner("acme"), BookingsAsked())
        assert [item.meeting_id for item in listed.items] == ["seminar", "other"]
        assert (await meetings.list_meetings(here.operator, MeetingsAsked())).items == []
        here.stage.clock.forward(3_000)
        meeting = await here.meeting("seminar", seats=3)
        shown = await meetings.show(here.operator, MeetingAsked(meeting=meeting))
        assert shown.seats == 10, "what was booked"
        assert shown.placement is not None
        assert shown.placement.resumed
        adopted = await bookings.show(here.operator, BookingAsked(booking=made.id))
        assert adopted.state == "adopted"
        past = await bookings.list_bookings(here.operator, BookingsAsked(which="past"))
        assert [item.id for item in past.items] == [made.id]
        told = [e["kind"] for e in await here.stage.events() if e["kind"].startswith("booking")]
        assert told == ["bookingMade", "bookingMade", "bookingStarting"]
        with pytest.raises(ConflictError, match="adopted"):
            await bookings.cancel(here.operator, BookingAsked(booking=made.id))


async def test_several_windows_are_booked_together_or_not_at_all(tmp_path: Path) -> None:
    async with desk(tmp_path, seats=20) as here:
        await book(here, "in the way", seats=15, start_at=at(50))
        repeats = [WindowAsked(start_at=at(hours), duration_s=3_600) for hours in (25, 50, 75)]
        with pytest.raises(ConflictError, match="5 of 20 seats are free"):
            await bookings.add(here.operator, wanted(repeats=repeats))
        listed = await bookings.list_bookings(here.operator, BookingsAsked())
        assert [item.meeting_id for item in listed.items] == ["in the way"]
        assert (await here.stage.create("a", seats=20, minutes=30))["ok"], "nothing is held back"
        made = await bookings.add(here.operator, wanted(seats=5, repeats=repeats))
        assert [item.start_at for item in made.items] == [at(h) for h in (1, 25, 50, 75)]
        with pytest.raises(ConflictError):
            await bookings.add(here.operator, wanted(seats=1, start_at=at(25)))


async def test_a_booking_is_moved_or_stays_as_it_was(tmp_path: Path) -> None:
    async with desk(tmp_path, seats=20) as here:
        made = await book(here, seats=15)
        await book(here, "other", seats=10, start_at=at(5))
        with pytest.raises(ConflictError, match="10 of 20 seats are free"):
            await bookings.move(here.operator, BookingChange(booking=made.id, start_at=at(5)))
        assert await bookings.show(here.operator, BookingAsked(booking=made.id)) == made
        change = BookingChange(booking=made.id, start_at=at(5), seats=10)
        moved = await bookings.move(here.owner("acme"), change)
        assert (moved.start_at, moved.end_at, moved.seats) == (at(5), at(6), 10)
        longer = BookingChange(booking=made.id, duration_s=7_200)
        assert (await bookings.move(here.operator, longer)).end_at == at(7)
        node = next(n for n in ("n0", "n1") if n != made.node)
        named = MeetingMove.model_validate({"meeting": made.id, "node": node})
        assert (await bookings.move(here.operator, named)).node == node
        with pytest.raises(ForbiddenError):
            await bookings.move(here.owner("acme"), named)
        told = [
            e["data"]["seats"] for e in await here.stage.events() if e["kind"] == "bookingMoved"
        ]
        assert told == [10, 10], "where it is concerns nobody"


async def test_what_has_begun_is_not_moved(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        running = await here.meeting("a")
        with pytest.raises(ConflictError, match="has begun"):
            await bookings.move(here.operator, BookingChange(booking=running, seats=4))
        with pytest.raises(ConflictError, match="has begun"):
            await bookings.cancel(here.operator, BookingAsked(booking=running))
        booked = await book(here)
        with pytest.raises(ConflictError, match="cancel the booking"):
            await meetings.end(here.operator, MeetingAsked(meeting=booked.id))


async def test_a_booking_that_is_given_back_frees_its_seats(tmp_path: Path) -> None:
    async with desk(tmp_path, seats=20) as here:
        made = await book(here, seats=20, start_at=at(0.5))
        assert not (await here.stage.create("a", seats=5))["ok"]
        await bookings.cancel(here.owner("acme"), BookingAsked(booking=made.id))
        assert (await here.stage.create("a", seats=5))["ok"]
        assert (await bookings.show(here.operator, BookingAsked(booking=made.id))).state == (
            "cancelled"
        )
        assert "bookingCancelled" in [event["kind"] for event in await here.stage.events()]


async def test_a_booking_of_others_does_not_exist(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        made = await book(here)
        beta = here.owner("beta")
        asked = BookingAsked(booking=made.id)
        with pytest.raises(NotFoundError):
            await bookings.show(beta, asked)
        with pytest.raises(NotFoundError):
            await bookings.cancel(beta, asked)
        with pytest.raises(NotFoundError):
            await bookings.move(beta, BookingChange(booking=made.id, seats=1))
        with pytest.raises(NotFoundError):
            await bookings.add(beta, wanted())
        assert (await bookings.list_bookings(beta, BookingsAsked())).items == []
        assert (await bookings.list_reservations(beta, ReservationsAsked())).items == []
        with pytest.raises(NotFoundError):
            await whatif.ask(beta, WhatIfAsked(subscription="acme", seats=1, duration_s=60))


async def test_the_limits_of_a_subscription_hold_for_bookings(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        await operations.change_subscription(
            here.operator.database, "acme", meeting_seats_max=8, duration_max_s=1_800
        )
        await here.operator.directory.refresh()
        with pytest.raises(OperationError, match="8 seats at most"):
            await bookings.add(here.operator, wanted(seats=9))
        with pytest.raises(OperationError, match="1800 s at most"):
            await bookings.add(here.owner("acme"), wanted(seats=8))
        with pytest.raises(OperationError, match="over"):
            await bookings.add(here.operator, wanted(seats=8, start_at=at(-3)))
        made = await book(here, seats=8)
        with pytest.raises(OperationError, match="8 seats at most"):
            await bookings.move(here.operator, BookingChange(booking=made.id, seats=9))


async def test_reservations_are_meetings_and_bookings_of_a_span(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        meeting = await here.meeting("a", minutes=30)
        booked = await book(here, start_at=at(2))
        await book(here, "far", start_at=at(40))
        found = await bookings.list_reservations(here.operator, ReservationsAsked())
        assert [(item.id, item.kind) for item in found.items] == [
            (meeting, "meeting"),
            (booked.id, "booking"),
        ]
        span = ReservationsAsked.model_validate({"from": at(1.5), "to": at(2.5)})
        found = await bookings.list_reservations(here.operator, span)
        assert [item.id for item in found.items] == [booked.id]


async def test_what_if_decides_as_a_create_would_and_changes_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path, seats=20) as here:
        await here.meeting("a", seats=15, minutes=60)
        no = await whatif.ask(
            here.owner("acme"), WhatIfAsked(subscription="acme", seats=10, duration_s=1_800)
        )
        assert not no.admitted
        assert (no.reason, no.free_seats) == ("maxParticipantsReached", 5)
        assert no.fits_at is not None
        assert "5 of 20 seats are free" in no.said
        later = WhatIfAsked(subscription="acme", seats=10, duration_s=1_800, start_at=no.fits_at)
        assert (await whatif.ask(here.operator, later)).admitted
        yes = await whatif.ask(
            here.operator, WhatIfAsked(subscription="acme", seats=5, duration_s=1_800)
        )
        assert yes.admitted
        assert yes.placement is not None
        assert yes.node == yes.placement.node
        assert (
            len((await bookings.list_reservations(here.operator, ReservationsAsked())).items) == 1
        )
        assert (await here.stage.create("b", seats=5))["ok"], "as it said"


async def test_what_if_names_who_would_make_way(tmp_path: Path) -> None:
    async with desk(tmp_path, seats=20) as here:
        old = await here.meeting("a", seats=15, minutes=1)
        database = here.operator.database
        async with database.write_lock, database.begin() as connection:
            # Its window is over by the wall clock as well.
            await connection.execute(
                text("UPDATE meeting SET start_s = start_s - 900, end_s = end_s - 900")
            )
        asked = WhatIfAsked(subscription="acme", seats=10, duration_s=600)
        answer = await whatif.ask(here.owner("acme"), asked)
        assert answer.admitted
        assert (answer.evicted, answer.evicted_meetings) == ([old], 1)
        assert "1 meeting in overtime would make way" in answer.said
        assert answer.node is None
