"""Calls into the AMQP library, with a timeout and our own errors.

The library cancels the tasks of a lost connection, so a caller would see CancelledError without
having been cancelled, and reports some losses as bare exceptions. Every call to the broker goes
through `call`; nothing else in this package catches the library's errors.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from aiormq.exceptions import (
    ChannelLockedResource,
    ChannelPreconditionFailed,
    DeliveryError,
    PublishError,
)

from scheduler.bus.errors import BusLost, BusOverloaded, BusTimeout

T = TypeVar("T")

#: Turns of the event loop without a closer, after which none comes any more.
QUIET_TURNS = 5


class Unroutable(BusLost):
    """No queue took the message: it does not exist at present."""


class Mismatch(BusLost):
    """Something of that name exists with other properties."""


class Locked(BusLost):
    """The name belongs to another connection."""


#: What the library leaves running when a connection ends. Each of them ends by itself soon, and
#: none may be cut off: it would begin another one in a loop that is about to go.
_CLOSERS = (
    *("Connection._on_reader_done.", "Connection.close"),
    *("FutureStore.reject_all", "Base.close"),
)


async def closers_done(*, timeout_s: float) -> bool:
    """Wait for the tasks in which the library ends connections; tell whether they all ended."""
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s
    # An ended task's callbacks run one turn later, and they are what begins the next closer.
    quiet_turns = 0
    while quiet_turns < QUIET_TURNS:
        waiting = {task for task in asyncio.all_tasks() if _is_closer(task)}
        if not waiting:
            quiet_turns += 1
            await asyncio.sleep(0)
            continue
        quiet_turns = 0
        if loop.time() >= until:
            return False
        await asyncio.wait(waiting, timeout=until - loop.time())
    return True


def _is_closer(task: asyncio.Task[object]) -> bool:
    return getattr(task.get_coro(), "__qualname__", "").startswith(_CLOSERS)


async def call(operation: Awaitable[T], *, timeout_s: float) -> T:
    """Await an operation of the library.

    Raises BusTimeout after timeout_s, BusOverloaded when the broker refuses a message, Unroutable,
    Mismatch or Locked, and BusLost for whatever else the library reports.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await operation
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise BusLost("the connection was lost during the call") from None
    except TimeoutError as error:
        raise BusTimeout(f"the broker did not answer within {timeout_s:g} s") from error
    except PublishError as error:
        raise Unroutable("no queue took the message") from error
    except DeliveryError as error:
        raise BusOverloaded("the broker refused the message, its queue is full") from error
    except ChannelPreconditionFailed as error:
        raise Mismatch(str(error)) from error
    except ChannelLockedResource as error:
        raise Locked(str(error)) from error
    except Exception as error:
        raise BusLost(f"{type(error).__name__}: {error}") from error
