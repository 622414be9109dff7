"""Deliveries for people: look at them, send them again, take them out; and switching targets off.

Owns what may be done to a delivery in which state. A replay keeps ids, so a receiver knows what it
has seen, and stands in its lane in the order of the events. What a worker is sending is never
touched. Called by the command line and the management API; workers switch off what fails.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler import changes, endpoints, lanes, outbox
from scheduler.checks import ConflictError, NotFoundError, OperationError
from scheduler.database import Database
from schemas import events
from schemas.delivery_tables import DeliveryRow
from schemas.events import EventKind
from schemas.tables import HookRow

STATES: Final = ("waiting", "queued", "sending", "delivered", "parked")
#: What may be sent again, and what may be taken out.
OVER: Final = ("parked", "delivered")
OPEN: Final = ("waiting", "queued")
#: Rows of one transaction, so that nobody waits for long.
CHUNK_ROWS: Final = 500
LIMIT_MAX: Final = 10_000

_TABLES: Final = DeliveryRow.metadata.tables
_DELIVERY: Final = _TABLES["delivery"]
_ATTEMPT: Final = _TABLES["attempt"]
_MEETING: Final = _TABLES["meeting"]
_SUBSCRIPTION: Final = _TABLES["subscription"]
_ENDPOINT: Final = _TABLES["endpoint"]
_CREDENTIAL: Final = _TABLES["credential"]
_TARGET: Final = _TABLES["target"]
_HOOK: Final = HookRow.metadata.tables["hook"]

#: What the fields of `Wanted` ask of a row.
_CONDITIONS: Final[dict[str, Callable[[Any], ColumnElement[bool]]]] = {
    "ids": lambda ids: _DELIVERY.c.id.in_(list(ids)),
    "endpoint": lambda number: _DELIVERY.c.target == f"endpoint:{number}",
    "subscription": lambda slug: _DELIVERY.c.subscription_id.in_(
        select(_SUBSCRIPTION.c.id).where(_SUBSCRIPTION.c.slug == slug)
    ),
    "credential": lambda number: _DELIVERY.c.credential_id == number,
    "kind": lambda kind: _DELIVERY.c.kind == kind,
    "meeting": lambda meeting: or_(
        _DELIVERY.c.meeting_id == meeting,
        _DELIVERY.c.meeting_id.in_(select(_MEETING.c.id).where(_MEETING.c.external_id == meeting)),
    ),
    "state": lambda state: _DELIVERY.c.state == state,
    "since_ms": lambda at_ms: _DELIVERY.c.created_ms >= at_ms,
    "until_ms": lambda at_ms: _DELIVERY.c.created_ms < at_ms,
    "finished_by_ms": lambda at_ms: or_(
        _DELIVERY.c.finished_ms.is_(None), _DELIVERY.c.finished_ms <= at_ms
    ),
}

#: Told after each transaction: how many deliveries so far; may raise to stop.
Progress: TypeAlias = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deliveries; what is not set does not matter."""

    ids: Sequence[str] = ()
    endpoint: int | None = None
    #: The slug.
    subscription: str | None = None
    #: The id of a credential.
    credential: int | None = None
    kind: str | None = None
    #: The caller's `meetingID`, or our id of the meeting.
    meeting: str | None = None
    state: str | None = None
    #: Half-open, by the time at which the event was taken in.
    since_ms: int | None = None
    until_ms: int | None = None
    #: Only what was over then: what has gone out since is left alone.
    finished_by_ms: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions on the rows; raises `OperationError` for a state that is none."""
        if self.state is not None and self.state not in STATES:
            raise OperationError(f"{self.state!r} is none of {', '.join(STATES)}")
        return [
            condition(given)
            for name, condition in _CONDITIONS.items()
            if (given := getattr(self, name)) is not None and given != ()
        ]


async def count(database: Database, wanted: Wanted, states: Sequence[str]) -> int:
    """Return how many deliveries in these states fit."""
    counted = select(func.count()).select_from(_DELIVERY)
    async with database.connect() as connection:
        found = await connection.execute(
            counted.where(_DELIVERY.c.state.in_(states), *wanted.conditions())
        )
        return int(found.scalar_one())


async def listed(
    database: Database, wanted: Wanted, *, limit: int = 100, before_id: str | None = None
) -> list[dict[str, Any]]:
    """Return the newest of the deliveries, newest first; without what they say."""
    if not 1 <= limit <= LIMIT_MAX:
        raise OperationError(f"the limit must be from 1 to {LIMIT_MAX}")
    names = (
        *("id", "event_id", "kind", "target", "state", "attempts", "meeting_id"),
        *("created_ms", "next_attempt_ms", "finished_ms", "parked_reason"),
    )
    statement = (
        select(_SUBSCRIPTION.c.slug.label("subscription"), *(_DELIVERY.c[name] for name in names))
        .select_from(
            _DELIVERY.outerjoin(_SUBSCRIPTION, _SUBSCRIPTION.c.id == _DELIVERY.c.subscription_id)
        )
        .where(*wanted.conditions())
        .order_by(_DELIVERY.c.id.desc())
        .limit(limit)
    )
    if before_id is not None:
        statement = statement.where(_DELIVERY.c.id < before_id)
    async with database.connect() as connection:
        return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def shown(database: Database, delivery_id: str) -> dict[str, Any]:
    """Return a delivery with what it says and its attempts; raises `OperationError`."""
    async with database.snapshot() as connection:
        found = await connection.execute(select(_DELIVERY).where(_DELIVERY.c.id == delivery_id))
        row = found.mappings().first()
        if row is None:
            raise NotFoundError(f"there is no delivery {delivery_id}")
        attempts = await connection.execute(
            select(_ATTEMPT).where(_ATTEMPT.c.delivery_id == delivery_id).order_by(_ATTEMPT.c.id)
        )
        names = ("number", "at_ms", "took_ms", "status", "error")
        tries = [{name: one[name] for name in names} for one in attempts.mappings()]
    body = bytes(row["body"]).decode("utf-8", "replace")
    return dict(row) | {"body": body, "attempts_made": tries}


async def targets(database: Database) -> list[dict[str, Any]]:
    """Return the targets that something was sent to or waits for, with how they fare.

    Those of single meetings only when something waits for them or they fail.
    """
    counts: dict[str, dict[str, int]] = {}
    counted = select(_DELIVERY.c.target, _DELIVERY.c.state, func.count()).group_by(
        _DELIVERY.c.target, _DELIVERY.c.state
    )
    async with database.snapshot() as connection:
        for target, state, number in await connection.execute(counted):
            counts.setdefault(target, {})[state] = number
        known = {row.id: row for row in await connection.execute(select(_TARGET))}
    found = []
    for target in sorted(counts.keys() | known.keys()):
        numbers, row = counts.get(target, {}), known.get(target)
        open_count = sum(numbers.get(state, 0) for state in ("waiting", "queued", "sending"))
        if target.startswith("callback:") and not open_count and not numbers.get("parked"):
            continue
        found.append(
            {
                "target": target,
                "open": open_count,
                "delivered": numbers.get("delivered", 0),
                "parked": numbers.get("parked", 0),
                "failures": row.failures if row else 0,
                "failing_since_ms": row.failing_since_ms if row else None,
                "left_alone_until_ms": row.open_until_ms if row and row.trips else None,
                "last_success_ms": row.last_success_ms or None if row else None,
            }
        )
    return found


async def replay(
    database: Database,
    wanted: Wanted,
    *,
    delivered: bool = False,
    progress: Progress | None = None,
) -> int:
    """Send parked deliveries again, `delivered` ones too if asked for; return how many.

    The steps begin anew, the ids stay. Raises `OperationError` when its endpoint is switched off.
    """
    if wanted.endpoint is not None:
        await check_on(database, wanted.endpoint)
    states = OVER if delivered else OVER[:1]

    async def again(connection: AsyncConnection, rows: Sequence[Any]) -> None:
        now_ms = changes.now_ms()
        for state, ids in (
            ("waiting", [row.id for row in rows if not lanes.is_relaxed(row.lane, row.id)]),
            ("queued", [row.id for row in rows if lanes.is_relaxed(row.lane, row.id)]),
        ):
            await connection.execute(
                update(_DELIVERY)
                .where(_DELIVERY.c.id.in_(ids))
                .values(
                    state=state,
                    attempts=0,
                    next_attempt_ms=now_ms,
                    finished_ms=None,
                    parked_reason="",
                )
            )

    return await _each(database, wanted, states, again, progress)


async def park(database: Database, wanted: Wanted, *, progress: Progress | None = None) -> int:
    """Take deliveries that are to be sent out of their lanes; return how many. They are kept."""

    async def aside(connection: AsyncConnection, rows: Sequence[Any]) -> None:
        await connection.execute(
            update(_DELIVERY)
            .where(_DELIVERY.c.id.in_([row.id for row in rows]))
            .values(state="parked", finished_ms=changes.now_ms(), parked_reason="by hand")
        )

    return await _each(database, wanted, OPEN, aside, progress)


async def drop(database: Database, wanted: Wanted, *, progress: Progress | None = None) -> int:
    """Remove deliveries for good, except those that a worker is sending; return how many."""

    async def away(connection: AsyncConnection, rows: Sequence[Any]) -> None:
        ids = [row.id for row in rows]
        await connection.execute(delete(_ATTEMPT).where(_ATTEMPT.c.delivery_id.in_(ids)))
        await connection.execute(delete(_DELIVERY).where(_DELIVERY.c.id.in_(ids)))

    return await _each(database, wanted, (*OVER, *OPEN), away, progress)


async def _each(
    database: Database,
    wanted: Wanted,
    states: Sequence[str],
    change: Callable[[AsyncConnection, Sequence[Any]], Awaitable[None]],
    progress: Progress | None,
) -> int:
    """Change deliveries in these states, oldest first, in chunks; return how many there were."""
    if not wanted.conditions():
        raise OperationError("say which deliveries: by id, endpoint, subscription, time …")
    done, last_id = 0, ""
    rows = select(_DELIVERY.c.id, _DELIVERY.c.lane, _DELIVERY.c.meeting_id).where(
        _DELIVERY.c.state.in_(states)
    )
    while True:
        next_rows = (
            rows.where(*wanted.conditions(), _DELIVERY.c.id > last_id)
            .order_by(_DELIVERY.c.id)
            .limit(CHUNK_ROWS)
        )
        async with database.connect() as connection:
            seen = (await connection.execute(next_rows)).all()
        if not seen:
            return done
        last_id = seen[-1].id
        async with database.write_lock, database.begin() as connection:
            await lanes.lock(connection, {row.meeting_id for row in seen})
            # What somebody else changed, or is about to, is left alone.
            chosen = rows.where(_DELIVERY.c.id.in_([row.id for row in seen]))
            still = (await connection.execute(chosen.with_for_update(skip_locked=True))).all()
            await change(connection, still)
            await lanes.move_on(connection, {row.lane for row in still})
        done += len(still)
        if progress is not None:
            await progress(done)


async def check_on(database: Database, endpoint: int) -> None:
    """Refuse an endpoint that is switched off: nothing could be sent to it."""
    async with database.connect() as connection:
        found = await connection.execute(
            select(_ENDPOINT.c.enabled).where(_ENDPOINT.c.id == endpoint)
        )
        enabled = found.scalar_one_or_none()
    if enabled is None:
        raise NotFoundError(f"there is no endpoint {endpoint}")
    if not enabled:
        raise ConflictError(f"the endpoint {endpoint} is switched off: enable it first")


async def switch_off(
    database: Database, target: str, *, reason: str, failing_since_ms: int | None = None
) -> bool:
    """Switch off what a target stands for, and say so in an event; return whether it was on.

    What is queued for it is parked when its turn comes. Safe to repeat.
    """
    kind, _, name = target.partition(":")
    if kind == "endpoint":
        try:
            return await endpoints.disable(
                database, int(name), reason=reason, failing_since_ms=failing_since_ms
            )
        except NotFoundError:
            return False  # it was removed in the meantime
    if kind != "hook":
        return False
    async with database.write_lock, database.begin() as connection:
        done = await connection.execute(
            update(_HOOK)
            .where(_HOOK.c.id == name, _HOOK.c.enabled)
            .values(enabled=False, disabled_reason=reason)
        )
        if not done.rowcount:
            return False
        await _tell_of_hook(connection, name, reason, failing_since_ms)
    return True


async def _tell_of_hook(
    connection: AsyncConnection, hook_id: str, reason: str, failing_since_ms: int | None
) -> None:
    found = await connection.execute(
        select(_SUBSCRIPTION.c.id, _SUBSCRIPTION.c.pool_id, _CREDENTIAL.c.id).where(
            _HOOK.c.id == hook_id,
            _CREDENTIAL.c.id == _HOOK.c.credential_id,
            _SUBSCRIPTION.c.id == _CREDENTIAL.c.subscription_id,
        )
    )
    owner = found.first()
    if owner is None:
        return
    data: dict[str, Any] = {"label": f"webhook {hook_id}", "reason": reason}
    if failing_since_ms is not None:
        data["failingSince"] = failing_since_ms
    event = events.about_subscription(
        EventKind.ENDPOINT_DISABLED,
        changes.now_ms(),
        pool=owner[1],
        subscription=owner[0],
        credential=owner[2],
        data=data,
    )
    await outbox.write(connection, event)
