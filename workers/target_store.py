"""The rows of targets: how they fare, and who makes the probe.

Owns the statements on `target`, and the question which targets get nothing at present. Never
changes an endpoint or a hook. Used by the delivery store, within its transactions.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.delivery_tables import TargetRow
from workers.breaker import Change, Health, Probe

_TABLES: Final = TargetRow.metadata.tables
_TARGET: Final = _TABLES["target"]
_ENDPOINT: Final = _TABLES["endpoint"]
_HOOK: Final = _TABLES["hook"]
#: Targets that are not well and are known to every worker.
UNWELL_MAX: Final = 50_000


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a target may fail without a success before it is switched off."""

    failures_min: int
    days: float

    def is_over(self, health: Health, now_ms: int) -> bool:
        """Tell whether it has failed often enough, for long enough."""
        since_ms = health.failing_since_ms
        return (
            since_ms is not None
            and health.failures >= self.failures_min
            and now_ms - since_ms >= self.days * 86_400_000
        )


async def unwell(connection: AsyncConnection) -> dict[str, Health]:
    """Return the targets that fail or are left alone."""
    found = await connection.execute(
        select(
            _TARGET.c.id,
            _TARGET.c.failures,
            _TARGET.c.failing_since_ms,
            _TARGET.c.open_until_ms,
            _TARGET.c.trips,
        )
        .where((_TARGET.c.failures > 0) | (_TARGET.c.trips > 0))
        .limit(UNWELL_MAX)
    )
    return {row[0]: Health(*row[1:]) for row in found}


async def store(connection: AsyncConnection, changes: Sequence[Change]) -> dict[str, Health]:
    """Write down how targets fared and return how they stand now; `changes` are sorted."""
    return {change.target: await _store(connection, change) for change in changes}


async def _store(connection: AsyncConnection, change: Change) -> Health:
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    new = dialect.insert(_TARGET).values(
        id=change.target,
        last_success_ms=change.at_ms if change.succeeded else 0,
        failing_since_ms=change.at_ms if change.failures else None,
        failures=change.failures,
        open_until_ms=change.open_until_ms or 0,
        trips=change.trips,
        updated_ms=change.at_ms,
    )
    fresh = new.excluded
    values: dict[str, Any] = {"updated_ms": fresh.updated_ms}
    if change.succeeded:
        values |= {
            "last_success_ms": fresh.last_success_ms,
            "failing_since_ms": fresh.failing_since_ms,
            "failures": fresh.failures,
        }
    else:
        values |= {
            "failing_since_ms": func.coalesce(_TARGET.c.failing_since_ms, fresh.failing_since_ms),
            "failures": _TARGET.c.failures + fresh.failures,
        }
    if change.open_until_ms is not None or change.closes:
        values |= {"open_until_ms": fresh.open_until_ms, "trips": fresh.trips}
    statement = new.on_conflict_do_update(index_elements=["id"], set_=values).returning(
        _TARGET.c.failures, _TARGET.c.failing_since_ms, _TARGET.c.open_until_ms, _TARGET.c.trips
    )
    return Health(*(await connection.execute(statement)).one())


async def take_probe(connection: AsyncConnection, probe: Probe, until_ms: int) -> bool:
    """Be the one worker that tries a target again; until `until_ms` no other does."""
    done = await connection.execute(
        update(_TARGET)
        .where(_TARGET.c.id == probe.target, _TARGET.c.open_until_ms == probe.open_until_ms)
        .values(open_until_ms=until_ms)
    )
    return done.rowcount > 0


async def switched_off(connection: AsyncConnection, targets: Collection[str]) -> dict[str, str]:
    """Return those of the targets that get nothing at present, with the reason."""
    reasons: dict[str, str] = {}
    for kind, table, noun in (("endpoint", _ENDPOINT, "endpoint"), ("hook", _HOOK, "webhook")):
        ids = {target.partition(":")[2]: target for target in targets if target.startswith(kind)}
        if not ids:
            continue
        wanted = [int(number) for number in ids] if table is _ENDPOINT else list(ids)
        rows = await connection.execute(
            select(table.c.id, table.c.enabled).where(table.c.id.in_(wanted))
        )
        known = {str(row[0]): bool(row[1]) for row in rows}
        for number, target in ids.items():
            if number not in known:
                reasons[target] = f"the {noun} was removed"
            elif not known[number]:
                reasons[target] = f"the {noun} is switched off"
    return reasons
