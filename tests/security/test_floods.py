"""Requests that are too long, too slow, too many, or two in one: bounded, and nobody else notices.

The sizes are what one stranger may send before he is cut off; while he sends, a customer's call is
answered as ever. Server libraries of this field read pipelined requests without end, let headers
drip for an hour, and took one request for two.
"""

import asyncio
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import http_parser
from packaging.requirements import Requirement
from packaging.version import Version

from gateway import app
from schemas import checksum
from tests.gateway import wire, world
from tests.gateway.wire import API, FORM
from tests.gateway.world import SECRET, Reply, World

KEEPALIVE_S = 1
BODY_S = 1
#: What a customer waits for his answer at most while somebody floods us, on a busy machine.
PATIENCE_S = 5
CREATE = "name=Room&meetingID=room-42"


@pytest.fixture
async def short(tmp_path: Path) -> AsyncIterator[World]:
    """An installation that loses its patience soon."""
    async with world.running(
        tmp_path, nodes=1, keepalive_timeout_s=KEEPALIVE_S, body_timeout_s=BODY_S
    ) as running:
        yield running


async def connect(run: World) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = run.origin.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def assert_served(run: World) -> None:
    async with asyncio.timeout(PATIENCE_S):
        assert (await run.call("isMeetingRunning", {"meetingID": "room-42"})).ok


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the other side closes."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (f"{API}/getMeetings?" + "a" * 200_000, {}),
        (f"{API}/" + "a" * 200_000, {}),
        (f"{API}/getMeetings", {"X-Long": "a" * 200_000}),
        (f"{API}/getMeetings", {"Cookie": "a=b; " * 40_000}),
        (f"{API}/getMeetings", {"X" * 100_000: "a"}),
        (f"{API}/getMeetings", {f"X-{number}": "a" for number in range(500)}),
    ],
)
async def test_a_head_without_end_is_refused(
    run: World, target: str, headers: dict[str, str]
) -> None:
    reply = await wire.send(run, target, headers=headers)
    assert reply.status in {0, 400, 414, 431}, reply.status
    await assert_served(run)


async def test_a_flood_of_cookies_within_the_limit_costs_nothing(run: World) -> None:
    cookies = "; ".join(f"c{number}=v" for number in range(6_000))
    reply = await wire.signed(run, "getMeetings", headers={"Cookie": cookies})
    assert reply.ok


