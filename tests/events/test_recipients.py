"""Facts about who is told of an event, where, and in which form."""

from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest

from scheduler.directory_records import Credential, Directory, Endpoint, Subscription
from scheduler.hooks import Hook
from scheduler.settings import Settings
from schemas.dialects.names import OF_ENDPOINTS
from schemas.events import Event
from tests.events.builders import AT_MS, MEETING, event
from workers import recipients

NOW_MS = AT_MS + 1_000


def subscription(**fields: Any) -> Subscription:
    made: dict[str, Any] = {
        "id": 1, "pool_id": 1, "slug": "acme", "name": "", "seats": 20, "enabled": True,
        "meetings_max": None, "default_seats": 10, "default_duration_s": 60,
        "meeting_seats_max": None, "duration_max_s": None, "welcome_text": "",
        "moderator_text": "",
    }  # fmt: skip
    return Subscription(**made | fields)


def credential(plan: Subscription, **fields: Any) -> Credential:
    made: dict[str, Any] = {
        "id": 1, "subscription_id": plan.id, "subscription": plan, "name": "acme", "sub": None,
        "label": "", "secrets": ("newest", "older"), "enabled": True, "is_default": False,
        "hosts": (), "algorithms": frozenset(), "default_seats": 10, "default_duration_s": 60,
    }  # fmt: skip
    return Credential(**made | fields)


def endpoint(number: int = 1, **fields: Any) -> Endpoint:
    made: dict[str, Any] = {
        "id": number, "subscription_id": 1, "credential_id": None, "url": "https://app.example/h",
        "dialect": "draft", "kinds": frozenset(), "enabled": True, "created_ms": 0,
    }  # fmt: skip
    return Endpoint(**made | fields)


def directory(*endpoints: Endpoint, plan: Subscription | None = None) -> Directory:
    plan = plan or subscription()
    five = credential(plan, id=5, name="acme-5", sub=5, secrets=("of five",))
    return Directory(
        version=1, pools={}, pool_by_name={}, nodes={}, nodes_of_pool={},
        subscriptions={1: plan}, subscription_by_slug={"acme": plan},
        credentials={5: five, 1: credential(plan)}, credential_by_name={}, credential_by_host={},
        default_credential=None, endpoints={e.id: e for e in endpoints},
    )  # fmt: skip


def expanded(told: Event, found: Directory, *hooks: Hook) -> list[recipients.Row]:
    return recipients.expand(
        told, found, now_ms=NOW_MS, first_step_s=0, hooks=hooks, domain="bbb.example"
    )


def targets(told: Event, found: Directory, *hooks: Hook) -> list[str]:
    return [row["target"] for row in expanded(told, found, *hooks)]


@pytest.mark.parametrize(
    ("filtered", "told", "wanted"),
    [
        ({}, {}, True),
        ({"enabled": False}, {}, False),
        ({"kinds": frozenset({"userLeft"})}, {}, True),
        ({"kinds": frozenset({"user-left"})}, {}, True),
        ({"kinds": frozenset({"userJoined"})}, {}, False),
        ({"credential_id": 1}, {}, True),
        ({"credential_id": 5}, {}, False),
        ({"credential_id": 1}, {"credential": 0}, False),
        ({"external_id": "room-42"}, {}, True),
        ({"external_id": "room-4"}, {}, False),
        ({"dialect": "webhooks"}, {"kind": "windowEnded"}, False),
        ({"dialect": "signed"}, {"kind": "windowEnded"}, True),
    ],
)
def test_an_endpoint_is_told_what_it_wants(
    filtered: dict[str, Any], told: dict[str, Any], *, wanted: bool
) -> None:
    assert bool(targets(event(**told), directory(endpoint(**filtered)))) is wanted


