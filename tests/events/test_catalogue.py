"""Facts about the catalogue, its filters and its documents."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from jsonschema import Draft202012Validator

from gateway.catalogue import Catalogue
from schemas import catalogue, event_documents
from schemas.events import EventKind
from tests.gateway import world

DOCUMENTS: list[Callable[[], bytes]] = [event_documents.asyncapi, event_documents.openapi]


def test_every_kind_has_two_names_and_a_sentence() -> None:
    assert set(catalogue.ENTRIES) == set(EventKind)
    for kind, entry in catalogue.ENTRIES.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", entry.alias)
        assert entry.summary.endswith(".")
        for name in (kind.value, entry.alias, kind.value.upper(), f" {entry.alias} "):
            assert catalogue.kind_of(name) is kind
    assert catalogue.kind_of("user-vanished") is None
    assert len({entry.alias for entry in catalogue.ENTRIES.values()}) == len(EventKind)


def test_the_names_of_bbb_webhooks_are_spelled_as_there() -> None:
    spelled = {
        EventKind.USER_CAM_BROADCAST_END: "user-cam-broadcast-end",
        EventKind.CHAT_GROUP_MESSAGE_SENT: "chat-group-message-sent",
        EventKind.RAP_POST_PUBLISH_ENDED: "rap-post-publish-ended",
        EventKind.USER_AUDIO_VOICE_ENABLED: "user-audio-voice-enabled",
        EventKind.PING: "ping",
    }
    assert {kind: catalogue.ENTRIES[kind].alias for kind in spelled} == spelled
    assert sum(entry.of_webhooks for entry in catalogue.ENTRIES.values()) == 43


@pytest.mark.parametrize(
    ("names", "kind", "webhooks", "wanted"),
    [
        ((), EventKind.USER_LEFT, False, True),
        ((), EventKind.WINDOW_ENDED, False, True),
        ((), EventKind.USER_LEFT, True, True),
        ((), EventKind.WINDOW_ENDED, True, False),
        (("window-ended",), EventKind.WINDOW_ENDED, True, True),
        (("user-left",), EventKind.USER_LEFT, True, True),
        (("userLeft",), EventKind.USER_LEFT, False, True),
        (("userLeft",), EventKind.USER_JOINED, False, False),
        (("no-such-event",), EventKind.USER_LEFT, True, False),
        (("no-such-event", "user-left"), EventKind.USER_LEFT, True, True),
    ],
)
def test_a_filter_takes_either_name(
    names: tuple[str, ...], kind: EventKind, *, webhooks: bool, wanted: bool
) -> None:
    assert catalogue.wants(kind, names, webhooks=webhooks) is wanted


def test_the_draft_form_tells_unasked_only_what_it_can_say() -> None:
    assert catalogue.wants(EventKind.USER_LEFT, (), draft=True)
    assert catalogue.wants(EventKind.WINDOW_ENDED, (), draft=True)
    assert not catalogue.wants(EventKind.NODE_LOST, (), draft=True)
    assert not catalogue.wants(EventKind.CHAT_GROUP_MESSAGE_SENT, (), draft=True)
    assert catalogue.wants(EventKind.CHAT_GROUP_MESSAGE_SENT, ("chatGroupMessageSent",), draft=True)


@pytest.mark.parametrize("kind", EventKind)
def test_every_example_fits_its_schema(kind: EventKind) -> None:
    document = orjson.loads(event_documents.asyncapi())
    schema = document["components"]["schemas"][kind.value]
    Draft202012Validator.check_schema(schema)
    sent = orjson.loads(event_documents.examples(kind)["signed"])
    assert not list(Draft202012Validator(schema).iter_errors(sent))
    assert [e.validator for e in Draft202012Validator(schema).iter_errors(sent | {"type": "x"})]
    described = schema["properties"]["data"]["properties"]
    assert set(sent["data"]) <= set(described), "what is sent is described"


@pytest.mark.parametrize("make", DOCUMENTS)
def test_every_reference_of_a_document_leads_somewhere(make: Callable[[], bytes]) -> None:
    document = orjson.loads(make())
    found = 0
    for reference in _references(document):
        found += 1
        place: Any = document
        for key in reference.removeprefix("#/").split("/"):
            place = place[key]
        assert isinstance(place, dict)
    assert found >= len(EventKind)


def _references(tree: Any) -> list[str]:
    if isinstance(tree, list):
        return [found for item in tree for found in _references(item)]
    if not isinstance(tree, dict):
        return []
    own = [tree["$ref"]] if "$ref" in tree else []
    return own + [found for item in tree.values() for found in _references(item)]


def test_the_documents_say_what_they_are() -> None:
    asyncapi, openapi = (orjson.loads(make()) for make in DOCUMENTS)
    assert asyncapi["asyncapi"] == "3.0.0"
    assert set(asyncapi["channels"]["events"]["messages"]) == set(EventKind)
    assert openapi["openapi"] == "3.1.0"
    assert set(openapi["webhooks"]) == set(EventKind)
    for kind in EventKind:
        operation = openapi["webhooks"][kind]["post"]
        assert {p["name"] for p in operation["parameters"]} == {
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
        }


def test_no_document_and_no_page_shows_a_password() -> None:
    """A new meeting has two; only mapped events carry them."""
    served = b"".join(make() for make in DOCUMENTS)
    assert b"moderatorPW" not in served
    assert b"sk-" not in served


async def test_the_catalogue_is_served_without_a_login() -> None:
    app = web.Application()
    app.router.add_routes(Catalogue().routes())
    async with TestClient(TestServer(app)) as client:
        names = ("/events/", "/events/asyncapi.json", "/events/openapi.json")
        answers = await asyncio.gather(*(client.get(name) for name in names))
        assert [answer.status for answer in answers] == [200, 200, 200]
        page, *documents = [await answer.text() for answer in answers]
        assert answers[0].content_type == "text/html"
        assert "default-src 'none'" in answers[0].headers["Content-Security-Policy"]
        assert [orjson.loads(text) for text in documents] == [
            orjson.loads(make()) for make in DOCUMENTS
        ]
        for kind, entry in catalogue.ENTRIES.items():
            assert f'<h2 id="{kind}">' in page
            assert f"<code>{entry.alias}</code>" in page
        assert "<script" not in page
        moved = await client.get("/events", allow_redirects=False)
        assert (moved.status, moved.headers["Location"]) == (308, "events/")
        assert (await client.get("/events")).status == 200


async def test_a_gateway_serves_the_catalogue_beside_the_api(tmp_path: Path) -> None:
    async with world.running(tmp_path) as run:
        for path, status in (("/events/", 200), ("/events/openapi.json", 200), ("/events/x", 404)):
            answer = await run.raw("GET", f"{run.origin}{path}")
            assert (path, answer.status) == (path, status)
        assert (await run.raw("POST", f"{run.origin}/events/")).status == 405
