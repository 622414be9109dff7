"""The demo: simulated nodes beside the product, a subscription of 20 seats, a file that says so.

Owns the choice of ports and secrets of the first start, which later starts keep, and `demo.json`.
The nodes run in a process of their own that ends with its parent; they keep meetings and users on
disk. Called by `seatkeep up --demo`.
"""

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from deploy.simulator import app as simulator
from deploy.simulator.settings import SimulatorSettings
from scheduler import operations
from scheduler.assembly import Assembly
from scheduler.manage import bearers, tokens
from scheduler.manage.context import Actor, Context
from schemas.management.tokens import NewToken

log = structlog.get_logger()

NODES: Final = 4
SUBSCRIPTION: Final = "demo"
SEATS: Final = 20
NODE_SEATS: Final = 20
POOL: Final = "default"
_FILE: Final = "demo.json"
#: The ports of the last run may still be held for a moment by the process that is ending.
_START_TRIES: Final = 20
_START_PAUSE_S: Final = 0.5
_READY_TIMEOUT_S: Final = 30.0
#: The ports are kept for ever, so they lie below the range that Linux gives to outgoing
#: connections: one of those could hold a port at any later start.
_PORT_MIN: Final = 20_000
_PORT_MAX: Final = 32_000


@dataclass(frozen=True, slots=True)
class DemoNode:
    """One simulated node as the product is told of it."""

    name: str
    base_url: str
    secret: str
    seats: int


@dataclass(frozen=True, slots=True)
class Demo:
    """What a visitor of the demo needs to know."""

    secret: str
    nodes: tuple[DemoNode, ...]
    #: Of an operator.
    token: str


@contextlib.asynccontextmanager
async def simulated_nodes(data_dir: Path) -> AsyncIterator[tuple[DemoNode, ...]]:
    """Run the simulated nodes in a child process; same ports and secret as the last time."""
    secret, port = _chosen(data_dir)
    for remaining in range(_START_TRIES - 1, -1, -1):
        child = await _start(data_dir, port, secret)
        names = await _await_ready(child)
        if len(names) == NODES:
            break
        await _stop(child)
        if remaining == 0:
            raise OSError(f"the simulated nodes could not listen on ports {port} to {port + 3}")
        await asyncio.sleep(_START_PAUSE_S)
    try:
        yield tuple(DemoNode(name, url, secret, NODE_SEATS) for name, url in names)
    finally:
        await _stop(child)


async def _start(data_dir: Path, port: int, secret: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "scheduler.cli", "simulator", "--with-parent"),
        *("--name", "sim", "--count", str(NODES), "--port", str(port)),
        *("--secret", secret, "--data", str(data_dir / "nodes")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # Ctrl-C reaches the whole group; the nodes are to end after the product, not with it.
        start_new_session=True,
    )


async def _await_ready(child: asyncio.subprocess.Process) -> list[tuple[str, str]]:
    """Return name and URL of the nodes that came up before the child ended or fell silent."""
    names: list[tuple[str, str]] = []
    output = child.stdout
    if output is None:
        raise AssertionError("the child was started with a pipe")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_READY_TIMEOUT_S):
            while len(names) < NODES and (line := await output.readline()):
                word, _, rest = line.decode().strip().partition(" ")
                if word == "ready":
                    name, _, url = rest.partition(" ")
                    names.append((name, url))
    return names


async def _stop(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(child.wait(), 5)
        except TimeoutError:
            child.kill()
            await child.wait()


def _free_ports(count: int) -> int:
    """Return the first of `count` neighbouring ports that are free at this moment."""
    for _ in range(100):
        port = _PORT_MIN + secrets.randbelow(_PORT_MAX - count - _PORT_MIN)
        with contextlib.ExitStack() as stack:
            try:
                for offset in range(count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            except OSError:
                continue
            return port
    raise OSError("no neighbouring free ports were found")


def _chosen(data_dir: Path) -> tuple[str, int]:
    """Return secret and first port of the nodes: those of the first start, for ever."""
    path = data_dir / "nodes.json"
    if path.exists():
        known = orjson.loads(path.read_bytes())
    else:
        known = {"secret": secrets.token_urlsafe(24), "port": _free_ports(NODES)}
        _write(path, known)
    return str(known["secret"]), int(known["port"])


def _write(path: Path, document: dict[str, Any]) -> None:
    """Write a file that holds secrets: whole or not at all, and for its owner only."""
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    partial.replace(path)


async def prepare(assembly: Assembly, nodes: Sequence[DemoNode]) -> Demo:
    """Put nodes, subscription and credential into the directory, once."""
    database, vault = assembly.database, assembly.vault
    await operations.ensure_pool(database, POOL)
    present = {row.name for row in await operations.list_nodes(database)}
    for node in nodes:
        if node.name not in present:
            await operations.add_node(
                database,
                vault,
                name=node.name,
                base_url=node.base_url,
                secret=node.secret,
                seats=node.seats,
                pool=POOL,
            )
    await assembly.directory.refresh()
    if SUBSCRIPTION not in {row.slug for row in await operations.list_subscriptions(database)}:
        await operations.add_subscription(
            database,
            SUBSCRIPTION,
            seats=SEATS,
            name="Demo",
            pool=POOL,
            default_seats=5,
            default_duration_s=3600,
        )
    credential = assembly.directory.current.credential_by_name.get(SUBSCRIPTION)
    if credential is not None:
        secret = credential.secrets[0]
    else:
        made = await operations.add_credential(
            database,
            vault,
            subscription=SUBSCRIPTION,
            label="demo",
            is_default=True,
        )
        secret = made.secret
    await assembly.directory.refresh()
    return Demo(secret, tuple(nodes), await _token(assembly))


async def _token(assembly: Assembly) -> str:
    """Return the token of the last start while it is good, else a new one."""
    path = assembly.settings.data_dir / _FILE
    if path.exists():
        known = orjson.loads(path.read_bytes()).get("admin_token")
        with contextlib.suppress(bearers.BearerError):
            await bearers.bearer(assembly.database, str(known))
            return str(known)
    context = Context(
        settings=assembly.settings,
        database=assembly.database,
        vault=assembly.vault,
        directory=assembly.directory,
        nodes=assembly.client,
        bus=assembly.bus,
        actor=Actor("demo"),
    )
    made = await tokens.add(context, NewToken(scope="operator", label="demo"))
    return made.token


def write(data_dir: Path, demo: Demo, address: str) -> None:
    """Write `demo.json` for people and programs that want to try the demo."""
    document = {
        "base_url": f"{address}/bigbluebutton/",
        "secret": demo.secret,
        "subscription": SUBSCRIPTION,
        "admin_url": f"{address}/api/v1",
        "admin_token": demo.token,
        # There is no console yet.
        "console_url": None,
        "nodes": [
            {
                "name": node.name,
                "base_url": node.base_url,
                "secret": node.secret,
                "seats": node.seats,
            }
            for node in demo.nodes
        ],
    }
    _write(data_dir / _FILE, document)


async def run_simulators(nodes: Sequence[SimulatorSettings], *, with_parent: bool) -> None:
    """Run simulated nodes until a signal, or until the parent is gone."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if with_parent:
        # The parent never writes: readable means that its end of the pipe was closed, even by
        # a kill that left it no time to say goodbye.
        loop.add_reader(sys.stdin.fileno(), stop.set)
    async with simulator.running(nodes) as running:
        for node in running:
            print(f"ready {node.name} {node.base_url}", flush=True)  # noqa: T201  # its output
        await stop.wait()
