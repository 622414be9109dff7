"""Concurrent identical reads made once.

Owns the sharing rule: a caller never gets the answer of a read that began before it asked, so
nobody is behind what he has just done. Never caches an answer. Used by the meetings' cache and by
the live questions to nodes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Flights(Generic[K, V]):
    """At most one read per key in the air, and at most one waiting behind it."""

    def __init__(self, fetch: Callable[[K], Awaitable[V]]) -> None:
        self._fetch = fetch
        self._flying: dict[K, asyncio.Task[V]] = {}
        self._boarding: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K) -> V:
        """Return what `fetch` brings; its exceptions reach every caller that shared it."""
        task = self._boarding.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fly(key, self._flying.get(key)))
            self._boarding[key] = task
            task.add_done_callback(_retrieved)
        # Shielded: one caller that gives up must not take the others' answer away.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Give up all reads."""
        tasks = [*self._flying.values(), *self._boarding.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A read that was cancelled before its first step had no chance to take itself out.
        self._flying.clear()
        self._boarding.clear()

    async def _fly(self, key: K, ahead: asyncio.Task[V] | None) -> V:
        task = self._boarding[key]
        try:
            if ahead is not None and not ahead.done():
                await asyncio.wait((ahead,))
        finally:
            del self._boarding[key]
        self._flying[key] = task
        try:
            return await self._fetch(key)
        finally:
            if self._flying.get(key) is task:
                del self._flying[key]


def _retrieved(task: "asyncio.Task[V]") -> None:
    """Mark an exception as seen although every caller may have left."""
    if not task.cancelled():
        task.exception()
