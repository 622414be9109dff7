"""Who may see figures: a token of the management API, in the query or in the header.

Owns the finding of the token and what is counted against an address that shows wrong ones. A valid
token always passes. Never logs a token. Called by the endpoints beside it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from aiohttp import web

from gateway.limits import Origins, Rate, Told
from gateway.management.problems import ProblemError
from gateway.parts import Parts
from scheduler.manage import bearers, tokens
from scheduler.manage.bearers import BearerError
from scheduler.manage.context import Actor
from schemas import params

#: A token that was revoked is good for this long at most.
KNOWN_S: Final = 1.0
_KNOWN_MAX: Final = 1_024
_LOOKUPS_MAX: Final = 8
_SCHEME: Final = "bearer"
_CHARACTERS_MAX: Final = 256
_MINUTE_S: Final = 60.0
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="seatkeep"'}


class Access:
    """Finds who asks."""

    def __init__(self, parts: Parts, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        settings = parts.settings
        self._database = parts.database
        self._now_ms = parts.now_ms
        self._now_s = monotonic_s
        self._lookups = asyncio.Semaphore(_LOOKUPS_MAX)
        self._known: OrderedDict[str, tuple[float, Actor]] = OrderedDict()
        per_minute = settings.bad_tokens_per_minute
        self._wrong = Rate(per_minute / _MINUTE_S, per_minute) if per_minute else None
        self._origins = Origins(settings.trusted_proxies)
        self._told = Told("requests were refused: wrong tokens of an address", monotonic_s)

    async def actor(self, request: web.Request) -> Actor:
        """Return who has the token of a request; raises `ProblemError`."""
        token = presented(request)
        if not token or len(token) > _CHARACTERS_MAX:
            raise ProblemError(
                "unauthorized",
                "send a token: ?token=sk_… or Authorization: Bearer sk_…; seatkeep token add"
                " makes one",
                headers=_CHALLENGE,
            )
        key = tokens.digest_of(token)
        known = self._known.get(key)
        if known is not None and self._now_s() < known[0]:
            return known[1]
        try:
            async with self._lookups:
                found = await bearers.bearer(self._database, token, now_ms=self._now_ms())
        except BearerError as error:
            self._known.pop(key, None)
            self._count(request)
            raise ProblemError("unauthorized", str(error), headers=_CHALLENGE) from None
        self._known[key] = self._now_s() + KNOWN_S, found.actor
        if len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)
        return found.actor

    def _count(self, request: web.Request) -> None:
        """Count a wrong token against the address that it came from."""
        if self._wrong is None:
            return
        address = self._origins.of(request)
        if not self._wrong.take(address, self._now_s()):
            self._told.tell(address=address)
            raise ProblemError(
                "too-many-requests",
                "too many wrong tokens came from this address; try again in a minute",
                headers={"Retry-After": str(int(_MINUTE_S))},
            )


def presented(request: web.Request) -> str:
    """Return the token of a request as it was sent, "" when there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == _SCHEME and token.strip():
        return token.strip()
    query = request.rel_url.raw_query_string
    try:
        return params.decode(query).get("token") if "token" in query else ""
    except params.TooManyParamsError:
        return ""
