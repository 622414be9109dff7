"""Facts about bodies that go to a node while they are read."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from scheduler.ledger.errors import StoreDown
from scheduler.nodes import NodeClient, NodeRefused, NodeUnknown
from scheduler.settings import Settings
from schemas import checksum
from tests.observer.test_nodes import OK, Address, server

CONTENT = random.Random(1).randbytes(8_000_000)


class Pieces:
    """A body that is read while it is sent; fails at a byte if told so."""

    def __init__(self, content: bytes = CONTENT, *, fails_at: int | None = None) -> None:
        self.content = content
        self.size = len(content)
        self.fails_at = fails_at
        self.opened = 0

    async def stream(self) -> AsyncIterator[bytes]:
        self.opened += 1
        for at in range(0, self.size, 300_000):
            if self.fails_at is not None and at >= self.fails_at:
                raise StoreDown("a stored body could not be read")
            await asyncio.sleep(0)
            yield self.content[at : at + 300_000]


@pytest.fixture
async def client() -> AsyncIterator[NodeClient]:
    async with NodeClient(Settings()) as opened:
        yield opened


async def create(client: NodeClient, node: Address, body: Pieces) -> bool:
    params = [("name", "A"), ("meetingID", "m")]
    reply = await client.call(
        node, "create", params, timeout_s=10, body=body, content_type="text/xml; charset=utf-8"
    )
    return reply.ok


async def test_a_body_arrives_whole_with_its_length_each_time_it_is_sent(
    client: NodeClient,
) -> None:
    seen: list[tuple[str, str | None, str, bytes]] = []

    async def handle(request: web.Request) -> web.Response:
        digest = hashlib.sha256(await request.read()).digest()
        kind = request.headers["Content-Type"]
        length = request.headers.get("Content-Length")
        seen.append((request.method, length, kind, digest))
        query, found = checksum.split_checksum(request.rel_url.raw_query_string)
        assert checksum.matches("create", query, found[0], ("s3cr3t",))
        return web.Response(text=OK, content_type="text/xml")

    body = Pieces()
    async with server(handle) as node:
        assert await create(client, node, body)
        assert await create(client, node, body)
    expected = ("POST", "8000000", "text/xml; charset=utf-8", hashlib.sha256(CONTENT).digest())
    assert seen == [expected, expected]
    assert body.opened == 2


async def test_a_body_that_cannot_be_read_to_its_end_is_never_taken_for_whole(
    client: NodeClient,
) -> None:
    read: list[int] = []

    async def handle(request: web.Request) -> web.Response:
        try:
            read.append(len(await request.read()))
        except ConnectionError:
            read.append(-1)
        return web.Response(text=OK, content_type="text/xml")

    async with server(handle) as node:
        with pytest.raises(NodeUnknown) as raised:
            await create(client, node, Pieces(fails_at=3_000_000))
        assert "s3cr3t" not in str(raised.value)
        # The connection is of no further use, and the next call gets another one.
        assert await create(client, node, Pieces(b"x"))
    assert 8_000_000 not in read


async def test_a_front_server_that_takes_no_such_length_is_a_refusal(client: NodeClient) -> None:
    async def handle(_request: web.Request) -> web.Response:
        return web.Response(status=413, text="<html>too large</html>", content_type="text/html")

    async with server(handle) as node:
        with pytest.raises(NodeRefused) as raised:
            await create(client, node, Pieces(b"x" * 400_000))
        assert raised.value.detail == "status 413"


async def test_a_node_that_reads_no_further_costs_no_more_than_its_time(
    client: NodeClient,
) -> None:
    hold = asyncio.Event()

    async def handle(_request: web.Request) -> web.Response:
        await hold.wait()
        return web.Response(text=OK)

    async with server(handle) as node:
        with pytest.raises(NodeUnknown, match="no answer within"):
            await client.call(
                node, "create", [("name", "A")], timeout_s=0.5, body=Pieces(), content_type="a/b"
            )
        hold.set()
