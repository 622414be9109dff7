"""Fixtures that hand real servers to the tests.

Owns one PostgreSQL and one RabbitMQ per test run, started when the first test asks and stopped by
pid at the end. A missing server is a failure with a sentence, never a skip. Tests that kill a
server use the same objects and leave them running, or build their own from `tests.services`.

And the order: what mostly waits, for servers to come back and windows to end, comes first, so that
it lies beside what mostly computes when files run side by side (`deploy/test`).
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

from tests.services import databases, tables
from tests.services.postgresql import PostgreSQL
from tests.services.rabbitmq import RabbitMQ

DATABASE_URL = os.environ.get("SEATKEEP_TEST_DATABASE_URL", "")
AMQP_URL = os.environ.get("SEATKEEP_TEST_AMQP_URL", "")
TEMPLATE = "seatkeep_tables"
TESTS = Path(__file__).parent
WAITING = ("crash", "bus", "bench", "journeys", "contract")
RABBITMQ4_ROOT = Path(__file__).parents[1] / ".cache" / "rabbitmq4"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order by package; the sort is stable, so that nothing else moves."""
    rank = {package: place for place, package in enumerate(WAITING)}

    def place(item: pytest.Item) -> int:
        return rank.get(item.path.relative_to(TESTS).parts[0], len(rank))

    items.sort(key=place)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write down what was covered: a process of pytest-xdist may be killed before its end."""
    measuring = coverage.Coverage.current()
    if measuring is not None and hasattr(session.config, "workerinput"):
        measuring.save()


@pytest.fixture(scope="session")
def services_directory() -> Iterator[Path]:
    """Make a directory that other accounts may enter: PostgreSQL does not run as root."""
    directory = Path(tempfile.mkdtemp(prefix="seatkeep-tests-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def postgresql(services_directory: Path) -> Iterator[PostgreSQL]:
    """Run a PostgreSQL of our own; a test may kill it and must start it again."""
    server = PostgreSQL(services_directory / "postgresql")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session", autouse=True)
def tables_from_memory() -> Iterator[None]:
    """Run the migrations once in this process; later SQLite databases are made alike."""
    with tables.remembered():
        yield


@pytest.fixture(scope="session")
def postgresql_template(postgresql: PostgreSQL) -> str:
    """Return the name of a database with all tables, for others to be copied from."""
    databases.migrate(postgresql.create_database(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def empty_postgresql_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """SQLAlchemy URL of a database without tables that belongs to this test alone."""
    yield from _database(request, "template1")


@pytest.fixture
def postgresql_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """SQLAlchemy URL of a database that belongs to this test alone; its tables may be there."""
    yield from _database(request, "")


def _database(request: pytest.FixtureRequest, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:16]}"
    if DATABASE_URL:
        yield databases.create(DATABASE_URL, name)
        databases.drop(DATABASE_URL, name)
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    _raise_from_the_dead(server)
    template = template or request.getfixturevalue("postgresql_template")
    yield server.create_database(name, template=template)
    _raise_from_the_dead(server)
    server.drop_database(name)


@pytest.fixture(scope="session")
def rabbitmq(services_directory: Path) -> Iterator[RabbitMQ]:
    """Run a RabbitMQ of our own; a test may kill or freeze it and must start it again."""
    server = RabbitMQ(services_directory / "rabbitmq")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def rabbitmq_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """AMQP URL of an empty virtual host that belongs to this test alone.

    With SEATKEEP_TEST_AMQP_URL it is that URL for every test, since virtual hosts of a foreign
    broker are not ours to make: tests that use it name their queues with `amqp_prefix`.
    """
    if AMQP_URL:
        yield AMQP_URL
        return
    server: RabbitMQ = request.getfixturevalue("rabbitmq")
    name = f"test-{uuid.uuid4().hex[:16]}"
    _raise_from_the_dead(server)
    yield server.create_vhost(name)
    _raise_from_the_dead(server)
    server.delete_vhost(name)


@pytest.fixture
def amqp_prefix() -> str:
    """Return a queue name prefix that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def rabbitmq4(services_directory: Path) -> Iterator[RabbitMQ]:
    """Run a RabbitMQ 4 of our own, from the root that deploy/test keeps in .cache."""
    server = RabbitMQ(services_directory / "rabbitmq4", RABBITMQ4_ROOT)
    server.start()
    yield server
    server.stop()


def _raise_from_the_dead(server: PostgreSQL | RabbitMQ) -> None:
    """Start a server that a failed test left killed, so that one failure stays one failure."""
    if isinstance(server, RabbitMQ):
        server.thaw()
    if not server.running:
        server.start()
