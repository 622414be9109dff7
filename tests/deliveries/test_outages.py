"""Facts about deliveries and relay while something around them fails."""

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from scheduler.bus.errors import BusLost
from tests.deliveries.office import Office
from tests.deliveries.test_deliveries import all_over
from tests.receiver import Behaviour, Receiver
from workers import claims, delivery_window, intake, relay, sender
from workers.delivery_window import Window
from workers.intake_store import IntakeStore
from workers.outbound import Outbound
from workers.relay import Relay


@pytest.fixture(params=["sqlite"])
def database_url() -> str:
    """SQLite: the faults are made here, whatever the database."""
    return ""


class Failing:
    """Lets a method of an object fail so many times before it works again."""

    def __init__(
        self, method: Any, times: int, error: BaseException, *, late: bool = False
    ) -> None:
        self.method = method
        self.left = times
        self.error = error
        self.late = late
        self.failed = asyncio.Event()

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.left <= 0:
            return await self.method(*args, **kwargs)
        self.left -= 1
        if self.late:
            await self.method(*args, **kwargs)
        self.failed.set()
        raise self.error


def lost() -> OperationalError:
    return OperationalError("COMMIT", {}, Exception("the server closed the connection"))


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (intake, sender):
        monkeypatch.setattr(module, "_PAUSE_S", 0.01)
    monkeypatch.setattr(relay, "IDLE_S", 0.01)