def test_a_test_event_reaches_one_endpoint_only_whatever_it_wants() -> None:
    found = directory(endpoint(1, kinds=frozenset({"userLeft"}), external_id="room-1"), endpoint(2))
    ping = event("ping", meeting="", meeting_id="", data={"endpoint": 1})
    anywhere = Hook("h", 1, "https://app.example/", None, ())
    (row,) = expanded(ping, found, anywhere)
    assert row["target"] == "endpoint:1"
    assert row["lane"] == f"endpoint:1/{row['id']}", "it does not wait behind what fails"


@pytest.mark.parametrize("dialect", OF_ENDPOINTS)
def test_each_dialect_has_its_address_and_its_body(dialect: str) -> None:
    (row,) = expanded(event(), directory(endpoint(dialect=dialect)))
    assert (row["dialect"], row["kind"], row["credential_id"]) == (dialect, "userLeft", 1)
    assert (row["subscription_id"], row["meeting_id"], row["state"]) == (1, MEETING, "waiting")
    body = row["body"]
    if dialect == "draft":
        assert body == b""
        assert row["url"].startswith("https://app.example/h?event=userLeft&")
        return
    assert row["url"] == "https://app.example/h"
    if dialect == "signed":
        document = orjson.loads(body)
        assert (document["source"], document["id"]) == ("/t/acme", "e1")
        return
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    assert (form["domain"], form["timestamp"]) == ("bbb.example", str(NOW_MS))
    (mapped,) = orjson.loads(form["event"])
    assert mapped["data"]["id"] == "user-left"


def test_strict_endpoints_have_a_lane_for_each_meeting_and_relaxed_ones_for_each_delivery() -> None:
    found = directory(endpoint(1), endpoint(2, ordering="relaxed"))
    strict, relaxed = expanded(event(), found)
    assert strict["lane"] == f"endpoint:1/{MEETING}"
    assert relaxed["lane"] == f"endpoint:2/{relaxed['id']}"


def test_webhooks_hear_of_their_credential_and_meeting() -> None:
    hooks = [
        Hook("all", 1, "https://a.example/", None, ()),
        Hook("room", 1, "https://b.example/", "room-42", ("user-left",)),
        Hook("other", 1, "https://c.example/", "room-43", ()),
        Hook("none", 1, "https://d.example/", "", ()),
        Hook("kinds", 1, "https://e.example/", None, ("user-joined",)),
        Hook("five", 5, "https://f.example/", None, ()),
    ]
    assert targets(event(), directory(), *hooks) == ["hook:all", "hook:room"]
    about_all = event("reservationRefused", meeting="", meeting_id="")
    assert targets(about_all, directory(), *hooks) == [], "applications do not know our kinds"
    row = expanded(event(), directory(), hooks[0])[0]
    assert (row["dialect"], row["lane"]) == ("webhooks", f"hook:all/{MEETING}")


def test_the_callbacks_of_a_create_are_told_each_for_itself() -> None:
    ended = event(
        "meetingEnded",
        data={"recordingMarks": True},
        callbacks=[("https://a/?x=1", "endCallbackUrl"), ("https://b/", "meetingEndedURL")],
    )
    first, second = expanded(ended, directory())
    assert first["url"] == "https://a/?x=1&recordingmarks=true&meetingID=room-42"
    assert (second["url"], second["dialect"], second["body"]) == ("https://b/", "callback", b"")
    assert first["lane"] == first["target"] == f"callback:{MEETING}:0"
    ready = event(
        "recordingReady",
        data={"recordID": "r-1"},
        callbacks=[("https://c/", "recordingReadyUrl")],
    )
    (row,) = expanded(ready, directory())
    assert (row["dialect"], row["url"]) == ("recording-ready", "https://c/")
    assert orjson.loads(row["body"]) == {"meeting_id": "room-42", "record_id": "r-1"}
    document = {"meeting_id": f"sk-{MEETING}", "data": {"attendees": [{"name": "Ada"}]}}
    analytics = event(
        "analyticsReady",
        data={"analytics": document},
        callbacks=[("https://d/", "analyticsCallbackUrl")],
    )
    (told, other) = expanded(analytics, directory(endpoint(dialect="signed")))[::-1]
    assert told["dialect"] == "analytics"
    assert orjson.loads(told["body"])["data"]["attendees"] == [{"name": "Ada"}]
    assert b"sk-" not in told["body"]
    assert b"Ada" not in other["body"], "an endpoint gets the names of people only if wanted"


