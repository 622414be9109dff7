"""The documents that a node's webhooks and analytics callback carry.

Owns the mapped event catalogue as far as the simulator plays it. Pure; never sends. Used by
`hooks`.
"""

from datetime import UTC, datetime
from typing import Any, Final

from deploy.simulator.model import NO_PARENT, Event, Meeting, Recording, User

_ENGAGEMENT: Final = ("chats", "talks", "raisehand", "emojis", "poll_votes", "talk_time")


def document(event: Event) -> dict[str, Any]:
    """Return one mapped event."""
    attributes: dict[str, Any] = {"meeting": meeting_ids(event.meeting)}
    match event.kind:
        case "meeting-created":
            attributes["meeting"] = _created(event.meeting)
        case "user-joined" | "user-left" if event.user is not None:
            attributes["user"] = _user(event.user, joined=event.kind == "user-joined")
        case "chat-group-message-sent" if event.message is not None:
            attributes["chat-message"] = {
                "id": event.message["id"],
                "message": event.message["message"],
                "sender": {
                    "internal-user-id": "SYSTEM",
                    "name": event.message["sender"],
                    "time": event.at_ms,
                },
            }
            attributes["chat-id"] = "MAIN-PUBLIC-GROUP-CHAT"
        case "rap-publish-ended" if event.recording is not None:
            attributes["record-id"] = event.recording.record_id
            attributes["success"] = True
            attributes["recording"] = _recording(event.recording)
        case _ if event.user is not None:
            attributes["user"] = ids_of(event.user)
        case _:
            pass
    data = {"type": "event", "id": event.kind, "attributes": attributes}
    return {"data": {**data, "event": {"ts": event.at_ms}}}


def made_up(
    kind: str,
    attributes: dict[str, Any],
    *,
    meeting: dict[str, str],
    user: dict[str, str] | None,
    at_ms: int,
) -> dict[str, Any]:
    """Return a mapped event as the control API asks for it; attributes go beside the ids."""
    known: dict[str, Any] = {"meeting": meeting} | ({"user": user} if user else {})
    for name, value in attributes.items():
        both = isinstance(value, dict) and isinstance(known.get(name), dict)
        known[name] = known[name] | value if both else value
    data = {"type": "event", "id": kind, "attributes": known}
    return {"data": {**data, "event": {"ts": at_ms}}}


def analytics(event: Event) -> dict[str, Any]:
    """Return the learning dashboard document of a meeting that ended."""
    meeting = event.meeting
    return {
        "version": "1.0",
        "meeting_id": meeting.external_id,
        "internal_meeting_id": meeting.internal_id,
        "data": {
            "metadata": {
                **{name.replace("-", "_"): value for name, value in meeting.metadata.items()},
                "is_breakout": "false",
                "meeting_name": meeting.name,
            },
            "duration": (event.at_ms - meeting.create_ms) // 1000,
            "attendees": [_attended(noted) for noted in meeting.attended.values()],
            "files": meeting.documents,
            "polls": [],
        },
    }


def meeting_ids(meeting: Meeting) -> dict[str, Any]:
    """Return the ids of a meeting."""
    return {
        "internal-meeting-id": meeting.internal_id,
        "external-meeting-id": meeting.external_id,
    }


def _created(meeting: Meeting) -> dict[str, Any]:
    return {
        **meeting_ids(meeting),
        "name": meeting.name,
        "is-breakout": meeting.is_breakout,
        "parent-id": meeting.parent_id if meeting.is_breakout else NO_PARENT,
        "duration": meeting.duration_min,
        "create-time": meeting.create_ms,
        "create-date": meeting.create_date,
        "moderator-pass": meeting.moderator_pw,
        "viewer-pass": meeting.attendee_pw,
        "record": meeting.record,
        "voice-conf": meeting.voice_bridge,
        "dial-number": meeting.dial_number,
        "max-users": meeting.max_users,
        "metadata": meeting.metadata,
    }


def ids_of(user: User) -> dict[str, Any]:
    """Return the ids of a user."""
    return {"internal-user-id": user.internal_id, "external-user-id": user.external_id}


def _attended(noted: dict[str, Any]) -> dict[str, Any]:
    """Return a person as the dashboard has them; internal ids are not in it."""
    stays = zip(noted["joins"], noted["leaves"], strict=False)
    return {
        "ext_user_id": noted["ext_user_id"],
        "name": noted["name"],
        "moderator": noted["moderator"],
        "joins": [_instant(at_ms) for at_ms in noted["joins"]],
        "leaves": [_instant(at_ms) for at_ms in noted["leaves"]],
        "duration": sum(left - joined for joined, left in stays) // 1000,
        "recent_talking_time": "",
        "engagement": dict.fromkeys(_ENGAGEMENT, 0),
        "sessions": [],
    }


def _instant(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _user(user: User, *, joined: bool) -> dict[str, Any]:
    ids = ids_of(user)
    if not joined:
        return {**ids, "guest": user.guest}
    known = {"name": user.name, "role": user.role, "presenter": user.presenter}
    optional = {"userdata": user.userdata} if user.userdata else {}
    return {**ids, **known, "guest": user.guest, **optional}


def _recording(recording: Recording) -> dict[str, Any]:
    return {
        "name": recording.name,
        "is-breakout": False,
        "start-time": recording.start_ms,
        "end-time": recording.end_ms,
        "size": 0,
        "raw-size": 0,
        "metadata": recording.metadata,
        "playback": {},
        "download": {},
    }
