"""Facts about looking at deliveries and sending them again."""

from datetime import UTC, datetime, timedelta

import pytest
import typer

from scheduler import deliveries, endpoints
from scheduler.checks import OperationError
from scheduler.cli.deliveries import instant_ms
from scheduler.deliveries import Progress, Wanted
from scheduler.vault import Vault
from tests.deliveries.office import Office
from tests.deliveries.test_deliveries import all_over, states
from tests.receiver import Behaviour, Receiver

ROOMS = ("0" * 32, "1" * 32)


async def parked(desk: Office, receiver: Receiver) -> int:
    """Have an endpoint refuse three events of one meeting for good; returns its number."""
    number = await desk.endpoint(receiver.url(behaviour=Behaviour(status=500)))
    async with desk.delivering(delivery_steps_s=(0,)):
        await desk.publish(
            *[desk.event(seq=n, user_id=f"u{n}", meeting=ROOMS[0]) for n in (1, 2, 3)],
            desk.event("userLeft", seq=4, user_id="x", meeting=ROOMS[1]),
        )
        await desk.until("delivery", lambda rows: len(rows) == 4 and all_over(rows))
    receiver.behaviours.clear()
    receiver.requests.clear()
    return number


def _noted(heard: list[int]) -> Progress:
    async def note(done: int) -> None:
        heard.append(done)

    return note


async def test_parked_deliveries_go_out_again_in_order_with_their_ids(
    desk: Office, receiver: Receiver
) -> None:
    number = await parked(desk, receiver)
    before = {row["id"]: row["event_id"] for row in await desk.rows("delivery")}
    heard: list[int] = []
    wanted = Wanted(endpoint=number)
    assert await deliveries.replay(desk.database, wanted, progress=_noted(heard)) == 4
    assert heard == [4]
    async with desk.delivering():
        await desk.until("delivery", all_over)
    rows = await desk.rows("delivery")
    assert {row["id"]: row["event_id"] for row in rows} == before
    assert states(rows) == ["delivered"] * 4
    assert {row["parked_reason"] for row in rows} == {""}
    first = [r for r in receiver.requests if r.query["userID"] != "x"]
    assert [r.query["userID"] for r in first] == ["u1", "u2", "u3"]
    assert {r.headers["webhook-id"] for r in receiver.requests} == set(before.values())


async def test_each_filter_chooses(desk: Office, receiver: Receiver) -> None:
    number = await parked(desk, receiver)
    now_ms = desk.clock()
    chosen = {
        Wanted(endpoint=number): 4,
        Wanted(endpoint=number + 1): 0,
        Wanted(subscription="acme"): 4,
        Wanted(subscription="other"): 0,
        Wanted(kind="userLeft"): 1,
        Wanted(meeting=ROOMS[0]): 3,
        Wanted(state="parked"): 4,
        Wanted(state="queued"): 0,
        Wanted(since_ms=now_ms - 60_000, until_ms=now_ms + 60_000): 4,
        Wanted(since_ms=now_ms + 60_000): 0,
        Wanted(kind="userJoined", meeting=ROOMS[1]): 0,
    }
    for wanted, count in chosen.items():
        assert len(await deliveries.listed(desk.database, wanted)) == count, wanted
    with pytest.raises(OperationError, match="none of waiting, queued"):
        await deliveries.listed(desk.database, Wanted(state="lost"))
    with pytest.raises(OperationError, match="the limit must be"):
        await deliveries.listed(desk.database, Wanted(), limit=0)


async def test_one_delivery_is_shown_with_its_attempts(desk: Office, receiver: Receiver) -> None:
    await parked(desk, receiver)
    newest = (await deliveries.listed(desk.database, Wanted(), limit=1))[0]
    shown = await deliveries.shown(desk.database, newest["id"])
    assert [attempt["status"] for attempt in shown["attempts_made"]] == [500]
    assert shown["parked_reason"] == "1 attempts failed"
    with pytest.raises(OperationError, match="there is no delivery"):
        await deliveries.shown(desk.database, "nothing")
    assert await deliveries.replay(desk.database, Wanted(ids=(newest["id"],))) == 1


async def test_what_was_delivered_is_sent_again_only_when_asked_for(
    desk: Office, receiver: Receiver
) -> None:
    await desk.endpoint(receiver.url())
    since_ms = desk.clock() - 1
    async with desk.delivering():
        await desk.publish(desk.event())
        await desk.until("delivery", all_over)
        everything = Wanted(since_ms=since_ms)
        assert await deliveries.replay(desk.database, everything) == 0
        assert await deliveries.replay(desk.database, everything, delivered=True) == 1
        await receiver.wait_for(2)
        await desk.until("delivery", all_over)
    assert len({r.headers["webhook-id"] for r in receiver.requests}) == 1


