"""The database: connections, transactions, migrations and start-up checks.

Owns the engine and, for SQLite, the one lock that every writer of the process takes. Knows nothing
of what is stored. Must never be used for the placement worker's writes, which have connections of
their own in `scheduler.ledger`. Used by every process.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import structlog
from sqlalchemy import Connection, event, inspect, text
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from scheduler.settings import Settings

# Whoever has a database knows all of its tables.
from schemas import delivery_tables, management_tables, migrations, tables  # noqa: F401

if TYPE_CHECKING:
    # Alembic is 7 % of a process's start, which only looks at the revision.
    from alembic.config import Config

CONNECT_TIMEOUT_S: Final = 5.0
#: No statement of this engine may take longer; the migrations have a longer one.
STATEMENT_TIMEOUT_S: Final = 30.0
MIGRATION_TIMEOUT_S: Final = 600.0
BUSY_TIMEOUT_MS: Final = 5_000
POOL_CONNECTIONS_MAX: Final = 10
#: Any number that no other application uses for an advisory lock on the same database.
_MIGRATION_LOCK: Final = 7_328_532_711
_BEGIN: Final = "seatkeep_begin"

log = structlog.get_logger(__name__)


class UnfitDatabaseError(Exception):
    """The database must not be used as it is; the message says what to do in a sentence."""


class Database:
    """The engine of one process; `close()` it at the end.

    `connect()` is for reading, `begin()` for writing, `session()` for either. On SQLite every
    writer holds `write_lock` around its transaction, so that nobody waits busily; on PostgreSQL
    taking it does nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self.url = make_url(settings.database)
        self.is_sqlite = settings.sqlite
        self._lock = asyncio.Lock()
        self.engine = _sqlite_engine(self) if self.is_sqlite else _postgresql_engine(self)
        # PostgreSQL reads without BEGIN and ROLLBACK: one round trip instead of three.
        reading = {_BEGIN: ""} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._reading: AsyncEngine = self.engine.execution_options(**reading)
        self._snapshots = (
            self.engine
            if self.is_sqlite
            else self.engine.execution_options(isolation_level="REPEATABLE READ")
        )
        self._writing: AsyncEngine = self.engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})

    @property
    def write_lock(self) -> AbstractAsyncContextManager[Any]:
        """What a writer holds around its transaction; not to be taken twice by one task."""
        return self._lock if self.is_sqlite else contextlib.nullcontext()

    @property
    def sqlite_path(self) -> Path:
        """The file of the embedded database."""
        assert self.is_sqlite  # noqa: S101  # callers ask first
        return Path(self.url.database or "")

    def connect(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Return a connection for reading; each statement sees what was committed before it."""
        return self._reading.connect()

    def snapshot(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Return a connection for reading whose statements all see the same state."""
        return self._snapshots.connect()

    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Return a connection in a write transaction, committed at the end of the block."""
        return self._writing.begin()

    def session(self) -> AsyncSession:
        """Return a session whose objects stay readable after its commit."""
        return AsyncSession(self.engine, expire_on_commit=False)

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()

    async def migrate(self) -> None:
        """Bring the tables to the newest revision; of several processes one does it."""
        async with self.write_lock, self._for_migrations() as connection:
            # Most starts find nothing to do, and Alembic is slow to load.
            if await connection.run_sync(_current_revision) != migrations.NEWEST:
                await connection.run_sync(_upgrade)

    async def revisions(self) -> tuple[str | None, str]:
        """Return the revision of the tables and the newest one that this program knows."""
        async with self.connect() as connection:
            return await connection.run_sync(_current_revision), migrations.NEWEST

    async def check(self) -> None:
        """Refuse a database that could lose what it acknowledged, or has other tables.

        Raises `UnfitDatabaseError` with a sentence, and `ConnectionError` when the database does
        not answer (yet); lesser faults are logged as warnings.
        """
        try:
            if not self.is_sqlite:
                async with self.connect() as connection:
                    await _check_durability(connection)
            current, newest = await self.revisions()
        except DBAPIError as error:
            raise ConnectionError(f"the database does not answer: {error.orig}") from error
        if current != newest:
            raise UnfitDatabaseError(
                f"the tables are at revision {current or 'none'}, but this program needs {newest}:"
                " run seatkeep migrate"
            )

    @contextlib.asynccontextmanager
    async def _for_migrations(self) -> AsyncIterator[AsyncConnection]:
        async with self.begin() as connection:
            if not self.is_sqlite:
                limit_ms = int(MIGRATION_TIMEOUT_S * 1_000)
                await connection.execute(text(f"SET LOCAL lock_timeout = {limit_ms}"))
                await connection.execute(text(f"SET LOCAL statement_timeout = {limit_ms}"))
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            yield connection


def _postgresql_engine(database: Database) -> AsyncEngine:
    statement_ms = str(int(STATEMENT_TIMEOUT_S * 1_000))
    engine = create_async_engine(
        database.url,
        hide_parameters=True,  # errors are logged, and parameters hold passwords
        pool_size=POOL_CONNECTIONS_MAX,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            # Behind a dead network the server's own limit does not help.
            "command_timeout": STATEMENT_TIMEOUT_S + CONNECT_TIMEOUT_S,
            "server_settings": {
                "application_name": "seatkeep",
                "lock_timeout": "5000",
                "statement_timeout": statement_ms,
                "idle_in_transaction_session_timeout": statement_ms,
                "timezone": "UTC",
            },
        },
    )

    @event.listens_for(engine.sync_engine, "handle_error")
    def _name_disconnect(context: ExceptionContext) -> Exception | None:
        """Show a connection that was cut a moment ago as what it is, not as asyncpg's own fault."""
        error = context.original_exception
        if not isinstance(error, asyncpg.InternalClientError):
            return None
        context.is_disconnect = True
        return OperationalError(context.statement, None, error, connection_invalidated=True)

    return engine


def _sqlite_engine(database: Database) -> AsyncEngine:
    path = database.sqlite_path
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(
        database.url,
        hide_parameters=True,
        pool_size=POOL_CONNECTIONS_MAX,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see below
        cursor = connection.cursor()
        for pragma in SQLITE_PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        statement = connection.get_execution_options().get(_BEGIN, "BEGIN")
        if statement:
            connection.exec_driver_sql(statement)

    return engine


#: Every connection of the process to the embedded database starts with these.
SQLITE_PRAGMAS: Final = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    # Pages, 2 MB: the commit that happens to checkpoint waits for it, so it must be a small one.
    "PRAGMA wal_autocheckpoint = 500",
)


def sqlite_connection(path: Path) -> sqlite3.Connection:
    """Open the embedded database for one thread, which then says BEGIN and COMMIT itself."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1_000)
    for pragma in SQLITE_PRAGMAS:
        connection.execute(pragma)
    return connection


def _configuration(connection: Connection) -> "Config":
    from alembic.config import Config

    configuration = Config()
    configuration.set_main_option("script_location", str(Path(migrations.__file__).parent))
    configuration.set_main_option("path_separator", "os")
    configuration.attributes["connection"] = connection
    return configuration


def _upgrade(connection: Connection) -> None:
    from alembic import command

    command.upgrade(_configuration(connection), "head")


def _current_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


_Rule = tuple[str, Callable[[str], bool], str]

_REFUSED: Final[tuple[_Rule, ...]] = (
    ("fsync", lambda value: value == "on", "a crash would lose acknowledged reservations"),
    ("full_page_writes", lambda value: value == "on", "a power cut could tear pages"),
    (
        "synchronous_commit",
        lambda value: value in {"on", "remote_apply"},
        "acknowledged reservations could be lost",
    ),
    ("transaction_read_only", lambda value: value == "off", "nothing could be reserved"),
)
_WARNED: Final[tuple[_Rule, ...]] = (
    ("data_checksums", lambda value: value == "on", "damaged pages would go unnoticed"),
    ("data_sync_retry", lambda value: value == "off", "a failed write could go unnoticed"),
)


async def _check_durability(connection: AsyncConnection) -> None:
    if (await connection.execute(text("SELECT pg_is_in_recovery()"))).scalar_one():
        raise UnfitDatabaseError(
            "this PostgreSQL server is a standby: let SEATKEEP_DATABASE_URL name the primary"
        )
    for name, is_fit, why in _REFUSED:
        value = await _setting(connection, name)
        if not is_fit(value):
            raise UnfitDatabaseError(f"PostgreSQL runs with {name} = {value}: {why}; correct that")
    for name, is_fit, why in _WARNED:
        value = await _setting(connection, name)
        if not is_fit(value):
            log.warning(
                "a setting of PostgreSQL is unfavourable", setting=name, value=value, why=why
            )


async def _setting(connection: AsyncConnection, name: str) -> str:
    found = await connection.execute(text("SELECT current_setting(:name)"), {"name": name})
    return str(found.scalar_one())
