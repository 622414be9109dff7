"""Facts about the benchmarks: each ends, and its JSON holds figures of work that succeeded."""

import asyncio
from pathlib import Path

import orjson
import pytest

from deploy.bench import bus, deliveries, gateway, http, ledger, reservations
from scheduler.bus.memory import MemoryBus
from tests.commands import run_inside


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (http, reservations):
        monkeypatch.setattr(module, "_SETTLE_S", 0.0)
    monkeypatch.setattr(reservations, "NODES", 3)
    monkeypatch.setattr(reservations, "SUBSCRIPTIONS", 5)
    monkeypatch.setattr(http, "_OBSERVED_S", 0.0)
    monkeypatch.setattr(http, "NODES", 2)
    monkeypatch.setattr(http, "MEETINGS", 6)
    monkeypatch.setattr(http, "HALLS", 1)
    monkeypatch.setattr(http, "HALL_SEATS", 200)


async def test_the_http_benchmark_measures_each_call() -> None:
    found = await http.run(delay_ms=1, seconds=0.1)
    for call in (
        "create_sequential",
        "create_64",
        "is_meeting_running",
        "get_meetings_120",
        "bare",
    ):
        assert list(found[call]["statuses"]) == [200], call
    assert list(found["join"]["statuses"]) == [302]
    assert found["join_of_bare"] > 0


async def test_the_restart_benchmark_kills_and_serves_again() -> None:
    found = await http.restart(meetings=20)
    assert found["ready_s"] > 0
    assert list(found["create_after"]["statuses"]) == [200]


async def test_the_reservation_path_is_measured_embedded() -> None:
    [found] = await reservations.embedded([200], seconds=0.3)
    assert found["sent"] > 0
    assert found["failed"] == 0
    assert found["p50_ms"] <= found["p99_ms"] <= found["max_ms"]


async def test_the_reservation_path_is_measured_on_servers(
    postgresql_url: str, rabbitmq_url: str
) -> None:
    [found] = await reservations.served(
        [200], database_url=postgresql_url, amqp_url=rabbitmq_url, seconds=0.3
    )
    assert found["sent"] > 0
    assert found["failed"] == 0


async def test_ledger_and_bus_are_measured() -> None:
    for decide in (False, True):
        found = await ledger.run("", batch=5, seconds=0.1, decide=decide)
        assert found["decisions_per_s"] > 0
    opened = MemoryBus()
    await opened.start()
    trips = await bus.round_trips(opened, in_flight=4, seconds=0.1)
    await opened.close()
    assert trips["round_trips_per_s"] > 0


async def test_deliveries_are_measured_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "HANG_S", 1.0)
    monkeypatch.setattr(deliveries, "ROUNDS", 1)
    monkeypatch.setattr(deliveries, "ENDPOINTS", 12)
    found = await deliveries.run(seconds=0.5)
    assert found["latency"]["deliveries"] == 100
    # Every twelfth event goes to the one that hangs; the others are waited for.
    assert found["latency_one_of_100_hangs"]["deliveries"] == 91
    assert found["throughput_10_endpoints_per_event"]["deliveries"] == 1_000
    assert found["throughput_1_endpoint_per_event"]["per_s"] > 0


async def test_the_gateway_benchmark_compares_with_a_bare_handler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway, "_ROUNDS", 1)
    monkeypatch.setattr(gateway, "_GUESTS", 200)
    found = await gateway.run(seconds=0.1)
    assert found["bare"]["of_bare"] == 1
    assert {case: set(figures["statuses"]) for case, figures in found.items()} == {
        "bare": {"200"},
        "join": {"302"},
        "joinOfNewUsers": {"302"},
        "isMeetingRunning": {"200"},
        "getMeetings": {"200"},
    }


@pytest.mark.parametrize("measured", ["core", "ledger"])
async def test_the_command_line_prints_json(measured: str, tmp_path: Path) -> None:
    result = await asyncio.to_thread(
        run_inside, "bench", measured, "--seconds", "0.1", directory=tmp_path
    )
    assert result.exit_code == 0, result
    assert orjson.loads(result.output)


def test_half_of_the_servers_is_refused(tmp_path: Path) -> None:
    result = run_inside("bench", "http", "--amqp", "amqp://127.0.0.1/", directory=tmp_path)
    assert result.exit_code == 2
    assert "--database and --amqp go together" in result.errors
