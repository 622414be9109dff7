"""ping, stats and metrics: whether the gateway serves, what goes on, and what there was.

Owns these answers in the forms that B3LB documents. Everybody may ping; figures need a token, and a
tenant's token shows the tenant's figures alone. Wired by the application.
"""

import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib import metadata
from typing import Final

import orjson
from aiohttp import web

from gateway.management import problems
from gateway.management.problems import ProblemError
from gateway.parts import Parts
from gateway.provider import answers
from gateway.provider.access import Access, presented
from gateway.provider.figures import Figures
from gateway.provider.tenants import Subject, Tenants
from schemas import stats
from schemas.stats import Series

_JSON: Final = "application/json"
_DISTRIBUTION: Final = "seatkeep"


class Monitoring:
    """What monitoring asks one gateway."""

    def __init__(self, parts: Parts, access: Access) -> None:
        self._parts = parts
        self._access = access
        self._tenants = Tenants(parts.settings)
        self._figures = Figures(parts)

    def routes(self) -> list[web.RouteDef]:
        """Return the addresses."""
        return [
            web.get("/b3lb/ping{end:/?}", self.ping),
            web.get("/b3lb/stats{end:/?}", self.stats),
            web.get("/b3lb/metrics{end:/?}", self.metrics),
            web.get("/b3lb/t/{name}/stats{end:/?}", self.stats),
            web.get("/b3lb/t/{name}/metrics{end:/?}", self.metrics),
        ]

    async def ping(self, request: web.Request) -> web.Response:
        """Say whether calls are served; of which version is told to who shows a token."""

        async def work() -> web.Response:
            known = bool(presented(request)) and await self._access.actor(request)
            health = self._parts.bus.health()
            serves = self._parts.meetings.ready and health.connected and not health.blocked
            at = datetime.fromtimestamp(self._parts.now_ms() // 1_000, UTC)
            document = {
                "status": "ok" if serves else "unavailable",
                "version": metadata.version(_DISTRIBUTION) if known else "",
                "timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            }
            return _answer(orjson.dumps(document), _JSON, status=200 if serves else 503)

        return await _answered(work, "b3lb.ping")

    async def stats(self, request: web.Request) -> web.Response:
        """Say what goes on."""

        async def work() -> web.Response:
            subject = await self._subject(request)
            present = self._figures.present()
            nodes = present.nodes(
                subject, self._parts.directory.current, self._parts.now_ms() / 1_000
            )
            return _answer(orjson.dumps(stats.document(present.counts(subject), nodes)), _JSON)

        return await _answered(work, "b3lb.stats")

    async def metrics(self, request: web.Request) -> web.Response:
        """Say what goes on and what there was, for Prometheus."""

        async def work() -> web.Response:
            subject = await self._subject(request)
            totals = await self._figures.totals()
            present = self._figures.present()
            subjects = [subject] if subject is not None else self._all()
            series = [Series(_labels(one), present.counts(one), totals.of(one)) for one in subjects]
            return _answer(stats.exposition(series).encode(), stats.TEXT_TYPE)

        return await _answered(work, "b3lb.metrics")

    async def _subject(self, request: web.Request) -> Subject | None:
        """Return whose figures are asked for, None for everybody's; raises `ProblemError`."""
        actor = await self._access.actor(request)
        directory = self._parts.directory.current
        name = request.match_info.get("name")
        if name is not None:
            return self._tenants.seen(directory, name, actor)
        name = self._tenants.name_of_host(directory, request.headers.get("Host", ""))
        if actor.subscription_id is None:
            # Hosts below the base domain may be the provider's own.
            return None if name is None else self._tenants.find(directory, name)
        if name is None:
            raise ProblemError(
                "forbidden",
                "this token is good for the figures of its own tenant: /b3lb/t/…/stats",
            )
        return self._tenants.seen(directory, name, actor)

    def _all(self) -> list[Subject]:
        by_slug = self._parts.directory.current.subscription_by_slug
        return [Subject(by_slug[slug]) for slug in sorted(by_slug)]


def _labels(subject: Subject) -> dict[str, str]:
    slug = subject.subscription.slug
    labels = {"tenant": stats.tenant_label(slug)}
    if subject.credential is not None:
        labels["secret"] = stats.credential_label(slug, subject.credential.sub)
    return labels


def _answer(body: bytes, kind: str, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, headers={**answers.HEADERS, "Content-Type": kind})


async def _answered(work: Callable[[], Awaitable[web.Response]], name: str) -> web.Response:
    response = await problems.answered(work, operation=name, request_id=secrets.token_hex(16))
    response.headers.update(answers.HEADERS)
    return response
