"""A third-party application that outlives the event loops of single tests.

Owns one thread with a receiver on it, and the reading of what arrived there: which events, how
often, with which ids. Never fails a request on its own account. Used by the crash tests.
"""

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.receiver import Behaviour, Received, Receiver, receiving

START_TIMEOUT_S = 10.0
ARRIVAL_TIMEOUT_S = 40.0


@dataclass(frozen=True)
class Told:
    """What one customer's endpoint was told, by kind of event and meeting id."""

    #: Distinct event ids.
    ids: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    #: Reasons of meetingEnded, by meeting id.
    reasons: dict[str, list[str]] = field(default_factory=dict)
    #: Requests beyond the first of an event id.
    duplicates: int = 0

    def effects(self) -> Counter[tuple[str, str]]:
        """How many events there are for a receiver that looks at the ids."""
        return Counter({key: len(ids) for key, ids in self.ids.items()})


class Listener:
    """The receiver, seen from any thread."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.origin = receiver.origin

    def behave(self, path: str, application: Callable[[Received], int]) -> None:
        """Put an application behind a path; it is called on the receiver's thread."""
        self._receiver.behaviours[path] = Behaviour(application=application)

    def told(self, slug: str) -> Told:
        """Return what has arrived at the endpoint of a customer."""
        told = Told()
        requests = self._receiver.at(f"/{slug}")
        for request in requests:
            query = request.query
            key = (query["event"], query["meetingID"])
            told.ids.setdefault(key, set()).add(query["eventID"])
            if "reason" in query:
                told.reasons.setdefault(query["meetingID"], []).append(query["reason"])
        distinct = sum(len(ids) for ids in told.ids.values())
        return Told(told.ids, told.reasons, len(requests) - distinct)

    async def settled(
        self, slug: str, effects: Counter[tuple[str, str]], *, requests: int = 0
    ) -> Told:
        """Wait until everything expected has arrived; return what did, the surplus included."""
        end_s = time.monotonic() + ARRIVAL_TIMEOUT_S
        while True:
            told = self.told(slug)
            arrived = sum(told.effects().values()) + told.duplicates
            if effects <= told.effects() and arrived >= requests:
                return told
            if time.monotonic() > end_s:
                missing = effects - told.effects()
                raise AssertionError(f"{slug} was never told of {dict(missing)}, but of {told}")
            await asyncio.sleep(0.05)


@contextlib.contextmanager
def listening() -> Iterator[Listener]:
    """Run a receiver on a thread of its own within the block."""
    made: list[Receiver] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with receiving() as receiver:
            made.append(receiver)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="listener")
    thread.start()
    try:
        if not ready.wait(START_TIMEOUT_S):
            raise RuntimeError("the receiver did not start")
        yield Listener(made[0])
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_TIMEOUT_S)
        loop.close()
