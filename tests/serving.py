"""Servers for tests that are no coroutines: in an event loop of their own, in a thread."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

Served = TypeVar("Served")


@contextlib.contextmanager
def serving(open_it: Callable[[], AbstractAsyncContextManager[Served]]) -> Iterator[Served]:
    """Yield what an asynchronous context yields, while its loop runs elsewhere."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context: AbstractAsyncContextManager[Served] | None = None
    try:

        async def enter() -> Served:
            nonlocal context
            context = open_it()
            return await context.__aenter__()

        yield asyncio.run_coroutine_threadsafe(enter(), loop).result(10)
        if context is not None:
            leaving = context.__aexit__(None, None, None)
            asyncio.run_coroutine_threadsafe(_awaited(leaving), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _awaited(awaitable: object) -> None:
    await awaitable  # type: ignore[misc]  # a coroutine, under a wider name
