"""Whether anybody wants to hear of a kind of event, before it costs more than looking.

Owns a memory of a second, so that a busy chat asks the database once. What is let through by
mistake reaches nobody: the deliveries look again. Used where nodes tell us.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gateway.parts import Parts
from scheduler import hooks
from scheduler.hooks import Hook
from schemas import catalogue
from schemas.dialects.names import OF_WEBHOOKS, Dialect
from schemas.events import EventKind

_REMEMBER_S: Final = 1.0
_REMEMBERED_MAX: Final = 10_000


class Wanted:
    """Who listens, as this gateway knows it."""

    def __init__(self, parts: Parts, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._monotonic_s = monotonic_s
        self._hooks: OrderedDict[tuple[int, str], tuple[float, list[Hook]]] = OrderedDict()

    async def wants(
        self, kind: EventKind, *, subscription: int, credential: int, external_id: str
    ) -> bool:
        """Tell whether an endpoint or a webhook may want it; raises `StoreDown`."""
        for endpoint in self._parts.directory.current.endpoints_for(subscription, credential):
            form = endpoint.dialect
            if endpoint.enabled and catalogue.wants(
                kind, endpoint.kinds, webhooks=form in OF_WEBHOOKS, draft=form == Dialect.DRAFT
            ):
                return True
        found = await self._of_credential(credential, external_id)
        return any(catalogue.wants(kind, hook.events, webhooks=True) for hook in found)

    async def _of_credential(self, credential: int, external_id: str) -> list[Hook]:
        key = (credential, external_id)
        now_s = self._monotonic_s()
        until_s, found = self._hooks.get(key, (0.0, []))
        if now_s < until_s:
            return found
        asked = await hooks.concerning(self._parts.database, [key])
        found = asked.get(credential, [])
        self._hooks.pop(key, None)
        self._hooks[key] = (now_s + _REMEMBER_S, found)
        if len(self._hooks) > _REMEMBERED_MAX:
            self._hooks.popitem(last=False)
        return found
