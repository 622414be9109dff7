"""A receiver of deliveries that costs little: notes what arrived when, answers 204, or hangs.

Owns a bare HTTP/1.1 server on a free port in a process of its own, told by lines on standard input:
`hang PATH SECONDS`, `clear`, `dump FILE`. Knows nothing of the product but the header with the
event's id. Started by the benchmark of deliveries.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Final, cast

import orjson

_ANSWER: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
_ID: Final = b"\r\nwebhook-id: "
_LENGTH: Final = b"\r\ncontent-length: "
_HEAD_BYTES_MAX: Final = 65_536


class Record:
    """What arrived: path, event id and the monotonic time in ns, in the order of arrival."""

    def __init__(self) -> None:
        self.arrived: list[tuple[str, str, int]] = []
        #: Seconds by path.
        self.hangs: dict[str, float] = {}


class _Connection(asyncio.Protocol):
    def __init__(self, record: Record) -> None:
        self._record = record
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # what TCP gives

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            whole = end + 4 + int(_field(head, _LENGTH) or 0)
            if len(self._buffer) < whole:
                return
            self._buffer = self._buffer[whole:]
            path = head.split(b" ", 2)[1].partition(b"?")[0].decode()
            event_id = _field(head, _ID).decode()
            self._record.arrived.append((path, event_id, time.monotonic_ns()))
            asyncio.get_running_loop().call_later(self._record.hangs.get(path, 0), self._answer)
        if len(self._buffer) > _HEAD_BYTES_MAX and self._transport is not None:
            self._transport.abort()

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_ANSWER)


def _field(head: bytes, name: bytes) -> bytes:
    at = head.lower().find(name)
    if at < 0:
        return b""
    end = head.find(b"\r\n", at + 2)
    return head[at + len(name) : end if end >= 0 else None].strip()


async def serve() -> None:
    """Print the port and obey the lines on standard input until it ends."""
    loop = asyncio.get_running_loop()
    record = Record()
    server = await loop.create_server(lambda: _Connection(record), "127.0.0.1", 0, backlog=1_024)
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201  # read by the parent
    while line := (await lines.readline()).decode():
        name, *arguments = line.split()
        if name == "hang":
            record.hangs[arguments[0]] = float(arguments[1])
        elif name == "clear":
            record.hangs.clear()
            record.arrived.clear()
        elif name == "dump":
            await asyncio.to_thread(Path(arguments[0]).write_bytes, orjson.dumps(record.arrived))
        print(len(record.arrived), flush=True)  # noqa: T201
    server.close()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve())
