"""Facts about mapped events: each kind word for word, and the way back."""

from typing import Any

import orjson
import pytest

from schemas import catalogue
from schemas.dialects import mapped
from schemas.event_documents import example
from schemas.events import EventKind
from tests.events.builders import AT_MS, INTERNAL, event

M = {"internal-meeting-id": INTERNAL, "external-meeting-id": "room-42"}
U = {"internal-user-id": "w_x1", "external-user-id": "staff-7"}
RAP = {"recordID": "r-1", "success": True, "stepTime": 12, "workflow": "video"}
RAP_MAPPED = {"record-id": "r-1", "success": True, "step-time": 12, "workflow": "video"}
VOICE_OFF = {"listening-only": False, "sharing-mic": False, "muted": True}
PLAYBACK = {"name": "A", "is-breakout": False, "playback": {"format": "video"}}

#: kind, data of the event, attributes of the document.
DOCUMENTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("meetingEnded", {"recordingMarks": True}, {"meeting": M}),
    ("meetingRecordingStarted", {}, {"meeting": M}),
    ("meetingRecordingStopped", {}, {"meeting": M}),
    ("meetingRecordingUnhandled", {}, {"meeting": M}),
    ("meetingScreenshareStarted", {}, {"meeting": M}),
    ("meetingScreenshareStopped", {}, {"meeting": M}),
    (
        "meetingPresentationChanged",
        {"presentationID": "p"},
        {"meeting": M | {"presentation-id": "p"}},
    ),
    (
        "userJoined",
        {},
        {
            "meeting": M,
            "user": U | {"name": "Ada", "role": "VIEWER", "presenter": False, "guest": False},
        },
    ),
    (
        "userJoined",
        {"role": "MODERATOR", "presenter": True, "guest": True, "userdata": {"x": "1"}},
        {
            "meeting": M,
            "user": U
            | {"name": "Ada", "role": "MODERATOR", "presenter": True, "guest": True}
            | {"userdata": {"x": "1"}},
        },
    ),
    ("userLeft", {}, {"meeting": M, "user": U | {"guest": False}}),
    (
        "userAudioVoiceEnabled",
        {"listeningOnly": True, "muted": True},
        {
            "meeting": M,
            "user": U | {"listening-only": True, "sharing-mic": False, "muted": True},
        },
    ),
    ("userAudioVoiceDisabled", {}, {"meeting": M, "user": U | VOICE_OFF}),
    ("userAudioMuted", {}, {"meeting": M, "user": U | {"muted": True}}),
    ("userAudioUnmuted", {}, {"meeting": M, "user": U | {"muted": False}}),
    ("userAudioUnhandled", {}, {"meeting": M, "user": U}),
    ("userCamBroadcastStart", {"stream": "s"}, {"meeting": M, "user": U | {"stream": "s"}}),
    ("userCamBroadcastEnd", {"stream": "s"}, {"meeting": M, "user": U | {"stream": "s"}}),
    ("userPresenterAssigned", {}, {"meeting": M, "user": U}),
    ("userPresenterUnassigned", {}, {"meeting": M, "user": U}),
    ("userEmojiChanged", {"emoji": "👍"}, {"meeting": M, "user": U | {"emoji": "👍"}}),
    ("userRaiseHandChanged", {"raiseHand": True}, {"meeting": M, "user": U | {"raise-hand": True}}),
    (
        "chatGroupMessageSent",
        {"messageID": "m", "message": "Hello", "time": 5},
        {
            "meeting": M,
            "chat-message": {
                "id": "m",
                "message": "Hello",
                "sender": U | {"name": "Ada", "time": 5},
            },
            "chat-id": "MAIN-PUBLIC-GROUP-CHAT",
        },
    ),
    (
        "padContent",
        {"padID": "i", "externalPadID": "n", "rev": 1, "start": 2, "end": 3, "text": "t"},
        {
            "meeting": M,
            "pad": {
                "id": "i",
                "external-pad-id": "n",
                "rev": 1,
                "start": 2,
                "end": 3,
                "text": "t",
            },
        },
    ),
    (
        "pollStarted",
        {"pollID": "p", "question": "?", "answers": [{"id": 0, "key": "Yes"}]},
        {
            "meeting": M,
            "user": U,
            "poll": {"id": "p", "question": "?", "answers": [{"id": 0, "key": "Yes"}]},
        },
    ),
    (
        "pollResponded",
        {"pollID": "p", "answerIDs": [1]},
        {"meeting": M, "user": U, "poll": {"id": "p", "answerIds": [1]}},
    ),
    (
        "transcriptUpdated",
        {"transcriptID": "t", "transcript": "Hi", "locale": "en", "final": False},
        {
            "meeting": M,
            "user": U,
            "transcript": {"id": "t", "transcript": "Hi", "locale": "en", "final": False},
        },
    ),
    (
        "rapArchiveStarted",
        {"recordID": "r-1"},
        {"meeting": M, "record-id": "r-1"},
    ),
    (
        "rapArchiveEnded",
        RAP | {"recorded": True, "duration": 0},
        {"meeting": M} | RAP_MAPPED | {"recorded": True, "duration": 0},
    ),
    ("rapSanityEnded", RAP, {"meeting": M} | RAP_MAPPED),
    (
        "rapPublishEnded",
        RAP | {"recording": PLAYBACK},
        {"meeting": M} | RAP_MAPPED | {"recording": PLAYBACK},
    ),
    ("rapPublished", {"recordID": "r-1"}, {"meeting": M, "record-id": "r-1"}),
    ("windowEnded", {"seats": 15}, {"meeting": M, "seats": 15}),
]


