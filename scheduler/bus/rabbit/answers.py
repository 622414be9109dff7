"""The worker's answers on their way to the gateways.

Packs what is answered within one turn of the event loop into one message per gateway. A gateway
that is gone has no queue any more; the broker drops what goes there, which is harmless.
"""

import asyncio
from dataclasses import dataclass, field

import orjson
import structlog

from scheduler.bus.interface import Item
from scheduler.bus.rabbit.outlet import Outlet

log = structlog.get_logger(__name__)

KIND = "answers"


@dataclass(slots=True)
class _Box:
    """What waits for one gateway."""

    accepted: list[str] = field(default_factory=list)
    done: list[tuple[str, orjson.Fragment]] = field(default_factory=list)


class Answers:
    """The answers that are not sent yet."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._boxes: dict[str, _Box] = {}
        self._waiting = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def accepted(self, reply_to: str, parcel_id: str) -> None:
        """Tell a gateway that an envelope is durable. Never blocks."""
        box = self._box(reply_to)
        if box is not None:
            box.accepted.append(parcel_id)

    def done(self, reply_to: str, command_id: str, answer: Item) -> None:
        """Answer a command. Never blocks; raises TypeError when it is not JSON-able."""
        encoded = orjson.Fragment(orjson.dumps(answer))
        box = self._box(reply_to)
        if box is not None:
            box.done.append((command_id, encoded))

    async def close(self) -> None:
        """Send what is there, within the close timeout, and stop."""
        if self._task is None:
            return
        try:
            async with asyncio.timeout(self._outlet.tuning.close_timeout_s):
                await self._idle.wait()
        except TimeoutError:
            log.warning("answers dropped at the end", answers=self._waiting)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    def _box(self, reply_to: str) -> _Box | None:
        if self._waiting >= self._outlet.tuning.answers_max:
            log.warning("answer dropped, too many wait for the broker", waiting=self._waiting)
            return None
        if self._task is None:
            self._outlet.ensure_started()
            self._task = asyncio.create_task(self._run(), name="answers")
        self._waiting += 1
        self._idle.clear()
        self._wake.set()
        box = self._boxes.get(reply_to)
        if box is None:
            box = self._boxes[reply_to] = _Box()
        return box

    async def _run(self) -> None:
        pack_max = self._outlet.tuning.pack_max
        while True:
            await self._wake.wait()
            self._wake.clear()
            boxes, self._boxes = self._boxes, {}
            for reply_to, box in boxes.items():
                while box.accepted or box.done:
                    accepted, box.accepted = box.accepted[:pack_max], box.accepted[pack_max:]
                    done, box.done = box.done[:pack_max], box.done[pack_max:]
                    body = orjson.dumps({"accepted": accepted, "done": done})
                    await self._outlet.send(body, routing_key=reply_to, kind=KIND)
                    self._waiting -= len(accepted) + len(done)
            if not self._waiting:
                self._idle.set()
