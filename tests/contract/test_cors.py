"""Browser applications of other origins: the reading calls, for the origins that are listed."""

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from gateway.dispatch import Dispatch
from scheduler import credentials
from schemas import checksum
from tests.gateway import world
from tests.gateway.world import Reply, World

APP = "https://app.example.org"
ALLOWED = "Access-Control-Allow-Origin"


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[World]:
    async with world.running(tmp_path) as running:
        await credentials.change_credential(
            running.database, "acme", origins=f"{APP} http://localhost:3000"
        )
        await running.directory.refresh()
        yield running


def closed(reply: Reply) -> None:
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("origin", [APP, "http://localhost:3000"])
@pytest.mark.parametrize("accept", ["*/*", "application/json"])
async def test_a_listed_origin_may_read(run: World, origin: str, accept: str) -> None:
    reply = await run.call("getMeetings", headers={"Origin": origin, "Accept": accept})
    assert reply.headers[ALLOWED] == origin
    assert reply.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in reply.headers
    if accept == "application/json":
        assert orjson.loads(reply.text)["response"]["messageKey"] == "noMeetings"
    else:
        assert reply.key == "noMeetings"


async def test_a_page_may_read_why_it_failed(run: World) -> None:
    reply = await run.call("getMeetingInfo", {"meetingID": "none"}, headers={"Origin": APP})
    assert (reply.key, reply.headers[ALLOWED]) == ("notFound", APP)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        APP + ".evil.example",
        APP + ":8443",
        "http://app.example.org",
        f"{APP} http://localhost:3000",
        "*",
    ],
)
async def test_other_origins_may_not(run: World, origin: str) -> None:
    reply = await run.call("getMeetings", headers={"Origin": origin})
    assert reply.ok
    closed(reply)


async def test_origins_are_those_of_the_credential(run: World) -> None:
    reply = await run.call(
        "getMeetings",
        secret=world.OTHER_SECRET,
        prefix="/t/other/bigbluebutton/api",
        headers={"Origin": APP},
    )
    assert reply.ok
    closed(reply)


async def test_any_origin_may_read_if_the_credential_says_so(run: World) -> None:
    await credentials.change_credential(run.database, "acme", origins="*")
    await run.directory.refresh()
    reply = await run.call("getMeetings", headers={"Origin": "https://anywhere.example"})
    assert reply.headers[ALLOWED] == "*"


async def test_calls_that_change_something_are_never_open(run: World) -> None:
    for name, call in Dispatch(run.parts).calls.items():
        if call.reads:
            continue
        for method in ("GET", "POST", "OPTIONS"):
            query = checksum.signed_query(name, "meetingID=none", world.SECRET)
            closed(await run.raw(method, run.url(name, query), headers={"Origin": APP}))


async def test_a_browser_may_ask_first(run: World) -> None:
    reply = await run.raw(
        "OPTIONS",
        run.url("getMeetings", checksum.signed_query("getMeetings", "", world.SECRET)),
        headers={
            "Origin": APP,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "content-type",
        },
    )
    assert (reply.status, reply.text) == (204, "")
    assert reply.headers[ALLOWED] == APP
    assert reply.headers["Vary"] == "Origin"
    assert reply.headers["Access-Control-Allow-Methods"] == "GET, HEAD, POST"
    assert "Content-Type" in reply.headers["Access-Control-Allow-Headers"]
    assert int(reply.headers["Access-Control-Max-Age"]) > 0
    assert "Access-Control-Allow-Credentials" not in reply.headers


@pytest.mark.parametrize("prefix", ["/bigbluebutton/api", "/t/nobody/bigbluebutton/api"])
async def test_to_others_the_question_is_a_wrong_method(run: World, prefix: str) -> None:
    """The same answer whether the credential exists or not."""
    reply = await run.raw(
        "OPTIONS",
        run.url("getMeetings", prefix=prefix),
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"},
    )
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD, POST")
    closed(reply)