@pytest.mark.parametrize(("kind", "data", "attributes"), DOCUMENTS)
def test_each_kind_is_written_word_for_word(
    kind: str, data: dict[str, Any], attributes: dict[str, Any]
) -> None:
    """The order of the fields too: people read these documents, and some compare texts."""
    written = mapped.document(event(kind, data=data))
    entry = catalogue.ENTRIES[EventKind(kind)]
    envelope = {"type": "event", "id": entry.alias, "attributes": attributes}
    assert written == orjson.dumps({"data": envelope | {"event": {"ts": AT_MS}}})


def test_a_new_meeting_is_told_with_its_passwords_and_metadata() -> None:
    """Applications written for bbb-webhooks read them; no other dialect shows passwords."""
    data = {f.name: f.example for f in catalogue.ENTRIES[EventKind.MEETING_CREATED].fields}
    created = event("meetingCreated", data=data)
    attributes = orjson.loads(mapped.document(created))["data"]["attributes"]
    assert attributes == {
        "meeting": M
        | {
            "name": "Weekly sync",
            "is-breakout": False,
            "parent-id": "bbb-none",
            "duration": 60,
            "create-time": 1718000000000,
            "create-date": "Mon Jun 10 06:13:20 UTC 2024",
            "moderator-pass": "mp",
            "viewer-pass": "ap",
            "record": False,
            "voice-conf": "70000",
            "dial-number": "613-555-1234",
            "max-users": 15,
            "metadata": {"origin": "lms"},
        }
    }
    public = catalogue.public_data(created)
    assert not {"moderatorPW", "attendeePW"} & set(public)
    assert "mp" not in public.values()


def test_a_breakout_room_does_not_say_that_it_has_no_parent() -> None:
    for data, parent in (
        ({"isBreakout": True}, None),
        ({"isBreakout": False}, "bbb-none"),
        ({"isBreakout": True, "parentID": "p-1"}, "p-1"),
    ):
        document = orjson.loads(mapped.document(event("meetingCreated", data=data)))
        assert document["data"]["attributes"]["meeting"].get("parent-id") == parent


def test_a_name_that_is_not_wanted_is_an_empty_text() -> None:
    for kind, place in (("userJoined", "user"), ("chatGroupMessageSent", "chat-message")):
        document = orjson.loads(mapped.document(event(kind, user_name="")))
        person = document["data"]["attributes"][place]
        assert person.get("sender", person)["name"] == ""


@pytest.mark.parametrize(
    "kind", [kind for kind in EventKind if catalogue.ENTRIES[kind].of_webhooks]
)
def test_what_is_written_can_be_read(kind: EventKind) -> None:
    told = example(kind)
    (read,) = mapped.read(b"[" + mapped.document(told) + b"]")
    assert (read.kind, read.at_ms) == (kind, told["at_ms"])
    assert read.internal_meeting_id == told["internal_meeting_id"]
    assert read.external_meeting_id == told["meeting_id"]
    assert (read.internal_user_id, read.external_user_id) == (
        told["user_internal_id"],
        told["user_id"],
    )
    placed = {field.name for field in catalogue.ENTRIES[kind].fields if field.at}
    assert read.data == {name: value for name, value in told["data"].items() if name in placed}


@pytest.mark.parametrize("text", ["", "{}", "nonsense", '{"data":1}', '"x"', "null", b"\xff"])
def test_what_is_no_array_of_events_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError, match="events are no"):
        mapped.read(text)


@pytest.mark.parametrize(
    "document",
    [
        1, None, {}, [], {"data": 1}, {"data": {"id": 5}}, {"data": {"id": "no-such-kind"}},
        {"data": {"id": "window-ended"}},
    ],
)  # fmt: skip
def test_documents_that_are_not_known_are_left_out(document: Any) -> None:
    assert mapped.read(orjson.dumps([document])) == []


@pytest.mark.parametrize(
    "attributes",
    [None, 1, [], {"meeting": 1, "user": []}, {"meeting": {"internal-meeting-id": 5}}, {"user": 1}],
)
def test_broken_documents_of_known_kinds_have_empty_ids(attributes: Any) -> None:
    document = {"data": {"id": "user-joined", "attributes": attributes, "event": {"ts": True}}}
    (read,) = mapped.read(orjson.dumps([document]))
    assert (read.internal_meeting_id, read.internal_user_id, read.at_ms) == ("", "", 0)


def test_a_raised_hand_is_read_in_both_spellings() -> None:
    document = {
        "data": {
            "id": "user-raise-hand-changed",
            "attributes": {"meeting": M, "user": U | {"raiseHand": False}},
        }
    }
    (read,) = mapped.read(orjson.dumps([document]))
    assert read.data == {"raiseHand": False}
