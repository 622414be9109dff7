"""Meetings in management: seen by whom they belong to, ended, extended, with their lives."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from scheduler import audit, operations
from scheduler.checks import ConflictError, NotFoundError, OperationError
from scheduler.manage import bookings, meetings
from schemas.management.bookings import NewBooking
from schemas.management.meetings import ExtendAsked, MeetingAsked, MeetingsAsked
from schemas.management_tables import AuditRow
from tests.manage.desk import Desk, desk


async def audited(here: Desk) -> list[tuple[str, str, str]]:
    table = AuditRow.metadata.tables["audit"]
    columns = (table.c.actor, table.c.action, table.c.subject)
    async with here.operator.database.connect() as connection:
        rows = (await connection.execute(select(*columns).order_by(table.c.id))).all()
    return [(row[0], row[1], row[2]) for row in rows if row[1].startswith("meeting.")]


async def test_who_sees_which_meeting(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        mine = await here.meeting("a")
        other = await here.meeting("b", by="beta")
        everything = await meetings.list_meetings(here.operator, MeetingsAsked())
        assert [item.id for item in everything.items] == [other, mine]
        own = await meetings.list_meetings(here.owner("acme"), MeetingsAsked())
        assert [(item.id, item.meeting_id, item.node) for item in own.items] == [(mine, "a", None)]
        assert own.items[0].subscription == own.items[0].credential == "acme"
        first = await meetings.list_meetings(here.operator, MeetingsAsked(limit=1))
        assert first.next is not None
        rest = await meetings.list_meetings(here.operator, MeetingsAsked(after=first.next))
        assert [item.id for item in rest.items] == [mine]
        assert rest.next is None
        for wanted in (MeetingsAsked(subscription="beta"), MeetingsAsked(credential="beta")):
            found = await meetings.list_meetings(here.operator, wanted)
            assert [item.id for item in found.items] == [other]
            with pytest.raises(NotFoundError):
                await meetings.list_meetings(here.owner("acme"), wanted)
        node = everything.items[0].node
        on_node = await meetings.list_meetings(here.operator, MeetingsAsked(node=node))
        assert [item.id for item in on_node.items] == [other]
        with pytest.raises(NotFoundError):
            await meetings.list_meetings(here.owner("beta"), MeetingsAsked(node=node))
        for asked in (meetings.show, meetings.end):
            with pytest.raises(NotFoundError):
                await asked(here.owner("acme"), MeetingAsked(meeting=other))
        with pytest.raises(NotFoundError):
            await meetings.extend(here.owner("acme"), ExtendAsked(meeting=other, duration_s=600))
        assert (await meetings.show(here.operator, MeetingAsked(meeting=other))).state == "held"


async def test_a_meeting_is_ended_by_management_and_that_is_noted(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        mine = await here.meeting("a", passwords=("att", "mod"))
        audit.actor.set("token:2 acme")  # as the edges do
        shown = await meetings.end(here.owner("acme"), MeetingAsked(meeting=mine))
        assert shown.state in ("ending", "ended")
        assert (await here.stage.create("b", seats=20))["ok"], "its seats are free at once"

        async def is_over() -> bool:
            found = await meetings.show(here.operator, MeetingAsked(meeting=mine))
            return found.state == "ended" and found.end_reason == "ended"

        await here.stage.until(is_over)
        with pytest.raises(ConflictError, match="is over"):
            await meetings.end(here.operator, MeetingAsked(meeting=mine))
        assert await audited(here) == [("token:2 acme", "meeting.end", f"meeting {mine}")]
        past = await meetings.list_meetings(here.operator, MeetingsAsked(which="past"))
        assert [item.id for item in past.items] == [mine]
        life = (await meetings.show(here.operator, MeetingAsked(meeting=mine))).life
        assert [entry.what for entry in life] == ["admitted", "placed", "asked: end", "ended"]
        assert life[2].actor == "token:2 acme"
        other = await meetings.show(here.owner("acme"), MeetingAsked(meeting=mine))
        assert [entry.actor for entry in other.life if entry.actor] == ["token:2 acme"]


async def test_a_meeting_is_extended_until_and_by(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        mine = await here.meeting("a", seats=15, minutes=10)
        before = await meetings.show(here.operator, MeetingAsked(meeting=mine))
        by = await meetings.extend(here.operator, ExtendAsked(meeting=mine, duration_s=600))
        assert by.end_at == before.end_at + timedelta(seconds=600)
        until = by.end_at + timedelta(minutes=30)
        extended = await meetings.extend(here.operator, ExtendAsked(meeting=mine, until_at=until))
        assert extended.end_at == until
        with pytest.raises(OperationError, match="only grows"):
            await meetings.extend(
                here.operator, ExtendAsked(meeting=mine, until_at=datetime.now(UTC))
            )
        told = [e for e in await here.stage.events() if e["kind"] == "meetingExtended"]
        assert [event["data"]["windowEnd"] for event in told] == [
            int(shown.end_at.timestamp() * 1_000) for shown in (by, extended)
        ]
        life = [entry.what for entry in extended.life]
        assert life.count("extended") == 2


async def test_an_extension_that_does_not_fit_says_what_is_free(tmp_path: Path) -> None:
    async with desk(tmp_path, seats=20) as here:
        mine = await here.meeting("a", seats=15, minutes=10)
        later = datetime.now(UTC) + timedelta(minutes=20)
        booked = NewBooking(
            subscription="acme", meeting_id="b", seats=10, start_at=later, duration_s=3_600
        )
        await bookings.add(here.operator, booked)
        before = await meetings.show(here.operator, MeetingAsked(meeting=mine))
        with pytest.raises(ConflictError, match="15 seats for 70 minutes fit at"):
            await meetings.extend(here.operator, ExtendAsked(meeting=mine, duration_s=3_600))
        after = await meetings.show(here.operator, MeetingAsked(meeting=mine))
        assert (after.state, after.end_at) == ("held", before.end_at)
        await meetings.extend(here.operator, ExtendAsked(meeting=mine, duration_s=300))


async def test_a_customer_cannot_extend_beyond_its_longest_meeting(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        await operations.change_subscription(here.operator.database, "acme", duration_max_s=3_600)
        await here.operator.directory.refresh()
        mine = await here.meeting("a", minutes=50)
        asked = ExtendAsked(meeting=mine, duration_s=7_200)
        with pytest.raises(OperationError, match="last 3600 s at most"):
            await meetings.extend(here.owner("acme"), asked)
        before = await meetings.show(here.operator, MeetingAsked(meeting=mine))
        assert (await meetings.extend(here.operator, asked)).end_at > before.end_at


async def test_the_provider_is_told_why_a_meeting_is_where_it_is(tmp_path: Path) -> None:
    async with desk(tmp_path, nodes=3, node_seats=20, seats=60) as here:
        await here.meeting("a", seats=15)
        second = await here.meeting("b", seats=10)
        shown = await meetings.show(here.operator, MeetingAsked(meeting=second))
        placement = shown.placement
        assert placement is not None
        assert (placement.policy, placement.node, placement.nodes) == ("spread", shown.node, 3)
        assert [rank.free_seats for rank in placement.best] == [20, 20, 5]
        assert placement.evicted == []
        assert "20 seats were free there" in placement.said
        customer = await meetings.show(here.owner("acme"), MeetingAsked(meeting=second))
        assert customer.placement is None
        assert customer.node is None


async def test_the_reason_of_a_place_names_who_made_way(tmp_path: Path) -> None:
    async with desk(tmp_path, seats=20) as here:
        old = await here.meeting("a", seats=15, minutes=1)
        here.stage.clock.forward(61)
        new = await here.meeting("b", seats=10)
        placement = (await meetings.show(here.operator, MeetingAsked(meeting=new))).placement
        assert placement is not None
        assert placement.evicted == [old]
        assert "1 meeting in overtime made way (0 users)" in placement.said
