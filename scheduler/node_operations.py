"""Nodes in the database: what is observed of them, their terms, their secrets, their removal.

Owns these writes and what refuses them; making a node is in `operations`. What processes observe
raises the directory version only when it matters to others. Never calls a node. Called by the
management of nodes, by the placement worker (health) and by the timers.
"""

from collections.abc import Mapping
from typing import Any, Final, TypedDict, Unpack

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from scheduler import changes, checks
from scheduler.checks import ConflictError, NotFoundError, OperationError
from scheduler.database import Database
from scheduler.vault import Vault
from schemas.messages import NodeHealth
from schemas.tables import NodeRow, PoolRow

_TABLES: Final = NodeRow.metadata.tables
_NODE: Final = _TABLES["node"]
_MEETING: Final = _TABLES["meeting"]
_MAINTENANCE: Final = _TABLES["maintenance"]
_RECORDING: Final = _TABLES["recording"]
_SESSION: Final = _TABLES["session"]


class NodeTerms(TypedDict, total=False):
    """What can be set on a node."""

    base_url: str
    seats: int
    meeting_seats_max: int | None
    weight: int
    tags: str
    pool: str
    state: str


async def note_health(database: Database, health: NodeHealth) -> None:
    """Store what was observed of a node.

    Others learn at once only of what they act on or show: its health and why, its version, and the
    secret that it takes. When it answered last is written beside it.
    """
    async with database.session() as session:
        row = await session.get(NodeRow, health["node"])
    if row is None:
        raise NotFoundError(f"there is no node {health['node']}")
    told = _told(row, health)
    if all(getattr(row, name) == value for name, value in told.items()):
        await _note_answers(database, row, health)
        return
    async with changes.change(database) as session:
        row = await changes.get(session, NodeRow, "id", health["node"], what="node")
        told = _told(row, health)
        if row.health != told["health"]:
            row.health_ms = health["at_ms"]
        row.sqlmodel_update(told)
        row.misses = health.get("misses", 0)
        row.answered_ms = health.get("answered_ms", row.answered_ms)


def _told(row: NodeRow, health: NodeHealth) -> dict[str, Any]:
    """Return what all processes are to know."""
    told: dict[str, Any] = {
        "health": "up" if health["up"] else "down",
        "health_reason": health["reason"],
        "health_fault": health.get("fault", ""),
        "version": health.get("version", row.version),
    }
    if row.previous_secret is not None and "previous_in_use" in health:
        told["previous_in_use"] = health["previous_in_use"]
    return told


async def _note_answers(database: Database, row: NodeRow, health: NodeHealth) -> None:
    """Write when the node answered last, without having anybody load the directory for it."""
    seen = {
        "answered_ms": health.get("answered_ms", row.answered_ms),
        "misses": health.get("misses", 0),
    }
    if (row.answered_ms, row.misses) == (seen["answered_ms"], seen["misses"]):
        return
    async with database.write_lock, database.begin() as connection:
        await connection.execute(update(_NODE).where(_NODE.c.id == row.id).values(seen))


async def set_node_health(database: Database, node_id: int, *, up: bool, reason: str) -> None:
    """Store whether a node is up, as `note_health` does."""
    await note_health(
        database,
        {
            "kind": "nodeHealth",
            "node": node_id,
            "up": up,
            "reason": reason,
            "lost": False,
            "at_ms": changes.now_ms(),
        },
    )


async def change_node(
    database: Database, name: str, *, force: bool = False, **terms: Unpack[NodeTerms]
) -> None:
    """Change terms of a node; meetings that are admitted already stay so.

    Disabling one with meetings on it takes `force`: nobody would see any more how they are.
    """
    if not terms:
        raise OperationError("there is nothing to change")
    async with changes.change(database) as session:
        row = await changes.get(session, NodeRow, "name", name, what="node")
        stored = await _checked(session, row, terms)
        if stored.get("state") == "disabled" and row.state != "disabled" and not force:
            await _refuse_while_running(session, row)
        row.sqlmodel_update(stored)


