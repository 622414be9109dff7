"""Seats over time: reserved, in overtime and free, of pools, nodes and subscriptions.

Owns the reading of the rows that a span touches and the limits on what may be asked for. Computed
from the rows of meetings at each question, so it needs no worker and is never behind. Called by
the management API and by the command line.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, or_, select

from scheduler import seat_levels
from scheduler.checks import OperationError
from scheduler.directory_records import Directory
from scheduler.manage import instants, paging
from scheduler.manage.context import Context
from scheduler.manage.meeting_rows import MEETING
from scheduler.manage.operation import Operation
from scheduler.seat_levels import Span
from schemas.management.capacity import CapacityAsked, CapacityLine, CapacityStep
from schemas.management.paging import Listed
from schemas.values import EndReason, MeetingState

_HOURS: Final = 2 * 3_600
STEPS_MAX: Final = 2_000
#: Steps of all lines of one answer.
CELLS_MAX: Final = 100_000
SPAN_MAX_S: Final = 400 * 86_400
_RESERVING: Final = frozenset(
    {MeetingState.BOOKED, MeetingState.PLACING, MeetingState.HELD, MeetingState.LOST}
)


@dataclass(slots=True)
class _Line:
    """One pool, node or subscription."""

    id: int
    name: str
    seats: int
    sold: int
    reserved: list[Span] = field(default_factory=list)
    overtime: list[Span] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Asked:
    from_s: int
    to_s: int
    step_s: int
    now_s: int

    @property
    def steps(self) -> int:
        return -(-(self.to_s - self.from_s) // self.step_s)


async def show(context: Context, asked: CapacityAsked) -> Listed[CapacityLine]:
    """Show seats over time: the most that are reserved at any moment of each step."""
    span = _span(asked)
    lines = _lines(context, asked)
    after = paging.read_cursor(asked.after, str)
    rest = [line for line in lines if after is None or line.name > str(after[0])]
    shown = rest[: asked.limit]
    if len(shown) * span.steps > CELLS_MAX:
        raise OperationError(
            f"{len(shown)} lines of {span.steps} steps are too much at once: ask for longer steps,"
            " a shorter span or fewer lines (`limit`)"
        )
    rows = await _rows(context, asked, span, shown)
    made = await asyncio.to_thread(_made, shown, rows, asked.by, span)
    more = len(rest) > len(shown)
    return Listed(items=made, next=paging.cursor(shown[-1].name) if more else None)


def _span(asked: CapacityAsked) -> _Asked:
    now_s = instants.now_s()
    from_s = now_s if asked.from_at is None else int(asked.from_at.timestamp())
    to_s = from_s + _HOURS if asked.to_at is None else instants.seconds(asked.to_at)
    if not 0 < to_s - from_s <= SPAN_MAX_S:
        raise OperationError("the span must end after its begin, and within 400 days")
    span = _Asked(from_s, to_s, asked.step_s, now_s)
    if span.steps > STEPS_MAX:
        raise OperationError(
            f"{span.steps} steps are too many: {STEPS_MAX} at most; take longer ones"
        )
    return span


def _lines(context: Context, asked: CapacityAsked) -> list[_Line]:
    """Return what is asked for and seen, by name."""
    directory = context.directory.current
    if asked.by != "subscription" and context.only is not None:
        context.operate("the seats of pools and nodes are shown")
    pools = set(directory.pools)
    if asked.pool is not None:
        named = directory.pool_by_name.get(asked.pool)
        pools = {named.id} if named is not None and context.only is None else set()
    if asked.by == "pool":
        lines = [_pool_line(directory, pool_id) for pool_id in pools]
    elif asked.by == "node":
        lines = [
            _Line(node.id, node.name, node.seats, node.seats)
            for node in directory.nodes.values()
            if node.pool_id in pools
        ]
    else:
        lines = [
            _Line(owner.id, owner.slug, owner.seats, owner.seats)
            for owner in directory.subscriptions.values()
            if owner.pool_id in pools and context.sees(owner.id)
        ]
    found = [line for line in lines if asked.name in (None, line.name)]
    return sorted(found, key=lambda line: line.name)


def _pool_line(directory: Directory, pool_id: int) -> _Line:
    nodes = [node for node in directory.nodes_of_pool[pool_id] if node.state != "disabled"]
    plans = [s.seats for s in directory.subscriptions.values() if s.pool_id == pool_id]
    name = directory.pools[pool_id].name
    return _Line(pool_id, name, sum(node.seats for node in nodes), sum(plans))


async def _rows(
    context: Context, asked: CapacityAsked, span: _Asked, lines: list[_Line]
) -> list[dict[str, Any]]:
    columns = (
        *("pool_id", "subscription_id", "node_id", "state", "live", "seats", "start_s"),
        *("end_s", "ended_ms", "end_reason"),
    )
    unbound = MEETING.c.bound.is_(None).label("unbound")
    wanted: ColumnElement[bool] = MEETING.c.live.is_(True)
    if span.from_s < span.now_s:
        # Ended ones change no more, so the index of changes finds those that ended since.
        ended = and_(MEETING.c.live.is_(False), MEETING.c.updated_ms >= span.from_s * 1_000)
        wanted = or_(wanted, ended)
    statement = (
        select(*(MEETING.c[name] for name in columns), unbound)
        .where(wanted, MEETING.c.start_s < span.to_s, MEETING.c.seats > 0)
        .where(MEETING.c[f"{asked.by}_id"].in_([line.id for line in lines]))
    )
    if context.only is not None:
        statement = statement.where(MEETING.c.subscription_id == context.only)
    async with context.database.connect() as connection:
        return [dict(row) for row in (await connection.execute(statement)).mappings()]


def _made(
    lines: list[_Line], rows: Iterable[dict[str, Any]], by: str, span: _Asked
) -> list[CapacityLine]:
    """Return the lines with their steps; called in a thread, for there may be many rows."""
    known = {line.id: line for line in lines}
    for row in rows:
        line = known.get(row[f"{by}_id"])
        if line is not None:
            _charge(line, row, span.now_s)
    return [_shown(line, span) for line in lines]


def _charge(line: _Line, row: dict[str, Any], now_s: int) -> None:
    """Add what a meeting or booking reserved, and how long it was there afterwards."""
    start_s, end_s, seats = row["start_s"], row["end_s"], row["seats"]
    if row["live"]:
        if row["state"] in _RESERVING:
            line.reserved.append((start_s, end_s, seats))
        elif row["state"] == MeetingState.OVERTIME:
            line.reserved.append((start_s, end_s, seats))
            line.overtime.append((end_s, now_s + 1, seats))
        return
    if row["unbound"] and row["end_reason"] == EndReason.FAILED:
        return
    ended_s = row["ended_ms"] // 1_000
    line.reserved.append((start_s, min(end_s, ended_s), seats))
    if not row["unbound"]:
        line.overtime.append((end_s, ended_s, seats))


def _shown(line: _Line, span: _Asked) -> CapacityLine:
    measures = (span.from_s, span.to_s, span.step_s)
    reserved = seat_levels.highest(line.reserved, *measures)
    overtime = seat_levels.highest(line.overtime, *measures)
    steps = [
        CapacityStep(
            at=instants.of_s(span.from_s + number * span.step_s),
            reserved=taken,
            overtime=over,
            free=max(0, line.seats - taken),
        )
        for number, (taken, over) in enumerate(zip(reserved, overtime, strict=True))
    ]
    return CapacityLine(
        name=line.name,
        seats=line.seats,
        sold=line.sold,
        over_committed=any(taken > line.seats for taken in reserved),
        steps=steps,
    )


OPERATIONS: Final = (
    Operation("capacity.show", "GET", "/capacity", show, CapacityAsked, Listed[CapacityLine]),
)