@pytest.mark.parametrize(
    "start",
    [b"", b"GET", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "],
)
async def test_a_head_that_drips_is_given_up(short: World, start: bytes) -> None:
    reader, writer = await connect(short)
    writer.write(start)

    async def drip() -> None:
        while True:
            await asyncio.sleep(0.2)
            writer.write(b"a")

    dripping = asyncio.create_task(drip()) if start else None
    try:
        async with asyncio.timeout(KEEPALIVE_S * 5):
            await rest(reader)
    finally:
        if dripping is not None:
            dripping.cancel()
        writer.close()


@pytest.mark.parametrize("given", [b"", b"name="])
async def test_a_body_that_stops_is_given_up(short: World, given: bytes) -> None:
    tail = checksum.signed_query("create", CREATE, SECRET)
    head = wire.request_bytes(
        "POST",
        f"{API}/create?{tail}",
        headers={"Content-Type": FORM, "Content-Length": "1000"},
    )
    assert (await wire.exchange(short.origin, head + given)).status in {0, 408}
    assert await short.node_calls("create") == []


async def test_a_body_that_says_it_is_too_long_is_not_read(run: World) -> None:
    for call, query in (("create", CREATE), ("end", "meetingID=room-42"), ("getMeetings", "")):
        headers = {"Content-Type": FORM, "Content-Length": str(10**12)}
        reply = await wire.signed(run, call, query, method="POST", headers=headers, body=b"a=b")
        assert reply.status in {200, 413}
        assert reply.key in {"requestTooLarge", ""}
    assert await run.node_calls("create") == []


async def test_a_body_without_end_is_cut_off(run: World) -> None:
    """A stranger has signed nothing: he may not make us keep what he sends."""
    head = wire.request_bytes(
        "POST",
        f"{API}/getMeetings",
        headers={"Content-Type": FORM, "Transfer-Encoding": "chunked"},
        body=b"",
    )
    _, writer = await connect(run)
    writer.write(head)
    part = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
    # What comes behind the limit is thrown away for a few seconds, so that the answer is read.
    async with asyncio.timeout(3 * PATIENCE_S):
        with pytest.raises(ConnectionError):
            await _pour(writer, part)
    writer.close()
    await assert_served(run)


async def _pour(writer: asyncio.StreamWriter, part: bytes) -> None:
    while True:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_requests_in_a_row_wait_for_their_turn(run: World) -> None:
    """Pipelined by the thousand, they neither pile up nor hold up anybody else."""
    tail = checksum.signed_query("isMeetingRunning", "meetingID=room-42", SECRET)
    one = wire.request_bytes(
        "GET", f"{API}/isMeetingRunning?{tail}", headers={"Connection": "keep-alive"}
    )
    reader, writer = await connect(run)
    flood = asyncio.create_task(_flood(writer, one * 50))
    try:
        for _ in range(3):
            await assert_served(run)
        async with asyncio.timeout(PATIENCE_S):
            assert b"<running>false" in await reader.readuntil(b"</response>")
    finally:
        flood.cancel()
        writer.transport.abort()


async def _flood(writer: asyncio.StreamWriter, part: bytes) -> None:
    for _ in range(200):
        writer.write(part)
        await writer.drain()


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "5", "Transfer-Encoding": "chunked"},
        {"Content-Length": "+5"},
        {"Content-Length": "5, 6"},
        {"Content-Length": "-1"},
        {"Content-Length": "0x5"},
        {"Transfer-Encoding": "chunked, identity"},
        {"Transfer-Encoding": "xchunked"},
        {"Transfer-Encoding": "chunked\x0b"},
    ],
)
async def test_a_request_of_two_lengths_is_refused(run: World, headers: dict[str, str]) -> None:
    """What a proxy takes for a body must not be the next request to us."""
    hidden = b"0\r\n\r\nGET /bigbluebutton/api HTTP/1.1\r\nHost: x\r\n\r\n"
    request = wire.request_bytes("POST", f"{API}/getMeetings", headers=headers, body=None) + hidden
    answer = await _raw(run, request)
    assert answer.count(b"HTTP/1.1 ") <= 1, answer
    assert b"<version>" not in answer


async def test_an_upgrade_does_not_turn_a_body_into_requests(run: World) -> None:
    hidden = b"GET /bigbluebutton/api HTTP/1.1\r\nHost: x\r\n\r\n"
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Content-Type": FORM,
        "Content-Length": str(len(hidden)),
    }
    request = wire.request_bytes("POST", f"{API}/getMeetings", headers=headers, body=hidden)
    assert b"<version>" not in await _raw(run, request)


async def _raw(run: World, request: bytes) -> bytes:
    reader, writer = await connect(run)
    writer.write(request)
    writer.write_eof()
    async with asyncio.timeout(wire.TIMEOUT_S):
        answer = await rest(reader)
    writer.close()
    return answer


async def test_strangers_by_the_hundred_do_not_hold_up_a_customer(run: World) -> None:
    open_ones = [await connect(run) for _ in range(300)]
    for _, writer in open_ones:
        writer.write(b"GET /bigbluebutton/api/getMeetings?checksum=0 HTTP/1.1\r\nX-Slow: ")
    await assert_served(run)
    replies: list[Reply] = await asyncio.gather(
        *(wire.send(run, f"{API}/getMeetings?checksum={number}") for number in range(200))
    )
    assert {reply.status for reply in replies} <= {200, 429}
    await assert_served(run)
    for _, writer in open_ones:
        writer.transport.abort()


async def test_the_gateway_does_not_start_on_the_parser_that_could_be_fooled(
    run: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pure Python one took one request for two, more than once."""
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    with pytest.raises(RuntimeError, match="C parser"):
        await app.serve(run.parts)


def test_the_http_library_is_not_older_than_its_advisories() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())
    for text in project["project"]["dependencies"]:
        wanted = Requirement(text)
        if wanted.name == "aiohttp":
            assert Version("3.14.3") not in wanted.specifier
            assert wanted.extras == {"speedups"}
            break
    else:
        pytest.fail("aiohttp is no dependency any more: look at these tests again")
