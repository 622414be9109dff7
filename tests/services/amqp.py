"""A connection of a test's own to a broker that has just been killed, frozen or started.

Owns the patience until the broker takes it, and the end of everything that the library left
running. Must not be used by tests of the product's bus: those use the product's own.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import AMQPError
from yarl import URL

from scheduler.bus.rabbit import guard

CONNECT_TIMEOUT_S = 60.0
ATTEMPT_TIMEOUT_S = 15.0
RETRY_S = 0.1


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[AbstractConnection]:
    """Connect, again and again for a minute, and leave nothing of it behind."""
    try:
        connection = await _connect(url)
        try:
            yield connection
        finally:
            await connection.close()
    finally:
        assert await guard.closers_done(timeout_s=CONNECT_TIMEOUT_S)


async def _connect(url: str) -> AbstractConnection:
    loop = asyncio.get_running_loop()
    until = loop.time() + CONNECT_TIMEOUT_S
    while True:
        connection = aio_pika.Connection(URL(url))
        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
                await connection.connect()
        except (AMQPError, OSError, EOFError):
            # Else it would close itself whenever it is collected.
            await connection.close()
            if loop.time() > until:
                raise
            await asyncio.sleep(RETRY_S)
        else:
            return connection
