"""Facts about the client of the nodes."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import pytest
from aiohttp import web

from deploy.simulator import app as simulator
from deploy.simulator.settings import SimulatorSettings
from scheduler import nodes
from scheduler.nodes import NodeClient, NodeRefused, NodeUnknown
from schemas import checksum

OK = "<response><returncode>SUCCESS</returncode><createTime>17</createTime></response>"
LAUGHS = (
    '<!DOCTYPE response [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    "<response><returncode>SUCCESS</returncode><x>&b;</x></response>"
)
FILES = (
    '<!DOCTYPE response [<!ENTITY f SYSTEM "file:///etc/hostname">]>'
    "<response><returncode>SUCCESS</returncode><x>&f;</x></response>"
)


@dataclass
class Address:
    """A node of the directory, as far as the client looks."""

    base_url: str
    name: str = "n1"
    secret: str = "s3cr3t"
    other_secret: str = ""


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[Address]:
    """Serve every path with one handler."""
    app = web.Application(client_max_size=10_000_000)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, max_line_size=65_536)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield Address(f"http://127.0.0.1:{runner.addresses[0][1]}/bigbluebutton/")
    finally:
        await runner.cleanup()


def answering(body: str, status: int = 200) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(text=body, status=status, content_type="text/xml")

    return handle


async def test_a_call_is_signed_over_its_raw_query(client: NodeClient) -> None:
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return web.Response(text=OK)

    async with server(handle) as node:
        reply = await client.call(
            node, "create", [("name", "Ä & b+c"), ("meta_x-y", "%~")], timeout_s=2
        )
    assert (reply.ok, reply.key, reply.text("createTime"), reply.text("none")) == (
        True,
        "",
        "17",
        "",
    )
    query, (given,) = checksum.split_checksum(seen[0].rel_url.raw_query_string)
    assert checksum.matches("create", query, given, ["s3cr3t"], allowed={"sha256"})
    assert parse_qsl(query) == [("name", "Ä & b+c"), ("meta_x-y", "%~")]


async def test_a_failed_answer_is_an_answer(client: NodeClient) -> None:
    body = (
        "<response><returncode>FAILED</returncode><messageKey>notFound</messageKey>"
        "<message>No such meeting</message></response>"
    )
    async with server(answering(body)) as node:
        reply = await client.call(node, "end", [("meetingID", "x")], timeout_s=2)
    assert (reply.ok, reply.key, reply.message) == (False, "notFound", "No such meeting")


async def test_a_long_create_is_a_form_that_the_simulated_node_accepts(client: NodeClient) -> None:
    settings = SimulatorSettings(name="n1", secret="s3cr3t")
    async with simulator.running([settings]) as (running,):
        node = Address(running.base_url)
        params = [("meetingID", "m1"), ("name", "nn"), ("welcome", "Grüße & so " * 2_000)]
        reply = await client.call(node, "create", params, timeout_s=5)
        assert reply.ok, reply
        info = await client.call(node, "getMeetingInfo", [("meetingID", "m1")], timeout_s=5)
        assert info.text("meetingName") == "nn"
        modules = b"<modules></modules>"
        again = await client.call(
            node, "create", params[:2], timeout_s=5, body=modules, content_type="application/xml"
        )
        assert again.ok, again


async def test_signed_urls_are_what_a_browser_is_sent_to(client: NodeClient) -> None:
    node = Address("https://n1.example/bigbluebutton/")
    url = client.signed_url(node, "join", [("fullName", "A b"), ("meetingID", "sk-1")])
    parts = urlsplit(url)
    query, (given,) = checksum.split_checksum(parts.query)
    assert (parts.path, query) == ("/bigbluebutton/api/join", "fullName=A+b&meetingID=sk-1")
    assert checksum.matches("join", query, given, ["s3cr3t"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("not XML", 200),
        ("<html></html>", 200),
        ("", 200),
        ("<response><returncode>", 200),
        (LAUGHS, 200),
        (FILES, 200),
        (OK, 500),
        ("bad gateway", 502),
        ("<response>" + "<a>" * 300 + "</a>" * 300 + "</response>", 200),
        ("<response>" + "x" * 70_000 + "</response>", 200),
    ],
)
async def test_what_is_no_answer_leaves_the_outcome_unknown(
    client: NodeClient, body: str, status: int
) -> None:
    async with server(answering(body, status)) as node:
        with pytest.raises(NodeUnknown):
            await client.call(node, "create", [], timeout_s=2)


@pytest.mark.parametrize("status", [301, 403, 404, 414])
async def test_a_front_server_that_turns_a_call_away_is_a_refusal(
    client: NodeClient, status: int
) -> None:
    async with server(answering("<html>no</html>", status)) as node:
        with pytest.raises(NodeRefused):
            await client.call(node, "create", [], timeout_s=2)


async def test_nobody_listening_is_a_refusal(client: NodeClient) -> None:
    with pytest.raises(NodeRefused):
        await client.call(Address("http://127.0.0.1:1/bigbluebutton/"), "create", [], timeout_s=2)


async def test_a_closed_client_refuses() -> None:
    from scheduler.settings import Settings

    with pytest.raises(NodeRefused):
        await NodeClient(Settings()).call(Address("http://127.0.0.1:1/"), "x", [], timeout_s=1)


async def test_silence_and_a_reset_leave_the_outcome_unknown(client: NodeClient) -> None:
    async def hang(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    async def reset(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with server(hang) as node:
        started_s = time.monotonic()
        with pytest.raises(NodeUnknown, match="no answer within"):
            await client.call(node, "create", [], timeout_s=0.2)
        assert time.monotonic() - started_s < 10, "the node hangs for 30"
    async with server(reset) as node:
        with pytest.raises(NodeUnknown):
            await client.call(node, "create", [("a", "b")], timeout_s=2, method="POST")


async def test_errors_name_the_node_and_never_the_secret(client: NodeClient) -> None:
    node = Address("http://127.0.0.1:1/bigbluebutton/", secret="topsecret")
    with pytest.raises(NodeRefused) as caught:
        await client.call(node, "create", [("moderatorPW", "hidden")], timeout_s=2)
    text = str(caught.value)
    assert "n1" in text
    assert "topsecret" not in text
    assert "hidden" not in text
    assert "checksum" not in text


def test_parsing_refuses_every_document_type() -> None:
    for document in (LAUGHS, FILES, '<!DOCTYPE response SYSTEM "http://h/d"><response/>'):
        with pytest.raises(ValueError, match="the answer"):
            nodes.parse(document.encode())
    utf16 = ('<?xml version="1.0" encoding="utf-16"?>' + LAUGHS).encode("utf-16")
    with pytest.raises(ValueError, match="the answer"):
        nodes.parse(utf16)
