"""The documents that a node's webhooks and analytics callback carry.

Owns the mapped event catalogue as far as the simulator plays it. Pure; never sends. Used by
`hooks`.
"""

from typing import Any

from deploy.simulator.model import NO_PARENT, Event, Meeting, Recording, User


def document(event: Event) -> dict[str, Any]:
    """Return one mapped event."""
    attributes: dict[str, Any] = {"meeting": _ids(event.meeting)}
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
        case _:
            pass
    data = {"type": "event", "id": event.kind, "attributes": attributes}
    return {"data": {**data, "event": {"ts": event.at_ms}}}


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
            "attendees": [],
            "files": meeting.documents,
            "polls": [],
        },
    }


def _ids(meeting: Meeting) -> dict[str, Any]:
    return {
        "internal-meeting-id": meeting.internal_id,
        "external-meeting-id": meeting.external_id,
    }


def _created(meeting: Meeting) -> dict[str, Any]:
    return {
        **_ids(meeting),
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


def _user(user: User, *, joined: bool) -> dict[str, Any]:
    ids = {"internal-user-id": user.internal_id, "external-user-id": user.external_id}
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
