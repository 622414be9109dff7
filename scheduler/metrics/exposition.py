"""The answer to a scrape: its text, and who may have it.

Owns the one way from instruments, database and directory to the text, and the check of token and
address. Never waits for the database. Mounted by the gateway and by worker processes.
"""

import asyncio
import hmac
import importlib.metadata
import ipaddress
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from scheduler.bus.interface import Bus
from scheduler.directory import DirectoryWatch
from scheduler.metrics import figures, names
from scheduler.metrics.snapshot import Reading, Snapshot
from scheduler.settings import Settings

#: Who came through a proxy: its own address says nothing.
_FORWARDED: Final = ("X-Forwarded-For", "Forwarded", "X-Real-IP")
#: A reading that never was is shown as this old.
_NEVER_S: Final = 1e9

#: More that a process has to show, asked for at every scrape.
More = Callable[[], Iterable[Metric]]


class Exposition(Collector):
    """What one process shows; with a snapshot also what stands in the database."""

    def __init__(
        self,
        settings: Settings,
        directory: DirectoryWatch,
        bus: Bus,
        *,
        snapshot: Snapshot | None = None,
        more: More = tuple,
    ) -> None:
        self._token = settings.metrics_token.get_secret_value().encode()
        self._networks = [
            ipaddress.ip_network(part.strip())
            for part in settings.metrics_networks.split(",")
            if part.strip()
        ]
        self._subscriptions = settings.metrics_subscriptions
        self._directory = directory
        self._bus = bus
        self._snapshot = snapshot
        self._more = more
        self._reading: Reading | None = None
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        # Memory and processor time, by the defaults of the library.
        ProcessCollector("", lambda: "self", "/proc", self._registry)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a scrape."""
        refusal = self.refusal(request)
        if refusal is not None:
            return refusal
        if self._snapshot is not None:
            self._reading = await self._snapshot.refreshed()
        encode, media_type = choose_encoder(request.headers.get("Accept", ""))
        # Ten thousand lines take some hundredths of a second.
        text = await asyncio.to_thread(encode, self._registry)
        return web.Response(
            body=text, headers={"Content-Type": media_type, "Cache-Control": "no-store"}
        )

    def refusal(self, request: web.Request) -> web.Response | None:
        """Return the answer to who may not read, else None."""
        if self._token:
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            right = hmac.compare_digest(given.strip().encode(), self._token)
            if right and scheme.lower() == "bearer":
                return None
            return web.Response(
                status=401,
                headers={"WWW-Authenticate": 'Bearer realm="metrics"'},
                text="the metrics need the token of SEATKEEP_METRICS_TOKEN\n",
            )
        if any(name in request.headers for name in _FORWARDED) or not self._is_near(request):
            text = "set SEATKEEP_METRICS_TOKEN to read the metrics from here\n"
            return web.Response(status=403, text=text)
        return None

    def _is_near(self, request: web.Request) -> bool:
        try:
            address = ipaddress.ip_address((request.remote or "").partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)

    def collect(self) -> Iterator[Metric]:
        """Yield everything that there is to show."""
        for instrument in names.ALL:
            yield from instrument.families()
        yield self._build()
        health = self._bus.health()
        for name, text, value in (
            ("bus_connected", "1: the bus is connected.", health.connected),
            ("bus_blocked", "1: the broker takes no messages at present.", health.blocked),
            ("bus_commands_waiting", "Commands not yet on their way.", health.waiting),
        ):
            yield GaugeMetricFamily(f"seatkeep_{name}", text, value=float(value))
        yield from self._more()
        if self._snapshot is not None:
            yield from self._of_database(self._snapshot)

    def _of_database(self, snapshot: Snapshot) -> Iterator[Metric]:
        age_s = snapshot.age_s
        yield GaugeMetricFamily(
            "seatkeep_snapshot_age_seconds",
            "How old the figures from the database are.",
            value=_NEVER_S if math.isinf(age_s) else age_s,
        )
        yield GaugeMetricFamily(
            "seatkeep_database_up",
            "1: the database answered when it was asked for these figures.",
            value=float(snapshot.up),
        )
        if snapshot.parked is not None:
            yield GaugeMetricFamily(
                "seatkeep_bus_parked_messages",
                "Messages that failed again and again and wait for people; 100: or more.",
                value=snapshot.parked,
            )
        if self._reading is not None:
            yield from figures.families(
                self._reading, self._directory.current, subscriptions=self._subscriptions
            )

    def _build(self) -> Metric:
        version = importlib.metadata.version("seatkeep")
        family = GaugeMetricFamily("seatkeep_build_info", "The version.", labels=("version",))
        family.add_metric((version,), 1)
        return family
