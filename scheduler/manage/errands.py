"""Asking the one writer of a pool for something, from wherever management is done.

Owns the wait: on the bus when this process is on it, else by an errand, a row that a worker takes
to the bus. Either way the ledger is asked once at the deadline, so an answer that got lost is
found. Decides nothing. Called by operations that change meetings.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NoReturn, cast

import orjson
from sqlalchemy import delete, insert, select

from scheduler.bus.errors import BusError, BusOverloaded
from scheduler.changes import now_ms
from scheduler.checks import ConflictError, NotFoundError, OperationError, UnavailableError
from scheduler.ledger.errors import StoreDown
from scheduler.ledger.reading import Reader
from scheduler.manage.context import Context
from schemas.identifiers import new_id
from schemas.management_tables import ErrandRow
from schemas.messages import Answer
from schemas.values import Reason

DEADLINE_S: Final = 10.0
_POLL_S: Final = 0.1
_NOBODY: Final = "no worker took it: is `seatkeep up` or a worker running? See `seatkeep status`"

_ERRAND: Final = ErrandRow.metadata.tables["errand"]
_CONFLICTS: Final = frozenset(
    {
        Reason.MAX_PARTICIPANTS,
        Reason.MAX_MEETINGS,
        Reason.NO_NODE,
        Reason.NOT_UNIQUE,
        Reason.DISABLED,
    }
)


async def ask(
    context: Context, pool: str, command: Mapping[str, Any], *, deadline_s: float = DEADLINE_S
) -> Answer:
    """Send a command, without `id` and `deadline_ms`, to the writer of a pool; return its answer.

    Raises `UnavailableError` when nothing is known of it at the deadline.
    """
    sent = {**command, "id": new_id(), "deadline_ms": now_ms() + int(deadline_s * 1_000)}
    answer = await (_errand if context.bus is None else _submitted)(context, pool, sent)
    if answer is None:
        answer = await _stored(context, sent["id"])
    if answer is None:
        raise UnavailableError(_NOBODY)
    return answer


def refuse(answer: Answer) -> NoReturn:
    """Raise what a refusal of the placement worker is called in management."""
    reason = Reason(answer.get("reason", Reason.UNAVAILABLE))
    message = answer.get("message") or f"refused: {reason.value}"
    if reason is Reason.NOT_FOUND:
        raise NotFoundError(message)
    if reason in _CONFLICTS:
        raise ConflictError(message)
    if reason in (Reason.UNAVAILABLE, Reason.RATE_LIMITED):
        raise UnavailableError(message)
    raise OperationError(message)


async def _submitted(context: Context, pool: str, command: dict[str, Any]) -> Answer | None:
    if context.bus is None:
        raise AssertionError("only a process on the bus submits")
    try:
        done = context.bus.submit(pool, command).done
    except BusOverloaded as error:
        raise UnavailableError("too many commands wait for this pool: try again soon") from error
    except BusError as error:
        raise UnavailableError(f"the message broker cannot be used: {error}") from error
    left_s = max(command["deadline_ms"] - now_ms(), 0) / 1_000
    # The bus fails `done` at the deadline itself; the timeout is the belt to these braces.
    await asyncio.wait({done}, timeout=left_s + 1.0)
    if done.done() and not done.cancelled() and done.exception() is None:
        return cast("Answer", done.result())
    return None


async def _errand(context: Context, pool: str, command: dict[str, Any]) -> Answer | None:
    row = ErrandRow(
        id=command["id"],
        pool=pool,
        command=orjson.dumps(command),
        at_ms=now_ms(),
        deadline_ms=command["deadline_ms"],
    )
    database = context.database
    async with database.write_lock, database.begin() as connection:
        await connection.execute(insert(_ERRAND).values(row.model_dump()))
    wanted = select(_ERRAND.c.answer).where(_ERRAND.c.id == row.id)
    answer: bytes | None = None
    while answer is None and now_ms() < row.deadline_ms:
        await asyncio.sleep(_POLL_S)
        async with database.connect() as connection:
            answer = await connection.scalar(wanted)
    async with database.write_lock, database.begin() as connection:
        await connection.execute(delete(_ERRAND).where(_ERRAND.c.id == row.id))
    return None if answer is None else cast("Answer", orjson.loads(answer))


async def _stored(context: Context, command_id: str) -> Answer | None:
    """Ask the ledger once what became of a command without an answer."""
    try:
        stored = await Reader(context.database).answer_of(command_id)
    except StoreDown as error:
        raise UnavailableError(str(error)) from error
    return None if stored is None else cast("Answer", orjson.loads(stored))
