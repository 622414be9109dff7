"""The ledger on PostgreSQL.

Owns one connection of its own, replaced when it is lost, on which a batch is one statement and one
round trip. Never shares it and never retries a commit: what is not known is said. Called by the
placement worker.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import asyncpg
import structlog

from scheduler.database import CONNECT_TIMEOUT_S, Database
from scheduler.ledger import loading
from scheduler.ledger.errors import BatchRefused, CommitUnknown, StoreDown
from scheduler.ledger.reading import Reader
from scheduler.ledger.records import Batch, Loaded
from scheduler.ledger.statements import commit_statement

_Result = TypeVar("_Result")

STATEMENT_TIMEOUT_S: Final = 10.0
LOCK_TIMEOUT_S: Final = 5.0
_SERVER_SETTINGS: Final = {
    "application_name": "seatkeep ledger",
    "lock_timeout": str(int(LOCK_TIMEOUT_S * 1_000)),
    "statement_timeout": str(int(STATEMENT_TIMEOUT_S * 1_000)),
    "timezone": "UTC",
    # The statements are few, and planned once: by index whatever the tables look like that day.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}

#: asyncpg calls a connection that was cut a moment ago an internal error of its own.
_DOWN: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)

log = structlog.get_logger(__name__)


class PostgresqlLedger:
    """See `scheduler.ledger.interface.Ledger`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reader = Reader(database)
        self._connection: Any = None
        self._lock = asyncio.Lock()

    async def take_over(self, pool_id: int, holder: str) -> int:
        """Raise the epoch of the pool and return it."""
        epoch = await self._run(
            lambda connection: connection.fetchval(
                "UPDATE pool SET epoch = epoch + 1, holder = $2 WHERE id = $1 RETURNING epoch",
                pool_id,
                holder,
            )
        )
        if epoch is None:
            raise loading.no_such_pool(pool_id)
        return int(epoch)

    async def load(self, pool_id: int, epoch: int) -> Loaded:
        """Return all live meetings of the pool."""
        return await loading.load(self._reader, pool_id, epoch)

    async def commit(self, pool_id: int, epoch: int, batch: Batch) -> None:
        """Make the batch durable in one transaction."""
        statement, arguments = commit_statement(batch)
        try:
            fenced = await self._run(
                lambda connection: connection.fetchval(statement, pool_id, epoch, *arguments)
            )
        except StoreDown as error:
            raise CommitUnknown(str(error)) from error
        if not fenced:
            raise loading.deposed(pool_id, epoch)

    async def answer_of(self, command_id: str) -> bytes | None:
        """Return the stored answer of a command."""
        return await self._reader.answer_of(command_id)

    async def close(self) -> None:
        """Close the connection after what runs on it."""
        async with self._lock:
            if self._connection is None:
                return
            try:
                await self._connection.close(timeout=CONNECT_TIMEOUT_S)
            except _DOWN as error:
                log.debug("ledger connection was lost before it was closed", error=repr(error))
            finally:
                self._drop()

    async def _run(self, work: Callable[[Any], Awaitable[_Result]]) -> _Result:
        # A cancelled caller must not leave the connection in the middle of a statement.
        return await asyncio.shield(asyncio.ensure_future(self._run_locked(work)))

    async def _run_locked(self, work: Callable[[Any], Awaitable[_Result]]) -> _Result:
        async with self._lock:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connect()
                return await work(self._connection)
            except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
                raise BatchRefused(f"the tables refuse the batch: {error}") from error
            except _DOWN as error:
                # A TimeoutError is an OSError. Whatever the connection's state, a new one is clean.
                self._drop()
                raise StoreDown(f"the database does not answer: {error!r}") from error

    async def _connect(self) -> Any:
        _, arguments = self._database.engine.dialect.create_connect_args(self._database.url)
        connection = await asyncpg.connect(
            **arguments,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=STATEMENT_TIMEOUT_S + CONNECT_TIMEOUT_S,
            server_settings=_SERVER_SETTINGS,
        )
        log.debug("ledger connected")
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
