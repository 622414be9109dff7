"""Facts about deliveries, on SQLite and on PostgreSQL."""

import asyncio
import time
from functools import partial
from typing import Any

import pytest

from schemas.events import Event
from tests.deliveries.office import Office
from tests.receiver import Behaviour, Receiver
from workers import claims
from workers.relay import Relay


def states(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row["state"] for row in rows)


def has(number: int, rows: list[dict[str, Any]]) -> bool:
    """Tell whether there are so many rows."""
    return len(rows) == number


def all_over(rows: list[dict[str, Any]]) -> bool:
    return bool(rows) and all(row["state"] in {"delivered", "parked"} for row in rows)


async def test_an_event_reaches_an_endpoint_in_the_draft_dialect(
    desk: Office, receiver: Receiver
) -> None:
    await desk.endpoint(receiver.url("/hook?key=1%2B1"))
    event = desk.event("userLeft", user_id="anna b", meeting_id="room/42")
    async with desk.delivering():
        await desk.publish(event)
        await receiver.wait_for(1)
        rows = await desk.until("delivery", all_over)
    got = receiver.requests[0]
    assert got.method == "GET"
    assert got.raw_query.startswith("key=1%2B1&event=userLeft&userID=anna+b&meetingID=room%2F42&")
    assert got.query["eventID"] == got.headers["webhook-id"] == event["id"]
    assert got.headers["User-Agent"] == "seatkeep"
    assert states(rows) == ["delivered"]
    (attempt,) = await desk.rows("attempt")
    assert (attempt["number"], attempt["status"], attempt["error"]) == (1, 200, "")


async def test_an_endpoint_gets_only_the_kinds_it_wants(desk: Office, receiver: Receiver) -> None:
    await desk.endpoint(receiver.url("/ended"), kinds=("meetingEnded",))
    await desk.endpoint(receiver.url("/all"))
    async with desk.delivering():
        await desk.publish(desk.event("userJoined", seq=1), desk.event("meetingEnded", seq=2))
        await receiver.wait_for(2, "/all")
        await desk.until("delivery", all_over)
    assert [request.query["event"] for request in receiver.at("/ended")] == ["meetingEnded"]


async def test_the_callbacks_of_a_meeting_are_called_when_it_ends(
    desk: Office, receiver: Receiver
) -> None:
    callbacks = [
        (receiver.url("/end?x=1"), "endCallbackUrl"),
        (receiver.url("/plain?y=2"), "meetingEndedURL"),
    ]
    async with desk.delivering():
        await desk.publish(desk.event("meetingEnded", callbacks=callbacks))
        await receiver.wait_for(1, "/end")
        await receiver.wait_for(1, "/plain")
        await desk.until("delivery", all_over)
    assert receiver.at("/end")[0].raw_query == "x=1&recordingmarks=false&meetingID=room-42"
    assert receiver.at("/plain")[0].raw_query == "y=2"


async def test_an_event_published_twice_is_delivered_once(desk: Office, receiver: Receiver) -> None:
    await desk.endpoint(receiver.url())
    event = desk.event()
    async with desk.delivering():
        await desk.publish(event, event)
        await receiver.wait_for(1)
        await desk.until("delivery", all_over)
        await desk.publish(event, desk.event(seq=2))
        await receiver.wait_for(2)
        await desk.until("delivery", lambda rows: len(rows) == 2 and all_over(rows))
    ids = [request.query["eventID"] for request in receiver.requests]
    assert len(ids) == len(set(ids)) == 2


async def test_events_of_one_meeting_arrive_in_order(desk: Office, receiver: Receiver) -> None:
    await desk.endpoint(receiver.url(behaviour=Behaviour(delay_s=0.005)))
    events = [desk.event(seq=seq, user_id=f"u{seq}") for seq in range(1, 31)]
    async with desk.delivering():
        await desk.publish(*events)
        await desk.until("delivery", lambda rows: len(rows) == 30 and all_over(rows))
    assert [r.query["userID"] for r in receiver.requests] == [f"u{seq}" for seq in range(1, 31)]
    assert receiver.in_flight_max == 1


