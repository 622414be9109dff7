"""Lets several tasks wait for a condition that somebody else brings about.

As asyncio.Condition, without the lock that code on one event loop does not need. Used by the
consumers of every kind of bus.
"""

import asyncio
from collections.abc import Callable


class Wakeup:
    """The waiters of one object."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def notify(self) -> None:
        """Let everyone look at their condition again. Never blocks."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self, ready: Callable[[], bool]) -> None:
        """Return when the condition holds; it is looked at now and after every `notify`."""
        while not ready():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                # Callers that wait with a timeout, again and again, must leave nothing behind.
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                raise
