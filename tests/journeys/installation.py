"""A whole installation as an operator runs it: product processes, simulated nodes, a database.

Owns the set-up, the start and the end of its processes, and looks at it from outside: over HTTP,
through the command line, through its logs. Entries of the directory are made through the operations
behind the command line, since a hundred commands would take minutes. Used by the fixtures.
"""

import asyncio
import json
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from scheduler import operations
from scheduler.database import Database
from scheduler.settings import Settings
from scheduler.vault import Vault
from tests.commands import Result, run_inside
from tests.journeys.client import Client
from tests.services import programs
from tests.services.processes import ProductProcess

#: Planted secrets: no answer, no log and no database file may show them.
NODE_SECRET = "canary-of-the-nodes-4Jx9"
CREDENTIAL_SECRET = "canary-of-the-credentials-7Wq2"
NODES = 6
NODE_SEATS = 1_000
#: Subscriptions and their seats; a test that counts seats has one of its own.
SUBSCRIPTIONS = {
    "burst": 1_000,
    "tight": 20,
    "same": 20,
    "tenant-a": 1_000,
    "tenant-b": 1_000,
    "seed": 20,
    "round": 20,
    "bad": 20,
    "told": 100,
    "apps": 100,
    "turning": 20,
    "checked": 20,
    "gone": 20,
    "clumsy": 20,
    "planted": 20,
}


@dataclass
class Installation:
    """A running installation; `origin` is scheme, host and port of its gateway."""

    directory: Path
    environment: dict[str, str]
    pool: str = "default"
    origin: str = ""
    nodes: dict[str, str] = field(default_factory=dict)
    processes: list[ProductProcess] = field(default_factory=list)
    checksums: list[str] = field(default_factory=list)
    node_seats: int = NODE_SEATS

    @property
    def settings(self) -> Settings:
        return Settings(
            data_dir=Path(self.environment["SEATKEEP_DATA_DIR"]),
            database_url=self.environment.get("SEATKEEP_DATABASE_URL", ""),
        )

    def client(self, session: aiohttp.ClientSession, name: str) -> Client:
        """Return a front end with the credential `name`."""
        url = f"{self.origin}/t/{name}/bigbluebutton/"
        canaries = (NODE_SECRET, CREDENTIAL_SECRET)
        return Client(session, url, CREDENTIAL_SECRET, canaries, self.checksums)

    def spawn(self, *arguments: str, name: str) -> ProductProcess:
        """Start a process of the product."""
        process = ProductProcess(
            *arguments, directory=self.directory, environment=self.environment, name=name
        )
        self.processes.append(process)
        process.spawn()
        return process

    def start_nodes(self) -> None:
        """Start the simulated nodes in a process of their own."""
        count = ("--count", str(NODES))
        process = self.spawn(
            "simulator", "--name", "sim", *count, "--secret", NODE_SECRET, name="simulator"
        )
        process.wait_ready()
        deadline = time.monotonic() + 10
        while (lines := _ready_lines(process.log)) and len(lines) < NODES:
            assert time.monotonic() < deadline, process.log
            time.sleep(programs.POLL_INTERVAL_S)
        self.nodes = {line.split()[1]: line.split()[2] for line in lines}

    def configure(self, subscriptions: Mapping[str, int], *, nodes: int | None = None) -> None:
        """Make the tables, all or so many nodes, and subscriptions with a credential each."""
        run_apart(self._configure(subscriptions, nodes))

    async def _configure(self, subscriptions: Mapping[str, int], nodes: int | None) -> None:
        database = Database(self.settings)
        vault = Vault.from_settings(self.settings)
        try:
            await database.migrate()
            await operations.ensure_pool(database, self.pool)
            for name, url in list(self.nodes.items())[:nodes]:
                await operations.add_node(
                    database,
                    vault,
                    name=name,
                    base_url=url,
                    secret=NODE_SECRET,
                    seats=self.node_seats,
                    pool=self.pool,
                )
            for slug, seats in subscriptions.items():
                await operations.add_subscription(database, slug, seats=seats, pool=self.pool)
                await operations.add_credential(
                    database, vault, subscription=slug, secret=CREDENTIAL_SECRET
                )
        finally:
            await database.close()

    def serve(self) -> None:
        """Start the product: one process when embedded, else a worker and a gateway."""
        if self.environment.get("SEATKEEP_AMQP_URL"):
            worker = self.spawn("worker", name="worker")
            gateway = self.spawn("gateway", "--port", "0", name="gateway")
            worker.wait_ready()
        else:
            gateway = self.spawn("up", "--port", "0", name="up")
        ready = gateway.wait_ready()
        self.origin = ready.split()[1].removesuffix("/bigbluebutton/")

    def stop(self) -> None:
        """End all processes, the last one first; they must obey."""
        codes = {}
        for process in reversed(self.processes):
            if process.running:
                codes[process.arguments[1]] = process.stop()
        assert set(codes.values()) <= {0}, codes

    @property
    def logs(self) -> str:
        """Everything that the processes printed."""
        return "".join(process.log for process in self.processes)

    async def command(self, *arguments: str) -> Result:
        """Run a command of the product to its end."""
        return await asyncio.to_thread(
            run_inside, *arguments, directory=self.directory, environment=self.environment
        )

    async def status(self) -> dict[str, Any]:
        """Return what `seatkeep status --json` shows."""
        return await asyncio.to_thread(self.status_now)

    def status_now(self) -> dict[str, Any]:
        """Return the same to a fixture that has no event loop."""
        result = run_inside(
            "status", "--json", directory=self.directory, environment=self.environment
        )
        assert result.exit_code == 0, result.errors
        shown: dict[str, Any] = json.loads(result.output)
        return shown

    async def held(self, slug: str) -> tuple[int, int]:
        """Return seats held and meetings of a subscription, as the status shows them."""
        plans = {plan["subscription"]: plan for plan in (await self.status())["subscriptions"]}
        return plans[slug]["held"], plans[slug]["meetings"]


async def node_state(session: aiohttp.ClientSession, base_url: str) -> dict[str, Any]:
    """Return what a simulated node has: meetings, calls, callbacks."""
    url = base_url.removesuffix("bigbluebutton/") + "simulator/state"
    async with session.get(url) as response:
        state: dict[str, Any] = await response.json()
        return state


def run_apart(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a loop of its own: the present loop belongs to pytest-asyncio."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


def _ready_lines(log: str) -> list[str]:
    return [line for line in log.splitlines() if line.startswith("ready ")]
