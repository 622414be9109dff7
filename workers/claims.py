"""The claims of one sender: what is its own at present, and renewing that while it lives.

Owns the time for which a claim holds and the lock under which claims are written, so that a renewal
cannot overtake the result of an attempt. A claim that could not be renewed in time belongs to
somebody else: its attempt is cut off. Called by the sender.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from workers.delivery_store import Claim, DeliveryStore

#: What a worker sends is its own for this long: others wait no longer for one that died.
CLAIM_S: Final = 10.0
RENEW_S: Final = 2.0
#: With less time left nothing is begun.
BEGIN_MARGIN_S: Final = 2.0

log = structlog.get_logger(__name__)


class Claims:
    """What one sender has claimed, until what became of it is stored."""

    def __init__(self, store: DeliveryStore, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms
        #: The end of each claim, and the task that sends.
        self._held: dict[str, tuple[int, asyncio.Task[None]]] = {}
        #: Held while claims are written.
        self.writing = asyncio.Lock()

    def __contains__(self, delivery_id: str) -> bool:
        return delivery_id in self._held

    def __len__(self) -> int:
        return len(self._held)

    def end_ms(self, delivery_id: str) -> int:
        """Return until when a delivery is claimed; 0 when it was lost."""
        return self._held[delivery_id][0]

    def new_end_ms(self, now_ms: int) -> int:
        """Return until when a claim made now holds."""
        return now_ms + round(CLAIM_S * 1_000)

    def may_begin(self, delivery_id: str, now_ms: int) -> bool:
        """Tell whether there is time enough left to begin an attempt."""
        return self.end_ms(delivery_id) - now_ms > BEGIN_MARGIN_S * 1_000

    def add(self, claim: Claim, task: asyncio.Task[None]) -> None:
        """Hold a claim that was just made."""
        self._held[claim.due.id] = (claim.until_ms, task)

    def remove(self, delivery_id: str) -> None:
        """Let go of a claim: what became of it is stored."""
        del self._held[delivery_id]

    async def run(self) -> None:
        """Renew what is held, again and again."""
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                async with self.writing, asyncio.timeout(CLAIM_S):
                    await self._renew()
            except (SQLAlchemyError, OSError) as error:  # a TimeoutError is an OSError
                log.warning("claims cannot be renewed", error=str(error))
            now_ms = self._now_ms()
            for delivery_id, (end_ms, task) in self._held.items():
                if end_ms <= now_ms and not task.done():
                    log.warning("a claim was lost, its attempt is cut off", delivery=delivery_id)
                    task.cancel()

    async def _renew(self) -> None:
        ends_ms = {delivery_id: end_ms for delivery_id, (end_ms, _) in self._held.items()}
        until_ms = self.new_end_ms(self._now_ms())
        renewed = await self._store.renew(ends_ms, until_ms=until_ms)
        for delivery_id in ends_ms:
            task = self._held[delivery_id][1]
            self._held[delivery_id] = (until_ms if delivery_id in renewed else 0, task)
