"""What the product decides by itself is told: refusals, evictions, lost servers, bookings."""

import asyncio
from pathlib import Path
from typing import Any

import orjson

from scheduler.ledger.records import Batch, MeetingRecord
from schemas.identifiers import new_id
from tests.placement.stage import Stage, stage
from workers.placement import Parts, Placement


async def _told(here: Stage, kind: str, count: int = 1) -> list[dict[str, Any]]:
    async def there() -> bool:
        kinds = [event["kind"] for event in await here.events()]
        return kinds.count(kind) >= count

    await here.until(there)
    return await here.events()


async def test_an_eviction_is_told_before_the_end(tmp_path: Path) -> None:
    async with stage(tmp_path, nodes=1) as here:
        await here.create("A", seats=15, minutes=1)
        here.clock.forward(120)
        assert (await here.create("B", seats=10))["ok"]
        events = await _told(here, "meetingEnded")
        story = [(e["kind"], e["reason"]) for e in events if e["meeting_id"] == "A"]
        assert story == [
            *(("meetingCreated", ""), ("windowEnded", ""), ("meetingEvicted", "")),
            ("meetingEnded", "evicted"),
        ]
        by_kind = {event["kind"]: event for event in events if event["meeting_id"] == "A"}
        assert by_kind["meetingEvicted"]["data"] == {"seatsNeeded": 10}
        assert by_kind["windowEnded"]["data"]["seats"] == 15
        assert by_kind["meetingEnded"]["seats_needed"] == 10


async def test_a_refusal_is_told_once_with_its_figures(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        await here.create("A", seats=15)
        for _ in range(3):
            assert not (await here.create("B", seats=6))["ok"]
        assert not (await here.create("C", seats=7, by="acme"))["ok"]
        events = await _told(here, "reservationRefused", 2)
        refused = [event for event in events if event["kind"] == "reservationRefused"]
        assert [event["meeting_id"] for event in refused] == ["B", "C"]
        data = refused[0]["data"]
        assert (data["seats"], data["free"]) == (6, 5)
        assert data["reason"] == "maxParticipantsReached"
        assert "5 of 20 seats are free" in data["message"]
        assert refused[0]["credential"] == here.credentials["acme"]
        here.clock.forward(61)
        await here.create("B", seats=6)
        await _told(here, "reservationRefused", 3)


async def test_a_flood_of_refusals_is_not_a_flood_of_events(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        await asyncio.gather(*(here.create(f"big-{n}", seats=500) for n in range(100)))
        await here.create("big-by-beta", seats=500, by="beta")
        events = await here.events()
        refused = [e["subscription"] for e in events if e["kind"] == "reservationRefused"]
        assert 10 <= refused.count(here.subscriptions["acme"]) <= 25
        assert refused.count(here.subscriptions["beta"]) == 1


async def test_a_lost_server_is_told_to_whom_it_concerns(tmp_path: Path) -> None:
    async with stage(tmp_path, nodes=2, mode="pack") as here:
        made = await here.create("A", seats=5)
        await here.create("B", seats=5)
        node = made["view"]["node"]
        fact = {"kind": "nodeHealth", "node": node, "up": False, "reason": "silent"}
        for at_ms in (1, 2):
            await here.assembly.bus.publish_facts(
                "default", [{**fact, "lost": True, "at_ms": at_ms}]
            )
        events = await _told(here, "meetingEnded", 2)
        lost = [event for event in events if event["kind"] == "nodeLost"]
        assert [event["subscription"] for event in lost] == [here.subscriptions["acme"]]
        assert lost[0]["data"] == {"meetings": ["A", "B"]}
        kinds = [event["kind"] for event in events]
        assert kinds.index("nodeLost") < kinds.index("meetingEnded")


async def _restart(here: Stage, *, booking: MeetingRecord | None = None) -> None:
    """Put another worker in the place of the one that runs."""
    await here.placement.close()
    if booking is not None:
        epoch = await here.ledger.take_over(booking.pool_id, "test")
        await here.ledger.commit(booking.pool_id, epoch, Batch(created={booking.id: booking}))
    assembly = here.assembly
    parts = Parts(
        bus=assembly.bus,
        database=assembly.database,
        ledger=here.ledger,
        directory=assembly.directory,
        client=assembly.client,
    )
    here.placement = Placement(assembly.settings, "default", parts=parts, clock_ms=here.clock)
    await here.placement.start()
    await here.placement.ready.wait()


async def test_a_booking_is_announced_once_whichever_worker_does_it(tmp_path: Path) -> None:
    async with stage(tmp_path, nodes=1) as here:
        made = await here.create("A", seats=5)
        view = made["view"]
        start_s = here.clock() // 60_000 * 60 + 3_600
        booking = MeetingRecord(
            id=new_id(),
            pool_id=view["pool"],
            subscription_id=view["subscription"],
            credential_id=view["credential"],
            external_id="booked",
            live_key=None,
            live=True,
            node_id=view["node"],
            state="booked",
            seats=7,
            start_s=start_s,
            end_s=start_s + 600,
            version=1,
            updated_ms=here.clock(),
            doc=orjson.dumps(view["doc"]),
        )
        await _restart(here, booking=booking)
        await here.assembly.bus.publish_facts("default", [{"kind": "tick"}])
        here.clock.forward(3_600 - 900)
        await here.assembly.bus.publish_facts("default", [{"kind": "tick"}])
        await _told(here, "bookingStarting")
        await _restart(here)
        await here.create("B", seats=1)
        events = [e for e in await here.events() if e["kind"] == "bookingStarting"]
        assert [(e["meeting_id"], e["data"]) for e in events] == [
            (
                "booked",
                {
                    "seats": 7,
                    "windowStart": start_s * 1_000,
                    "windowEnd": (start_s + 600) * 1_000,
                },
            )
        ]
        await here.placement.close()


async def test_visits_are_known_to_the_next_worker(tmp_path: Path) -> None:
    async with stage(tmp_path, nodes=1) as here:
        made = await here.create("A", seats=5)
        view = made["view"]

        async def push(event: str, visit: str, at_ms: int) -> None:
            fact = {
                "kind": "pushed",
                "node": view["node"],
                "meeting": view["id"],
                "event": event,
                "at_ms": at_ms,
                "digest": f"{event}{visit}{at_ms}",
                "internal_id": view["bound"]["internal_id"],
                "visit": visit,
                "user": "ada",
                "moderator": False,
                "data": {},
            }
            await here.assembly.bus.publish_facts("default", [fact])

        await push("userJoined", "w_a", 1_000)
        await push("userJoined", "w_b", 2_000)
        await _told(here, "userJoined")
        await here.create("B", seats=1)  # the turn of the second push is committed before this
        await _restart(here)
        await push("userLeft", "w_a", 3_000)
        await push("meetingRecordingStarted", "", 3_500)
        await push("userLeft", "w_b", 4_000)
        await _restart(here)
        await push("meetingEnded", "", 5_000)
        events = await _told(here, "meetingEnded")
        story = [e["kind"] for e in events if e["meeting_id"] == "A"]
        assert story == [
            *("meetingCreated", "userJoined", "meetingRecordingStarted", "userLeft"),
            "meetingEnded",
        ]
        [ended] = [event for event in events if event["kind"] == "meetingEnded"]
        assert ended["data"] == {"recordingMarks": True}
        left = next(event for event in events if event["kind"] == "userLeft")
        assert (left["user_internal_id"], left["at_ms"]) == ("w_a", 4_000)
        await here.placement.close()
