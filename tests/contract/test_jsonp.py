"""JSONP: reading calls as scripts, where the credential allows it."""

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from gateway.dispatch import Dispatch
from scheduler import credentials
from schemas import checksum
from tests.gateway import world
from tests.gateway.world import Reply, World


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[World]:
    async with world.running(tmp_path) as running:
        await credentials.change_credential(running.database, "acme", jsonp=True)
        await running.directory.refresh()
        yield running


def refused(reply: Reply, key: str) -> None:
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    response = orjson.loads(reply.text)["response"]
    assert (response["returncode"], response["messageKey"]) == ("FAILED", key)


@pytest.mark.parametrize("callback", ["f", "$", "_a.b.$c", "jQuery1234_5678", "a" * 64])
async def test_a_reading_call_is_a_script(run: World, callback: str) -> None:
    reply = await run.call("getMeetings", {"format": "jsonp", "callback": callback})
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/javascript; charset=utf-8"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    start, end = f"/**/{callback}(", ");"
    assert reply.text.startswith(start)
    assert reply.text.endswith(end)
    document = orjson.loads(reply.text.removeprefix(start).removesuffix(end))
    assert document["response"]["meetings"] == []


async def test_failures_behind_the_signature_are_scripts_too(run: World) -> None:
    params = {"meetingID": "nowhere", "format": "JSONP", "callback": "f"}
    reply = await run.call("getMeetingInfo", params)
    assert reply.text.startswith('/**/f({"response":{"returncode":"FAILED","messageKey":"notFound"')


async def test_text_of_callers_cannot_end_the_script(run: World) -> None:
    name = 'a\u2028b\u2029c </script> ");alert(1)//'
    await run.create(name=name)
    reply = await run.call("getMeetings", {"format": "jsonp", "callback": "f"})
    assert "\u2028" not in reply.text
    assert "\u2029" not in reply.text
    document = orjson.loads(reply.text.removeprefix("/**/f(").removesuffix(");"))
    assert document["response"]["meetings"][0]["meetingName"] == name


@pytest.mark.parametrize(
    "callback",
    [
        "",
        "1a",
        "a b",
        "a(",
        "a;alert(1)",
        "a]",
        "ä",
        "a\u2028",
        "a" * 65,
        "<b>",
        ".a",
        "a\n",
        "a-b",
    ],
)
async def test_a_callback_is_a_name(run: World, callback: str) -> None:
    refused(
        await run.call("getMeetings", {"format": "jsonp", "callback": callback}), "invalidCallback"
    )


async def test_a_callback_is_needed(run: World) -> None:
    refused(await run.call("getMeetings", {"format": "jsonp"}), "invalidCallback")


async def test_the_first_callback_counts(run: World) -> None:
    query = "format=jsonp&callback=a%28&callback=b"
    signed = checksum.signed_query("getMeetings", query, world.SECRET)
    refused(await run.raw("GET", run.url("getMeetings", signed)), "invalidCallback")


async def test_other_calls_are_never_scripts_and_do_nothing(run: World) -> None:
    """A page of another origin must not be able to make anything happen."""
    await run.create("there")
    for name, call in Dispatch(run.parts).calls.items():
        if call.reads or "GET" not in call.methods:
            continue
        params = {"format": "jsonp", "callback": "f", "name": "Room", "meetingID": "there"}
        params |= {"fullName": "Ada", "role": "VIEWER", "redirect": "false"}
        if name == "create":
            params["meetingID"] = "new"
        refused(await run.call(name, params), "jsonpNotAllowed")
    listed = await run.call("getMeetings")
    assert [m.findtext("meetingID") for m in listed.root.iter("meeting")] == ["there"]
    assert not await run.node_calls("join")


async def test_a_post_is_no_script(run: World) -> None:
    query = "format=jsonp&callback=f"
    signed = checksum.signed_query("getMeetings", query, world.SECRET)
    refused(await run.raw("POST", run.url("getMeetings", signed)), "jsonpNotAllowed")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    signed = checksum.signed_query("getMeetings", "", world.SECRET)
    data = f"{signed}&{query}".encode()
    reply = await run.raw("POST", run.url("getMeetings"), data=data, headers=form)
    refused(reply, "jsonpNotAllowed")


async def test_a_credential_without_jsonp_has_none(run: World) -> None:
    reply = await run.call(
        "getMeetings",
        {"format": "jsonp", "callback": "f"},
        secret=world.OTHER_SECRET,
        prefix="/t/acme-5/bigbluebutton/api",
    )
    refused(reply, "jsonpNotAllowed")


async def test_a_wrong_signature_makes_no_script(run: World) -> None:
    reply = await run.call("getMeetings", {"format": "jsonp", "callback": "f"}, secret="wrong")
    refused(reply, "checksumError")


async def test_a_callback_alone_asks_for_nothing(run: World) -> None:
    reply = await run.call("getMeetings", {"callback": "f"})
    assert reply.headers["Content-Type"] == "text/xml; charset=utf-8"
