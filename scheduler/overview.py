"""The state of an installation at a glance: what is held, in overtime and free right now.

Owns the one reading of the database behind `seatkeep status`. Reads only; needs no running worker,
because it is wanted most when none runs. Called by `scheduler.manage.status`, which says who may
see what of it and what is a problem.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, Executable, String, case, cast, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler.database import Database
from schemas.tables import MeetingRow
from schemas.values import MeetingState

_TABLES: Final = MeetingRow.metadata.tables
_MEETING: Final = _TABLES["meeting"]
_ATTENDEE: Final = _TABLES["attendee"]
_DELIVERY: Final = _TABLES["delivery"]
_ENDPOINT: Final = _TABLES["endpoint"]
_ERRAND: Final = _TABLES["errand"]
_JOB: Final = _TABLES["job"]
_OUTBOX: Final = _TABLES["outbox"]
_TARGET: Final = _TABLES["target"]
_AS_TARGET: Final = literal("endpoint:") + cast(_ENDPOINT.c.id, String)

#: How far ahead the peak is looked for.
AHEAD_S: Final = 7_200
#: States whose seats are a guarantee; a lost meeting keeps those of its subscription.
_HELD: Final = (MeetingState.PLACING, MeetingState.HELD, MeetingState.LOST)

Row = Mapping[str, Any]


@dataclass(slots=True)
class Use:
    """What is used of some seats, and the changes to come: (second, seats more or less)."""

    held: int = 0
    overtime: int = 0
    meetings: int = 0
    users: int = 0
    steps: list[tuple[int, int]] = field(default_factory=list)

    def peak(self) -> int:
        """Return the most guaranteed seats from now on; an end comes before a beginning."""
        most = now = 0
        for _, seats in sorted(self.steps):
            now += seats
            most = max(most, now)
        return most


@dataclass(frozen=True, slots=True)
class Uses:
    """The same for each id; an id that is not there uses nothing."""

    pools: Mapping[int, Use]
    nodes: Mapping[int, Use]
    subscriptions: Mapping[int, Use]


@dataclass(frozen=True, slots=True)
class Overview:
    """Rows of the tables, and what is counted."""

    pools: list[Row]
    nodes: list[Row]
    subscriptions: list[Row]
    uses: Uses
    events: dict[str, int]
    endpoints: dict[str, int]
    #: Endpoints that fail or were switched off because they did.
    sick: list[Row]
    jobs: dict[str, int]


async def read(database: Database, *, now_ms: int, only: int | None = None) -> Overview:
    """Read everything, or what belongs to the subscription `only` and no node and no pool."""
    async with database.connect() as connection:
        return Overview(
            pools=[] if only else await _rows(connection, "pool", "name"),
            nodes=[] if only else await _rows(connection, "node", "name"),
            subscriptions=await _rows(connection, "subscription", "slug", only=only),
            uses=await _uses(connection, now_ms // 1_000, only),
            events=await _events(connection, now_ms, only),
            endpoints=await _endpoints(connection, now_ms, only),
            sick=await _sick(connection, only),
            jobs=await _jobs(connection, now_ms, only),
        )


async def _uses(connection: AsyncConnection, now_s: int, only: int | None) -> Uses:
    """Return what is used by pool, node and subscription.

    A breakout room is a part of its meeting: it holds no seats, and its people are there already.
    """
    users = (
        select(_ATTENDEE.c.meeting_id, func.count().label("users"))
        .where(_ATTENDEE.c.present.is_(True))
        .group_by(_ATTENDEE.c.meeting_id)
        .subquery()
    )
    meeting = _MEETING.c
    statement = (
        select(
            *(meeting.pool_id, meeting.node_id, meeting.subscription_id, meeting.state),
            *(meeting.seats, meeting.start_s, meeting.end_s),
            func.coalesce(users.c.users, 0).label("users"),
        )
        .select_from(_MEETING.outerjoin(users, users.c.meeting_id == meeting.id))
        .where(meeting.live.is_(True), meeting.parent_id.is_(None))
    )
    if only is not None:
        statement = statement.where(meeting.subscription_id == only)
    pools: dict[int, Use] = defaultdict(Use)
    nodes: dict[int, Use] = defaultdict(Use)
    subscriptions: dict[int, Use] = defaultdict(Use)
    for row in await _mappings(connection, statement):
        shares = [pools[row["pool_id"]], subscriptions[row["subscription_id"]]]
        if row["node_id"] is not None:
            shares.append(nodes[row["node_id"]])
        _count(row, shares, now_s)
    return Uses(pools, nodes, subscriptions)


def _count(row: Row, shares: Iterable[Use], now_s: int) -> None:
    seats, start_s, end_s = row["seats"], row["start_s"], row["end_s"]
    booked = row["state"] == MeetingState.BOOKED
    guaranteed = booked or row["state"] in _HELD
    overtime = row["state"] == MeetingState.OVERTIME
    if booked and end_s <= now_s:
        return
    for use in shares:
        if overtime:
            use.overtime += seats
        elif guaranteed and (not booked or start_s <= now_s):
            use.held += seats
        if guaranteed and start_s < now_s + AHEAD_S:
            # A meeting whose end is noted in a moment still has its seats.
            use.steps += [(max(start_s, now_s), seats), (max(end_s, now_s + 1), -seats)]
        if overtime or (guaranteed and not booked):
            use.meetings += 1
            use.users += row["users"]


async def _events(connection: AsyncConnection, now_ms: int, only: int | None) -> dict[str, int]:
    waiting = _DELIVERY.c.state.in_(("waiting", "queued", "sending"))
    counted = select(
        _sum(waiting).label("queued"),
        _sum(_DELIVERY.c.state == "parked").label("parked"),
        func.min(case((waiting, _DELIVERY.c.created_ms))).label("oldest_ms"),
    )
    outbox: Row = {"unpublished": 0, "oldest_ms": None}
    if only is None:
        # The outbox does not know whose an event is.
        [outbox] = await _mappings(
            connection,
            select(
                func.count().label("unpublished"), func.min(_OUTBOX.c.at_ms).label("oldest_ms")
            ).where(_OUTBOX.c.published_ms.is_(None)),
        )
    else:
        counted = counted.where(_DELIVERY.c.subscription_id == only)
    [deliveries] = await _mappings(connection, counted)
    return {
        "unpublished": int(outbox["unpublished"] or 0),
        "unpublished_s": _age_s(outbox["oldest_ms"], now_ms),
        "queued": int(deliveries["queued"]),
        "parked": int(deliveries["parked"]),
        "oldest_s": _age_s(deliveries["oldest_ms"], now_ms),
    }


async def _endpoints(connection: AsyncConnection, now_ms: int, only: int | None) -> dict[str, int]:
    counted = select(
        _sum(_ENDPOINT.c.enabled.is_(True)).label("enabled"),
        _sum(_ENDPOINT.c.enabled.is_(False)).label("disabled"),
        _sum(_ENDPOINT.c.enabled.is_(True) & _TARGET.c.failing_since_ms.is_not(None)).label(
            "failing"
        ),
    ).select_from(_ENDPOINT.outerjoin(_TARGET, _TARGET.c.id == _AS_TARGET))
    paused = select(func.count().label("paused")).where(_TARGET.c.open_until_ms > now_ms)
    if only is not None:
        counted = counted.where(_ENDPOINT.c.subscription_id == only)
        paused = paused.join(_ENDPOINT, _TARGET.c.id == _AS_TARGET).where(
            _ENDPOINT.c.subscription_id == only
        )
    [row] = await _mappings(connection, counted)
    [targets] = await _mappings(connection, paused)
    return {
        **{name: int(row[name]) for name in ("enabled", "disabled", "failing")},
        "targets_paused": int(targets["paused"]),
    }


async def _sick(connection: AsyncConnection, only: int | None) -> list[Row]:
    plan = _TABLES["subscription"]
    statement = (
        select(
            _ENDPOINT.c.id,
            plan.c.slug,
            _ENDPOINT.c.disabled_reason,
            _TARGET.c.failing_since_ms,
            func.coalesce(_TARGET.c.failures, 0).label("failures"),
        )
        .select_from(
            _ENDPOINT.join(plan, plan.c.id == _ENDPOINT.c.subscription_id).outerjoin(
                _TARGET, _TARGET.c.id == _AS_TARGET
            )
        )
        .where(
            (_ENDPOINT.c.enabled.is_(True) & _TARGET.c.failing_since_ms.is_not(None))
            | (_ENDPOINT.c.enabled.is_(False) & (_ENDPOINT.c.disabled_reason != ""))
        )
        .order_by(_ENDPOINT.c.id)
        .limit(100)
    )
    if only is not None:
        statement = statement.where(_ENDPOINT.c.subscription_id == only)
    return await _mappings(connection, statement)


async def _jobs(connection: AsyncConnection, now_ms: int, only: int | None) -> dict[str, int]:
    waiting = _JOB.c.state == "waiting"
    counted = select(
        _sum(waiting).label("waiting"),
        _sum(_JOB.c.state == "running").label("running"),
        func.min(case((waiting, _JOB.c.created_ms))).label("oldest_ms"),
    )
    errands: Row = {"errands": 0, "oldest_ms": None}
    if only is None:
        [errands] = await _mappings(
            connection,
            select(
                func.count().label("errands"), func.min(_ERRAND.c.at_ms).label("oldest_ms")
            ).where(_ERRAND.c.answer.is_(None), _ERRAND.c.deadline_ms > now_ms),
        )
    else:
        counted = counted.where(_JOB.c.subscription_id == only)
    [jobs] = await _mappings(connection, counted)
    return {
        "waiting": int(jobs["waiting"]),
        "running": int(jobs["running"]),
        "oldest_s": _age_s(jobs["oldest_ms"], now_ms),
        "errands": int(errands["errands"] or 0),
        "errands_s": _age_s(errands["oldest_ms"], now_ms),
    }


def _sum(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """Count the rows of which a condition is true."""
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _age_s(at_ms: int | None, now_ms: int) -> int:
    return 0 if at_ms is None else max(0, now_ms - at_ms) // 1_000


async def _rows(
    connection: AsyncConnection, table: str, order: str, *, only: int | None = None
) -> list[Row]:
    chosen = _TABLES[table]
    statement = select(chosen).order_by(chosen.c[order])
    return await _mappings(
        connection, statement if only is None else statement.where(chosen.c.id == only)
    )


async def _mappings(connection: AsyncConnection, statement: Executable) -> list[Row]:
    return [dict(row) for row in (await connection.execute(statement)).mappings()]
