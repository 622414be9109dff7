"""Long operations in the database, as the role `jobs` takes, feeds and finishes them.

Owns the claim: a job belongs to a worker until `claimed_until_ms`, which is also the proof that it
still does. A worker that lost its claim writes nothing more. Called by `jobs` alone.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from sqlalchemy import and_, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler.database import Database
from scheduler.vault import Vault
from schemas.management_tables import JobRow

#: A worker that does not renew its claim for so long is taken for dead.
LEASE_MS: Final = 30_000
#: Any number that no other application uses for an advisory lock on the same database.
_CLAIM_LOCK: Final = 7_328_532_712
_NOTE_CHARACTERS_MAX: Final = 1_024

_JOB: Final = JobRow.metadata.tables["job"]


class ClaimLostError(Exception):
    """Another worker has the job by now, or it was removed."""


@dataclass(slots=True)
class Claim:
    """One job in the hands of this worker."""

    id: str
    kind: str
    subject: str
    subscription_id: int | None
    actor: str
    params: Mapping[str, Any] = field(repr=False)
    until_ms: int


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class JobStore:
    """The table of jobs."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def claim(self, kinds: Collection[str]) -> Claim | None:
        """Take the oldest job that waits, or whose worker died; None when there is none.

        A job waits while another one of its subject is at work.
        """
        open_ = or_(
            _JOB.c.state == "waiting",
            and_(_JOB.c.state == "running", _JOB.c.claimed_until_ms < _now_ms()),
        )
        wanted = select(_JOB.c.id).where(open_, _JOB.c.kind.in_(sorted(kinds))).limit(1)
        async with self._database.connect() as connection:
            if (await connection.execute(wanted)).first() is None:
                return None
        async with self._database.write_lock, self._database.begin() as connection:
            if not self._database.is_sqlite:
                # Two workers must not take two jobs of one subject at the same moment.
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_CLAIM_LOCK})"))
            return await self._take(connection, kinds)

    async def _take(self, connection: AsyncConnection, kinds: Collection[str]) -> Claim | None:
        now_ms = _now_ms()
        other = _JOB.alias()
        busy = (
            select(other.c.id)
            .where(other.c.subject == _JOB.c.subject, other.c.id != _JOB.c.id)
            .where(other.c.state == "running", other.c.claimed_until_ms >= now_ms)
        )
        mine = (_JOB.c.state == "running") & (_JOB.c.claimed_until_ms < now_ms)
        found = await connection.execute(
            select(_JOB)
            .where(or_(_JOB.c.state == "waiting", mine), _JOB.c.kind.in_(sorted(kinds)))
            .where(~busy.exists())
            # Work that was interrupted comes before work that was not begun.
            .order_by((_JOB.c.state == "waiting"), _JOB.c.id)
            .limit(1)
        )
        row = found.mappings().first()
        if row is None:
            return None
        until_ms = now_ms + LEASE_MS
        await connection.execute(
            update(_JOB)
            .where(_JOB.c.id == row["id"])
            .values(
                state="running",
                claimed_until_ms=until_ms,
                started_ms=func.coalesce(_JOB.c.started_ms, now_ms),
            )
        )
        return Claim(
            id=row["id"],
            kind=row["kind"],
            subject=row["subject"],
            subscription_id=row["subscription_id"],
            actor=row["actor"],
            params=orjson.loads(self._vault.open(row["params"])),
            until_ms=until_ms,
        )

    async def renew(
        self, claim: Claim, progress: tuple[int, int | None, str] | None = None
    ) -> bool:
        """Keep the claim, and note how far the job is; return whether it was asked to stop.

        Raises `ClaimLostError` when it is not ours any more.
        """
        values: dict[str, Any] = {}
        if progress is not None:
            done, total, note = progress
            values = {"done": done, "total": total, "note": note[:_NOTE_CHARACTERS_MAX]}
        # It always moves, so that no two claims look alike.
        until_ms = max(_now_ms() + LEASE_MS, claim.until_ms + 1)
        asked = await self._write(claim, {**values, "claimed_until_ms": until_ms})
        claim.until_ms = until_ms
        return asked

    async def finish(self, claim: Claim, state: str, result: Mapping[str, Any] | None) -> None:
        """Write what came of it; raises `ClaimLostError`."""
        stored = None if result is None else orjson.dumps(result)
        await self._write(claim, {"state": state, "result": stored, "finished_ms": _now_ms()})

    async def release(self, claim: Claim) -> None:
        """Give the job back, for the next worker to begin it again; raises `ClaimLostError`."""
        await self._write(claim, {"state": "waiting", "claimed_until_ms": 0})

    async def _write(self, claim: Claim, values: dict[str, Any]) -> bool:
        statement = (
            update(_JOB)
            .where(_JOB.c.id == claim.id, _JOB.c.state == "running")
            .where(_JOB.c.claimed_until_ms == claim.until_ms)
            .values(values)
            .returning(_JOB.c.cancel_asked)
        )
        async with self._database.write_lock, self._database.begin() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            raise ClaimLostError(f"job {claim.id} is not this worker's any more")
        return bool(row[0])
