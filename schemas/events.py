"""Events: what outsiders are told.

Owns the names of the kinds, and the shape of an event as stored in the outbox and handed to the
deliveries. Ids are the caller's own, never the ones that nodes see. What each kind means and
carries is written in `schemas.catalogue`. Made by the placement worker and by the operations.
"""

from enum import StrEnum
from typing import Any, TypedDict

from schemas.identifiers import new_id


class EventKind(StrEnum):
    """Names of the field; an endpoint filters by them, or by their aliases of the catalogue."""

    MEETING_CREATED = "meetingCreated"
    MEETING_ENDED = "meetingEnded"
    MEETING_RECORDING_STARTED = "meetingRecordingStarted"
    MEETING_RECORDING_STOPPED = "meetingRecordingStopped"
    MEETING_RECORDING_UNHANDLED = "meetingRecordingUnhandled"
    MEETING_SCREENSHARE_STARTED = "meetingScreenshareStarted"
    MEETING_SCREENSHARE_STOPPED = "meetingScreenshareStopped"
    MEETING_PRESENTATION_CHANGED = "meetingPresentationChanged"
    USER_JOINED = "userJoined"
    USER_LEFT = "userLeft"
    USER_AUDIO_VOICE_ENABLED = "userAudioVoiceEnabled"
    USER_AUDIO_VOICE_DISABLED = "userAudioVoiceDisabled"
    USER_AUDIO_MUTED = "userAudioMuted"
    USER_AUDIO_UNMUTED = "userAudioUnmuted"
    USER_AUDIO_UNHANDLED = "userAudioUnhandled"
    USER_CAM_BROADCAST_START = "userCamBroadcastStart"
    USER_CAM_BROADCAST_END = "userCamBroadcastEnd"
    USER_PRESENTER_ASSIGNED = "userPresenterAssigned"
    USER_PRESENTER_UNASSIGNED = "userPresenterUnassigned"
    USER_EMOJI_CHANGED = "userEmojiChanged"
    USER_RAISE_HAND_CHANGED = "userRaiseHandChanged"
    CHAT_GROUP_MESSAGE_SENT = "chatGroupMessageSent"
    PAD_CONTENT = "padContent"
    POLL_STARTED = "pollStarted"
    POLL_RESPONDED = "pollResponded"
    TRANSCRIPT_UPDATED = "transcriptUpdated"
    RAP_ARCHIVE_STARTED = "rapArchiveStarted"
    RAP_ARCHIVE_ENDED = "rapArchiveEnded"
    RAP_SANITY_STARTED = "rapSanityStarted"
    RAP_SANITY_ENDED = "rapSanityEnded"
    RAP_POST_ARCHIVE_STARTED = "rapPostArchiveStarted"
    RAP_POST_ARCHIVE_ENDED = "rapPostArchiveEnded"
    RAP_PROCESS_STARTED = "rapProcessStarted"
    RAP_PROCESS_ENDED = "rapProcessEnded"
    RAP_POST_PROCESS_STARTED = "rapPostProcessStarted"
    RAP_POST_PROCESS_ENDED = "rapPostProcessEnded"
    RAP_PUBLISH_STARTED = "rapPublishStarted"
    RAP_PUBLISH_ENDED = "rapPublishEnded"
    RAP_POST_PUBLISH_STARTED = "rapPostPublishStarted"
    RAP_POST_PUBLISH_ENDED = "rapPostPublishEnded"
    RAP_PUBLISHED = "rapPublished"
    RAP_UNPUBLISHED = "rapUnpublished"
    RAP_DELETED = "rapDeleted"
    WINDOW_ENDED = "windowEnded"
    MEETING_EVICTED = "meetingEvicted"
    RESERVATION_REFUSED = "reservationRefused"
    NODE_LOST = "nodeLost"
    BOOKING_STARTING = "bookingStarting"
    BOOKING_MADE = "bookingMade"
    BOOKING_MOVED = "bookingMoved"
    BOOKING_CANCELLED = "bookingCancelled"
    MEETING_EXTENDED = "meetingExtended"
    ENDPOINT_DISABLED = "endpointDisabled"
    PING = "ping"
    RECORDING_READY = "recordingReady"
    ANALYTICS_READY = "analyticsReady"


class Event(TypedDict):
    """One event, complete: a delivery needs nothing else."""

    id: str
    kind: str
    #: Order within the meeting: the sequence number of the outbox, filled in by the relay.
    seq: int
    at_ms: int
    pool: int
    subscription: int
    credential: int  # 0: it is about the whole subscription
    meeting: str  # our id; "" when it is about no meeting
    meeting_id: str  # the caller's meetingID
    internal_meeting_id: str
    user_id: str  # the caller's id of the person; "" unless a user's event
    user_internal_id: str  # the node's id of that one visit, as far as it is known
    user_name: str  # "" unless the subscription wants names
    moderator: bool
    reason: str  # meetingEnded: an EndReason
    seats_needed: int  # meetingEnded with reason evicted: the seats of the request that needed them
    #: `[url, kind]` of the create call that this very event fires; kind is `endCallbackUrl`,
    #: `meetingEndedURL`, `recordingReadyUrl` or `analyticsCallbackUrl`.
    callbacks: list[tuple[str, str]]
    #: What this kind carries besides, by the names of the catalogue.
    data: dict[str, Any]


def about_subscription(
    kind: EventKind,
    at_ms: int,
    *,
    pool: int,
    subscription: int,
    credential: int = 0,
    meeting_id: str = "",
    data: dict[str, Any] | None = None,
) -> Event:
    """Return an event that no live meeting stands behind."""
    return {
        "id": new_id(),
        "kind": kind.value,
        "seq": 0,
        "at_ms": at_ms,
        "pool": pool,
        "subscription": subscription,
        "credential": credential,
        "meeting": "",
        "meeting_id": meeting_id,
        "internal_meeting_id": "",
        "user_id": "",
        "user_internal_id": "",
        "user_name": "",
        "moderator": False,
        "reason": "",
        "seats_needed": 0,
        "callbacks": [],
        "data": data or {},
    }
