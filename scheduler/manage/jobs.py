"""Long operations as rows: begun here, done by a worker, followed and cancelled here.

Owns what callers may do with a job. What it was asked for is sealed; what it brings is shown to
everybody who may see it, so a result must never hold a secret. The doing is `workers.jobs`. Called
by operations that take long, by the management API and by the command line.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from sqlalchemy import func, insert, select, update

from scheduler import audit
from scheduler.changes import now_ms
from scheduler.checks import ConflictError, NotFoundError
from scheduler.manage import instants, paging
from scheduler.manage.context import Context
from scheduler.manage.operation import Access, Operation
from schemas.identifiers import new_id
from schemas.management.jobs import JobAsked, JobsAsked, JobShown
from schemas.management.paging import Listed
from schemas.management_tables import JobRow

#: Jobs that may wait or run at once; whoever begins more than that is a loop.
OPEN_MAX: Final = 1_000
OPEN: Final = ("waiting", "running")

_JOB: Final = JobRow.metadata.tables["job"]


async def start(
    context: Context,
    kind: str,
    params: Mapping[str, Any],
    *,
    subject: str,
    subscription_id: int | None = None,
) -> JobShown:
    """Put long work into the queue of the workers; jobs of one subject run one after the other.

    `params` are JSON-able. The caller has checked that the actor may.
    """
    row = JobRow(
        id=new_id(),
        kind=kind,
        subject=subject,
        subscription_id=subscription_id,
        actor=context.actor.name,
        params=context.vault.seal(orjson.dumps(params).decode()),
        created_ms=now_ms(),
    ).model_dump()
    async with context.database.write_lock, context.database.begin() as connection:
        waiting = select(func.count()).select_from(_JOB).where(_JOB.c.state.in_(OPEN))
        if ((await connection.execute(waiting)).scalar_one()) >= OPEN_MAX:
            raise ConflictError(
                f"{OPEN_MAX} long operations are open: wait, or cancel some of them"
            )
        await connection.execute(insert(_JOB).values(row))
        await audit.note(
            connection, "job.started", subject, {"kind": kind}, subscription_id=subscription_id
        )
    return _shown(context, row)


async def show(context: Context, asked: JobAsked) -> JobShown:
    """Show a long operation: how far it is, what came of it."""
    return _shown(context, await _row(context, asked.job))


async def list_jobs(context: Context, asked: JobsAsked) -> Listed[JobShown]:
    """List long operations, the newest first."""
    statement = select(_JOB)
    if context.only is not None:
        statement = statement.where(_JOB.c.subscription_id == context.only)
    if asked.state is not None:
        statement = statement.where(_JOB.c.state == asked.state)
    if asked.kind is not None:
        statement = statement.where(_JOB.c.kind == asked.kind)
    after = paging.read_cursor(asked.after, str)
    if after is not None:
        statement = statement.where(_JOB.c.id < after[0])
    statement = statement.order_by(_JOB.c.id.desc()).limit(asked.limit + 1)
    async with context.database.connect() as connection:
        rows = [dict(row) for row in (await connection.execute(statement)).mappings()]
    return paging.page(
        rows, asked.limit, keys=lambda row: (row["id"],), shown=lambda row: _shown(context, row)
    )


async def cancel(context: Context, asked: JobAsked) -> JobShown:
    """Ask a long operation to stop; what it has done by then stays done."""
    row = await _row(context, asked.job)
    if row["state"] not in OPEN:
        raise ConflictError(f"the operation is {row['state']} already: nothing is left to cancel")
    waiting = _JOB.c.state == "waiting"
    async with context.database.write_lock, context.database.begin() as connection:
        stopped = {"state": "cancelled", "cancel_asked": True, "finished_ms": now_ms()}
        mine = _JOB.c.id == asked.job
        await connection.execute(update(_JOB).where(mine, waiting).values(stopped))
        await connection.execute(
            update(_JOB).where(mine, _JOB.c.state == "running").values(cancel_asked=True)
        )
        await audit.note(
            *(connection, "job.cancelled", row["subject"], {"kind": row["kind"]}),
            subscription_id=row["subscription_id"],
        )
    return await show(context, asked)


async def _row(context: Context, job_id: str) -> dict[str, Any]:
    async with context.database.connect() as connection:
        found = (await connection.execute(select(_JOB).where(_JOB.c.id == job_id))).mappings()
        row = found.first()
    if row is None or not context.sees(row["subscription_id"]):
        raise NotFoundError(f"there is no operation {job_id}")
    return dict(row)


def _shown(context: Context, row: Mapping[str, Any]) -> JobShown:
    owner = context.directory.current.subscriptions.get(row["subscription_id"] or 0)
    stored = orjson.loads(row["result"]) if row["result"] else None
    failed = row["state"] == "failed"
    return JobShown(
        id=row["id"],
        kind=row["kind"],
        subject=row["subject"],
        subscription=owner.slug if owner else None,
        actor=row["actor"],
        state=row["state"],
        done=row["done"],
        total=row["total"],
        note=row["note"],
        cancel_asked=row["cancel_asked"],
        result=None if failed else stored,
        error=stored["error"] if failed and stored else "",
        created_at=instants.of_ms(row["created_ms"]),
        started_at=instants.maybe_ms(row["started_ms"]),
        finished_at=instants.maybe_ms(row["finished_ms"]),
    )


OPERATIONS: Final = (
    Operation("job.list", "GET", "/operations", list_jobs, JobsAsked, Listed[JobShown]),
    Operation("job.show", "GET", "/operations/{job}", show, JobAsked, JobShown),
    Operation(
        *("job.cancel", "POST", "/operations/{job}/cancel", cancel, JobAsked, JobShown),
        access=Access.WRITE,
    ),
)
