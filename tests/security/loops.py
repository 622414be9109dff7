"""Properties that talk to a running installation: Hypothesis in a thread, requests in the loop.

Owns that crossing, and the look at what is held. Used by the tests beside it.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

from scheduler import overview
from tests.gateway.world import World

T = TypeVar("T")

_loop: ContextVar[asyncio.AbstractEventLoop] = ContextVar("loop of the installation")


async def apart(hold: Callable[[], None]) -> None:
    """Run a property in a thread; what it does with `wait` happens in this loop."""
    _loop.set(asyncio.get_running_loop())
    await asyncio.to_thread(hold)


def wait(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the loop of the installation, from the thread of the property."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop.get()).result()


async def held(run: World) -> tuple[int, int]:
    """Return seats and meetings that all subscriptions hold together."""
    read = await overview.read(run.database, now_ms=time.time_ns() // 1_000_000)
    plans = read.uses.subscriptions.values()
    return sum(plan.held for plan in plans), sum(plan.meetings for plan in plans)
