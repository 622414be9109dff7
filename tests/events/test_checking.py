"""Facts about the checker of signatures, with what really leaves as its input."""

import time
from typing import Any

import pytest

from schemas.dialects import analytics, draft, recording_ready, signed, webhooks
from schemas.dialects.checking import Received, check
from schemas.dialects.names import Dialect
from schemas.dialects.outgoing import outgoing
from tests.events.builders import SECRET, event

URL = "https://app.example/hook?key=1%2B1"


def _stored(dialect: Dialect) -> tuple[str, bytes]:
    """Return address and body of a delivery."""
    if dialect is Dialect.DRAFT:
        return draft.url(URL, event()), b""
    if dialect is Dialect.SIGNED:
        return URL, signed.document(event(), "/t/acme")
    if dialect is Dialect.RECORDING_READY:
        return URL, recording_ready.claims(event("recordingReady", data={"recordID": "r"}))
    if dialect is Dialect.ANALYTICS:
        return URL, analytics.document(event("analyticsReady", data={"analytics": {}}))
    return URL, webhooks.body(dialect, b"{}", domain="d", timestamp_ms=5)


def received(dialect: Dialect, **changes: Any) -> Received:
    url, body = _stored(dialect)
    sent = outgoing(
        dialect, url=url, body=body, event_id="e", created_ms=1,
        now_ms=time.time_ns() // 1_000_000, secrets=(SECRET,),
    )  # fmt: skip
    headers = {name.lower(): value for name, value in sent.headers.items()}
    made = {"url": sent.url, "headers": headers, "body": sent.body} | changes
    return Received(**made)


SIGNED = [d for d in Dialect if d not in (Dialect.CALLBACK, Dialect.WEBHOOKS_BEARER)]


@pytest.mark.parametrize("dialect", SIGNED)
def test_what_we_send_is_recognised_and_right(dialect: Dialect) -> None:
    verdict = check(received(dialect), ("wrong", SECRET))
    assert (verdict.fault, verdict.ok) == ("", True)
    assert dialect.startswith(verdict.dialect)


@pytest.mark.parametrize("dialect", SIGNED)
def test_the_wrong_secret_is_told_and_no_secret_is_shown(dialect: Dialect) -> None:
    verdict = check(received(dialect), ("wrong-secret",))
    assert not verdict.ok
    assert verdict.dialect
    assert "wrong-secret" not in verdict.fault
    assert not check(received(dialect), ()).ok


@pytest.mark.parametrize("dialect", [Dialect.SIGNED, Dialect.WEBHOOKS, Dialect.WEBHOOKS_V2])
def test_a_body_that_was_written_anew_is_found_out(dialect: Dialect) -> None:
    changed = received(dialect).body.replace(b"2", b"3").replace(b"=d", b"=e")
    verdict = check(received(dialect, body=changed), (SECRET,))
    assert "nothing may be decoded" in verdict.fault


def test_an_old_request_is_told_from_a_wrong_one() -> None:
    now_ms = time.time_ns() // 1_000_000
    assert check(received(Dialect.SIGNED), (SECRET,), now_ms=now_ms).ok
    late = check(received(Dialect.SIGNED), (SECRET,), now_ms=now_ms + 3_600_000)
    assert late.fault.startswith("the signature is right, but more than 300 s away")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"headers": {"webhook-signature": "v1,x"}}, "webhook-id is missing"),
        (
            {"headers": {"webhook-signature": "v1,x", "webhook-id": "e"}},
            "webhook-timestamp is missing",
        ),
        (
            {"headers": {"webhook-signature": "ü", "webhook-id": "e", "webhook-timestamp": "x"}},
            "no number of seconds",
        ),
        (
            {"headers": {"webhook-signature": "ü", "webhook-id": "e", "webhook-timestamp": "5"}},
            "nothing may be decoded",
        ),
        ({"headers": {}}, "there is no signature"),
        ({"headers": {"authorization": "Bearer secret"}}, "the header is another one"),
        ({"headers": {"authorization": "Bearer a.b.c"}}, "the token is not valid"),
        ({"headers": {}, "body": b"signed_parameters=x"}, "the token is not valid"),
        ({"headers": {}, "body": b"", "url": "https://h/?a&checksum="}, "this query"),
        ({"headers": {}, "url": "https://h/?checksum=ü"}, "this address and body"),
    ],
)
def test_what_is_wrong_is_a_sentence(changes: dict[str, Any], says: str) -> None:
    assert says in check(received(Dialect.SIGNED, **changes), (SECRET,)).fault


@pytest.mark.parametrize(
    "url", ["https://h/x", "https://h/x?", "https://h/x?a=1&", "https://h/x?checksum=1"]
)
@pytest.mark.parametrize("dialect", [Dialect.WEBHOOKS, Dialect.WEBHOOKS_V2])
def test_any_registered_address_is_told_from_what_was_appended_to_it(
    dialect: Dialect, url: str
) -> None:
    body = b"domain=h&event=%5B%5D&timestamp=1"
    sent = outgoing(
        dialect, url=url, body=body, event_id="e", created_ms=0, now_ms=0, secrets=(SECRET,)
    )
    headers = {name.lower(): value for name, value in sent.headers.items()}
    assert check(Received(sent.url, headers, sent.body), (SECRET,)).ok
    touched = sent.body.replace(b"timestamp=1", b"timestamp=2")
    assert not check(Received(sent.url, headers, touched), (SECRET,)).ok


def test_a_secret_that_looks_like_a_token_is_a_secret() -> None:
    headers = {"authorization": "Bearer a.b.c"}
    verdict = check(Received("https://h/x", headers, b"domain=h"), ("a.b.c",))
    assert (verdict.dialect, verdict.ok) == (Dialect.WEBHOOKS_BEARER, True)
