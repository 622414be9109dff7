"""One connection to the broker, kept up for as long as the bus lives.

Owns connecting, noticing that the connection is dead or blocked, and beginning anew. It gives the
present connection to the lanes and knows nothing of queues. The library's own recovery is not used:
it forgets channels nobody refers to and never restores some consumers.
"""

import asyncio
import logging
from typing import Any

import aio_pika
import structlog
from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel
from yarl import URL

from scheduler.bus.errors import BusError, BusLost, BusTimeout
from scheduler.bus.rabbit import guard
from scheduler.bus.rabbit.tuning import RabbitTuning

log = structlog.get_logger(__name__)

#: How often a connection is asked whether the broker blocks it; costs nothing on the wire.
BLOCKED_CHECK_S = 0.5
#: The answer to that question is there at once or not at all.
BLOCKED_ANSWER_S = 0.02
RECONNECT_MIN_S = 0.1


def quiet_library() -> None:
    """Stop the library from logging every failed attempt with a traceback: we log what matters."""
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    logging.getLogger("aio_pika").setLevel(logging.CRITICAL)


class Link:
    """One supervised connection."""

    def __init__(self, url: str, *, name: str, tuning: RabbitTuning) -> None:
        self._url = str(URL(url).update_query(heartbeat=tuning.heartbeat_s, name=name))
        self.name = name
        self.tuning = tuning
        #: The broker accepts no messages on this connection at present.
        self.blocked = False
        #: Why the link is not up; empty when it is.
        self.detail = "not connected yet"
        self._connection: AbstractConnection | None = None
        self._up = asyncio.Event()
        self._gone = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._retired: set[asyncio.Task[None]] = set()

    @property
    def up(self) -> bool:
        """Return whether there is a connection that is believed to work."""
        return self._connection is not None

    @property
    def started(self) -> bool:
        """Return whether the link is wanted at all."""
        return self._task is not None

    def ensure_started(self) -> None:
        """Begin to connect, unless that is under way or done."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"{self.name} link")

    async def connection(self) -> AbstractConnection:
        """Return the connection, waiting for it without limit."""
        while self._connection is None:
            await self._up.wait()
        return self._connection

    def drop(self, connection: AbstractConnection, reason: str) -> None:
        """Give a connection up that does not do its work, unless it was replaced meanwhile."""
        if connection is self._connection and not self._gone.is_set():
            log.warning("connection to the broker given up", link=self.name, reason=reason)
            self.detail = reason
            self._gone.set()

    async def open_channel(
        self, connection: AbstractConnection, *, confirms: bool = False
    ) -> AbstractChannel:
        """Open a channel. Raises BusError; a connection that cannot open one is given up."""
        timeout_s = self.tuning.call_timeout_s
        try:
            channel = connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
            await guard.call(channel.initialize(), timeout_s=timeout_s)
            return await guard.call(channel.get_underlay_channel(), timeout_s=timeout_s)
        except BusTimeout:
            if not self.blocked:
                self.drop(connection, "no channel could be opened in time")
            raise
        except RuntimeError as error:
            raise BusLost(str(error)) from error

    async def close_channel(self, channel: AbstractChannel) -> None:
        """Close a channel, quietly: a queue that hangs makes its channels hang, too."""
        if channel.is_closed:
            return
        try:
            await guard.call(channel.close(), timeout_s=self.tuning.close_timeout_s)
        except BusError as error:
            log.info("channel not closed cleanly", link=self.name, reason=str(error))

    async def close(self) -> None:
        """Close the connection and stop reconnecting."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        connection, self._connection = self._connection, None
        self._up.clear()
        self.detail = "closed"
        if connection is not None:
            await self._retire(connection)
        if self._retired:
            await asyncio.gather(*self._retired, return_exceptions=True)
        if not await guard.closers_done(timeout_s=self.tuning.close_timeout_s):
            log.info("the library still ends connections", link=self.name)

    async def _run(self) -> None:
        pause_s = RECONNECT_MIN_S
        while True:
            try:
                connection = await guard.call(
                    _connected(self._url), timeout_s=self.tuning.connect_timeout_s
                )
            except BusError as error:
                if self.detail != str(error):
                    self.detail = str(error)
                    log.warning("broker not reachable", link=self.name, reason=self.detail)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, self.tuning.reconnect_max_s)
                continue
            pause_s = RECONNECT_MIN_S
            self._adopt(connection)
            await self._watch(connection)
            self._up.clear()
            self._connection = None
            self.blocked = False
            task = asyncio.create_task(self._retire(connection))
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)
            await asyncio.sleep(RECONNECT_MIN_S)

    def _adopt(self, connection: AbstractConnection) -> None:
        gone = self._gone = asyncio.Event()

        def on_close(_: Any, error: BaseException | None = None) -> None:
            if not gone.is_set():
                if connection is self._connection:
                    self.detail = f"connection lost: {error}"
                    log.warning("connection to the broker lost", link=self.name, reason=repr(error))
                gone.set()

        connection.close_callbacks.add(on_close)
        self._connection = connection
        self.detail = ""
        self._up.set()
        log.info("connected to the broker", link=self.name)

    async def _watch(self, connection: AbstractConnection) -> None:
        """Return when the connection is gone or does not answer."""
        loop = asyncio.get_running_loop()
        gone = self._gone
        pulse: AbstractChannel | None = None
        pulse_at = loop.time() + self.tuning.watchdog_s
        while not gone.is_set():
            try:
                async with asyncio.timeout(BLOCKED_CHECK_S):
                    await gone.wait()
            except TimeoutError:
                await self._look_for_block(connection)
            if gone.is_set() or self.blocked or loop.time() < pulse_at:
                continue
            try:
                if pulse is None or pulse.is_closed:
                    pulse = await self.open_channel(connection)
                # Changes nothing, and the broker has to answer it.
                await guard.call(
                    pulse.basic_qos(prefetch_count=1), timeout_s=self.tuning.call_timeout_s
                )
            except BusError as error:
                await self._look_for_block(connection)
                if not self.blocked:
                    self.drop(connection, f"the watchdog got no answer: {error}")
            pulse_at = loop.time() + self.tuning.watchdog_s

    async def _look_for_block(self, connection: AbstractConnection) -> None:
        transport = connection.transport
        if transport is None:
            return
        try:
            async with asyncio.timeout(BLOCKED_ANSWER_S):
                await transport.ready()
            blocked = False
        except TimeoutError:
            blocked = True
        if blocked != self.blocked:
            self.blocked = blocked
            log.warning("broker blocks or unblocks publishing", link=self.name, blocked=blocked)

    async def _retire(self, connection: AbstractConnection) -> None:
        try:
            await guard.call(connection.close(), timeout_s=self.tuning.close_timeout_s)
        except BusError as error:
            log.info("connection not closed cleanly", link=self.name, reason=str(error))
            # Now it has given its transport up, and this only says so; see `_connected`.
            await connection.close()


async def _connected(url: str) -> AbstractConnection:
    """Connect. A connection that came to nothing is closed at once.

    Otherwise it would close itself whenever it is collected, maybe in a loop that has ended.
    """
    connection = aio_pika.Connection(URL(url))
    try:
        await connection.connect()
    except BaseException:
        await connection.close()
        raise
    return connection
