"""One channel on a link, set up again after every loss.

Owns the life of the channel: open, attach (declare, subscribe), check now and then, begin anew. The
channel is referred to for as long as it lives. What is done on it belongs to the subclasses; what
they get from here is that `attach` runs on every new channel and `detached` after every loss.
"""

import asyncio

import structlog
from aiormq.abc import AbstractChannel

from scheduler.bus.errors import BusError, BusLost
from scheduler.bus.rabbit.link import Link

log = structlog.get_logger(__name__)

RETRY_MIN_S = 0.1


class Lane:
    """One supervised channel."""

    def __init__(self, link: Link, *, name: str, confirms: bool = False) -> None:
        self.link = link
        self.tuning = link.tuning
        self.name = name
        #: The channel while it is attached.
        self.channel: AbstractChannel | None = None
        self.closed = False
        self._confirms = confirms
        self._up = asyncio.Event()
        self._gone = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def ensure_started(self) -> None:
        """Begin to attach, unless that is under way or done."""
        if self._task is None and not self.closed:
            self.link.ensure_started()
            self._task = asyncio.create_task(self._run(), name=f"{self.name} lane")

    async def wait_up(self, *, timeout_s: float) -> None:
        """Return when attached. Raises BusLost after timeout_s."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._up.wait()
        except TimeoutError as error:
            reason = self.link.detail or f"{self.name} is being set up"
            raise BusLost(f"no connection to the broker: {reason}") from error

    async def close(self) -> None:
        """Close the channel for good; deliveries not acknowledged go back."""
        self.closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._up.clear()
        channel, self.channel = self.channel, None
        if channel is not None:
            await self.link.close_channel(channel)

    def restart(self, reason: str) -> None:
        """Give the present channel up and attach on a new one."""
        if self.channel is not None and not self._gone.is_set():
            log.warning("channel given up", lane=self.name, reason=reason)
            self._gone.set()

    async def attach(self, channel: AbstractChannel) -> None:
        """Set up what the lane is for; raise BusError to be tried again. For subclasses."""

    async def attach_failed(self, error: BusError, *, failures: int) -> None:
        """Look into repeated failures of attach. For subclasses."""

    def attached(self) -> None:
        """Note that the lane works. For subclasses."""

    def detached(self) -> None:
        """Note that the channel is gone. For subclasses."""

    async def check(self, channel: AbstractChannel) -> None:
        """Raise BusError when the lane does not do its work. For subclasses."""

    async def _run(self) -> None:
        failures = 0
        pause_s = RETRY_MIN_S
        while True:
            connection = await self.link.connection()
            channel: AbstractChannel | None = None
            try:
                channel = await self.link.open_channel(connection, confirms=self._confirms)
                self._note_loss_of(channel)
                await self.attach(channel)
            except BusError as error:
                failures += 1
                log.warning(
                    "lane not attached", lane=self.name, failures=failures, reason=str(error)
                )
                if channel is not None:
                    await self.link.close_channel(channel)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, self.tuning.reconnect_max_s)
                await self.attach_failed(error, failures=failures)
                continue
            failures = 0
            pause_s = RETRY_MIN_S
            self.channel = channel
            self._up.set()
            self.attached()
            await self._watch(channel)
            self._up.clear()
            self.channel = None
            self.detached()
            await self.link.close_channel(channel)

    def _note_loss_of(self, channel: AbstractChannel) -> None:
        gone = self._gone = asyncio.Event()
        channel.closing.add_done_callback(lambda _: gone.set())

        async def on_cancel(_: object) -> None:
            gone.set()

        channel.on_consumer_cancel_callbacks.add(on_cancel)

    async def _watch(self, channel: AbstractChannel) -> None:
        gone = self._gone
        while not gone.is_set():
            try:
                async with asyncio.timeout(self.tuning.watchdog_s):
                    await gone.wait()
            except TimeoutError:
                if self.link.blocked:
                    continue
                try:
                    await self.check(channel)
                except BusError as error:
                    self.restart(f"the watchdog is not content: {error}")
