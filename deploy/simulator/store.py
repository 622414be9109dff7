"""The durable memory of one simulated node: an append-only log of its records.

Owns the file `records.jsonl` in the node's directory. Every change is in the kernel's hands
before the API call is answered, so a killed process loses nothing; there is no fsync, since a
power cut is not what the simulator is for. Never interprets records. Opened and written by
`node` alone.
"""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from deploy.simulator.model import Change

log = structlog.get_logger(__name__)

_FILE: Final = "records.jsonl"
_COMPACT_BYTES_MIN: Final = 32 * 1024 * 1024
_COMPACT_FACTOR: Final = 4

#: What `load` returns: records by key, by table.
Tables = dict[str, dict[str, Any]]


class Store:
    """The log of one node. `OSError` when the directory cannot be used or is used already."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / _FILE
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise OSError(f"Another simulated node runs on {directory}.") from error
        self._file = -1
        self._bytes = 0
        self._bytes_compact = 0

    def load(self) -> Tables:
        """Return the last record of every key; a torn last line is what a kill leaves."""
        tables: Tables = {}
        if not self._path.exists():
            return tables
        for number, line in enumerate(self._path.read_bytes().splitlines(), start=1):
            try:
                table, key, record = orjson.loads(line)
            except ValueError:
                log.warning("record is torn and left out", file=str(self._path), line=number)
                continue
            if table == "all":
                tables.clear()
            elif record is None:
                tables.get(table, {}).pop(key, None)
            else:
                tables.setdefault(table, {})[key] = record
        return tables

    def compact(self, snapshot: Iterable[Change]) -> None:
        """Replace the log by the present records in one step, and go on appending to it."""
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(encode(snapshot))
        fresh.replace(self._path)
        if self._file >= 0:
            os.close(self._file)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._bytes = self._bytes_compact = os.fstat(self._file).st_size

    def append(self, changes: Iterable[Change]) -> None:
        """Write changes behind each other; they survive a kill once this returns."""
        data = encode(changes)
        written = 0
        while written < len(data):
            written += os.write(self._file, data[written:])
        self._bytes += written

    def is_mostly_history(self) -> bool:
        """Tell whether the log should be compacted."""
        return self._bytes > max(_COMPACT_BYTES_MIN, _COMPACT_FACTOR * self._bytes_compact)

    def close(self) -> None:
        """Let the directory go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def encode(changes: Iterable[Change]) -> bytes:
    """Return one line per change."""
    lines = [orjson.dumps((c.table, c.key, c.record)) for c in changes]
    return b"\n".join([*lines, b""])
