"""An HTTP load client: raw sockets, keep-alive, one request in flight per connection.

Owns the measurement alone; it knows nothing of what it asks for. Called by the benchmarks, in a
process of its own (`load_apart`) where the server runs in theirs.
"""

import asyncio
import sys
import time
from collections import Counter
from typing import Any, Final, cast

import orjson
import uvloop

#: Answers longer than this are not for this client.
_ANSWER_BYTES_MAX: Final = 16_777_216
_LENGTH: Final = b"\r\nContent-Length: "
#: A connection without an answer for this long counts as broken.
_ANSWER_TIMEOUT_S: Final = 30.0


class LoadError(RuntimeError):
    """The server closed a connection or answered something that is not HTTP with a length."""


class _Client(asyncio.Protocol):
    """One connection that sends its next request as soon as an answer is complete."""

    def __init__(self, requests: list[bytes], start: int, tally: "_Tally") -> None:
        self._requests = requests
        self._next = start
        self._tally = tally
        self._buffer = bytearray()
        self._sent_s = 0.0
        self._transport: asyncio.Transport | None = None
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)  # what TCP gives
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Finish; too early is an error."""
        if not self.finished.done():
            error = LoadError("the server closed the connection")
            error.__cause__ = exc
            self.finished.set_exception(error)

    def data_received(self, data: bytes) -> None:
        """Complete an answer and send the next request, until the time is over."""
        buffer = self._buffer
        buffer += data
        head_end = buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        at = buffer.find(_LENGTH, 0, head_end)
        length = int(buffer[at + len(_LENGTH) : buffer.find(b"\r\n", at + 2)]) if at > 0 else 0
        if length > _ANSWER_BYTES_MAX:
            self._fail("the answer is too long")
            return
        if len(buffer) < head_end + 4 + length:
            return
        status = int(buffer[9:12])
        buffer.clear()
        now_s = time.perf_counter()
        self._tally.add(status, now_s - self._sent_s)
        if now_s < self._tally.end_s:
            self._send()
        elif self._transport is not None:
            self.finished.set_result(None)
            self._transport.close()

    def _send(self) -> None:
        request = self._requests[self._next]
        self._next = (self._next + 1) % len(self._requests)
        self._sent_s = time.perf_counter()
        if self._transport is not None:
            self._transport.write(request)

    def _fail(self, text: str) -> None:
        self.finished.set_exception(LoadError(text))
        if self._transport is not None:
            self._transport.abort()


class _Tally:
    def __init__(self, end_s: float) -> None:
        self.end_s = end_s
        self.took_s: list[float] = []
        self.statuses: Counter[int] = Counter()

    def add(self, status: int, took_s: float) -> None:
        self.statuses[status] += 1
        self.took_s.append(took_s)


async def load(
    host: str, port: int, requests: list[bytes], *, connections: int, seconds: float
) -> dict[str, Any]:
    """Send the requests in turn over keep-alive connections for some seconds.

    Each request is a whole HTTP/1.1 request as bytes. Returns `rate` (answers per second),
    `p50_ms`, `p99_ms` and `statuses` (answers by status). Raises `LoadError` or `OSError`.
    """
    loop = asyncio.get_running_loop()
    started_s = time.perf_counter()
    tally = _Tally(started_s + seconds)
    clients: list[_Client] = []
    for number in range(connections):
        start = number * len(requests) // connections
        client = _Client(requests, start, tally)
        clients.append(client)
        await loop.create_connection(lambda made=client: made, host, port)  # type: ignore[misc]
    async with asyncio.timeout(seconds + _ANSWER_TIMEOUT_S):
        await asyncio.gather(*(client.finished for client in clients))
    return _figures(tally, time.perf_counter() - started_s)


async def load_apart(
    host: str, port: int, requests: list[bytes], *, connections: int, seconds: float
) -> dict[str, Any]:
    """Do what `load` does in a process of its own, which imports nothing of the product.

    Raises `RuntimeError` when that process fails; it has said why on standard error.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, host, str(port), str(connections), str(seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await child.communicate(orjson.dumps([request.decode() for request in requests]))
    if child.returncode != 0:
        raise RuntimeError(f"the load client ended with {child.returncode}")
    figures: dict[str, Any] = orjson.loads(output)
    return figures


def _figures(tally: _Tally, elapsed_s: float) -> dict[str, Any]:
    took_s = sorted(tally.took_s)
    count = len(took_s)
    return {
        "rate": round(count / elapsed_s),
        "p50_ms": round(took_s[count // 2] * 1_000, 3) if count else 0.0,
        "p99_ms": round(took_s[int(count * 0.99)] * 1_000, 3) if count else 0.0,
        "statuses": dict(tally.statuses),
    }


def get(path: str, *, host: str = "localhost") -> bytes:
    """Return a GET request as bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode()


def main() -> None:
    """Be the process of `load_apart`."""
    host, port, connections, seconds = sys.argv[1:]
    requests = [request.encode() for request in orjson.loads(sys.stdin.buffer.read())]
    figures = uvloop.run(
        load(host, int(port), requests, connections=int(connections), seconds=float(seconds))
    )
    sys.stdout.buffer.write(orjson.dumps(figures, option=orjson.OPT_NON_STR_KEYS))


if __name__ == "__main__":
    main()
