"""The bytes of one request body: in memory while it is short, else in a temporary file.

Owns the files, and the total of bytes that a gateway holds at once. Files are written and read
outside the event loop. Never looks at what the bytes mean. Filled by `receiving`, read through
`bodies`.
"""

import asyncio
import mmap
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import IO, Final, TypeAlias, TypeVar

#: Bodies up to this size stay in memory.
MEMORY_BYTES_MAX: Final = 65_536
#: The beginning that is kept at hand, to tell what a body is.
HEAD_BYTES: Final = 1_024
#: Bytes that are gathered for one write into the file.
_WRITE_BYTES: Final = 262_144
_READ_BYTES: Final = 262_144

#: What a body can be read as: both are sliced, searched and measured alike.
Content: TypeAlias = bytes | mmap.mmap
T = TypeVar("T")


class SpoolFullError(Exception):
    """The bodies that are held at present leave no room for more."""


class Room:
    """The bytes that all spools of a process may hold together."""

    def __init__(self, bytes_max: int) -> None:
        self._free_bytes = bytes_max

    @property
    def free_bytes(self) -> int:
        """What is left."""
        return self._free_bytes

    def take(self, size: int) -> None:
        """Take room; raises `SpoolFullError` when there is not as much."""
        if size > self._free_bytes:
            raise SpoolFullError
        self._free_bytes -= size

    def give(self, size: int) -> None:
        """Give room back."""
        self._free_bytes += size


class Spool:
    """The bytes of one body; written once from its beginning to its end, then read at will."""

    def __init__(self, room: Room, directory: str = "") -> None:
        self._room = room
        self._directory = directory or None
        #: The bytes, or those that are not in the file yet.
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self.size = 0
        self.head = b""

    async def write(self, part: bytes) -> None:
        """Add bytes; raises `SpoolFullError`."""
        self._room.take(len(part))
        self.size += len(part)
        if len(self.head) < HEAD_BYTES:
            self.head += part[: HEAD_BYTES - len(self.head)]
        self._memory += part
        most = MEMORY_BYTES_MAX if self._file is None else _WRITE_BYTES
        if len(self._memory) > most:
            await self._flush()

    async def finish(self) -> None:
        """End the writing."""
        if self._file is not None:
            await self._flush()

    async def _flush(self) -> None:
        waiting, self._memory = self._memory, bytearray()
        await asyncio.to_thread(self._append, waiting)

    def _append(self, content: bytearray) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - see `close`
        self._file.write(content)
        self._file.flush()

    async def stream(self, begin: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Return the bytes piece by piece; may be called again, also side by side."""
        end = self.size if end is None else end
        file = self._file
        if file is None:
            if end > begin:
                yield bytes(self._memory[begin:end])
            return
        while begin < end:
            length = min(_READ_BYTES, end - begin)
            part = await asyncio.to_thread(os.pread, file.fileno(), length, begin)
            if not part:
                raise OSError("a spooled body is shorter than it was")
            begin += len(part)
            yield part

    async def run(self, work: Callable[[Content], T]) -> T:
        """Return what `work` makes of the whole; outside the event loop when it is long."""
        if self._file is None:
            return work(bytes(self._memory))
        return await asyncio.to_thread(self._run, work)

    def _run(self, work: Callable[[Content], T]) -> T:
        if self._file is None:
            raise AssertionError("a spool in memory needs no thread")
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return work(content)

    async def close(self) -> None:
        """Forget the bytes and give their room back; may be called twice."""
        size, self.size = self.size, 0
        self._room.give(size)
        self._memory = bytearray()
        file, self._file = self._file, None
        if file is not None:
            await asyncio.to_thread(file.close)