async def test_a_failed_head_holds_back_its_own_meeting_only(
    desk: Office, receiver: Receiver
) -> None:
    await desk.endpoint(receiver.url(behaviour=Behaviour(fail_times=1)))
    first, second = desk.event(seq=1, user_id="a1"), desk.event(seq=2, user_id="a2")
    other = desk.event(seq=3, user_id="b1", meeting="1" * 32)
    async with desk.delivering() as worker:
        await desk.publish(first)
        await receiver.wait_for(1)
        await desk.until("attempt", lambda rows: len(rows) == 1)
        await desk.publish(second, other)
        await receiver.wait_for(2)
        assert receiver.requests[-1].query["userID"] == "b1"
        desk.clock.forward(7)
        worker.wake()
        await desk.until("delivery", lambda rows: len(rows) == 3 and all_over(rows))
    assert [r.query["userID"] for r in receiver.requests] == ["a1", "b1", "a1", "a2"]
    assert len({r.headers["webhook-id"] for r in receiver.requests}) == 3


async def test_retries_keep_to_the_steps_and_end_in_parking(
    desk: Office, receiver: Receiver
) -> None:
    await desk.endpoint(receiver.url(behaviour=Behaviour(status=500)))
    async with desk.delivering() as worker:
        await desk.publish(desk.event())
        for number, step_s in ((1, 5), (2, 30)):
            await desk.until("attempt", partial(has, number))
            (row,) = await desk.until("delivery", lambda rows: rows[0]["state"] == "queued")
            wait_s = (row["next_attempt_ms"] - desk.clock()) / 1_000
            assert step_s * 0.8 - 1 <= wait_s <= step_s * 1.2
            desk.clock.forward(step_s * 1.2)
            worker.wake()
        (row,) = await desk.until("delivery", all_over)
    assert (row["state"], row["attempts"]) == ("parked", 3)
    attempts = sorted(await desk.rows("attempt"), key=lambda row: row["number"])
    assert [(a["number"], a["status"], a["error"]) for a in attempts] == [
        (number, 500, "status 500") for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(("asked", "wait_s"), [("8", 8), ("3600", 10), ("1", 4), ("soon", 4)])
async def test_retry_after_is_honoured_up_to_twice_the_step(
    desk: Office, receiver: Receiver, asked: str, wait_s: float
) -> None:
    behaviour = Behaviour(status=500, headers={"Retry-After": asked})
    await desk.endpoint(receiver.url(behaviour=behaviour))
    async with desk.delivering():
        await desk.publish(desk.event())
        (row,) = await desk.until(
            "delivery", lambda rows: bool(rows) and rows[0]["attempts"] == 1, timeout_s=5
        )
    got_s = (row["next_attempt_ms"] - desk.clock()) / 1_000
    assert wait_s - 1 <= got_s <= max(wait_s, 6)


async def test_a_hanging_endpoint_does_not_delay_another(desk: Office, receiver: Receiver) -> None:
    await desk.endpoint(receiver.url("/good"))
    hanging = f"http://localhost:{receiver.origin.rpartition(':')[2]}/bad"
    await desk.endpoint(hanging)
    receiver.behaviours["/bad"] = Behaviour(hang=True)
    async with desk.delivering(deliveries_max=64, delivery_timeout_s=2.0):
        sent_s: dict[str, float] = {}
        for wave in range(10):
            events = [
                desk.event(seq=wave * 100 + n + 1, meeting=f"{wave * 100 + n:032x}")
                for n in range(100)
            ]
            sent_s.update({event["id"]: time.monotonic() for event in events})
            await desk.publish(*events)
            await receiver.wait_for((wave + 1) * 100, "/good")
        receiver.release()
        receiver.behaviours["/bad"].hang = False
    delays_s = sorted(r.at_s - sent_s[r.query["eventID"]] for r in receiver.at("/good"))
    assert delays_s[-1] < 5
    assert len(receiver.at("/bad")) <= 40


async def test_attempts_at_one_host_at_a_time_are_limited(desk: Office, receiver: Receiver) -> None:
    await desk.endpoint(receiver.url(behaviour=Behaviour(delay_s=0.01)))
    async with desk.delivering(deliveries_per_target_max=3):
        await desk.publish(*[desk.event(seq=n, meeting=f"{n:032x}") for n in range(1, 61)])
        await receiver.wait_for(60)
        await desk.until("delivery", lambda rows: len(rows) == 60 and all_over(rows))
    assert receiver.in_flight_max == 3


async def test_what_a_dead_worker_was_sending_is_sent_again_after_its_claim(
    desk: Office, receiver: Receiver
) -> None:
    await desk.endpoint(receiver.url(behaviour=Behaviour(hang=True)))
    event = desk.event()
    async with desk.delivering() as worker:
        await desk.publish(event)
        await receiver.wait_for(1)
        # The worker dies here: nothing that it knows is written down.
        for task in [*worker.loops, *worker.sender.sending]:
            task.cancel()
        await asyncio.wait([*worker.loops, *worker.sender.sending])
        worker.sender.finished.clear()
    (row,) = await desk.rows("delivery")
    assert (row["state"], row["attempts"]) == ("sending", 0)
    receiver.behaviours["/hook"] = Behaviour()
    receiver.release()
    desk.clock.forward((row["claimed_until_ms"] - desk.clock()) / 1_000 + 1)
    async with desk.delivering():
        await receiver.wait_for(2)
        await desk.until("delivery", all_over)
    assert {request.query["eventID"] for request in receiver.requests} == {event["id"]}


async def test_a_worker_whose_claim_was_taken_over_changes_nothing(
    desk: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RENEW_S", 60)
    await desk.endpoint(receiver.url(behaviour=Behaviour(hang=True)))
    async with desk.delivering() as frozen:
        await desk.publish(desk.event())
        await receiver.wait_for(1)
        desk.clock.forward(60)
        receiver.behaviours["/hook"] = Behaviour()
        async with desk.delivering():
            await receiver.wait_for(2)
            await desk.until("delivery", all_over)
        receiver.behaviours["/hook"] = Behaviour()
        receiver.release()
        await desk.until("attempt", lambda rows: len(rows) == 2)
        assert not frozen.sender.sending
    (row,) = await desk.rows("delivery")
    assert (row["state"], row["attempts"]) == ("delivered", 1)


async def test_a_forbidden_address_parks_the_delivery_at_once(desk: Office) -> None:
    async with desk.delivering(callback_networks=""):
        callbacks = [("http://127.0.0.1:9999/x", "meetingEndedURL")]
        await desk.publish(desk.event("meetingEnded", callbacks=callbacks))
        (row,) = await desk.until("delivery", all_over)
    (attempt,) = await desk.rows("attempt")
    assert (row["state"], attempt["error"]) == ("parked", "the address is not allowed")


async def test_a_url_that_cannot_be_stored_is_parked_and_stops_nobody(
    desk: Office, receiver: Receiver
) -> None:
    await desk.endpoint(receiver.url())
    callbacks = [("http://h.example/" + "x" * 5_000, "meetingEndedURL"), ("http://h/\x00", "x")]
    async with desk.delivering():
        await desk.publish(desk.event("meetingEnded", callbacks=callbacks))
        await receiver.wait_for(1)
        rows = await desk.until("delivery", all_over)
    assert states(rows) == ["delivered", "parked", "parked"]


async def test_an_event_that_makes_no_sense_is_parked_on_the_bus(
    desk: Office, receiver: Receiver
) -> None:
    await desk.endpoint(receiver.url())
    broken = desk.event(kind="nonsense")
    unstorable = desk.event(id="x" * 41) if not desk.database.is_sqlite else broken
    async with desk.delivering():
        await desk.publish(broken, unstorable, desk.event())
        await receiver.wait_for(1)
        async with asyncio.timeout(10):
            while len(await desk.bus.parked()) < 2:
                await asyncio.sleep(0.01)
    assert len(receiver.requests) == 1


async def test_the_relay_hands_events_over_in_order_and_once(
    desk: Office, receiver: Receiver
) -> None:
    await desk.endpoint(receiver.url())
    events: list[Event] = [desk.event(user_id=f"u{n}") for n in range(20)]
    relay = Relay(desk.settings, desk.database, desk.bus)
    async with desk.delivering():
        await relay.start()
        await desk.outbox(*events[:10])
        relay.wake()
        await desk.outbox(*events[10:])
        relay.wake()
        await desk.until("delivery", lambda rows: len(rows) == 20 and all_over(rows))
        await desk.until("outbox", lambda rows: all(row["published_ms"] for row in rows))
        await relay.close()
    assert [r.query["userID"] for r in receiver.requests] == [f"u{n}" for n in range(20)]


async def test_the_outbox_keeps_an_event_until_the_in_process_bus_is_rid_of_it(
    desk: Office, receiver: Receiver
) -> None:
    await desk.endpoint(receiver.url())
    await desk.outbox(desk.event())
    relay = Relay(desk.settings, desk.database, desk.bus)
    assert [await relay.relay_once(), await relay.relay_once()] == [1, 0]
    assert [row["published_ms"] for row in await desk.rows("outbox")] == [None]
    successor = Relay(desk.settings, desk.database, desk.bus)
    assert await successor.relay_once() == 1
    async with desk.delivering():
        await receiver.wait_for(1)
        await desk.until("delivery", all_over)
    assert (await desk.rows("outbox"))[0]["published_ms"]
    assert len(receiver.requests) == 1
    assert await relay.relay_once() == 0


async def test_the_relay_marks_what_a_broker_has_confirmed_and_nobody_has_taken_in(
    desk: Office,
) -> None:
    await desk.outbox(desk.event(), desk.event())
    settings = desk.settings.model_copy(update={"amqp_url": _Secret("amqp://broker")})
    relay = Relay(settings, desk.database, desk.bus, now_ms=desk.clock)
    assert [await relay.relay_once(), await relay.relay_once()] == [2, 0]
    # Mostly the delivery worker is faster, and a row is written once instead of twice.
    assert not any(row["published_ms"] for row in await desk.rows("outbox"))
    desk.clock.forward(5)
    assert await relay.relay_once() == 0
    assert all(row["published_ms"] for row in await desk.rows("outbox"))


async def test_a_full_bus_makes_the_relay_mark_at_once(
    desk: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.relay.HANDED_EVENTS_MAX", 2)
    monkeypatch.setattr("workers.relay.CHUNK_EVENTS_MAX", 1)
    await desk.outbox(*(desk.event() for _ in range(3)))
    settings = desk.settings.model_copy(update={"amqp_url": _Secret("amqp://broker")})
    relay = Relay(settings, desk.database, desk.bus, now_ms=desk.clock)
    assert [await relay.relay_once() for _ in range(4)] == [1, 1, 1, 0]
    rows = sorted(await desk.rows("outbox"), key=lambda row: row["seq"])
    assert [bool(row["published_ms"]) for row in rows] == [True, True, False]


async def test_events_leave_at_once_at_two_hundred_a_second(
    desk: Office, receiver: Receiver
) -> None:
    await desk.endpoint(receiver.url())
    relay = Relay(desk.settings, desk.database, desk.bus)
    made_s: dict[str, float] = {}
    async with desk.delivering():
        await relay.start()
        for wave in range(40):
            events = [desk.event(meeting=f"{wave % 10 * 10 + n:032x}") for n in range(10)]
            made_s.update({event["id"]: time.monotonic() for event in events})
            await desk.outbox(*events)
            relay.wake()
            await asyncio.sleep(0.05)  # this is the load, not a wait
        await receiver.wait_for(400)
        await relay.close()
    delays_s = sorted(r.at_s - made_s[r.query["eventID"]] for r in receiver.requests)

    # `seatkeep bench deliveries` measures the slowest; here other tests take the processor away.
    assert delays_s[200] < 1.0, delays_s


class _Secret:
    """Stands for the secret text of a setting."""

    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        return self._text
