"""The XML that shows meetings, in the element order of a real server.

Owns the rendering of one meeting, of the list, and of a create; rendered meetings are kept until
they change. Never changes meetings. Used by `calls`.
"""

from typing import Final

from deploy.simulator.model import Meeting, User
from deploy.simulator.state import State
from schemas import documents
from schemas.documents import Pair, Raw

DUPLICATE: Final = (
    "duplicateWarning",
    "This conference was already in existence and may currently be in progress.",
)
_NO_MEETINGS: Final = (
    "<response><returncode>SUCCESS</returncode><meetings/><messageKey>noMeetings</messageKey>"
    "<message>no meetings were found on this server</message></response>"
)


def created(meeting: Meeting, *, duplicate: bool) -> str:
    """Render the answer to a create."""
    key, message = DUPLICATE if duplicate else ("", "")
    return documents.success(
        [
            ("meetingID", meeting.external_id),
            ("internalMeetingID", meeting.internal_id),
            ("parentMeetingID", meeting.parent_id),
            ("attendeePW", meeting.attendee_pw),
            ("moderatorPW", meeting.moderator_pw),
            ("createTime", meeting.create_ms),
            ("voiceBridge", meeting.voice_bridge),
            ("dialNumber", meeting.dial_number),
            ("createDate", meeting.create_date),
            ("hasUserJoined", meeting.has_user_joined),
            ("duration", meeting.duration_min),
            ("hasBeenForciblyEnded", False),
            ("messageKey", key),
            ("message", message),
        ]
    )


def meeting_info(state: State, meeting: Meeting) -> str:
    """Render the answer to a getMeetingInfo."""
    shown = fragment(state, meeting)
    return f"<response><returncode>SUCCESS</returncode>{shown}</response>"


def meeting_list(state: State) -> str:
    """Render the answer to a getMeetings."""
    if not state.meetings:
        return _NO_MEETINGS
    parts = ["<response><returncode>SUCCESS</returncode><meetings>"]
    for meeting in state.meetings.values():
        parts.append("<meeting>")
        parts.append(fragment(state, meeting))
        parts.append("</meeting>")
    parts.append("</meetings></response>")
    return "".join(parts)


def fragment(state: State, meeting: Meeting) -> str:
    """Render the elements of one meeting, `meetingName` to `breakoutRooms`."""
    known = state.fragments.get(meeting.internal_id)
    if known is None:
        known = documents.elements(_elements(state, meeting))
        state.fragments[meeting.internal_id] = known
    return known


def _elements(state: State, meeting: Meeting) -> list[Pair]:
    users = list(state.users_of(meeting).values())
    pairs: list[Pair] = [
        ("meetingName", meeting.name),
        ("meetingID", meeting.external_id),
        ("internalMeetingID", meeting.internal_id),
        ("createTime", meeting.create_ms),
        ("createDate", meeting.create_date),
        ("voiceBridge", meeting.voice_bridge),
        ("dialNumber", meeting.dial_number),
        ("attendeePW", meeting.attendee_pw),
        ("moderatorPW", meeting.moderator_pw),
        ("running", bool(users)),
        ("duration", meeting.duration_min),
        ("hasUserJoined", meeting.has_user_joined),
        ("recording", meeting.record),
        ("hasBeenForciblyEnded", False),
        ("startTime", meeting.start_ms),
        ("endTime", meeting.end_ms),
        ("participantCount", len(users)),
        ("listenerCount", sum(user.listening_only for user in users)),
        ("voiceParticipantCount", sum(user.voice for user in users)),
        ("videoCount", sum(user.video for user in users)),
        ("maxUsers", meeting.max_users),
        ("moderatorCount", sum(user.role == "MODERATOR" for user in users)),
        ("attendees", Raw("".join([_attendee(user) for user in users]))),
        ("metadata", Raw(_named(meeting.metadata))),
        ("isBreakout", meeting.is_breakout),
    ]
    if meeting.is_breakout:
        pairs += [
            ("parentMeetingID", meeting.parent_id),
            ("sequence", meeting.sequence),
            ("freeJoin", meeting.free_join),
        ]
    rooms = state.children.get(meeting.internal_id)
    if rooms:
        names: list[Pair] = [("breakout", state.meetings[room].external_id) for room in rooms]
        pairs.append(("breakoutRooms", names))
    return pairs


def _attendee(user: User) -> str:
    return documents.element(
        "attendee",
        [
            ("userID", user.external_id),
            ("fullName", user.name),
            ("role", user.role),
            ("isPresenter", user.presenter),
            ("isListeningOnly", user.listening_only),
            ("hasJoinedVoice", user.voice),
            ("hasVideo", user.video),
            ("clientType", "HTML5"),
            ("customdata", Raw(_named(user.userdata))),
        ],
    )


def _named(values: dict[str, str]) -> str:
    """Render caller-named values; a name that XML cannot carry is left out."""
    return documents.elements(
        [(name, value) for name, value in values.items() if documents.is_element_name(name)]
    )