async def test_events_wait_for_a_database_that_is_away(
    desk: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.endpoint(receiver.url())
    async with desk.delivering() as worker:
        failing = Failing(worker.intake.store.add, 3, lost())
        monkeypatch.setattr(worker.intake.store, "add", failing)
        await desk.publish(desk.event(), desk.event(seq=2))
        await receiver.wait_for(2)
        await desk.until("delivery", all_over)
    assert failing.left == 0
    assert await desk.bus.parked() == []


@pytest.mark.parametrize("late", [False, True])
async def test_results_are_kept_while_the_database_is_away(
    desk: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, *, late: bool
) -> None:
    await desk.endpoint(receiver.url(behaviour=Behaviour(hang=True)))
    async with desk.delivering() as worker:
        await desk.publish(desk.event(), desk.event(seq=2, meeting="1" * 32))
        await receiver.wait_for(2)
        failing = Failing(worker.sender.store.turn, 2, lost(), late=late)
        monkeypatch.setattr(worker.sender.store, "turn", failing)
        receiver.behaviours.clear()
        receiver.release()
        rows = await desk.until("delivery", all_over)
        assert worker.sender.window.free == desk.settings.deliveries_max
    assert [row["state"] for row in rows] == ["delivered"] * 2
    assert len(receiver.requests) == 2


async def test_a_claim_whose_commit_is_unknown_is_not_sent_before_it_has_expired(
    desk: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.endpoint(receiver.url())
    async with desk.delivering() as worker:
        failing = Failing(worker.sender.store.turn, 1, lost(), late=True)
        monkeypatch.setattr(worker.sender.store, "turn", failing)
        monkeypatch.setattr(sender, "FREE_CLAIMS_S", 0.0)
        await desk.publish(desk.event())
        await failing.failed.wait()
        (row,) = await desk.rows("delivery")
        assert (row["state"], receiver.requests) == ("sending", [])
        desk.clock.forward(60)
        worker.wake()
        await desk.until("delivery", all_over)
    assert len(receiver.requests) == 1


async def test_the_consumer_is_opened_again_when_the_bus_was_away(
    desk: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.endpoint(receiver.url())
    failing = Failing(desk.bus.consume_events, 2, BusLost("away"))
    monkeypatch.setattr(desk.bus, "consume_events", failing)
    async with desk.delivering():
        await desk.publish(desk.event())
        await receiver.wait_for(1)
        await desk.until("delivery", all_over)


async def test_the_relay_goes_on_when_bus_and_database_are_back(
    desk: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.endpoint(receiver.url())
    await desk.outbox(desk.event())
    running = Relay(desk.settings, desk.database, desk.bus)
    monkeypatch.setattr(
        desk.bus, "publish_events", Failing(desk.bus.publish_events, 2, BusLost(""))
    )
    monkeypatch.setattr(running, "relay_once", Failing(running.relay_once, 2, lost()))
    async with desk.delivering():
        await running.start()
        await receiver.wait_for(1)
        await desk.until("outbox", lambda rows: all(row["published_ms"] for row in rows))
        await running.close()


async def test_a_claim_is_renewed_while_its_attempt_lasts(
    desk: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RENEW_S", 0.05)
    await desk.endpoint(receiver.url(behaviour=Behaviour(hang=True)))
    async with desk.delivering() as worker:
        await desk.publish(desk.event())
        await receiver.wait_for(1)
        (first,) = await desk.rows("delivery")
        for _ in range(3):
            # Three quarters of the claim pass, and nobody may take it over.
            desk.clock.forward(7.5)
            await desk.until(
                "delivery", lambda rows: rows[0]["claimed_until_ms"] > desk.clock() + 9_000
            )
            assert await worker.sender.store.free_claims(now_ms=desk.clock()) == 0
        receiver.behaviours.clear()
        receiver.release()
        (row,) = await desk.until("delivery", all_over)
        assert len(worker.sender.claims) == 0
    assert row["id"] == first["id"]
    assert (row["state"], row["attempts"], len(receiver.requests)) == ("delivered", 1, 1)


async def test_an_attempt_whose_claim_was_lost_is_cut_off(
    desk: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RENEW_S", 0.05)
    await desk.endpoint(receiver.url(behaviour=Behaviour(hang=True)))
    async with desk.delivering() as worker:
        await desk.publish(desk.event())
        await receiver.wait_for(1)
        receiver.behaviours.clear()
        # Somebody else took it over, and sends it now.
        await worker.sender.store.free_claims(now_ms=desk.clock(), every_claim=True)
        await receiver.wait_for(2)
        (row,) = await desk.until("delivery", all_over)
    assert (row["state"], row["attempts"]) == ("delivered", 1)
    assert len(await desk.rows("attempt")) == 1


async def test_closing_does_not_wait_for_a_receiver_that_hangs(
    desk: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_DRAIN_TIMEOUT_S", 0.05)
    await desk.endpoint(receiver.url(behaviour=Behaviour(hang=True)))
    async with desk.delivering() as worker:
        await desk.publish(desk.event())
        await receiver.wait_for(1)
        started_s = time.monotonic()
        await worker.close()
        assert time.monotonic() - started_s < 4, "the receiver is given up after 5"
    (row,) = await desk.rows("delivery")
    assert (row["state"], row["attempts"]) == ("queued", 0)


async def test_closing_stores_what_was_just_answered(desk: Office, receiver: Receiver) -> None:
    await desk.endpoint(receiver.url(behaviour=Behaviour(delay_s=0.2)))
    async with desk.delivering() as worker:
        await desk.publish(desk.event())
        await receiver.wait_for(1)
        await worker.close()
    (row,) = await desk.rows("delivery")
    assert (row["state"], row["attempts"]) == ("delivered", 1)


async def test_a_fault_of_ours_counts_as_a_failed_attempt(
    desk: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.endpoint(receiver.url())
    monkeypatch.setattr(Outbound, "send", Failing(Outbound.send, 1, RuntimeError("a fault")))
    async with desk.delivering():
        await desk.publish(desk.event())
        (attempt,) = await desk.until("attempt", bool)
    assert attempt["error"] == "internal error"
    assert (await desk.rows("delivery"))[0]["attempts"] == 1


async def test_a_lane_without_a_head_is_repaired(desk: Office, receiver: Receiver) -> None:
    await desk.endpoint(receiver.url())
    store = IntakeStore(desk.database)
    row = {
        "id": "a" * 32,
        "event_id": "e1",
        "target": "endpoint:1",
        "lane": "endpoint:1/m",
        "seq": 7,
        "url": receiver.url(),
        "dialect": "draft",
        "body": b"",
        "state": "waiting",
        "attempts": 0,
        "next_attempt_ms": 0,
        "claimed_until_ms": 0,
        "created_ms": 0,
        "finished_ms": None,
    }
    async with desk.database.write_lock, desk.database.begin() as connection:
        await connection.execute(store._insert, [row])
    async with desk.delivering():
        await receiver.wait_for(1)


def test_a_host_that_fails_gets_fewer_places_until_it_recovers() -> None:
    window = Window(total_max=100, per_target_max=8)
    for _ in range(8):
        assert window.claim("h") is None
    assert window.claim("h") is not None
    assert window.claim("other") is None
    for _ in range(8):
        assert not window.release("h", ok=False, took_s=15)
    assert window.claim("h") is None
    waits_s = [window.claim("h") for _ in range(50)]
    assert all(wait_s is not None and wait_s > 5 for wait_s in waits_s)
    assert max(wait_s or 0 for wait_s in waits_s) == delivery_window.DEFER_MAX_S
    assert window.release("h", ok=True, took_s=0.01)
    assert [window.claim("h") for _ in range(8)] == [None] * 8
    assert window.free == 100 - 8 - 1


def test_only_who_answers_briskly_has_more_claimed_than_places() -> None:
    now_s = 0.0
    window = Window(total_max=100, per_target_max=8, monotonic_s=lambda: now_s)
    assert window.claim("h") is None
    window.release("h", ok=True, took_s=0.01)
    assert [window.claim("h") for _ in range(32)] == [None] * 32
    assert window.claim("h") == 0.0
    now_s = 2.0
    # It has fallen silent: what is more than its places waits, with a time.
    waits_s = window.claim("h")
    assert waits_s is not None
    assert waits_s > 1
    for _ in range(32):
        window.release("h", ok=True, took_s=10.0)
    assert [window.claim("h") for _ in range(9)].count(None) == 8


def test_the_window_is_full_at_its_total() -> None:
    window = Window(total_max=3, per_target_max=8)
    for host in "abc":
        assert window.claim(host) is None
    assert window.free == 0
    window.release("a", ok=None, took_s=0)
    assert window.free == 1


def test_hosts_are_forgotten_before_they_become_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_window, "HOSTS_MAX", 4)
    window = Window(total_max=100, per_target_max=8)
    window.claim("busy")
    window.claim("bad")
    window.release("bad", ok=False, took_s=1)
    for number in range(20):
        window.host(f"h{number}")
    assert len(window._hosts) <= 4
    assert window.host("busy").claimed == 1
    assert window.host("bad").failures == 1
