"""The XML that shows meetings, in the element order of a real server.

Owns the rendering of one meeting, of the list, and of a create; rendered meetings are kept until
they change. Never changes meetings. Used by `calls`.
"""

import functools
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
        known = _rendered(state, meeting)
        state.fragments[meeting.internal_id] = known
    return known


def _rendered(state: State, meeting: Meeting) -> str:
    # One literal instead of element pairs: a list of a thousand new meetings is rendered at once.
    users = list(state.users_of(meeting).values())
    e = documents.escape
    return (
        f"<meetingName>{e(meeting.name)}</meetingName>"
        f"<meetingID>{e(meeting.external_id)}</meetingID>"
        f"<internalMeetingID>{meeting.internal_id}</internalMeetingID>"
        f"<createTime>{meeting.create_ms}</createTime>"
        f"<createDate>{meeting.create_date}</createDate>"
        f"<voiceBridge>{e(meeting.voice_bridge)}</voiceBridge>"
        f"<dialNumber>{e(meeting.dial_number)}</dialNumber>"
        f"<attendeePW>{e(meeting.attendee_pw)}</attendeePW>"
        f"<moderatorPW>{e(meeting.moderator_pw)}</moderatorPW>"
        f"<running>{_flag(users)}</running>"
        f"<duration>{meeting.duration_min}</duration>"
        f"<hasUserJoined>{_flag(meeting.has_user_joined)}</hasUserJoined>"
        f"<recording>{_flag(meeting.record)}</recording>"
        "<hasBeenForciblyEnded>false</hasBeenForciblyEnded>"
        f"<startTime>{meeting.start_ms}</startTime>"
        f"<endTime>{meeting.end_ms}</endTime>"
        f"<participantCount>{len(users)}</participantCount>"
        f"<listenerCount>{sum([user.listening_only for user in users])}</listenerCount>"
        f"<voiceParticipantCount>{sum([user.voice for user in users])}</voiceParticipantCount>"
        f"<videoCount>{sum([user.video for user in users])}</videoCount>"
        f"<maxUsers>{meeting.max_users}</maxUsers>"
        f"<moderatorCount>{[user.role for user in users].count('MODERATOR')}</moderatorCount>"
        f"<attendees>{''.join([_attendee(user) for user in users])}</attendees>"
        f"<metadata>{_named(meeting.metadata)}</metadata>"
        f"<isBreakout>{_flag(meeting.is_breakout)}</isBreakout>{_rooms(state, meeting)}"
    )


def _flag(value: object) -> str:
    return "true" if value else "false"


def _rooms(state: State, meeting: Meeting) -> str:
    pairs: list[Pair] = []
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
    return documents.elements(pairs)


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
    e = documents.escape
    return "".join(
        [f"<{name}>{e(value)}</{name}>" for name, value in values.items() if _is_name(name)]
    )


_is_name = functools.lru_cache(maxsize=4096)(documents.is_element_name)
