"""Two installations as real processes: everything in one, and servers with standbys.

Owns starting, arming with a crash point, restarting and stopping. Only processes that were started
here are ever signalled. Methods block; tests call them through `asyncio.to_thread`. Used by the
crash tests.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from scheduler import endpoints, operations
from scheduler.assembly import assembled
from scheduler.bus.rabbit.topology import Topology
from scheduler.bus.rabbit.tuning import RabbitTuning
from scheduler.database import Database
from scheduler.settings import Settings
from tests.crash import store
from tests.crash.customers import SECRET
from tests.services.ports import free_port
from tests.services.postgresql import PostgreSQL
from tests.services.processes import ProductProcess
from tests.services.rabbitmq import RabbitMQ

NODE_SECRET = "crash-node-secret"
NODES = 3
NODE_SEATS = 200_000
#: Customers with a small contract, one per test; and those for streams of creates.
SMALL_CUSTOMERS = 40
SMALL_SEATS = 20
STREAM_CUSTOMERS = 8
STREAM_SEATS = 100_000
WAIT_S = 30.0

#: The processes here are started by the hundred, most of them to be killed, and a process whose
#: lines are measured starts twice as slowly: coverage comes from the journeys and the other tests.
UNMEASURED = {"COVERAGE_PROCESS_START": ""}

#: Short intervals, so that nothing in the suite waits for a timetable made for production.
INTERVALS = {
    "SEATKEEP_POLL_INTERVAL_S": "1",
    "SEATKEEP_NODE_DOWN_AFTER": "3",
    "SEATKEEP_NODE_UP_AFTER": "1",
    "SEATKEEP_NODE_TIMEOUT_S": "3",
    "SEATKEEP_NODE_LOST_AFTER_S": "6",
    "SEATKEEP_DELIVERY_STEPS_S": "[0, 0.5, 1, 1, 2, 2, 5, 5]",
    "SEATKEEP_DELIVERY_TIMEOUT_S": "1.5",
    "SEATKEEP_CALLBACK_NETWORKS": "127.0.0.0/8",
    "SEATKEEP_LOG_FORMAT": "json",
}


class SimulatedNode:
    """One BigBlueButton server in small, in a process of its own; keeps its memory on disk."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        port = free_port()
        self.origin = f"http://127.0.0.1:{port}"
        self.base_url = f"{self.origin}/bigbluebutton/"
        self.process = ProductProcess(
            *("simulator", "--name", name, "--port", str(port), "--secret", NODE_SECRET),
            *("--data", str(directory / name)),
            directory=directory,
            environment=UNMEASURED,
            name=name,
        )


class Installation(ABC):
    """What the tests ask of an installation, whatever it consists of."""

    #: Starts the slugs of its customers, so that a receiver can tell two installations apart.
    kind: str
    #: The addresses of its gateways.
    origins: tuple[str, ...]

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.directory = directory
        self.environment = {
            "SEATKEEP_DATA_DIR": str(directory),
            **UNMEASURED,
            **INTERVALS,
            **environment,
        }
        self.nodes = [SimulatedNode(f"node-{number}", directory) for number in range(1, NODES + 1)]
        self._small = iter(range(SMALL_CUSTOMERS))
        self._stream = iter(range(STREAM_CUSTOMERS))
        self.settings = Settings(
            data_dir=directory, database_url=self.environment.get("SEATKEEP_DATABASE_URL", "")
        )
        self.store = store.Store(self.settings)
        self._changed = False

    # Setting up

    def set_up(self, callbacks: str) -> None:
        """Make the database and what it is to know, start the nodes, then the product."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for node in self.nodes:
            node.process.spawn()
        store.run(self._configure(callbacks))
        for node in self.nodes:
            node.process.wait_ready()
        self.start()

    async def _configure(self, callbacks: str) -> None:
        database = Database(self.settings)
        await database.migrate()
        await database.close()
        async with assembled(self.settings, bus=False) as parts:
            await operations.ensure_pool(parts.database, "default")
            for node in self.nodes:
                await operations.add_node(
                    parts.database,
                    parts.vault,
                    name=node.name,
                    base_url=node.base_url,
                    secret=NODE_SECRET,
                    seats=NODE_SEATS,
                )
            seats = {f"{self.kind}-small{number}": SMALL_SEATS for number in range(SMALL_CUSTOMERS)}
            seats |= {
                f"{self.kind}-stream{number}": STREAM_SEATS for number in range(STREAM_CUSTOMERS)
            }
            for slug, number in seats.items():
                await operations.add_subscription(parts.database, slug, seats=number)
                await operations.add_credential(
                    parts.database, parts.vault, subscription=slug, secret=SECRET
                )
                await endpoints.add(
                    parts.database, parts.vault, subscription=slug, url=f"{callbacks}/{slug}"
                )

    def small_customer(self) -> str:
        """Return the slug of a customer with 20 seats whom no test has used."""
        return f"{self.kind}-small{next(self._small)}"

    def stream_customer(self) -> str:
        """Return the slug of a customer with seats without end whom no test has used."""
        return f"{self.kind}-stream{next(self._stream)}"

    # Running

    @abstractmethod
    def start(self, **settings: str) -> None:
        """Start the product, with some settings changed; returns when it serves."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the product in an orderly way, the nodes excepted."""

    @abstractmethod
    def arm(self, point: str) -> ProductProcess:
        """Have the process that will reach a crash point reach it; return that process."""

    @abstractmethod
    def recover(self) -> None:
        """Start again what died, without crash points; what still runs is left alone."""

    def restart(self, **settings: str) -> None:
        """Start everything anew with some settings changed, until the next `make_whole`."""
        self.stop()
        self.start(**settings)
        self._changed = bool(settings)

    def make_whole(self) -> None:
        """Bring everything up as configured, whatever the last test left."""
        for node in self.nodes:
            if not node.process.running:
                node.process.start()
        if self._changed:
            self.restart()
        self.recover()

    def tear_down(self) -> None:
        """End everything."""
        try:
            self.stop()
        finally:
            for node in self.nodes:
                node.process.kill()
            for process in self.processes():
                process.kill()

    @abstractmethod
    def processes(self) -> list[ProductProcess]:
        """Return the processes of the product, whether they run or not."""


