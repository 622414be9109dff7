"""How long it takes until creates succeed again, and what a zombie may still do.

The ceilings are generous, since the machine that runs the tests is shared; what was measured is
printed and kept.
"""

import asyncio
import signal
import time

import aiohttp
import pytest

from tests.crash.conftest import Times
from tests.crash.customers import Customer
from tests.crash.installations import Embedded, Servers
from tests.crash.outside import Outside
from tests.services import programs
from tests.services.processes import ProductProcess

pytestmark = pytest.mark.timeout(180)

DEPOSED = 75
KILLS = 3
KILLED_CEILING_S = 5.0
FROZEN_CEILING_S = 25.0
BROKER_CEILING_S = 30.0
#: A zombie is given this long to notice that it is one.
ZOMBIE_TIMEOUT_S = 30.0


@pytest.fixture
def installation(servers: Servers) -> Servers:
    """Taking over needs a second process."""
    return servers


@pytest.fixture
def customer(session: aiohttp.ClientSession, installation: Servers) -> Customer:
    return Customer(installation.stream_customer(), installation.origins, session)


async def test_a_standby_goes_on_when_the_worker_is_killed(
    servers: Servers, customer: Customer, outside: Outside, times: Times
) -> None:
    for number in range(KILLS):
        await asyncio.to_thread(servers.add_worker)
        active = await asyncio.to_thread(lambda: servers.active)
        assert (await customer.create(f"before-{number}", 1)).ok
        active.kill()
        killed_s = time.monotonic()
        assert (await customer.create(f"after-{number}", 1)).ok
        took_s = times.note("worker killed until a create succeeds", time.monotonic() - killed_s)
        assert took_s <= KILLED_CEILING_S
        assert active.exit_code == -signal.SIGKILL
    placed = await outside.placements(f"{customer.slug}/")
    assert len(placed) == 2 * KILLS
    assert all(len(copies) == 1 for copies in placed.values())


async def test_a_frozen_worker_is_replaced_and_writes_nothing_when_it_wakes(
    servers: Servers, customer: Customer, outside: Outside, times: Times
) -> None:
    await asyncio.to_thread(servers.add_worker)
    zombie = await asyncio.to_thread(lambda: servers.active)
    for node in servers.nodes:
        await outside.fault(node, "slow", call="create", delay_s=1.0)
    # It falls asleep between its commit and the answer of the node.
    halfway = asyncio.create_task(customer.create("halfway", 1))
    await _placing(servers, customer, "halfway")
    zombie.freeze()
    frozen_s = time.monotonic()
    for node in servers.nodes:
        await outside.fault(node, "ok")
    reply = await customer.create("during", 1)
    took_s = times.note("worker frozen until a create succeeds", time.monotonic() - frozen_s)
    assert reply.ok
    assert took_s <= FROZEN_CEILING_S
    resumed = await halfway
    assert resumed.ok

    before = await asyncio.to_thread(servers.store.written)
    woken_s = time.monotonic()
    zombie.thaw()
    assert await asyncio.to_thread(zombie.wait, timeout_s=ZOMBIE_TIMEOUT_S) == DEPOSED
    times.note("zombie woken until it has ended", time.monotonic() - woken_s)
    assert await asyncio.to_thread(servers.store.written) == before
    placed = await outside.placements(f"{customer.slug}/")
    assert {name: [ids for _, ids in copies] for name, copies in placed.items()} == {
        customer.name_of("halfway"): [resumed.internal_id],
        customer.name_of("during"): [reply.internal_id],
    }


async def _placing(servers: Servers, customer: Customer, meeting_id: str) -> None:
    """Return when the reservation of a meeting is durable."""
    async with asyncio.timeout(10):
        while meeting_id not in [
            row.external_id for row in await asyncio.to_thread(servers.store.rows, customer.slug)
        ]:
            await asyncio.sleep(0.01)


async def test_creates_go_on_after_a_restart_of_the_broker(
    servers: Servers, customer: Customer, outside: Outside, times: Times
) -> None:
    assert (await customer.create("before", 1)).ok
    await asyncio.to_thread(servers.rabbitmq.settle)
    await asyncio.to_thread(servers.rabbitmq.kill)
    killed_s = time.monotonic()
    during = asyncio.create_task(customer.create("during", 1))
    await asyncio.to_thread(servers.rabbitmq.start)
    times.note("broker killed until it greets", time.monotonic() - killed_s)
    reply = await during
    took_s = times.note("broker killed until a create succeeds", time.monotonic() - killed_s)
    assert reply.ok
    assert took_s <= BROKER_CEILING_S
    placed = await outside.placements(f"{customer.slug}/")
    assert [len(copies) for copies in placed.values()] == [1, 1]


def test_a_second_process_on_the_same_data_directory_is_refused(embedded: Embedded) -> None:
    second = ProductProcess(
        *("up", "--port", "0", "--data", str(embedded.directory)),
        directory=embedded.directory,
        environment=embedded.environment,
        name="second",
    )
    with pytest.raises(programs.ServerFailedError, match="before it was ready"):
        second.start()
    assert second.exit_code == 1
    assert "another seatkeep runs on the data directory" in second.log
    assert "Traceback" not in second.log
    assert embedded.product.running
