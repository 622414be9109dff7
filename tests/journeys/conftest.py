"""The installations that the journeys share, each started once and stopped after the last of them.

Owns `embedded` (one process on SQLite), `served` (gateway and worker on PostgreSQL and RabbitMQ),
`installation` (the tests that ask for it run on both), `demo` (as `deploy/run` starts it). Tests
keep apart by the subscription that they use.
"""

import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import conftest
from tests.journeys import client
from tests.journeys.client import Client
from tests.journeys.installation import SUBSCRIPTIONS, Installation
from tests.services import databases
from tests.services.ports import free_port
from tests.services.postgresql import PostgreSQL
from tests.services.processes import ProductProcess
from tests.services.rabbitmq import RabbitMQ

#: Two nodes of this size carry the subscription, and hardly more.
GROWING_NODE_SEATS = 15
GROWING_SEATS = 25


@pytest.fixture(scope="package")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """`seatkeep up` on SQLite, and six simulated nodes."""
    yield from _running(Installation(*_set_up(tmp_path_factory.mktemp("embedded"))))


@pytest.fixture(scope="package")
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A gateway and a worker on PostgreSQL and RabbitMQ, and six simulated nodes."""
    with _on_servers(request, tmp_path_factory.mktemp("served")) as installation:
        yield from _running(installation)


@pytest.fixture
def growing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """The same for one test that changes the nodes: it has two small ones, four more are there."""
    with _on_servers(request, tmp_path_factory.mktemp("growing")) as installation:
        installation.node_seats = GROWING_NODE_SEATS
        yield from _running(installation, nodes=2, subscriptions={"crowd": GROWING_SEATS})


@pytest.fixture(params=["embedded", "served"])
def installation(request: pytest.FixtureRequest) -> Installation:
    """Either kind of installation."""
    found: Installation = request.getfixturevalue(request.param)
    return found


@dataclass(frozen=True)
class Demo:
    """The running demo and what its file says."""

    process: ProductProcess
    directory: Path
    document: dict[str, Any]

    def client(self, session: aiohttp.ClientSession) -> Client:
        return Client(session, self.document["base_url"], self.document["secret"])

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to work on the demo."""
        return {"SEATKEEP_DATA_DIR": str(self.directory / "data")}


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """`seatkeep up --demo` with the arguments that `deploy/run` gives it."""
    directory = tmp_path_factory.mktemp("demo")
    data, port = directory / "data", free_port()
    process = ProductProcess(
        *("up", "--demo", "--port", str(port), "--data", str(data)),
        directory=directory,
        environment={"SEATKEEP_RECORDINGS_INTERVAL_S": "1"},
        name="demo",
    )
    try:
        ready = process.start()
        document = json.loads((data / "demo.json").read_text())
        assert ready == f"ready {document['base_url']}"
        yield Demo(process, directory, document)
        assert process.stop() == 0
    finally:
        process.kill()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with client.session() as opened:
        yield opened


def _set_up(directory: Path) -> tuple[Path, dict[str, str]]:
    environment = {
        "SEATKEEP_DATA_DIR": str(directory / "data"),
        "SEATKEEP_LOG_FORMAT": "json",
        "SEATKEEP_LOG_LEVEL": "debug",
        "SEATKEEP_CALLBACK_NETWORKS": "127.0.0.0/8",
        "SEATKEEP_BODY_TIMEOUT_S": "2",
        "SEATKEEP_POLL_INTERVAL_S": "1",
        "SEATKEEP_RECORDINGS_INTERVAL_S": "1",
    }
    return directory, environment


@contextlib.contextmanager
def _on_servers(request: pytest.FixtureRequest, directory: Path) -> Iterator[Installation]:
    """Prepare an installation with a database and a broker of its own."""
    name = f"journeys_{uuid.uuid4().hex[:12]}"
    directory, environment = _set_up(directory)
    with _database(request, name) as database_url, _broker(request, name) as amqp_url:
        environment["SEATKEEP_DATABASE_URL"] = database_url
        environment["SEATKEEP_AMQP_URL"] = amqp_url
        # On a broker of somebody else the queues of the default pool may not be ours.
        environment["SEATKEEP_POOL"] = name
        yield Installation(directory, environment, pool=name)


@contextlib.contextmanager
def _database(request: pytest.FixtureRequest, name: str) -> Iterator[str]:
    """Make a database that outlives one test."""
    if conftest.DATABASE_URL:
        yield databases.create(conftest.DATABASE_URL, name)
        databases.drop(conftest.DATABASE_URL, name)
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    if not server.running:
        server.start()
    yield server.create_database(name)
    server.drop_database(name)


@contextlib.contextmanager
def _broker(request: pytest.FixtureRequest, name: str) -> Iterator[str]:
    """Make a virtual host that outlives one test."""
    if conftest.AMQP_URL:
        yield conftest.AMQP_URL
        return
    server: RabbitMQ = request.getfixturevalue("rabbitmq")
    server.thaw()
    if not server.running:
        server.start()
    yield server.create_vhost(name)
    server.delete_vhost(name)


def _running(
    installation: Installation,
    *,
    nodes: int | None = None,
    subscriptions: Mapping[str, int] = SUBSCRIPTIONS,
) -> Iterator[Installation]:
    try:
        installation.start_nodes()
        installation.configure(subscriptions, nodes=nodes)
        installation.serve()
        yield installation
        installation.stop()
    finally:
        for process in installation.processes:
            process.kill()
