"""The catalogue of events: every kind, its other name, what it means and what it carries.

Owns the one table that filters, documents and dialects are made of, and what of an event the
public sees. The fields are grouped by kind in `schemas.event_fields`. Pure.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from schemas.event_fields import FIELDS, Field
from schemas.events import Event, EventKind

#: Who says it: a server (relayed, or found out by asking it), or this product itself.
NODE: Final = "node"
OURS: Final = "ours"

_OURS: Final = frozenset(
    (
        EventKind.WINDOW_ENDED,
        EventKind.MEETING_EVICTED,
        EventKind.RESERVATION_REFUSED,
        EventKind.NODE_LOST,
        EventKind.BOOKING_STARTING,
        EventKind.BOOKING_MADE,
        EventKind.BOOKING_MOVED,
        EventKind.BOOKING_CANCELLED,
        EventKind.MEETING_EXTENDED,
        EventKind.ENDPOINT_DISABLED,
        EventKind.PING,
        EventKind.RECORDING_READY,
        EventKind.ANALYTICS_READY,
    )
)
#: What the draft form tells unasked: applications written for it know these and can be told all;
#: and that an endpoint was switched off, which nobody must miss.
_DRAFT: Final = frozenset(
    (
        EventKind.MEETING_CREATED,
        EventKind.MEETING_ENDED,
        EventKind.USER_JOINED,
        EventKind.USER_LEFT,
        EventKind.WINDOW_ENDED,
        EventKind.ENDPOINT_DISABLED,
        EventKind.PING,
    )
)
_CAPITAL: Final = re.compile(r"(?=[A-Z])")

_SUMMARIES: Final[dict[EventKind, str]] = {
    EventKind.MEETING_CREATED: "A meeting was made on a server.",
    EventKind.MEETING_ENDED: "A meeting has ended, whoever ended it.",
    EventKind.MEETING_RECORDING_STARTED: "Somebody began to record.",
    EventKind.MEETING_RECORDING_STOPPED: "Somebody stopped recording.",
    EventKind.MEETING_RECORDING_UNHANDLED: "Recording changed in a way the server has no name for.",
    EventKind.MEETING_SCREENSHARE_STARTED: "Somebody began to share a screen.",
    EventKind.MEETING_SCREENSHARE_STOPPED: "A screen is no longer shared.",
    EventKind.MEETING_PRESENTATION_CHANGED: "Another document is shown.",
    EventKind.USER_JOINED: "A person has come into the meeting.",
    EventKind.USER_LEFT: "A person has left the meeting.",
    EventKind.USER_AUDIO_VOICE_ENABLED: "A person is connected by audio.",
    EventKind.USER_AUDIO_VOICE_DISABLED: "A person is no longer connected by audio.",
    EventKind.USER_AUDIO_MUTED: "A person's microphone was muted.",
    EventKind.USER_AUDIO_UNMUTED: "A person's microphone was opened.",
    EventKind.USER_AUDIO_UNHANDLED: "A person's audio changed in a way the server cannot name.",
    EventKind.USER_CAM_BROADCAST_START: "A person switched a camera on.",
    EventKind.USER_CAM_BROADCAST_END: "A person switched a camera off.",
    EventKind.USER_PRESENTER_ASSIGNED: "A person became presenter.",
    EventKind.USER_PRESENTER_UNASSIGNED: "A person is presenter no longer.",
    EventKind.USER_EMOJI_CHANGED: "A person shows another emoji, or none.",
    EventKind.USER_RAISE_HAND_CHANGED: "A person raised or lowered a hand.",
    EventKind.CHAT_GROUP_MESSAGE_SENT: "Something was written in the public chat.",
    EventKind.PAD_CONTENT: "The shared notes were changed.",
    EventKind.POLL_STARTED: "A poll was started.",
    EventKind.POLL_RESPONDED: "A person answered a poll.",
    EventKind.TRANSCRIPT_UPDATED: "Speech was transcribed.",
    EventKind.RAP_ARCHIVE_STARTED: "Archiving of a recording has begun.",
    EventKind.RAP_ARCHIVE_ENDED: "Archiving of a recording is over.",
    EventKind.RAP_SANITY_STARTED: "The check of an archived recording has begun.",
    EventKind.RAP_SANITY_ENDED: "The check of an archived recording is over.",
    EventKind.RAP_POST_ARCHIVE_STARTED: "Scripts after archiving have begun.",
    EventKind.RAP_POST_ARCHIVE_ENDED: "Scripts after archiving are over.",
    EventKind.RAP_PROCESS_STARTED: "Processing of a recording format has begun.",
    EventKind.RAP_PROCESS_ENDED: "Processing of a recording format is over.",
    EventKind.RAP_POST_PROCESS_STARTED: "Scripts after processing have begun.",
    EventKind.RAP_POST_PROCESS_ENDED: "Scripts after processing are over.",
    EventKind.RAP_PUBLISH_STARTED: "Publication of a recording format has begun.",
    EventKind.RAP_PUBLISH_ENDED: "Publication of a recording format is over.",
    EventKind.RAP_POST_PUBLISH_STARTED: "Scripts after publication have begun.",
    EventKind.RAP_POST_PUBLISH_ENDED: "Scripts after publication are over.",
    EventKind.RAP_PUBLISHED: "A recording was published.",
    EventKind.RAP_UNPUBLISHED: "A recording is no longer published.",
    EventKind.RAP_DELETED: "A recording was deleted.",
    EventKind.WINDOW_ENDED: "The reserved window of a meeting is over; it goes on in overtime.",
    EventKind.MEETING_EVICTED: "A meeting in overtime makes way; its end follows.",
    EventKind.RESERVATION_REFUSED: "There was no room for a meeting; it was not made.",
    EventKind.NODE_LOST: "A server is lost with its meetings; their reservations stay.",
    EventKind.BOOKING_STARTING: "The window of a booked meeting begins soon.",
    EventKind.BOOKING_MADE: "Seats were booked for a later meeting.",
    EventKind.BOOKING_MOVED: "A booking has another window or number of seats.",
    EventKind.BOOKING_CANCELLED: "A booking was given back.",
    EventKind.MEETING_EXTENDED: "The reserved window of a meeting lasts longer.",
    EventKind.ENDPOINT_DISABLED: "Another endpoint was switched off; what waits for it is kept.",
    EventKind.PING: "A test, sent by hand to one endpoint.",
    EventKind.RECORDING_READY: "A recording can be watched; once for each format of it.",
    EventKind.ANALYTICS_READY: "The learning dashboard of an ended meeting is complete.",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of event."""

    kind: EventKind
    #: As bbb-webhooks has it; ours have one in the same style.
    alias: str
    source: str
    summary: str
    fields: tuple[Field, ...]

    @property
    def of_webhooks(self) -> bool:
        """Whether bbb-webhooks knows it."""
        return self.source == NODE

    @property
    def about_person(self) -> bool:
        """Whether it tells of one person."""
        return self.kind.startswith("user") or self.kind in _ABOUT_PERSONS


