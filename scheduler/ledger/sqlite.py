"""The ledger on the embedded database.

Owns one thread with one connection, on which every write happens as one BEGIN IMMEDIATE
transaction. Takes the database's write lock, so that it never waits busily for another writer of
this process. Called by the placement worker.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import Any, Final, TypeVar

import structlog

from scheduler import database as databases
from scheduler import usage
from scheduler.database import Database
from scheduler.ledger import loading
from scheduler.ledger.errors import BatchRefused, CommitUnknown, LedgerError, StoreDown
from scheduler.ledger.reading import Reader
from scheduler.ledger.records import MEETING_COLUMNS, MUTABLE_COLUMNS, Batch, Loaded

_Result = TypeVar("_Result")

_CREATE: Final = "INSERT INTO meeting ({}) VALUES ({})".format(  # noqa: S608  # our own names
    ", ".join(MEETING_COLUMNS), ", ".join("?" * len(MEETING_COLUMNS))
)
_CHANGE: Final = "UPDATE meeting SET {} WHERE id = ?".format(  # noqa: S608  # our own names
    ", ".join(f"{name} = ?" for name in MUTABLE_COLUMNS)
)
_ANSWER: Final = "INSERT INTO command (id, at_ms, answer) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_EVENT: Final = (
    "INSERT INTO outbox (event_id, meeting_id, fact, body, at_ms) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (meeting_id, fact) DO NOTHING"
)
_ATTENDEE: Final = (
    "INSERT INTO attendee (meeting_id, user_id, present, moderator, joins, changed_ms, visits)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (meeting_id, user_id) DO UPDATE SET"
    " present = excluded.present, moderator = excluded.moderator, joins = excluded.joins,"
    " changed_ms = excluded.changed_ms, visits = excluded.visits"
)
_USAGE: Final = "INSERT INTO usage ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}".format(  # noqa: S608  # our own names
    ", ".join((*usage.KEY, *usage.COLUMNS)),
    ", ".join("?" * len((*usage.KEY, *usage.COLUMNS))),
    ", ".join(usage.KEY),
    ", ".join(
        (
            *(f"{name} = {name} + excluded.{name}" for name in usage.SUMS),
            *(f"{name} = max({name}, excluded.{name})" for name in usage.PEAKS),
        )
    ),
)

_created_values: Final = attrgetter(*MEETING_COLUMNS)
_changed_values: Final = attrgetter(*MUTABLE_COLUMNS, "id")

log = structlog.get_logger(__name__)


class SqliteLedger:
    """See `scheduler.ledger.interface.Ledger`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reader = Reader(database)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._connection: sqlite3.Connection | None = None

    async def take_over(self, pool_id: int, holder: str) -> int:
        """Raise the epoch of the pool and return it."""
        return await self._run(lambda: self._in_transaction(_take_over, pool_id, holder))

    async def load(self, pool_id: int, epoch: int) -> Loaded:
        """Return all live meetings of the pool."""
        return await loading.load(self._reader, pool_id, epoch)

    async def commit(self, pool_id: int, epoch: int, batch: Batch) -> None:
        """Make the batch durable in one transaction."""
        try:
            await self._run(lambda: self._in_transaction(_write, pool_id, epoch, batch))
        except StoreDown as error:
            raise CommitUnknown(str(error)) from error

    async def answer_of(self, command_id: str) -> bytes | None:
        """Return the stored answer of a command."""
        return await self._reader.answer_of(command_id)

    async def close(self) -> None:
        """Close the connection after what runs on it; the ledger cannot be used again."""
        await self._run(self._drop)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        # A cancelled caller must not release the write lock under a transaction that still runs.
        return await asyncio.shield(asyncio.ensure_future(self._run_locked(work)))

    async def _run_locked(self, work: Callable[[], _Result]) -> _Result:
        async with self._database.write_lock:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _in_transaction(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        """Run `work(connection, …)` between BEGIN and COMMIT; in the thread."""
        try:
            if self._connection is None:
                self._connection = databases.sqlite_connection(self._database.sqlite_path)
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection, *arguments)
            except (sqlite3.IntegrityError, LedgerError):
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            raise BatchRefused(f"the tables refuse the batch: {error}") from error
        except sqlite3.Error as error:
            # Whatever state the connection is in, a new one starts clean.
            self._drop()
            raise StoreDown(f"the database does not take the batch: {error}") from error
        return result

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _take_over(connection: sqlite3.Connection, pool_id: int, holder: str) -> int:
    row = connection.execute(
        "UPDATE pool SET epoch = epoch + 1, holder = ? WHERE id = ? RETURNING epoch",
        (holder, pool_id),
    ).fetchone()
    if row is None:
        raise loading.no_such_pool(pool_id)
    return int(row[0])


def _write(connection: sqlite3.Connection, pool_id: int, epoch: int, batch: Batch) -> None:
    fence = connection.execute(
        "SELECT 1 FROM pool WHERE id = ? AND epoch = ?", (pool_id, epoch)
    ).fetchone()
    if fence is None:
        raise loading.deposed(pool_id, epoch)
    updates = batch.updates()
    if updates:
        done = connection.executemany(_CHANGE, map(_changed_values, updates)).rowcount
        if done != len(updates):
            raise BatchRefused(f"{len(updates) - done} of the changed meetings are not there")
    if batch.created:
        connection.executemany(_CREATE, map(_created_values, batch.created.values()))
    if batch.answers:
        connection.executemany(_ANSWER, batch.answers)
    if batch.attendees:
        connection.executemany(_ATTENDEE, batch.attendees)
    if batch.events:
        connection.executemany(_EVENT, batch.events)
    if batch.usage:
        connection.executemany(_USAGE, batch.usage_rows())
