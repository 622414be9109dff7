"""Sending a command and waiting for what became of it.

Owns the wait: the bus' answer, else the meeting's own view from the feed (the worker may have died
after its commit), else one question to the ledger at the deadline. Never decides an outcome. Called
by create and end.
"""

import asyncio
from typing import Any, cast

import orjson
import structlog

from gateway.failures import ApiFailure
from gateway.meetings import PLACING, SHOWN, view_of
from gateway.parts import Parts
from scheduler import failpoints, logs, tracing
from scheduler.bus.errors import BusError, BusOverloaded
from scheduler.ledger.errors import StoreDown
from schemas.messages import Answer, CreateCommand, EndCommand, MeetingView
from schemas.values import Reason

log = structlog.get_logger(__name__)


class OutcomeUnknown(ApiFailure):
    """The command was sent, and nothing is known of it at its deadline."""

    def __init__(self) -> None:
        super().__init__(Reason.UNAVAILABLE)


async def outcome(parts: Parts, pool: str, command: CreateCommand | EndCommand) -> Answer:
    """Submit a command and return its answer.

    Raises `ApiFailure`: `requestRateLimited` when too many wait, `serviceUnavailable` when nothing
    is known of the command at its deadline.
    """
    seen = parts.meetings.settled(command["id"]) if command["kind"] == "create" else None
    request_id = logs.about.get().get("request_id")
    if request_id:
        command["request"] = request_id
    if trace := tracing.traceparent():
        command["trace"] = trace
    said = {"command": command["id"], "kind": command["kind"]}
    log.debug("command is sent", **said)
    try:
        answer = await _answer(parts, pool, cast("dict[str, Any]", command), seen)
    finally:
        if seen is not None:
            seen.cancel()
    if answer["ok"]:
        log.debug("command was carried out", **said)
    else:
        log.info("command was refused", **said, reason=answer.get("reason", ""))
    return answer


async def _answer(
    parts: Parts,
    pool: str,
    command: dict[str, Any],
    seen: asyncio.Future[MeetingView] | None,
) -> Answer:
    try:
        done = parts.bus.submit(pool, command).done
    except BusOverloaded as error:
        raise ApiFailure(Reason.RATE_LIMITED) from error
    except BusError as error:
        log.warning("command could not be sent", command=command["id"], error=str(error))
        raise ApiFailure(Reason.UNAVAILABLE) from error
    await failpoints.hit_later("g.after_publish")
    left_s = max(command["deadline_ms"] - parts.now_ms(), 0) / 1_000
    waiting: set[asyncio.Future[Any]] = {done} if seen is None else {done, seen}
    # The bus fails `done` at the deadline itself; the timeout is the belt to these braces.
    await asyncio.wait(waiting, timeout=left_s + 1.0, return_when=asyncio.FIRST_COMPLETED)
    if done.done() and not done.cancelled() and done.exception() is None:
        return cast("Answer", done.result())
    if seen is not None and seen.done():
        return _of_view(seen.result())
    return await _stored(parts, command)


async def _stored(parts: Parts, command: dict[str, Any]) -> Answer:
    """Ask the ledger once what became of a command without an answer."""
    try:
        record, answer = await parts.reader.outcome(command["id"])
    except StoreDown as error:
        log.warning("outcome of a command is not known", command=command["id"], error=str(error))
        raise OutcomeUnknown from error
    if answer is not None:
        return cast("Answer", orjson.loads(answer))
    if record is not None and record.state != PLACING:
        return _of_view(view_of(record))
    log.warning("command was not answered in time", command=command["id"], kind=command["kind"])
    raise OutcomeUnknown


def _of_view(view: MeetingView) -> Answer:
    if view["state"] in SHOWN:
        return Answer(ok=True, view=view)
    return Answer(ok=False, reason=Reason.NO_NODE)