_ABOUT_PERSONS: Final = frozenset(
    (
        EventKind.CHAT_GROUP_MESSAGE_SENT,
        EventKind.POLL_STARTED,
        EventKind.POLL_RESPONDED,
        EventKind.TRANSCRIPT_UPDATED,
        EventKind.MEETING_SCREENSHARE_STARTED,
        EventKind.MEETING_SCREENSHARE_STOPPED,
    )
)


def _entry(kind: EventKind) -> Entry:
    return Entry(
        kind=kind,
        alias=_CAPITAL.sub("-", kind.value).lower(),
        source=OURS if kind in _OURS else NODE,
        summary=_SUMMARIES[kind],
        fields=FIELDS.get(kind, ()),
    )


ENTRIES: Final[dict[EventKind, Entry]] = {kind: _entry(kind) for kind in EventKind}
_BY_NAME: Final[dict[str, EventKind]] = {
    name: entry.kind
    for entry in ENTRIES.values()
    for name in (entry.alias, entry.kind.value.lower())
}


def kind_of(name: str) -> EventKind | None:
    """Return the kind of that name, of either style and any letter case; None: there is none."""
    return _BY_NAME.get(name.strip().lower())


def wants(
    kind: EventKind, names: Iterable[str], *, webhooks: bool = False, draft: bool = False
) -> bool:
    """Tell whether a filter lets a kind through; an empty one lets all through.

    Whoever speaks as bbb-webhooks does gets our own kinds only when they are named: applications
    written for it do not know them. The draft form says who and which meeting and no more, so
    kinds that tell of anything else go there only when they are named, too.
    """
    wanted = {found for name in names if (found := kind_of(name)) is not None}
    if wanted:
        return kind in wanted
    if any(names) or (webhooks and not ENTRIES[kind].of_webhooks):
        return False
    return not draft or kind in _DRAFT


def public_data(event: Event) -> dict[str, Any]:
    """Return what the public dialects show of an event: never passwords or session tokens."""
    kind = EventKind(event["kind"])
    named = {
        "meetingID": event["meeting_id"],
        "internalMeetingID": event["internal_meeting_id"],
        "userID": event["user_id"],
        "internalUserID": event.get("user_internal_id", ""),
        "userName": event.get("user_name", ""),
    }
    shown: dict[str, Any] = {name: value for name, value in named.items() if value}
    if event["user_id"]:
        shown["moderator"] = event["moderator"]
    if kind is EventKind.MEETING_ENDED:
        shown["reason"] = event["reason"]
        if event["seats_needed"]:
            shown["seatsNeeded"] = event["seats_needed"]
    hidden = {field.name for field in ENTRIES[kind].fields if field.mapped_only}
    data = event.get("data", {})
    return shown | {name: value for name, value in data.items() if name not in hidden}
