"""Who may come in: the token of a request, and how often.

Owns the counters of tokens and of addresses that show wrong ones, in memory and bounded. A valid
token always passes the limit of its address: many may share one, and somebody who means harm must
not lock the others out. Never logs a token. Called by `api`.
"""

import math
import time
from collections.abc import Callable, MutableMapping
from typing import Final

from aiohttp import web

from gateway.limits import Origins, Rate, Told
from gateway.management.problems import ProblemError
from gateway.parts import Parts
from scheduler.manage import bearers
from scheduler.manage.bearers import Bearer, BearerError
from scheduler.manage.context import Actor, Scope
from scheduler.manage.operation import Access

_MINUTE_S: Final = 60.0
_SCHEME: Final = "bearer"
_CREDENTIALS_CHARACTERS_MAX: Final = 256
_CHALLENGE: Final = 'Bearer realm="seatkeep"'
_ENOUGH: Final = {
    Access.READ: frozenset(Scope),
    Access.WRITE: frozenset((Scope.OWNER, Scope.OPERATOR)),
    Access.OPERATE: frozenset((Scope.OPERATOR,)),
}
_NEEDED: Final = {
    Access.WRITE: "this needs a token that may change something: of an owner or the provider",
    Access.OPERATE: "this is done by the provider only",
}


class Guard:
    """Lets in whoever has a token of one installation."""

    def __init__(self, parts: Parts, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        settings = parts.settings
        self._database = parts.database
        self._now_ms = parts.now_ms
        self._now_s = monotonic_s
        self._per_minute = settings.api_calls_per_minute
        self._rate = self._of(settings.api_calls_per_minute)
        self._wrong = self._of(settings.bad_tokens_per_minute)
        self._origins = Origins(settings.trusted_proxies)
        self._told = Told("requests were refused: wrong tokens of an address", monotonic_s)

    async def bearer(self, request: web.Request) -> Bearer:
        """Return who has the token of a request; raises `ProblemError`."""
        scheme, _, presented = request.headers.get("Authorization", "").partition(" ")
        presented = presented.strip()
        if (
            scheme.lower() != _SCHEME
            or not presented
            or len(presented) > _CREDENTIALS_CHARACTERS_MAX
        ):
            raise ProblemError(
                "unauthorized",
                "send a token: Authorization: Bearer sk_…; seatkeep token add makes one",
                headers={"WWW-Authenticate": _CHALLENGE},
            )
        try:
            return await bearers.bearer(self._database, presented, now_ms=self._now_ms())
        except BearerError as error:
            self._count(request)
            raise ProblemError(
                "unauthorized",
                str(error),
                headers={"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'},
            ) from None

    def admit(self, found: Bearer, headers: MutableMapping[str, str]) -> None:
        """Count a request of a token and say in the headers how many are left.

        Raises `ProblemError` when there were too many.
        """
        if self._rate is None:
            return
        now_s = self._now_s()
        taken = self._rate.take(found.token_id, now_s)
        ahead_s = self._rate.ahead_s(found.token_id, now_s)
        interval_s = _MINUTE_S / self._per_minute
        headers["RateLimit-Limit"] = str(self._per_minute)
        headers["RateLimit-Remaining"] = str(
            math.floor(round((_MINUTE_S - ahead_s) / interval_s, 3)) if taken else 0
        )
        headers["RateLimit-Reset"] = str(math.ceil(ahead_s))
        if not taken:
            wait_s = max(1, math.ceil(ahead_s + interval_s - _MINUTE_S))
            raise ProblemError(
                "too-many-requests",
                f"this token may make {self._per_minute} requests a minute; try again in"
                f" {wait_s} s",
                headers={"Retry-After": str(wait_s)},
            )

    @staticmethod
    def allow(actor: Actor, access: Access) -> None:
        """Raise `ProblemError` when the actor's token is not good for the operation."""
        if actor.scope not in _ENOUGH[access]:
            raise ProblemError("forbidden", _NEEDED[access])

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

    @staticmethod
    def _of(per_minute: int) -> Rate | None:
        return Rate(per_minute / _MINUTE_S, per_minute) if per_minute else None
