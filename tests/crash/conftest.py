"""Installations for the crash tests: started once, made whole before each test."""

import json
import statistics
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

import aiohttp
import pytest

from tests.crash.customers import Customer
from tests.crash.installations import Embedded, Installation, Servers
from tests.crash.listening import Listener, listening
from tests.crash.outside import Outside
from tests.services.postgresql import PostgreSQL
from tests.services.rabbitmq import RabbitMQ

Made = TypeVar("Made", bound=Installation)


class Times:
    """Measured times in seconds by name; printed at the end, with their medians."""

    def __init__(self) -> None:
        self.measured: dict[str, list[float]] = {}

    def note(self, name: str, seconds: float) -> float:
        """Keep one measurement, print it, and return it."""
        self.measured.setdefault(name, []).append(round(seconds, 3))
        print(f"{name}: {seconds:.3f} s")  # noqa: T201  # the report of this suite
        return seconds


@pytest.fixture(scope="package", autouse=True)
def _unmeasured() -> Iterator[None]:
    """Start processes without coverage, which a killed one never writes down, and faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_START", raising=False)
        yield


@pytest.fixture(scope="package")
def times(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Times]:
    """Collect the measured times; they are left as JSON beside pytest's own files."""
    times = Times()
    yield times
    medians = {name: statistics.median(values) for name, values in times.measured.items()}
    report = json.dumps({"medians_s": medians, "measured_s": times.measured}, sort_keys=True)
    path = tmp_path_factory.getbasetemp() / "crash-times.json"
    path.write_text(report)
    print(f"\n{report}")  # noqa: T201  # the report of this suite


@pytest.fixture(scope="package")
def listener() -> Iterator[Listener]:
    with listening() as running:
        yield running


@pytest.fixture(scope="package")
def running_embedded(
    tmp_path_factory: pytest.TempPathFactory, listener: Listener
) -> Iterator[Embedded]:
    made = Embedded(tmp_path_factory.mktemp("embedded"))
    yield from _running(made, listener)


@pytest.fixture(scope="package")
def running_servers(
    tmp_path_factory: pytest.TempPathFactory,
    listener: Listener,
    postgresql: PostgreSQL,
    rabbitmq: RabbitMQ,
) -> Iterator[Servers]:
    name = f"crash_{uuid.uuid4().hex[:12]}"
    for server in (postgresql, rabbitmq):
        if not server.running:
            server.start()
    made = Servers(
        tmp_path_factory.mktemp("servers"), name, postgresql=postgresql, rabbitmq=rabbitmq
    )
    yield from _running(made, listener)
    postgresql.drop_database(name)
    rabbitmq.delete_vhost(name)


def _running(made: Made, listener: Listener) -> Iterator[Made]:
    try:
        made.set_up(listener.origin)
        yield made
    finally:
        made.tear_down()


@pytest.fixture
def embedded(running_embedded: Embedded) -> Embedded:
    """The installation in one process, whole."""
    running_embedded.make_whole()
    return running_embedded


@pytest.fixture
def servers(running_servers: Servers) -> Servers:
    """The installation on PostgreSQL and RabbitMQ, whole."""
    running_servers.make_whole()
    return running_servers


@pytest.fixture(params=["embedded", "servers"])
def installation(request: pytest.FixtureRequest) -> Installation:
    """Each kind of installation in turn."""
    found: Installation = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        # The client repeats a GET whose connection broke; whether to repeat is the tests' choice.
        session._retry_connection = False
        yield session


@pytest.fixture
def outside(session: aiohttp.ClientSession, installation: Installation) -> Outside:
    """The nodes of the installation, seen by their control interface."""
    return Outside(session, installation)


@pytest.fixture
def customer(session: aiohttp.ClientSession, installation: Installation) -> Customer:
    """A customer with 20 seats of whom nothing is held."""
    return Customer(installation.small_customer(), installation.origins, session)
