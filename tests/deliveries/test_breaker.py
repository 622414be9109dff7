"""Facts about breakers, verdicts, and endpoints that fail for days."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import deliveries
from scheduler.deliveries import Wanted
from tests.deliveries.office import Office
from tests.deliveries.test_deliveries import all_over
from tests.receiver import Behaviour, Receiver
from workers import breaker, verdicts
from workers.breaker import Breakers, Health, Probe
from workers.outbound import Outcome
from workers.target_store import Patience

STEPS_S = (0.0, 5.0, 30.0, 120.0)
TARGET = "endpoint:7"


@given(
    st.integers(1, 3),
    st.floats(0, 1),
    st.sampled_from([None, 0.0, 7.0, 1e9]),
    st.sampled_from([None, 404, 408, 429, 500, 502, 503, 504]),
)
def test_a_wait_is_its_step_within_a_fifth_or_what_was_asked_for(
    number: int, chance: float, asked_s: float | None, status: int | None
) -> None:
    outcome = Outcome(status, "no", 1, asked_s, timed_out=False)
    verdict = verdicts.after(outcome, number, STEPS_S, chance=chance)
    step_s = STEPS_S[number]
    least_s = max(0.8 * step_s, min(asked_s or 0, 2 * step_s))
    most_s = max(1.2 * step_s, 2 * step_s if asked_s else 0)
    if status in {429, 502, 503, 504}:
        least_s, most_s = max(60, least_s), max(60, most_s)
    assert verdict.state == "queued"
    assert least_s - 1e-9 <= verdict.wait_s <= most_s + 1e-9


def test_who_does_not_answer_in_time_is_left_alone_for_a_minute() -> None:
    outcome = Outcome(None, "timeout", 15_000, timed_out=True)
    assert verdicts.after(outcome, 1, STEPS_S, chance=0.5).wait_s == 60
    refused = Outcome(None, "no connection", 1)
    assert verdicts.after(refused, 1, STEPS_S, chance=0.5).wait_s == 5


def test_what_cannot_succeed_is_parked_with_its_reason() -> None:
    forbidden = Outcome(None, "the address is not allowed", 0, permanent=True)
    assert verdicts.after(forbidden, 1, STEPS_S, chance=0).reason == "the address is not allowed"
    last = verdicts.after(Outcome(500, "status 500", 1), 4, STEPS_S, chance=0)
    assert (last.state, last.reason) == ("parked", "4 attempts failed")
    gone = verdicts.after(Outcome(410, "status 410", 1), 1, STEPS_S, chance=0)
    assert (gone.state, gone.gone) == ("parked", True)


def failing(breakers: Breakers, times: int, now_ms: int = 0) -> None:
    for _ in range(times):
        breakers.note(TARGET, now_ms, ok=False)


def test_a_breaker_opens_after_ten_attempts_of_which_seven_failed() -> None:
    breakers = Breakers()
    failing(breakers, 9)
    assert breakers.gate(TARGET, 0) is None
    failing(breakers, 1)
    assert breakers.gate(TARGET, 0) == 30_000
    healthy = Breakers()
    for number in range(100):
        healthy.note(TARGET, 0, ok=number % 10 < 4)
    assert healthy.gate(TARGET, 0) is None


def test_failures_of_long_ago_open_nothing() -> None:
    breakers = Breakers()
    for number in range(30):
        breakers.note(TARGET, number * 60_000, ok=False)
        assert breakers.gate(TARGET, number * 60_000) is None


def test_it_stays_open_twice_as_long_after_each_probe_up_to_a_quarter_of_an_hour() -> None:
    breakers = Breakers()
    failing(breakers, 10)
    now_ms, waits_s = 0, []
    for _ in range(8):
        until_ms = breakers.gate(TARGET, now_ms)
        assert isinstance(until_ms, int)
        waits_s.append((until_ms - now_ms) // 1_000)
        assert breakers.gate(TARGET, until_ms) == Probe(TARGET, until_ms)
        now_ms = until_ms
        breakers.note(TARGET, now_ms, ok=False, probe=True)
    assert waits_s == [30, 60, 120, 240, 480, 900, 900, 900]
    assert breakers.note(TARGET, now_ms + 900_000, ok=True, probe=True)
    assert breakers.gate(TARGET, now_ms + 900_000) is None


def test_attempts_that_were_under_way_neither_open_nor_close() -> None:
    breakers = Breakers()
    failing(breakers, 30)
    assert breakers.gate(TARGET, 0) == 30_000
    assert not breakers.note(TARGET, 0, ok=True)
    assert breakers.gate(TARGET, 0) == 30_000


def test_what_is_to_be_stored_is_said_once_and_can_be_put_back() -> None:
    breakers = Breakers()
    failing(breakers, 3)
    (change,) = breakers.changes()
    assert (change.failures, change.succeeded, change.open_until_ms) == (3, False, None)
    assert breakers.changes() == []
    breakers.put_back([change])
    assert breakers.changes() == [change]
    breakers.note(TARGET, 5, ok=True)
    failing(breakers, 1)
    (change,) = breakers.changes()
    assert (change.failures, change.succeeded) == (1, True)


def test_callbacks_of_single_meetings_teach_nothing() -> None:
    breakers = Breakers()
    for _ in range(50):
        breakers.note("callback:m:0", 0, ok=False)
    assert breakers.changes() == []


def test_what_is_remembered_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "TARGETS_MAX", 5)
    breakers = Breakers()
    for number in range(20):
        breakers.note(f"endpoint:{number}", 0, ok=True)
    assert len(breakers._seen) <= 5
    assert len(breakers._told_ms) <= 5


def test_patience_ends_with_days_and_failures_together() -> None:
    patience = Patience(failures_min=20, days=5)
    day_ms = 86_400_000
    assert not patience.is_over(Health(19, 0), 9 * day_ms)
    assert not patience.is_over(Health(20, 0), 5 * day_ms - 1)
    assert patience.is_over(Health(20, 0), 5 * day_ms)
    assert not patience.is_over(Health(), 5 * day_ms)


async def at_breaker(desk: Office, receiver: Receiver, meetings: int = 12) -> int:
    """Have an endpoint fail until its breaker opens; returns its number."""
    number = await desk.endpoint(receiver.url(behaviour=Behaviour(status=500)))
    await desk.publish(*[desk.event(seq=n, meeting=f"{n:032x}") for n in range(1, meetings + 1)])
    await desk.until("target", lambda rows: bool(rows) and rows[0]["trips"] == 1)
    return number


async def test_an_open_breaker_outlives_its_worker_and_one_probe_closes_it(
    desk: Office, receiver: Receiver
) -> None:
    async with desk.delivering():
        await at_breaker(desk, receiver)
    made = len(receiver.requests)
    assert 10 <= made <= 12
    async with desk.delivering() as worker:
        await desk.publish(desk.event(seq=99, meeting="f" * 32, user_id="late"))
        await desk.until("delivery", lambda rows: len(rows) == 13)
        desk.clock.forward(20)
        worker.wake()
        await desk.until(
            "delivery",
            lambda rows: all(
                row["next_attempt_ms"] > desk.clock() for row in rows if row["state"] == "queued"
            ),
        )
        assert len(receiver.requests) == made  # the successor knows, and leaves it alone
        receiver.behaviours["/hook"] = Behaviour(delay_s=0.3)
        desk.clock.forward(15)
        worker.wake()
        await receiver.wait_for(made + 1)
        assert receiver.in_flight_max >= 1
        await desk.until("target", lambda rows: rows[0]["trips"] == 0)
        desk.clock.forward(10)
        worker.wake()
        rows = await desk.until("delivery", all_over)
    assert len(receiver.at("/hook")[made : made + 1]) == 1
    assert {row["state"] for row in rows} == {"delivered"}


async def test_people_see_who_is_left_alone(desk: Office, receiver: Receiver) -> None:
    async with desk.delivering():
        number = await at_breaker(desk, receiver)
        callbacks = [(receiver.url("/end"), "meetingEndedURL")]
        await desk.publish(desk.event("meetingEnded", seq=77, callbacks=callbacks))
        await receiver.wait_for(1, "/end")
        await desk.until("delivery", lambda rows: any(r["state"] == "delivered" for r in rows))
    (row,) = await deliveries.targets(desk.database)
    assert (row["target"], row["open"], row["parked"]) == (f"endpoint:{number}", 13, 0)
    assert row["failures"] >= 10
    assert row["left_alone_until_ms"] > row["failing_since_ms"]
    assert row["last_success_ms"] is None


async def test_while_half_open_one_request_is_under_way_whoever_sends(
    desk: Office, receiver: Receiver
) -> None:
    async with desk.delivering():
        await at_breaker(desk, receiver)
    made = len(receiver.requests)
    receiver.behaviours["/hook"] = Behaviour(status=500, delay_s=0.3)
    receiver.in_flight_max = 0
    desk.clock.forward(31)
    async with desk.delivering(), desk.delivering():
        (target,) = await desk.until("target", lambda rows: rows[0]["trips"] == 2)
    assert len(receiver.requests) == made + 1
    assert receiver.in_flight_max == 1
    assert 50_000 <= target["open_until_ms"] - desk.clock() <= 60_000


async def disabled(desk: Office, number: int) -> dict[str, Any]:
    rows = await desk.until(
        "endpoint", lambda rows: any(not row["enabled"] for row in rows if row["id"] == number)
    )
    return next(row for row in rows if row["id"] == number)


async def test_an_endpoint_that_says_gone_is_switched_off_and_its_neighbours_are_told(
    desk: Office, receiver: Receiver
) -> None:
    number = await desk.endpoint(receiver.url("/gone", Behaviour(status=410)))
    await desk.endpoint(receiver.url("/neighbour"))
    async with desk.delivering(), desk.relaying():
        await desk.publish(desk.event(), desk.event(seq=2))
        row = await disabled(desk, number)
        await receiver.wait_for(3, "/neighbour")
        rows = await desk.until("delivery", lambda rows: len(rows) == 5 and all_over(rows))
    assert row["disabled_reason"] == "gone"
    assert len(receiver.at("/gone")) == 1
    told = [r.query["event"] for r in receiver.at("/neighbour")]
    assert sorted(told) == ["endpointDisabled", "userJoined", "userJoined"]
    kept = {row["parked_reason"] for row in rows if row["target"] == f"endpoint:{number}"}
    assert kept == {"the receiver says that it is gone", "the endpoint is switched off"}


async def test_an_endpoint_that_fails_for_days_is_switched_off_and_nothing_is_lost(
    desk: Office, receiver: Receiver
) -> None:
    async with desk.delivering(endpoint_failures_min=11) as worker:
        number = await at_breaker(desk, receiver)
        desk.clock.forward(5 * 86_400)
        worker.wake()
        row = await disabled(desk, number)
        desk.clock.forward(60)  # what was put off comes up, and is put aside
        worker.wake()
        rows = await desk.until("delivery", all_over)
        # What happens meanwhile is kept as well.
        await desk.directory.refresh()
        await desk.publish(desk.event(seq=99, user_id="meanwhile"))
        rows = await desk.until("delivery", lambda rows: len(rows) == 13 and all_over(rows))
        assert {row["state"] for row in rows} == {"parked"}
        await desk.enable_endpoint(number)
        receiver.behaviours.clear()
        desk.clock.forward(3_600)
        assert await deliveries.replay(desk.database, Wanted(endpoint=number)) == 13
        worker.wake()
        await desk.until("target", lambda rows: rows[0]["trips"] == 0)
        desk.clock.forward(60)
        worker.wake()
        rows = await desk.until("delivery", all_over)
    assert row["disabled_reason"] == "failing"
    assert {row["state"] for row in rows} == {"delivered"}


async def test_switching_on_again_forgives_nothing_until_a_success(
    desk: Office, receiver: Receiver
) -> None:
    async with desk.delivering(endpoint_failures_min=11) as worker:
        number = await at_breaker(desk, receiver)
        desk.clock.forward(5 * 86_400)
        worker.wake()
        await disabled(desk, number)
        await desk.enable_endpoint(number)
        desk.clock.forward(3_600)
        made = len(receiver.requests)
        await desk.publish(desk.event(seq=50, meeting="e" * 32))
        await disabled(desk, number)
        assert len(receiver.requests) == made + 1
        await desk.enable_endpoint(number)
        receiver.behaviours.clear()
        desk.clock.forward(3_600)
        await desk.publish(desk.event(seq=51, meeting="d" * 32))
        await desk.until("target", lambda rows: rows[0]["failures"] == 0)
    (target,) = await desk.rows("target")
    assert (target["failing_since_ms"], target["trips"]) == (None, 0)
