"""Where the events of the benchmark come from: an outbox that fills, and the relay beside it.

Owns a process that stands for a placement worker: it commits events at a given rate and wakes the
relay after each commit. Embedded it also runs the delivery worker, since such an installation is
one process. Told by lines of JSON on standard input. Started by the benchmark of deliveries.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy import insert

from scheduler import logs
from scheduler.assembly import assembled, tune_interpreter
from scheduler.database import Database
from scheduler.settings import load
from schemas.identifiers import new_id
from schemas.tables import OutboxRow
from workers.deliveries import Deliveries
from workers.relay import Relay

_OUTBOX: Final = OutboxRow.metadata.tables["outbox"]
#: Events are committed this often, those of the interval together.
TICK_S: Final = 0.01


def event(number: int, *, subscription: int, credential: int, meeting: str) -> dict[str, Any]:
    """Return somebody's arrival in a meeting."""
    return {
        "id": new_id(),
        "kind": "userJoined",
        "at_ms": time.time_ns() // 1_000_000,
        "pool": 1,
        "subscription": subscription,
        "credential": credential,
        "meeting": meeting,
        "meeting_id": f"room-{meeting[-6:]}",
        "internal_meeting_id": f"{meeting}-1",
        "user_id": f"user-{number}",
        "user_internal_id": f"w_{number}",
        "user_name": "",
        "moderator": False,
        "reason": "",
        "seats_needed": 0,
        "callbacks": [],
        "data": {},
    }


class Source:
    """Commits events; what it committed when is known by event id."""

    def __init__(self, database: Database, relay: Relay) -> None:
        self._database = database
        self._relay = relay
        #: Event id, meeting and monotonic ns of the commit, in the order of the outbox.
        self.committed: list[tuple[str, str, int]] = []

    async def run(self, order: dict[str, Any]) -> None:
        """Commit `events` events at `rate` per second (0: at once), over all meetings."""
        credentials, count = order["credentials"], order["events"]
        started_s = time.monotonic()
        made = 0
        while made < count:
            due = count
            if order["rate"]:
                due = min(count, int((time.monotonic() - started_s) * order["rate"]) + 1)
            if due > made:
                await self._commit(
                    [
                        event(
                            number,
                            subscription=order["subscription"],
                            credential=credentials[number % order["meetings"] % len(credentials)],
                            meeting=f"{order['first_meeting'] + number % order['meetings']:032x}",
                        )
                        for number in range(made, min(due, made + 1_000))
                    ]
                )
                made = min(due, made + 1_000)
            else:
                await asyncio.sleep(TICK_S)

    async def _commit(self, events: list[dict[str, Any]]) -> None:
        rows = [
            {
                "event_id": one["id"],
                "meeting_id": one["meeting"],
                "fact": f"joined:{one['user_id']}:{one['id']}",
                "body": orjson.dumps(one),
                "at_ms": one["at_ms"],
            }
            for one in events
        ]
        async with self._database.write_lock, self._database.begin() as connection:
            await connection.execute(insert(_OUTBOX), rows)
        at_ns = time.monotonic_ns()
        self.committed += [(one["id"], one["meeting"], at_ns) for one in events]
        self._relay.wake()


async def serve() -> None:
    """Run relay and source, obeying standard input until it ends; embedded the deliveries too."""
    settings = load()
    logs.configure(settings, "bench")
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    async with assembled(settings) as parts:
        relay = Relay(settings, parts.database, parts.bus)
        worker = None
        if settings.embedded_bus:
            worker = Deliveries(settings, parts.database, parts.directory, parts.bus)
            await worker.start()
        await relay.start()
        print("ready", flush=True)  # noqa: T201  # read by the parent
        try:
            while line := await lines.readline():
                order = orjson.loads(line)
                await parts.directory.refresh()
                source = Source(parts.database, relay)
                await source.run(order)
                into = Path(order["into"])
                await asyncio.to_thread(into.write_bytes, orjson.dumps(source.committed))
                print("done", flush=True)  # noqa: T201
        finally:
            await relay.close()
            if worker is not None:
                await worker.close()


if __name__ == "__main__":
    import uvloop

    tune_interpreter()
    uvloop.run(serve())