async def test_a_replay_to_what_is_switched_off_is_refused(
    desk: Office, receiver: Receiver
) -> None:
    number = await parked(desk, receiver)
    await endpoints.disable(desk.database, number)
    with pytest.raises(OperationError, match="enable it first"):
        await deliveries.replay(desk.database, Wanted(endpoint=number))
    with pytest.raises(OperationError, match="there is no endpoint 99"):
        await deliveries.replay(desk.database, Wanted(endpoint=99))
    with pytest.raises(OperationError, match="say which deliveries"):
        await deliveries.replay(desk.database, Wanted())


async def test_parking_a_head_by_hand_lets_the_next_one_go(
    desk: Office, receiver: Receiver
) -> None:
    await desk.endpoint(receiver.url(behaviour=Behaviour(fail_times=1)))
    async with desk.delivering() as worker:
        await desk.publish(desk.event(seq=1, user_id="u1"), desk.event(seq=2, user_id="u2"))
        rows = await desk.until(
            "delivery",
            lambda rows: (
                states(rows) == ["queued", "waiting"] and any(row["attempts"] for row in rows)
            ),
        )
        head = next(row["id"] for row in rows if row["state"] == "queued")
        assert await deliveries.park(desk.database, Wanted(ids=(head,))) == 1
        worker.wake()
        rows = await desk.until("delivery", all_over)
    assert {row["id"]: row["state"] for row in rows}[head] == "parked"
    assert [r.query["userID"] for r in receiver.requests] == ["u1", "u2"]
    assert {row["parked_reason"] for row in rows} == {"by hand", ""}


async def test_what_is_dropped_is_gone_with_its_attempts(desk: Office, receiver: Receiver) -> None:
    number = await parked(desk, receiver)
    assert await deliveries.drop(desk.database, Wanted(endpoint=number, kind="userLeft")) == 1
    assert len(await desk.rows("delivery")) == len(await desk.rows("attempt")) == 3


async def test_many_are_changed_in_chunks(
    desk: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await parked(desk, receiver)
    monkeypatch.setattr(deliveries, "CHUNK_ROWS", 2)
    heard: list[int] = []
    wanted = Wanted(subscription="acme")
    assert await deliveries.replay(desk.database, wanted, progress=_noted(heard)) == 4
    assert heard == [2, 4]
    assert await deliveries.replay(desk.database, wanted) == 0


async def test_a_ping_reaches_its_endpoint_alone(desk: Office, receiver: Receiver) -> None:
    number = await desk.endpoint(receiver.url("/one"))
    await desk.endpoint(receiver.url("/two"))
    event_id = await endpoints.ping(desk.database, number)
    async with desk.delivering(), desk.relaying():
        await receiver.wait_for(1, "/one")
        await desk.until("delivery", all_over)
    assert receiver.at("/one")[0].headers["webhook-id"] == event_id
    assert receiver.at("/two") == []


async def test_an_endpoint_hears_what_happens_right_after_it_was_added(
    desk: Office, receiver: Receiver
) -> None:
    async with desk.delivering(), desk.relaying():
        # Nobody has the worker look at the directory; by itself it would in a minute.
        made = await endpoints.add(
            desk.database,
            Vault.from_settings(desk.settings),
            subscription="acme",
            url=receiver.url("/new"),
        )
        await endpoints.ping(desk.database, made.id)
        await desk.outbox(desk.event("userLeft"))
        await receiver.wait_for(2, "/new")


def test_people_say_times_in_three_ways() -> None:
    now = datetime(2026, 3, 2, 9, 30, 15, tzinfo=UTC)
    ms = round(now.timestamp() * 1_000)
    assert instant_ms(None, now=now) is None
    assert instant_ms("2h", now=now) == ms - 7_200_000
    assert instant_ms("09:00", now=now) == ms - 1_815_000
    yesterday = now.replace(hour=10, minute=0, second=0) - timedelta(days=1)
    assert instant_ms("10:00", now=now) == round(yesterday.timestamp() * 1_000)
    assert instant_ms("2026-03-02T09:30:15", now=now) == ms
    assert instant_ms("2026-03-02T10:30:15+01:00", now=now) == ms
    with pytest.raises(typer.Exit):
        instant_ms("tomorrow", now=now)
