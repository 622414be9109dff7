"""Bookings beside the calls of front ends: what is booked is not there yet, and hides nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from scheduler.manage import bookings, meetings
from scheduler.manage.context import Actor, Context
from schemas.management.bookings import BookingAsked, NewBooking
from schemas.management.meetings import ExtendAsked, MeetingAsked, MeetingsAsked
from tests.gateway.world import World, running


def operator(world: World) -> Context:
    return Context(
        settings=world.settings,
        database=world.database,
        vault=world.vault,
        directory=world.directory,
        nodes=world.parts.nodes,
        bus=world.bus,
        actor=Actor("tests"),
    )


def weekly(world: World) -> NewBooking:
    return NewBooking(
        subscription="acme",
        meeting_id="weekly",
        seats=10,
        start_at=datetime.now(UTC) + timedelta(days=7),
        duration_s=3_600,
    )


async def test_next_weeks_booking_does_not_hide_todays_meeting(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        assert (await world.create("weekly", meetingPW="x")).ok
        made = await bookings.add(operator(world), weekly(world))
        await world.parts.meetings._reload()
        found = world.parts.meetings.lookup(1, "weekly")
        assert found is not None
        assert found.view["state"] == "held"
        info = await world.call("getMeetingInfo", {"meetingID": "weekly"})
        assert info.ok, info.text
        assert (await world.call("getMeetings")).text.count("<meetingID>weekly<") == 1
        await bookings.cancel(operator(world), BookingAsked(booking=made.items[0].id))
        await world.parts.meetings._reload()
        assert (await world.call("getMeetingInfo", {"meetingID": "weekly"})).ok


async def test_a_booking_is_no_meeting_for_callers(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await bookings.add(operator(world), weekly(world))
        await world.parts.meetings._reload()
        assert (await world.call("getMeetingInfo", {"meetingID": "weekly"})).key == "notFound"
        assert (await world.call("isMeetingRunning", {"meetingID": "weekly"}))["running"] == "false"
        assert (await world.call("end", {"meetingID": "weekly"})).key == "notFound"
        assert (await world.call("getMeetings")).key == "noMeetings"


async def test_what_management_does_is_what_callers_see(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        assert (await world.create("lecture")).ok
        context = operator(world)
        [mine] = (await meetings.list_meetings(context, MeetingsAsked())).items
        longer = await meetings.extend(context, ExtendAsked(meeting=mine.id, duration_s=600))
        assert longer.end_at == mine.end_at + timedelta(seconds=600)
        assert len(await world.node_calls("create")) == 1
        await meetings.end(context, MeetingAsked(meeting=mine.id))
        assert (await world.call("getMeetings")).key == "noMeetings"
        assert (await world.create("lecture")).ok, "its key is free"
