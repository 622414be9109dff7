"""`/metrics` shows what happens and what stands in the database, to whom it should."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from scheduler.metrics import snapshot
from scheduler.metrics.figures import peak
from scheduler.metrics.snapshot import Seats
from scheduler.settings import Settings
from tests.gateway import world
from tests.gateway.world import World

TOKEN = "metrics-canary-5Yw1"


@pytest_asyncio.fixture
async def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(snapshot, "FRESH_S", 0.2)
    async with world.running(tmp_path) as made:
        yield made


async def scrape(run: World, **headers: str) -> tuple[int, str]:
    async with run.session.get(run.origin + "/metrics", headers=headers) as response:
        return response.status, await response.text()


async def shown(run: World) -> dict[str, Metric]:
    status, text = await scrape(run)
    assert status == 200, text
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(found: dict[str, Metric], name: str, **labels: str) -> float | None:
    family = found.get(name) or found[name.removesuffix("_total").removesuffix("_count")]
    for sample in family.samples:
        if sample.name == name and labels.items() <= sample.labels.items():
            return float(sample.value)
    return None


async def test_a_create_is_seen_in_counters_and_in_seats(run: World) -> None:
    before = await shown(run)
    created = await run.create("room", maxParticipants="7")
    assert created.ok
    refused = await run.create("large", maxParticipants="5000")
    assert refused.key == "maxParticipantsReached"
    found = await fresh(run)
    for name, labels in (
        ("seatkeep_decisions_total", {"outcome": "admitted"}),
        ("seatkeep_decisions_total", {"outcome": "placed"}),
        ("seatkeep_refusals_total", {"reason": "maxParticipantsReached"}),
        ("seatkeep_http_failures_total", {"call": "create", "key": "maxParticipantsReached"}),
        ("seatkeep_http_request_duration_seconds_count", {"call": "create", "outcome": "ok"}),
        ("seatkeep_node_call_duration_seconds_count", {"call": "create", "outcome": "answered"}),
        ("seatkeep_command_wait_seconds_count", {"pool": "default"}),
    ):
        grown = (value(found, name, **labels) or 0) - (value(before, name, **labels) or 0)
        assert grown == 1 + (name == "seatkeep_command_wait_seconds_count"), name
    for name, amount in {
        "seatkeep_pool_seats_capacity": 200,
        "seatkeep_pool_seats_sold": 200,
        "seatkeep_pool_seats_held": 7,
        "seatkeep_pool_seats_free": 193,
        "seatkeep_pool_meetings": 1,
    }.items():
        assert value(found, name, pool="default") == amount, name
    assert value(found, "seatkeep_subscription_seats_held", subscription="acme") == 7
    assert value(found, "seatkeep_subscription_seats_free", subscription="acme") == 93
    assert value(found, "seatkeep_subscription_seats_held", subscription="other") == 0
    for minutes in ("15", "60", "240"):
        reserved = value(
            found, "seatkeep_seats_reserved_forecast", pool="default", horizon_minutes=minutes
        )
        assert reserved == 7
    assert value(found, "seatkeep_placement_active", pool="default") == 1
    assert value(found, "seatkeep_node_state", node="n0", state="active") == 1
    assert value(found, "seatkeep_bus_parked_messages") == 0


async def test_requests_of_the_management_api_are_counted_by_operation(run: World) -> None:
    labels = {"operation": "token.list", "status": "401"}
    name = "seatkeep_api_request_duration_seconds_count"
    before = value(await shown(run), name, **labels) or 0
    async with run.session.get(run.origin + "/api/v1/tokens") as response:
        assert response.status == 401
    assert value(await shown(run), name, **labels) == before + 1


async def fresh(run: World) -> dict[str, Metric]:
    """Scrape until the reading has seen the meeting."""
    async with asyncio.timeout(10):
        while True:
            found = await shown(run)
            if value(found, "seatkeep_pool_meetings", pool="default"):
                return found
            await asyncio.sleep(0.2)


async def test_promtool_finds_nothing_to_complain_about(run: World) -> None:
    await run.create("room")
    await run.call("isMeetingRunning", {"meetingID": "room"})
    _, text = await scrape(run)
    done = await asyncio.create_subprocess_exec(
        *("promtool", "check", "metrics"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await done.communicate(text.encode())
    assert (said.decode(), done.returncode) == ("", 0)


async def test_a_call_that_a_stranger_makes_up_gets_no_label_of_its_own(run: World) -> None:
    for number in range(20):
        await run.call(f"made{number}", {})
    found = await shown(run)
    family = found["seatkeep_http_request_duration_seconds"]
    calls = {sample.labels["call"] for sample in family.samples}
    assert "other" in calls
    assert not [call for call in calls if call.startswith("made")]


async def test_a_database_that_is_down_breaks_no_scrape(run: World, monkeypatch: Any) -> None:
    await shown(run)

    def down() -> Any:
        raise ConnectionError("gone")

    monkeypatch.setattr(run.database, "connect", down)
    async with asyncio.timeout(10):
        while value(await shown(run), "seatkeep_database_up") != 0:
            await asyncio.sleep(0.2)
    found = await shown(run)
    assert value(found, "seatkeep_pool_seats_capacity", pool="default") == 200
    assert (value(found, "seatkeep_snapshot_age_seconds") or 0) > 0.2


async def test_the_world_cannot_read_the_metrics(tmp_path: Path) -> None:
    async with world.running(tmp_path / "open", metrics_networks="10.0.0.0/8") as run:
        status, text = await scrape(run)
        assert (status, "SEATKEEP_METRICS_TOKEN" in text) == (403, True)
    async with world.running(tmp_path / "near") as run:
        assert (await scrape(run))[0] == 200
        # Whoever comes through the proxy of this machine is not of this machine.
        assert (await scrape(run, **{"X-Forwarded-For": "127.0.0.1"}))[0] == 403
    async with world.running(tmp_path / "token", metrics_token=TOKEN) as run:
        assert (await scrape(run))[0] == 401
        assert (await scrape(run, Authorization=f"Bearer {TOKEN}x"))[0] == 401
        assert (await scrape(run, Authorization=f"Basic {TOKEN}"))[0] == 401
        status, text = await scrape(run, Authorization=f"Bearer {TOKEN}")
        assert (status, TOKEN in text) == (200, False)


async def test_subscriptions_can_be_left_out(tmp_path: Path) -> None:
    async with world.running(tmp_path, metrics_subscriptions=False) as run:
        _, text = await scrape(run)
        assert 'subscription="' not in text
        assert "seatkeep_pool_seats_sold" in text


def test_the_forecast_is_the_highest_second_of_the_horizon() -> None:
    def one(seats: int, start_s: int, end_s: int, state: str = "held") -> Seats:
        return Seats(1, 1, 1, state, seats, start_s, end_s)

    meetings = [
        one(5, 0, 100),
        one(7, 100, 200, "booked"),
        one(3, 150, 300),
        one(50, 0, 90, "ended"),
    ]
    assert peak(meetings, 0, 100) == 5
    assert peak(meetings, 0, 101) == 7
    assert peak(meetings, 0, 400) == 10
    assert peak(meetings, 300, 400) == 0
    assert peak([], 0, 10) == 0


def test_a_network_that_is_none_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="a network looks like"):
        Settings(metrics_networks="everybody")
