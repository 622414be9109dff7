"""Requests as bytes: what a client library would put right before it leaves must arrive as it is.

Owns a connection of its own for each exchange, and reading the answer back. Never signs by itself
and never repeats. Used by the tests of request shapes, of the fuzz and of security.
"""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from schemas import checksum
from tests.gateway.world import SECRET, Reply, World

TIMEOUT_S = 20.0
FORM = "application/x-www-form-urlencoded"
API = "/bigbluebutton/api"


def request_bytes(
    method: str,
    target: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> bytes:
    """Return a request; a body has its length said unless a header says something else."""
    given = {"Host": "gateway.test", "Connection": "close", **(headers or {})}
    if body is not None and "Transfer-Encoding" not in given:
        given.setdefault("Content-Length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + (body or b"")


async def exchange(origin: str, request: bytes, *, half_closed: bool = False) -> Reply:
    """Send bytes and return the answer; status 0 when the connection closed without one.

    `half_closed` says that nothing more comes, for requests that are none.
    """
    parts = urlsplit(origin)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 24)
    try:
        writer.write(request)
        if half_closed:
            writer.write_eof()
        async with asyncio.timeout(TIMEOUT_S):
            return await _answer(reader)
    except ConnectionError:
        return Reply(0, {}, "")
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> Reply:
    """Read as far as the answer says that it goes; the server may keep the connection longer."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return Reply(0, {}, "")
    reply = read(head)
    length = reply.headers.get("Content-Length")
    if length is None:
        return read(head + await reader.read())
    try:
        return read(head + await reader.readexactly(int(length)))
    except asyncio.IncompleteReadError as cut:  # the answer to HEAD has no body
        return read(head + cut.partial)


def read(answer: bytes) -> Reply:
    """Return an answer that was read to its end."""
    if not answer:
        return Reply(0, {}, "")
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Reply(int(status.split(" ")[1]), headers, body.decode())


async def send(
    run: World,
    target: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Reply:
    """Send one request of this installation and note the answer among its outputs."""
    request = request_bytes(method, target, headers=headers, body=body)
    reply = await exchange(run.origin, request)
    run.outputs.append(reply.text)
    return reply


async def signed(
    run: World,
    call: str,
    query: str = "",
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    secret: str = SECRET,
    algorithm: str = "sha256",
    api: str = API,
) -> Reply:
    """Send a call whose query is signed exactly as it is spelled."""
    tail = checksum.signed_query(call, query, secret, algorithm=algorithm)
    return await send(run, f"{api}/{call}?{tail}", method=method, headers=headers, body=body)
