"""Facts about the draft dialect: events as queries."""

import hashlib
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dialects import draft, end_callback
from schemas.dialects.outgoing import outgoing
from schemas.events import EventKind
from tests.events.builders import AT_MS, SECRET, event

TEXT = st.text(st.characters(codec="utf-8"), max_size=50)
TAIL = f"timestamp={AT_MS}&eventID=e1"


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("userLeft", f"event=userLeft&userID=staff-7&meetingID=room-42&{TAIL}"),
        ("userJoined", f"event=userJoined&userID=staff-7&meetingID=room-42&{TAIL}"),
        ("meetingCreated", f"event=meetingCreated&meetingID=room-42&{TAIL}"),
        ("windowEnded", f"event=windowEnded&meetingID=room-42&{TAIL}"),
        ("meetingEnded", f"event=meetingEnded&meetingID=room-42&reason=ended&{TAIL}"),
    ],
)
def test_each_kind_has_its_query(kind: str, query: str) -> None:
    assert draft.url("https://h/x", event(kind)) == f"https://h/x?{query}"


def test_what_is_about_no_meeting_names_none() -> None:
    got = draft.url("https://h/x", event("nodeLost", meeting_id=""))
    assert got == f"https://h/x?event=nodeLost&{TAIL}"


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
    assert draft.url(url, event()).startswith(f"{start}event=userLeft&")
    assert draft.url(f"{url}#top", event()) == draft.url(url, event()) + "#top"


def test_the_checksum_is_that_of_the_whole_query_before_it() -> None:
    unsigned = draft.url("https://h/x?key=1%2B1#top", event())
    sent = outgoing(
        "draft", url=unsigned, body=b"", event_id="e1", created_ms=1, now_ms=2, secrets=(SECRET,)
    )
    query = f"key=1%2B1&event=userLeft&userID=staff-7&meetingID=room-42&{TAIL}"
    digest = hashlib.sha256((query + SECRET).encode()).hexdigest()
    assert sent.method == "GET"
    assert sent.url == f"https://h/x?{query}&checksum={digest}#top"
    assert sent.headers["webhook-id"] == "e1"
    assert draft.verified(sent.url, SECRET)


@given(TEXT, TEXT, st.sampled_from(sorted(EventKind)))
def test_any_ids_come_back_out_of_the_query(user: str, meeting: str, kind: EventKind) -> None:
    unsigned = draft.url(
        "https://h/x?user=1#f", event(kind.value, user_id=user, meeting_id=meeting)
    )
    signed = draft.signed(unsigned, SECRET)
    assert signed.isascii()
    assert urlsplit(signed).fragment == "f"
    pairs = parse_qsl(urlsplit(signed).query, keep_blank_values=True)
    assert pairs[0] == ("user", "1")
    assert pairs[-1][0] == "checksum"
    assert dict(pairs).get("meetingID", "") == meeting
    assert dict(pairs).get("userID", "") == user
    assert draft.verified(signed, SECRET)
    assert not draft.verified(signed, SECRET + "x")
    assert not draft.verified(signed.replace("event=", "event=x"), SECRET)
    assert not draft.verified(unsigned, SECRET)


def test_the_end_callback_gets_the_two_parameters_of_bbb() -> None:
    ended = event("meetingEnded", data={"recordingMarks": True})
    got = end_callback.url("https://h/cb?x=1", "endCallbackUrl", ended)
    assert got == "https://h/cb?x=1&recordingmarks=true&meetingID=room-42"
    again = end_callback.url("https://h/cb?meetingID=a", "endCallbackUrl", event("meetingEnded"))
    assert again == "https://h/cb?meetingID=a&recordingmarks=false&meetingID=room-42"


def test_the_meeting_ended_url_is_called_as_it_is() -> None:
    url = "https://h/cb?x=%20#y"
    assert end_callback.url(url, "meetingEndedURL", event("meetingEnded")) == url
