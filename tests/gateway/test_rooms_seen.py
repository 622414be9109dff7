"""Breakout rooms in the cache of meetings: their names, and those that only a node knows."""

from tests.gateway.test_meetings import Store, cache, record, view


async def test_a_promised_end_hides_the_rooms_of_the_meeting_as_well() -> None:
    meetings = cache(Store())
    meetings.on_view(view(record(1)))
    meetings.on_view(view(record(2, parent_id=record(1).id)))
    meetings.on_view(view(record(3)))
    meetings.hide(record(1).id)
    assert meetings.lookup(1, "room-2") is None
    assert meetings.lookup(1, "room-3") is not None
    assert b"room-2" not in meetings.document(1)
    meetings.hide("unknown")


async def test_a_room_is_named_as_callers_know_it_in_the_list_of_its_meeting() -> None:
    """Also when the node told of it before we heard of it; another credential's name stays."""
    meetings = cache(Store())
    meetings.on_view(view(record(1)))
    rooms = [f"digest-{record(number).id}" for number in (2, 3)]
    seen = {record(1).id: {"breakoutRooms": rooms}}
    meetings.on_view({"kind": "node", "node": 1, "as_of_ms": 1, "meetings": seen})
    assert b"<breakout>room-2</breakout>" not in meetings.document(1)
    meetings.on_view(view(record(2, parent_id=record(1).id)))
    meetings.on_view(view(record(3, credential_id=9)))
    document = meetings.document(1).decode()
    assert f"<breakout>room-2</breakout><breakout>{rooms[1]}</breakout>" in document


async def test_rooms_opened_inside_come_and_go_with_the_snapshots_of_their_node() -> None:
    meetings = cache(Store())
    meetings.on_view(view(record(1)))
    fields = {
        "meetingName": "Inside",
        "meetingID": "inside",
        "internalMeetingID": "inside-1",
        "isBreakout": True,
        "running": True,
        "metadata": {"course": "77", "seatkeep-meeting": record(1).id},
        "welcome": "",
    }
    snapshot = {"kind": "node", "node": 1, "as_of_ms": 1, "meetings": {}}
    rooms = {"inside-1": {"parent": record(1).id, "fields": fields}}
    assert b"Inside" not in meetings.document(1)
    meetings.on_view({**snapshot, "rooms": rooms})
    document = meetings.document(1)
    assert b"<metadata><course>77</course></metadata>" in document
    assert document.count(b"<meeting>") == 2
    assert meetings.room(2, "inside") is None, "another credential"
    room = meetings.room(1, "inside-1")
    assert room is not None
    assert room.parent.view["id"] == record(1).id
    meetings.hide(record(1).id)
    assert meetings.room(1, "inside") is None
    assert b"Inside" not in meetings.document(1)
    meetings.on_view(view(record(1, version=9)))
    assert b"Inside" in meetings.document(1)
    meetings.on_view({**snapshot, "as_of_ms": 2})
    assert b"Inside" not in meetings.document(1)
    assert meetings.room(1, "inside") is None