class Embedded(Installation):
    """One process with its own database and bus; whoever dies takes everything along."""

    kind = "embedded"

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        super().__init__(directory, {"SEATKEEP_PORT": str(self.port)})
        self.origins = (f"http://127.0.0.1:{self.port}",)
        self.product = ProductProcess("up", directory=directory, name="up")

    def start(self, **settings: str) -> None:
        self.product.environment = {**self.environment, **settings}
        self.product.start()

    def stop(self) -> None:
        if self.product.running:
            self.product.stop()

    def processes(self) -> list[ProductProcess]:
        return [self.product]

    def arm(self, point: str) -> ProductProcess:
        self.restart(SEATKEEP_FAILPOINTS=point)
        return self.product

    def recover(self) -> None:
        self._changed = False
        if not self.product.running:
            self.start()


class Servers(Installation):
    """Two gateways, a delivery worker, a placement worker and standbys; on two servers."""

    kind = "servers"

    def __init__(
        self, directory: Path, name: str, *, postgresql: PostgreSQL, rabbitmq: RabbitMQ
    ) -> None:
        self.postgresql = postgresql
        self.rabbitmq = rabbitmq
        self._name = name
        urls = {
            "SEATKEEP_DATABASE_URL": postgresql.create_database(name),
            "SEATKEEP_AMQP_URL": rabbitmq.create_vhost(name),
        }
        super().__init__(directory, urls)
        ports = [free_port(), free_port()]
        self.origins = tuple(f"http://127.0.0.1:{port}" for port in ports)
        self.gateways = [
            ProductProcess("gateway", "--port", str(port), directory=directory, name=f"gw-{number}")
            for number, port in enumerate(ports)
        ]
        self.deliveries = ProductProcess(
            "worker", "deliveries", directory=directory, name="deliveries"
        )
        #: Oldest first: the order in which they queue up for the pool.
        self.workers: list[ProductProcess] = []
        self._worker_number = 0
        self._settings_now: dict[str, str] = {}

    @property
    def active(self) -> ProductProcess:
        """The placement worker that holds the pool."""
        holder = self.store.holder()
        return next(worker for worker in self.workers if worker.pid == holder)

    def start(self, **settings: str) -> None:
        self._settings_now = settings
        others = [*self.gateways, self.deliveries]
        for process in others:
            process.environment = {**self.environment, **settings}
            process.spawn()
        self.add_worker()
        for process in others:
            process.wait_ready()

    def stop(self) -> None:
        for process in self.processes():
            if process.running:
                process.stop()
        self.workers.clear()

    def processes(self) -> list[ProductProcess]:
        return [*self.gateways, self.deliveries, *self.workers]

    def add_worker(self, **settings: str) -> ProductProcess:
        """Start a placement worker and return it once it has queued up for the pool."""
        self.workers = [worker for worker in self.workers if worker.running]
        expected = len(self.workers) + 1
        self._worker_number += 1
        worker = ProductProcess(
            *("worker", "placement", "observer", "timers", "relay"),
            directory=self.directory,
            name=f"worker-{self._worker_number}",
            environment={**self.environment, **self._settings_now, **settings},
        )
        worker.start()
        self.workers.append(worker)
        _until(lambda: self._queued_up() >= expected, "the worker did not queue up")
        return worker

    def _queued_up(self) -> int:
        """Return how many placement workers consume the queue of the pool, standbys included."""
        queue = Topology("seatkeep", RabbitTuning()).commands("default").name
        # A declaration would be answered with the active one alone.
        return int(
            self.rabbitmq.evaluate(
                f'length([1 || C <- rabbit_amqqueue:consumers_all(<<"{self._name}">>), '
                f'element(4, proplists:get_value(queue_name, C)) =:= <<"{queue}">>]).'
            )
        )

    def arm(self, point: str) -> ProductProcess:
        if point.startswith("g."):
            return self._armed_again(self.gateways[0], point)
        if point.startswith("d."):
            return self._armed_again(self.deliveries, point)
        armed = self.add_worker(SEATKEEP_FAILPOINTS=point)
        former = self.workers[:-1]
        self.add_worker()
        for worker in former:
            worker.stop()
        self.wait_active(armed)
        return armed

    def _armed_again(self, process: ProductProcess, point: str) -> ProductProcess:
        process.stop()
        process.environment = {**self.environment, "SEATKEEP_FAILPOINTS": point}
        process.start()
        return process

    def wait_active(self, worker: ProductProcess) -> None:
        """Return when a worker has taken the pool over."""
        _until(lambda: self.store.holder() == worker.pid, "the worker did not take over")

    def recover(self) -> None:
        for process in [*self.gateways, self.deliveries]:
            if not process.running:
                process.environment = {**self.environment, **self._settings_now}
                process.start()
        self.workers = [worker for worker in self.workers if worker.running]
        if not self.workers:
            self.add_worker()


def _until(true: Callable[[], bool], complaint: str) -> None:
    end_s = time.monotonic() + WAIT_S
    while not true():
        if time.monotonic() > end_s:
            raise AssertionError(complaint)
        time.sleep(0.05)
