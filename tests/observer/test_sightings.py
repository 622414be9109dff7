"""Facts about reading what a node says of its meetings."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler import nodes, sightings

MEETING = """
<meetingName>A &amp; B</meetingName><meetingID>sk-1</meetingID>
<createTime>1718000000000</createTime><running>true</running><duration>0</duration>
<recording>false</recording><hasBeenForciblyEnded>false</hasBeenForciblyEnded>
<participantCount>1,202</participantCount><listenerCount>1.300</listenerCount>
<voiceParticipantCount>1\u00a0004</voiceParticipantCount><videoCount></videoCount>
<maxUsers>many</maxUsers>
<attendees>
  <attendee><userID>u1</userID><fullName>Ada</fullName><role>MODERATOR</role>
    <isPresenter>true</isPresenter><hasVideo>false</hasVideo>
    <customdata><a>1</a></customdata></attendee>
  <attendee><userID>u2</userID><role>VIEWER</role></attendee>
  <attendee><userID>u2</userID><role>MODERATOR</role></attendee>
  <attendee><userID></userID></attendee>
</attendees>
<metadata><course-id>77</course-id><empty/></metadata>
<isBreakout>false</isBreakout>
<breakoutRooms><breakout>b1</breakout><breakout>b2</breakout></breakoutRooms>
"""


def listed(inner: str) -> list[sightings.MeetingSeen]:
    document = f"<response><returncode>SUCCESS</returncode>{inner}</response>"
    return sightings.read_meetings(nodes.parse(document.encode()))


def test_a_meeting_is_read_with_all_its_elements() -> None:
    (seen,) = listed(f"<meetings><meeting>{MEETING}</meeting></meetings>")
    assert (seen.node_meeting_id, seen.running, seen.ended, seen.breakout) == (
        "sk-1",
        True,
        False,
        False,
    )
    assert seen.users == {"u1": True, "u2": True}
    fields = seen.fields
    assert fields["meetingName"] == "A & B"
    assert fields["metadata"] == {"course-id": "77", "empty": ""}
    assert fields["breakoutRooms"] == ["b1", "b2"]
    assert fields["attendees"][0] == {
        "userID": "u1",
        "fullName": "Ada",
        "role": "MODERATOR",
        "isPresenter": True,
        "hasVideo": False,
        "customdata": {"a": "1"},
    }


def test_numbers_are_read_with_any_thousands_separator() -> None:
    (seen,) = listed(f"<meetings><meeting>{MEETING}</meeting></meetings>")
    counts = [
        seen.fields[name]
        for name in (
            "participantCount",
            "listenerCount",
            "voiceParticipantCount",
            "videoCount",
            "maxUsers",
        )
    ]
    assert counts == [1202, 1300, 1004, 0, 0]


def test_get_meeting_info_is_read_the_same_way() -> None:
    document = f"<response><returncode>SUCCESS</returncode>{MEETING}</response>"
    assert sightings.read_meeting(nodes.parse(document.encode())).users == {"u1": True, "u2": True}


def test_empty_and_reduced_lists_are_read() -> None:
    assert listed("<meetings/>") == []
    assert listed("") == []
    (seen,) = listed("<meetings><meeting><meetingID>m</meetingID></meeting><meeting/></meetings>")
    assert (seen.node_meeting_id, seen.running, seen.users) == ("m", False, {})


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_0(text: str) -> None:
    assert sightings.number(text) >= 0


OURS = "sk-" + "a" * 32
ROOM = "sk-" + "b" * 32


def meeting(meeting_id: str, internal_id: str, parent_id: str = "") -> str:
    breakout = "true" if parent_id else "false"
    parent = f"<parentMeetingID>{parent_id}</parentMeetingID>" if parent_id else ""
    return (
        f"<meeting><meetingID>{meeting_id}</meetingID>"
        f"<internalMeetingID>{internal_id}</internalMeetingID>"
        f"<isBreakout>{breakout}</isBreakout>{parent}</meeting>"
    )


def test_a_room_that_we_made_is_known_by_its_internal_id() -> None:
    """The node makes an external id of its own for it."""
    seen = listed(f"<meetings>{meeting('d1-' + 'b' * 32, ROOM, 'parent-1')}</meetings>")
    assert [sightings.meeting_id(one) for one in seen] == ["b" * 32]


def test_an_internal_id_like_ours_means_nothing_on_a_meeting_that_is_no_room() -> None:
    (seen,) = listed(f"<meetings>{meeting('room-42', ROOM)}</meetings>")
    assert sightings.meeting_id(seen) is None


def test_rooms_opened_inside_are_told_from_ours_and_from_strangers() -> None:
    """Only those of our own meetings count, and a nameless one is nothing."""
    seen = listed(
        "<meetings>"
        + meeting(OURS, "parent-1")
        + meeting("d1-" + "b" * 32, ROOM, "parent-1")
        + meeting("inside", "inside-1", "parent-1")
        + meeting("nameless", "", "parent-1")
        + meeting("stranger", "stranger-1")
        + meeting("theirs", "theirs-1", "stranger-1")
        + "</meetings>"
    )
    ours = {known: one for one in seen if (known := sightings.meeting_id(one))}
    rooms = sightings.rooms(ours, seen)
    assert {name: room["parent"] for name, room in rooms.items()} == {"inside-1": "a" * 32}
    assert rooms["inside-1"]["fields"]["meetingID"] == "inside"