async def _checked(session: AsyncSession, row: NodeRow, terms: NodeTerms) -> dict[str, Any]:
    """Return the terms as they are stored; raises `OperationError`."""
    stored: dict[str, Any] = {}
    for field in ("seats", "meeting_seats_max", "weight"):
        if field in terms:
            checks.number(field, terms[field])
            stored[field] = terms[field]
    if "state" in terms:
        checks.choice("state", terms["state"])
        stored["state"] = terms["state"]
    if "tags" in terms:
        stored["tags"] = checks.tags(terms["tags"])
    if "base_url" in terms:
        url = stored["base_url"] = checks.node_url(terms["base_url"])
        same = await changes.find(session, NodeRow, "base_url", url)
        if same is not None and same.id != row.id:
            # Two names for one server would sell its seats twice.
            raise ConflictError(f"the node {same.name} has the URL {url} already")
    if "pool" in terms:
        into = await changes.get(session, PoolRow, "name", terms["pool"], what="pool")
        if into.id != row.pool_id:
            await refuse_while_used(session, row, "moved to another pool")
            stored["pool_id"] = into.id
    return stored


async def refuse_while_used(session: AsyncSession, row: NodeRow, done: str) -> None:
    """Raise `ConflictError` when a meeting or booking is on the node, or may get there."""
    if row.state == "active":
        raise ConflictError(
            f"node {row.name} takes meetings; drain it first, then it can be {done}"
        )
    await _refuse_while_running(session, row)
    bookings = await _live(session, row, booked=True)
    if bookings:
        raise ConflictError(
            f"{bookings} bookings are on node {row.name}, and no other node has room for them:"
            " add a node or cancel them"
        )


async def _refuse_while_running(session: AsyncSession, row: NodeRow) -> None:
    running = await _live(session, row, booked=False)
    if running:
        raise ConflictError(
            f"{running} meetings are on node {row.name} still; wait for them"
            " (`seatkeep node drain`) or end them (`seatkeep node panic`)"
        )


async def _live(session: AsyncSession, row: NodeRow, *, booked: bool) -> int:
    """Return how many meetings, or bookings, are on the node."""
    here = (_MEETING.c.node_id == row.id) & _MEETING.c.live.is_(True)
    only = _MEETING.c.state == "booked"
    statement = select(func.count()).select_from(_MEETING).where(here, only if booked else ~only)
    return await session.scalar(statement) or 0


async def remove_node(database: Database, name: str, *, forget_recordings: bool = False) -> None:
    """Remove a node that nothing is on; what was on it stays in the history."""
    async with changes.change(database) as session:
        row = await changes.get(session, NodeRow, "name", name, what="node")
        await refuse_while_used(session, row, "removed")
        recordings = await session.scalar(
            select(func.count()).select_from(_RECORDING).where(_RECORDING.c.node_id == row.id)
        )
        if recordings and not forget_recordings:
            raise ConflictError(
                f"{recordings} recordings are on node {name}: they would be listed no more; say so"
                " to remove it nevertheless (`--forget-recordings`)"
            )
        for table in (_MAINTENANCE, _RECORDING, _SESSION):
            await session.execute(delete(table).where(table.c.node_id == row.id))
        await changes.remove(session, row)


async def rotate_secret(
    database: Database, vault: Vault, name: str, secret: str, *, overlap_s: int, in_use: bool
) -> None:
    """Give a node another secret; the former one is kept beside it for a while.

    `in_use` says that the node has the former one still.
    """
    checks.secret(secret, characters_min=1)
    async with changes.change(database) as session:
        row = await changes.get(session, NodeRow, "name", name, what="node")
        if secret == vault.open(row.secret):
            raise ConflictError(f"node {name} has this secret already")
        if row.previous_secret is None or not row.previous_in_use:
            # Else the node never took the one that is replaced here.
            row.previous_secret = row.secret
        row.previous_until_ms = changes.now_ms() + overlap_s * 1_000
        row.previous_in_use = in_use
        row.secret = vault.seal(secret)


async def drop_previous(database: Database) -> int:
    """Remove previous secrets whose time is over, and return how many.

    One that its node still takes alone is kept: to drop it would put the node out of service.
    Safe to repeat: what is gone is not found again, and then nothing is written.
    """
    over = (col(NodeRow.previous_until_ms) <= changes.now_ms()) & col(NodeRow.previous_in_use).is_(
        False
    )
    async with database.session() as session:
        found = list(await session.scalars(select(NodeRow.id).where(over)))  # type: ignore[call-overload]  # SQLModel types a column as its value
    if not found:
        return 0
    async with changes.change(database) as session:
        values: Mapping[str, Any] = {"previous_secret": None, "previous_until_ms": None}
        await session.execute(
            update(NodeRow)
            .where(over)
            .values(**values)
            .execution_options(synchronize_session=False)
        )
    return len(found)
