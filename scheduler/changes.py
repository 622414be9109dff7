"""One change of the directory: the transaction around it, and finding rows in it.

Owns the raising of the directory version, by which all processes learn of the change, and the audit
of what changed (`audit`), written in the same transaction. Decides nothing about what is changed.
Called by the modules of management operations.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col

from scheduler import audit
from scheduler.checks import NotFoundError
from scheduler.database import Database
from schemas.tables import Installation

_Row = TypeVar("_Row", bound=SQLModel)

#: Checked once nobody else can change anything: raises when what is changed is no longer what the
#: caller saw (`If-Match`).
precondition: ContextVar[Callable[[], Awaitable[None]] | None] = ContextVar(
    "precondition", default=None
)


@contextlib.asynccontextmanager
async def change(database: Database) -> AsyncIterator[AsyncSession]:
    """Yield a session in a transaction that raises the directory version.

    Raising it first makes operations of all processes wait for one another, so that what the body
    checks still holds when it writes. Every row that the session changes is noted in the audit
    log; what a body changes by statements it notes itself (`audit.note`).
    """
    async with database.write_lock, database.begin() as connection:
        version = col(Installation.directory_version)
        await connection.execute(update(Installation).values({version: version + 1}))
        check = precondition.get()
        if check is not None:
            await check()
        async with AsyncSession(bind=connection, expire_on_commit=False) as session:
            with audit.watching(session) as seen:
                yield session
                await session.flush()
            await audit.write(session, seen)
            await session.commit()


async def find(session: AsyncSession, kind: type[_Row], column: str, value: Any) -> _Row | None:
    """Return the row whose column has the value."""
    found = await session.scalars(select(kind).where(getattr(kind, column) == value).limit(1))
    return found.first()


async def get(
    session: AsyncSession, kind: type[_Row], column: str, value: Any, *, what: str
) -> _Row:
    """Return the row whose column has the value; raises `NotFoundError` when there is none."""
    row = await find(session, kind, column, value)
    if row is None:
        raise NotFoundError(f"there is no {what} {value}")
    return row


async def insert(session: AsyncSession, row: _Row) -> _Row:
    """Add a row, so that it has its id: one that nothing ever had, even if that was removed."""
    if session.get_bind().dialect.name == "sqlite" and getattr(row, "id", 0) is None:
        # SQLite would give the id of what was added last and then removed to the next one.
        ids = type(row).metadata.tables[str(row.__tablename__)].c.id
        greatest = await session.scalar(select(func.max(ids)))
        removed = await session.scalar(select(col(Installation.removed_id_max)))
        row.id = max(greatest or 0, removed or 0) + 1
    session.add(row)
    await session.flush()
    return row


async def remove(session: AsyncSession, row: SQLModel) -> None:
    """Remove a row whose id is a number; the id is not given out again."""
    removed = col(Installation.removed_id_max)
    number: int = row.id  # type: ignore[attr-defined]  # as said
    await session.execute(
        update(Installation)
        .where(removed < number)
        .values({removed: number})
        .execution_options(synchronize_session=False)
    )
    await session.delete(row)
    await session.flush()


def row_id(value: int | None) -> int:
    """Return the id of a row that was flushed or loaded."""
    assert value is not None  # noqa: S101  # such a row has one
    return value


def now_ms() -> int:
    """Return the present time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
