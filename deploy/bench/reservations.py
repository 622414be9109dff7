"""The reservation path without HTTP and without node calls: bus, decision, durable commit, answer.

Owns the open-loop load (Poisson arrivals at a given rate) and the measurement from the intended
arrival to `accepted`. The worker under test is the product's own; only its node calls are left out.
Called by `seatkeep bench bus`; prints nothing.
"""

import asyncio
import random
import statistics
import time
from typing import Any

from scheduler.bus.interface import Bus, Ticket
from schemas.identifiers import new_id
from schemas.messages import MeetingDoc

#: A create as a learning platform sends it, with the usual metadata.
_DOC: MeetingDoc = {
    "name": "Weekly seminar, group 4",
    "params": [
        ("record", "false"),
        ("welcome", "Welcome to the seminar. Please mute your microphone."),
        ("meta_bbb-origin", "Moodle"),
        ("meta_bbb-origin-server-name", "learn.example.org"),
        ("meta_bbb-context", "Seminar"),
        ("meta_bbb-context-id", "4711"),
    ],
    "attendee_pw": "k3Zq81Lm",
    "moderator_pw": "R7t0vXa2",
    "duration_min": 60,
    "callbacks": [],
    "meta": {"bbb-origin": "Moodle", "bbb-context-id": "4711"},
}


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie; NaN without values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def create_command(subscription: int, credential: int, *, seats: int = 5) -> dict[str, Any]:
    """Return one create command with a meeting id of its own."""
    command_id = new_id()
    return {
        "kind": "create",
        "id": command_id,
        "deadline_ms": time.time_ns() // 1_000_000 + 20_000,
        "subscription": subscription,
        "credential": credential,
        "external_id": command_id,
        "seats": seats,
        "duration_s": 3600,
        "doc": _DOC,
        "given_attendee_pw": "",
        "given_moderator_pw": "",
        "renew": False,
    }


async def open_loop(
    bus: Bus,
    pool: str,
    subscriptions: list[tuple[int, int]],
    *,
    rate_per_s: int,
    seconds: float,
    seed: int = 1,
) -> dict[str, Any]:
    """Offer creates at `rate_per_s` for `seconds` and measure until each is durable.

    `subscriptions` are (subscription id, credential id) pairs. Latency counts from the intended
    arrival, so that a stall is charged to everything that should have come meanwhile.
    """
    chance = random.Random(seed)
    loop = asyncio.get_running_loop()
    latencies_ms: list[float] = []
    failures = 0
    open_tickets: set[asyncio.Future[None]] = set()
    began = loop.time()
    due = began
    sent = 0

    def finished(future: asyncio.Future[None], intended: float) -> None:
        nonlocal failures
        open_tickets.discard(future)
        if future.cancelled() or future.exception() is not None:
            failures += 1
        else:
            latencies_ms.append((loop.time() - intended) * 1000)

    while due < began + seconds:
        now = loop.time()
        if due > now:
            await asyncio.sleep(due - now)
        while due <= loop.time() and due < began + seconds:
            subscription, credential = subscriptions[sent % len(subscriptions)]
            ticket: Ticket = bus.submit(pool, create_command(subscription, credential))
            ticket.done.add_done_callback(_ignore)
            open_tickets.add(ticket.accepted)
            ticket.accepted.add_done_callback(lambda f, intended=due: finished(f, intended))
            sent += 1
            due += chance.expovariate(rate_per_s)
    if open_tickets:
        await asyncio.wait(open_tickets, timeout=20)
    return {
        "offered_per_s": rate_per_s,
        "sent": sent,
        "failed": failures + len(open_tickets),
        "p50_ms": round(statistics.median(latencies_ms), 2) if latencies_ms else None,
        "p99_ms": round(percentile(latencies_ms, 0.99), 2),
        "max_ms": round(max(latencies_ms, default=float("nan")), 2),
    }


def _ignore(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