def test_endpoints_are_told_of_people_as_their_subscription_says() -> None:
    shy = directory(endpoint(dialect="signed"), plan=subscription(event_id_key=b"k" * 32))
    (row,) = expanded(event("userJoined"), shy)
    assert b"Ada" not in row["body"]
    assert b"staff-7" not in row["body"]
    open_ = directory(endpoint(dialect="signed"), plan=subscription(event_names=True))
    (row,) = expanded(event("userJoined"), open_)
    assert orjson.loads(row["body"])["data"]["userName"] == "Ada"


def test_what_cannot_be_sent_is_parked_for_people_to_see() -> None:
    for url in ("https://h/" + "x" * 5_000, "https://h/\x00"):
        (row,) = expanded(event(), directory(endpoint(url=url)))
        assert (row["state"], row["finished_ms"]) == ("parked", NOW_MS)
        assert len(row["url"]) <= recipients.URL_LENGTH_MAX
    large = event("chatGroupMessageSent", data={"message": "x" * 1_100_000})
    (row,) = expanded(large, directory(endpoint(dialect="signed")))
    assert (row["state"], row["body"]) == ("parked", b"")


def test_events_written_before_an_upgrade_are_understood() -> None:
    old: dict[str, Any] = {**event("userJoined")}
    for name in ("user_internal_id", "user_name", "data"):
        del old[name]
    rows = expanded(
        old,  # type: ignore[arg-type]
        directory(*(endpoint(n, dialect=d) for n, d in enumerate(OF_ENDPOINTS, 1))),
    )
    assert len(rows) == len(OF_ENDPOINTS)
    with pytest.raises(ValueError, match="nonsense"):
        expanded(event("nonsense"), directory())


@pytest.mark.parametrize(
    ("target", "credential_id", "expected"),
    [
        ("callback:x:0", 1, ("newest", "older")),
        ("hook:h", 5, ("of five",)),
        ("hook:h", 9, ()),
        ("endpoint:1", 1, ("newest", "older")),
        ("endpoint:1", 5, ("of five",)),
        ("endpoint:1", 0, ("newest", "older")),
        ("endpoint:2", 1, ("own", "own before")),
        ("endpoint:3", 1, ("own",)),
        ("endpoint:4", 1, ()),
        ("endpoint:5", 0, ("of five",)),
        ("endpoint:99", 1, ()),
    ],
)
def test_what_a_delivery_is_signed_with(
    target: str, credential_id: int, expected: tuple[str, ...]
) -> None:
    """Own secrets before those of the credential; a secret that does not open is not replaced."""
    own: dict[str, Any] = {"own_secrets": True, "secrets": ("own", "own before")}
    found = directory(
        endpoint(1),
        endpoint(2, **own, previous_until_ms=NOW_MS + 1),
        endpoint(3, **own, previous_until_ms=NOW_MS),
        endpoint(4, own_secrets=True),
        endpoint(5, credential_id=5),
    )
    assert recipients.secrets(found, target, credential_id, now_ms=NOW_MS) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "localhost"),
        ({"base_domain": "bbb.example.org"}, "bbb.example.org"),
        ({"base_domain": "x", "public_url": "https://bbb.example.org:8443"}, "bbb.example.org"),
    ],
)
def test_the_domain_of_the_forms(settings: dict[str, str], expected: str) -> None:
    assert recipients.domain(Settings(**settings)) == expected  # type: ignore[arg-type]
