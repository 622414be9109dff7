"""Facts about the callbacks for recordings and analytics."""

from urllib.parse import parse_qs

import jwt
import orjson
import pytest

from schemas.dialects import analytics, recording_ready, tokens
from schemas.dialects.outgoing import outgoing
from tests.events.builders import INTERNAL, SECRET, event

#: As a server signs it for this meeting, recording and secret.
TOKEN = (
    "eyJhbGciOiJIUzI1NiJ9.eyJtZWV0aW5nX2lkIjoicm9vbS00MiIsInJlY29yZF9pZCI6IjVmMWQwYWQzYjdiNDRlM2I4"
    "ZDFiNmEyYjZmMGFjMmYxYzFkMmUzZjQtMTcxODAwMDAwMDAwMCJ9"
    ".s4nhan9TSglmpl8YVJ-Rn4ZVR6B1ENclHMYL5PTNhLA"
)


def test_a_recording_is_told_with_the_token_that_a_server_would_send() -> None:
    told = event("recordingReady", data={"recordID": INTERNAL})
    got = outgoing(
        "recording-ready",
        url="https://app.example/ready",
        body=recording_ready.claims(told),
        event_id="e1",
        created_ms=1,
        now_ms=2,
        secrets=(SECRET, "previous"),
    )
    assert got.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(got.body.decode()) == {"signed_parameters": [TOKEN]}


def test_analytics_are_told_with_a_bearer_for_a_day() -> None:
    told = event(
        "analyticsReady",
        data={"analytics": {"version": "1.0", "meeting_id": "sk-1", "data": {"duration": 5}}},
    )
    body = analytics.document(told)
    assert orjson.loads(body) == {
        "version": "1.0",
        "meeting_id": "room-42",
        "data": {"duration": 5},
        "internal_meeting_id": INTERNAL,
    }
    got = outgoing(
        "analytics",
        url="https://app.example/a",
        body=body,
        event_id="e1",
        created_ms=1,
        now_ms=1_718_003_600_000,
        secrets=(SECRET,),
    )
    assert got.body == body
    assert got.headers["User-Agent"] == "BigBlueButton Analytics Callback"
    scheme, _, token = got.headers["Authorization"].partition(" ")
    assert (scheme, jwt.get_unverified_header(token)) == ("Bearer", {"typ": "JWT", "alg": "HS512"})
    claims = jwt.decode(token, SECRET.encode().ljust(64, b"\0"), ["HS512"], {"verify_exp": False})
    assert claims == {"exp": 1_718_003_600 + 86_400}


def test_a_token_is_taken_with_one_of_the_secrets_only() -> None:
    said = tokens.claims_of(TOKEN, ("other", "", SECRET), tokens.RECORDING_ALGORITHM)
    assert said == {"meeting_id": "room-42", "record_id": INTERNAL}
    none = jwt.encode({"meeting_id": "room-42"}, "", algorithm="none")
    for token, secrets in (
        (TOKEN, ("other",)),
        (TOKEN, ()),
        (TOKEN, ("",)),
        (none, (SECRET,)),
        (TOKEN[:-1], (SECRET,)),
        ("", (SECRET,)),
    ):
        with pytest.raises(tokens.TokenError):
            tokens.claims_of(token, secrets, tokens.RECORDING_ALGORITHM)
    with pytest.raises(tokens.TokenError):
        tokens.claims_of(TOKEN, (SECRET,), tokens.ANALYTICS_ALGORITHM)


def test_a_bearer_that_is_over_is_refused() -> None:
    token = tokens.analytics(0, SECRET)
    with pytest.raises(tokens.TokenError, match="expired"):
        tokens.claims_of(token, (SECRET,), tokens.ANALYTICS_ALGORITHM)
