"""End to end over HTTP: the product's own processes, simulated nodes with a delay, a load client.

Owns the set-up of a throw-away installation in a temporary directory and the scenarios. A bare
aiohttp handler is measured in the same run with the same client, because only ratios within one run
compare. Called by `seatkeep bench http` and `seatkeep bench restart`.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from deploy.bench import http_load
from scheduler import operations
from scheduler.database import Database
from scheduler.settings import Settings
from scheduler.vault import Vault
from schemas import checksum

SECRET: Final = "bench-secret-bench-secret"  # noqa: S105  # of a throw-away installation
NODE_SECRET: Final = "bench-node"  # noqa: S105
NODES: Final = 6
#: Meetings that getMeetings lists.
MEETINGS: Final = 120
#: Rooms that ever new users come to, and the seats of each.
HALLS: Final = 8
HALL_SEATS: Final = 2_500
_READY_TIMEOUT_S: Final = 60.0
_SETTLE_S: Final = 11.0
#: More than a poll interval.
_OBSERVED_S: Final = 7.0


@dataclass(slots=True)
class Installation:
    """A running throw-away installation."""

    directory: Path
    environment: dict[str, str]
    host: str = "127.0.0.1"
    port: int = 0
    nodes: list[str] = field(default_factory=list)
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    def target(self, slug: str, call: str, params: Sequence[tuple[str, str]]) -> str:
        """Return path and query of a signed call."""
        query = checksum.signed_query(call, urlencode(params), SECRET, algorithm="sha1")
        return f"/t/{slug}/bigbluebutton/api/{call}?{query}"

    def request(self, slug: str, call: str, params: Sequence[tuple[str, str]]) -> bytes:
        """Return the bytes of a signed GET."""
        target = self.target(slug, call, params)
        return f"GET {target} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode()

    async def start(self, *arguments: str, ready: int = 1) -> list[str]:
        """Start a product process and return the text of its `ready` lines."""
        with (self.directory / f"{arguments[0]}.log").open("ab") as log_file:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "scheduler.cli", *arguments),
                env=os.environ | self.environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=log_file,
            )
        self.processes.append(process)
        output = process.stdout
        if output is None:
            raise AssertionError("the process was started with a pipe")
        lines: list[str] = []
        async with asyncio.timeout(_READY_TIMEOUT_S):
            while len(lines) < ready:
                line = (await output.readline()).decode()
                if not line:
                    raise OSError(f"{arguments[0]} ended: see {self.directory}")
                if line.startswith("ready "):
                    lines.append(line.removeprefix("ready ").strip())
        return lines

    async def stop(self) -> None:
        """Stop what runs, the last started first."""
        for process in reversed(self.processes):
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), 20)
                except TimeoutError:
                    process.kill()
                    await process.wait()
        self.processes.clear()


@contextlib.asynccontextmanager
async def installation(
    *, database_url: str, amqp_url: str, delay_ms: int
) -> AsyncIterator[Installation]:
    """Run nodes and product; empty URLs mean the embedded kind, one process."""
    with tempfile.TemporaryDirectory(prefix="seatkeep-bench-") as name:
        environment = {
            "SEATKEEP_DATA_DIR": name,
            "SEATKEEP_PORT": "0",
            "SEATKEEP_DATABASE_URL": database_url,
            "SEATKEEP_AMQP_URL": amqp_url,
            "SEATKEEP_LOG_LEVEL": "warning",
            "SEATKEEP_LOG_FORMAT": "json",
        }
        here = Installation(Path(name), environment)
        try:
            await _configure(here, delay_ms)
            if amqp_url:
                await here.start("worker")
                ready = await here.start("gateway")
            else:
                ready = await here.start("up")
            here.port = int(ready[0].split(":")[2].split("/")[0])
            yield here
        finally:
            await here.stop()


async def _configure(here: Installation, delay_ms: int) -> None:
    simulator = ("simulator", "--name", "bench", "--count", str(NODES))
    lines = await here.start(
        *simulator, "--secret", NODE_SECRET, "--delay-ms", str(delay_ms), ready=NODES
    )
    here.nodes = [line.split()[-1] for line in lines]
    settings = Settings(
        data_dir=here.directory, database_url=here.environment["SEATKEEP_DATABASE_URL"]
    )
    database = Database(settings)
    vault = Vault.from_settings(settings)
    try:
        await database.migrate()
        await operations.ensure_pool(database, "default")
        for number, url in enumerate(here.nodes, 1):
            await operations.add_node(
                *(database, vault),
                name=f"bench-{number}",
                base_url=url,
                secret=NODE_SECRET,
                seats=1_000_000,
            )
        for slug in ("load", "few"):
            await operations.add_subscription(database, slug, seats=1_000_000)
            await operations.add_credential(database, vault, subscription=slug, secret=SECRET)
    finally:
        await database.close()


async def run(
    *, database_url: str = "", amqp_url: str = "", delay_ms: int = 20, seconds: float = 3.0
) -> dict[str, Any]:
    """Measure all scenarios; rates in requests per second, latencies in milliseconds."""
    async with installation(
        database_url=database_url, amqp_url=amqp_url, delay_ms=delay_ms
    ) as here:
        # In the first seconds after a take-over every command is looked up: not the steady state.
        await asyncio.sleep(_SETTLE_S)
        result: dict[str, Any] = {"node_delay_ms": delay_ms}
        result["create_sequential"] = await _creates(here, "s", connections=1, seconds=seconds)
        result["create_64"] = await _creates(here, "c", connections=64, seconds=seconds)
        await _few(here)
        running = here.request("few", "isMeetingRunning", [("meetingID", "few-0")])
        join_params = [("fullName", "Ada"), ("meetingID", "few-0"), ("role", "VIEWER")]
        join = here.request("few", "join", [*join_params, ("userID", "ada")])
        guests = await _guests(here)
        listing = here.request("few", "getMeetings", [])
        load = _Load(here, seconds)
        async with _bare() as port:
            result["bare"] = await load.measure([running], port=port)
            result["join"] = await load.measure([join])
            result["join_of_new_users"] = await load.measure(guests)
            result["is_meeting_running"] = await load.measure([running])
            result["bare_again"] = await load.measure([running], port=port)
        result["get_meetings_120"] = await load.measure([listing])
        await _fault(here.nodes[0], "hang")
        result["get_meetings_120_node_hangs"] = await load.measure([listing])
        bare = max(result["bare"]["rate"], result["bare_again"]["rate"])
        result["join_of_bare"] = round(result["join"]["rate"] / bare, 3)
        result["is_meeting_running_of_bare"] = round(result["is_meeting_running"]["rate"] / bare, 3)
        return result


@dataclass(frozen=True, slots=True)
class _Load:
    here: Installation
    seconds: float

    async def measure(self, requests: list[bytes], *, port: int | None = None) -> dict[str, Any]:
        return await http_load.load(
            self.here.host,
            port or self.here.port,
            requests,
            connections=64,
            seconds=self.seconds,
        )


async def _creates(
    here: Installation, prefix: str, *, connections: int, seconds: float
) -> dict[str, Any]:
    requests = [
        here.request(
            "load",
            "create",
            [("name", "Bench"), ("meetingID", f"{prefix}-{number}"), ("maxParticipants", "5")],
        )
        for number in range(int(2_000 * seconds))
    ]
    return await http_load.load(
        here.host, here.port, requests, connections=connections, seconds=seconds
    )


async def _few(here: Installation) -> None:
    """Make the meetings of one credential over all nodes, one of them with a user in it."""
    base = f"http://{here.host}:{here.port}"
    async with aiohttp.ClientSession() as session:
        for number in range(MEETINGS):
            params = [("name", "Few"), ("meetingID", f"few-{number}"), ("maxParticipants", "5")]
            async with session.get(base + here.target("few", "create", params)) as response:
                await response.read()
        params = [("fullName", "Ada"), ("meetingID", "few-0"), ("role", "VIEWER")]
        async with session.get(
            base + here.target("few", "join", params), max_redirects=5
        ) as response:
            await response.read()
        for _ in range(100):
            target = here.target("few", "isMeetingRunning", [("meetingID", "few-0")])
            async with session.get(base + target) as response:
                if "<running>true</running>" in await response.text():
                    break
            await asyncio.sleep(0.2)
        # So that the observed state is what readers answer from.
        await asyncio.sleep(_OBSERVED_S)


async def _guests(here: Installation) -> list[bytes]:
    """Make large rooms, and return a join for each of their seats, in turns."""
    base = f"http://{here.host}:{here.port}"
    seats = str(HALL_SEATS)
    async with aiohttp.ClientSession() as session:
        for number in range(HALLS):
            params = [("name", "Hall"), ("meetingID", f"hall-{number}"), ("maxParticipants", seats)]
            async with session.get(base + here.target("load", "create", params)) as response:
                await response.read()
    common = [("fullName", "Ada"), ("role", "VIEWER")]
    return [
        here.request(
            "load",
            "join",
            [*common, ("meetingID", f"hall-{number % HALLS}"), ("userID", f"u{number}")],
        )
        for number in range(HALLS * HALL_SEATS)
    ]


async def _create_all(here: Installation, meetings: int) -> None:
    numbers = iter(range(meetings))
    base = f"http://{here.host}:{here.port}"

    async def create(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            params = [("name", "Bench"), ("meetingID", f"r-{number}"), ("maxParticipants", "5")]
            async with session.get(base + here.target("load", "create", params)) as response:
                if "SUCCESS" not in await response.text():
                    raise OSError(f"create {number} failed")

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(create(session) for _ in range(64)))


async def _fault(node_url: str, mode: str) -> None:
    origin = node_url.removesuffix("/bigbluebutton/")
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{origin}/simulator/faults", json={"mode": mode}) as response,
    ):
        await response.read()


@contextlib.asynccontextmanager
async def _bare() -> AsyncIterator[int]:
    """Run a bare aiohttp handler in a process of its own and yield its port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.bench.http"), stdout=asyncio.subprocess.PIPE
    )
    try:
        if process.stdout is None:
            raise AssertionError("the process was started with a pipe")
        yield int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


async def _serve_bare() -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(
            text="<response><returncode>SUCCESS</returncode><running>true</running></response>",
            content_type="text/xml",
        )

    app = web.Application()
    app.router.add_get("/{tail:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201  # read by the parent
    await asyncio.Event().wait()


async def restart(*, meetings: int = 10_000) -> dict[str, Any]:
    """Measure how long an embedded installation with live meetings takes until it serves again.

    The meetings are made through the API on simulated nodes, the product is killed (SIGKILL), and
    the time counts from the start of the new process to its `ready` line; then creates are timed.
    """
    async with installation(database_url="", amqp_url="", delay_ms=0) as here:
        await _create_all(here, meetings)
        product = here.processes.pop()
        product.kill()
        await product.wait()
        began = time.monotonic()
        ready = await here.start("up")
        ready_s = time.monotonic() - began
        here.port = int(ready[0].split(":")[2].split("/")[0])
        created = await _creates(here, "after", connections=1, seconds=1)
    return {"meetings": meetings, "ready_s": round(ready_s, 2), "create_after": created}


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve_bare())
