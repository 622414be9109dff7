"""The metrics of a gateway, at `/metrics` of its port.

Owns the routing and what only a gateway knows of itself. Counts nothing: the dispatch does. Called
by the application.
"""

from collections.abc import Iterator

from aiohttp import web
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from gateway.parts import Parts
from scheduler.metrics.exposition import Exposition
from scheduler.metrics.snapshot import Snapshot


class GatewayMetrics:
    """What one gateway shows."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._snapshot = Snapshot(parts.database, parts.bus)
        self._exposition = Exposition(
            *(parts.settings, parts.directory, parts.bus),
            snapshot=self._snapshot,
            more=self._own,
        )

    def routes(self) -> list[web.RouteDef]:
        """Return the route of the scrapes."""
        return [web.get("/metrics", self._exposition.answer)]

    async def close(self) -> None:
        """Give up a reading under way."""
        await self._snapshot.close()

    def _own(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "seatkeep_gateway_ready",
            "1: the meetings are loaded, calls are answered.",
            value=float(self._parts.meetings.ready),
        )
