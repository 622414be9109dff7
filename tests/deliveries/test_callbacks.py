"""Facts about the URLs of callbacks."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import callbacks
from schemas.events import Event, EventKind

TEXT = st.text(st.characters(codec="utf-8"), max_size=50)


def event(kind: str = "userLeft", **fields: object) -> Event:
    made: dict[str, object] = {
        "id": "e1",
        "kind": kind,
        "seq": 1,
        "at_ms": 1718000000000,
        "pool": 1,
        "subscription": 1,
        "credential": 1,
        "meeting": "0" * 32,
        "meeting_id": "room-42",
        "internal_meeting_id": "i",
        "user_id": "u 1",
        "moderator": False,
        "reason": "evicted" if kind == "meetingEnded" else "",
        "seats_needed": 0,
        "callbacks": [],
    }
    return made | fields  # type: ignore[return-value]


TAIL = "timestamp=1718000000000&eventID=e1"


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("userLeft", f"event=userLeft&userID=u+1&meetingID=room-42&{TAIL}"),
        ("userJoined", f"event=userJoined&userID=u+1&meetingID=room-42&{TAIL}"),
        ("meetingCreated", f"event=meetingCreated&meetingID=room-42&{TAIL}"),
        ("windowEnded", f"event=windowEnded&meetingID=room-42&{TAIL}"),
        ("meetingEnded", f"event=meetingEnded&meetingID=room-42&reason=evicted&{TAIL}"),
    ],
)
def test_each_kind_has_its_query(kind: str, query: str) -> None:
    assert callbacks.draft_url("https://h/x", event(kind)) == f"https://h/x?{query}"


@pytest.mark.parametrize(
    ("url", "start"),
    [
        ("https://h/x", "https://h/x?"),
        ("https://h/x?", "https://h/x?"),
        ("https://h/x?a=b", "https://h/x?a=b&"),
        ("https://h/x?a=b&", "https://h/x?a=b&"),
        ("https://h/x?a=%7E&b=c+d", "https://h/x?a=%7E&b=c+d&"),
        ("https://h/x/&", "https://h/x/&?"),
        ("https://h", "https://h?"),
    ],
)
def test_what_the_url_has_already_is_kept(url: str, start: str) -> None:
    assert callbacks.draft_url(url, event()).startswith(f"{start}event=userLeft&")
    assert callbacks.draft_url(f"{url}#top", event()) == callbacks.draft_url(url, event()) + "#top"


@given(TEXT, TEXT, st.sampled_from(sorted(EventKind)))
def test_any_ids_come_back_out_of_the_query(user: str, meeting: str, kind: EventKind) -> None:
    url = callbacks.draft_url(
        "https://h/x?user=1#f", event(kind.value, user_id=user, meeting_id=meeting)
    )
    assert url.isascii()
    assert urlsplit(url).fragment == "f"
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    assert pairs[0] == ("user", "1")
    assert dict(pairs)["meetingID"] == meeting
    if kind in (EventKind.USER_JOINED, EventKind.USER_LEFT):
        assert dict(pairs)["userID"] == user


def test_the_end_callback_gets_the_two_parameters_of_bbb() -> None:
    got = callbacks.end_callback_url("https://h/cb?x=1", "endCallbackUrl", event("meetingEnded"))
    assert got == "https://h/cb?x=1&recordingmarks=false&meetingID=room-42"
    again = callbacks.end_callback_url(
        "https://h/cb?meetingID=a", "endCallbackUrl", event("meetingEnded")
    )
    assert again == "https://h/cb?meetingID=a&recordingmarks=false&meetingID=room-42"


def test_the_meeting_ended_url_is_called_as_it_is() -> None:
    url = "https://h/cb?x=%20#y"
    assert callbacks.end_callback_url(url, "meetingEndedURL", event("meetingEnded")) == url
