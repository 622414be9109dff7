"""Emptying nodes: drain waits until a node is empty, panic ends everything on it at once.

Owns both operations and the long work behind them. Meetings are ended by commands to the one writer
of the pool (`errands`), never by a call to the node. The work looks at the ledger each time, so it
may be begun again.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import select

from scheduler import audit, node_figures, node_operations
from scheduler.changes import now_ms
from scheduler.checks import ConflictError, NotFoundError, OperationError, UnavailableError
from scheduler.manage import errands, jobs, nodes
from scheduler.manage.context import Context
from scheduler.manage.operation import Access, Operation
from scheduler.manage.progress import CancelledWork, Progress, Work
from schemas.management.jobs import JobAsked, JobShown
from schemas.management.nodes import Drain, Emptying, NodeAsked, Panic
from schemas.tables import MeetingRow
from schemas.values import EndReason

DRAIN: Final = "node.drain"
PANIC: Final = "node.panic"
#: How often the ledger is looked at.
LOOK_S: Final = 2.0
#: Meetings that are ended at the same time: a node must not be asked for hundreds at once.
_AT_ONCE: Final = 8
#: A meeting that could not be ended is tried again at each look, for at most this long.
_PANIC_S: Final = 600.0

_MEETING: Final = MeetingRow.metadata.tables["meeting"]
_NODE: Final = MeetingRow.metadata.tables["node"]


async def drain(context: Context, asked: Drain) -> Emptying:
    """Let a node become empty: no new meetings, its bookings move, its meetings run out."""
    context.operate("nodes can be drained")
    row = await nodes.row_of(context, asked.node)
    if await _open_job(context, nodes.panic_subject(asked.node)):
        raise ConflictError(f"everything on node {asked.node} is being ended already")
    if row["state"] != "draining":
        await node_operations.change_node(
            context.database, asked.node, force=True, state="draining"
        )
    job = await _open_job(context, nodes.subject(asked.node))
    if job is None:
        params = {
            "node": asked.node,
            "end_overtime": asked.end_overtime,
            "then": asked.then,
            "on_cancel": asked.on_cancel,
        }
        job = await jobs.start(context, DRAIN, params, subject=nodes.subject(asked.node))
    return await _emptying(context, row["id"], asked.node, job, ends=asked.end_overtime)


async def panic(context: Context, asked: Panic) -> Emptying:
    """End every meeting on a node at once, whatever was promised to it."""
    context.operate("meetings of a node can be ended")
    row = await nodes.row_of(context, asked.node)
    if asked.confirm != asked.node:
        raise OperationError(
            f"this ends every meeting on node {asked.node}: confirm it with the name of the node"
        )
    if not asked.keep_state and row["state"] == "active":
        await node_operations.change_node(context.database, asked.node, state="draining")
    job = await _open_job(context, nodes.panic_subject(asked.node))
    if job is None:
        params = {"node": asked.node, "keep_state": asked.keep_state}
        job = await jobs.start(context, PANIC, params, subject=nodes.panic_subject(asked.node))
    return await _emptying(context, row["id"], asked.node, job, ends=True)


async def _emptying(
    context: Context, node_id: int, name: str, job: JobShown, *, ends: bool
) -> Emptying:
    found = await _figures(context, node_id)
    return Emptying(
        summary=nodes.summary(found, ends_overtime=ends),
        bookings_stay=found.bookings,
        node=await nodes.show(context, NodeAsked(node=name)),
        operation=job,
    )


async def _open_job(context: Context, subject: str) -> JobShown | None:
    """Return the job about this that is not over."""
    table = _MEETING.metadata.tables["job"]
    statement = select(table.c.id).where(
        table.c.subject == subject, table.c.state.in_(jobs.OPEN), table.c.kind.in_((DRAIN, PANIC))
    )
    async with context.database.connect() as connection:
        found = await connection.scalar(statement.order_by(table.c.created_ms).limit(1))
    return None if found is None else await jobs.show(context, JobAsked(job=found))


async def _figures(context: Context, node_id: int) -> node_figures.Figures:
    async with context.database.snapshot() as connection:
        found = await node_figures.on_nodes(connection, [node_id], now_s=now_ms() // 1_000)
    return found[node_id]


async def work_drain(
    context: Context, params: Mapping[str, Any], progress: Progress
) -> dict[str, Any]:
    """Wait until a node is empty; ends overtime and changes its state if that was asked for."""
    name = params["node"]
    ended = most = 0
    try:
        while True:
            node_id, state = await _node(context, name)
            if state == "active":
                # Somebody wants it back; that is no failure of the drain.
                return {"outcome": "activated", "ended_meetings": ended}
            found = await _figures(context, node_id)
            most = max(most, found.meetings + found.bookings)
            left = found.meetings + found.bookings
            note = nodes.summary(found, ends_overtime=params["end_overtime"])
            if found.bookings:
                note += f"; {found.bookings} bookings fit on no other node yet"
            await progress.report(most - left, most, note)
            if not left:
                break
            if params["end_overtime"]:
                ended += await _end(context, name, found.overtime, EndReason.ENDED)
            await asyncio.sleep(LOOK_S)
    except CancelledWork:
        if params["on_cancel"] == "active":
            await node_operations.change_node(context.database, name, state="active")
        raise
    if params["then"] == "disabled":
        await node_operations.change_node(context.database, name, state="disabled")
    return {"outcome": "empty", "ended_meetings": ended}


async def work_panic(
    context: Context, params: Mapping[str, Any], progress: Progress
) -> dict[str, Any]:
    """End everything that is on a node, and wait until it is gone."""
    name = params["node"]
    node_id, _ = await _node(context, name)
    wanted = await _running(context, node_id)
    total, left = len(wanted), wanted
    ended = 0
    until_ms = now_ms() + int(_PANIC_S * 1_000)
    while left:
        await progress.report(total - len(left), total, f"{len(left)} meetings are left")
        ending = [meeting for meeting, state in left.items() if state != "ending"]
        ended += await _end(context, name, ending, EndReason.NODE_EMPTIED)
        if now_ms() > until_ms:
            raise OperationError(
                f"{len(left)} meetings on node {name} have not ended after {_PANIC_S:g} s: does it"
                " answer? Their seats are free all the same."
            )
        await asyncio.sleep(min(LOOK_S, 0.5))
        # With its state kept, the node may have got new ones, which are none of this.
        left = {
            meeting: state
            for meeting, state in (await _running(context, node_id)).items()
            if meeting in wanted or not params["keep_state"]
        }
        total = max(total, len(left))
    await progress.report(total, total, "empty")
    if not params["keep_state"]:
        await node_operations.change_node(context.database, name, state="disabled", force=True)
    return {"outcome": "empty", "ended_meetings": ended}


async def _node(context: Context, name: str) -> tuple[int, str]:
    async with context.database.connect() as connection:
        found = (
            await connection.execute(select(_NODE.c.id, _NODE.c.state).where(_NODE.c.name == name))
        ).first()
    if found is None:
        raise NotFoundError(f"node {name} was removed")
    return int(found[0]), str(found[1])


async def _running(context: Context, node_id: int) -> dict[str, str]:
    """Return the meetings on a node, without bookings and rooms, by id with their states."""
    statement = select(_MEETING.c.id, _MEETING.c.state).where(
        _MEETING.c.node_id == node_id,
        _MEETING.c.live.is_(True),
        _MEETING.c.parent_id.is_(None),
        _MEETING.c.state.not_in(("booked", "lost")),
    )
    async with context.database.connect() as connection:
        return {row.id: row.state for row in (await connection.execute(statement)).all()}


async def _end(context: Context, name: str, meetings: list[str], reason: EndReason) -> int:
    """End meetings a few at a time; return how many of them were there to be ended."""
    async with context.database.connect() as connection:
        statement = select(_NODE.c.pool_id).where(_NODE.c.name == name)
        pool_id = await connection.scalar(statement)
        table = _MEETING.metadata.tables["pool"]
        pool = await connection.scalar(select(table.c.name).where(table.c.id == pool_id))
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(meeting: str) -> bool:
        command = {
            "kind": "end",
            "credential": 0,
            "meeting": meeting,
            "password": "",
            "managed": True,
            "reason": reason.value,
        }
        async with gate:
            try:
                answer = await errands.ask(context, str(pool), command)
            except UnavailableError:
                return False  # the next look finds it again
        if not answer["ok"]:
            return False
        async with context.database.write_lock, context.database.begin() as connection:
            await audit.note(
                *(connection, "meeting.ended", f"meeting {meeting}"),
                {"node": name, "reason": reason.value},
            )
        return True

    return sum(await asyncio.gather(*(one(meeting) for meeting in meetings)))


OPERATIONS: Final = (
    Operation(
        *("node.drain", "POST", "/nodes/{node}/drain", drain, Drain, Emptying),
        access=Access.OPERATE,
        status=202,
    ),
    Operation(
        *("node.panic", "POST", "/nodes/{node}/panic", panic, Panic, Emptying),
        access=Access.OPERATE,
        status=202,
    ),
)

WORK: Final[Mapping[str, Work]] = {DRAIN: work_drain, PANIC: work_panic}
