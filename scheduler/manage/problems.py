"""What counts as a problem, in sentences that say what to do.

Owns the thresholds, since people and monitoring must not disagree about what is wrong. Reads
nothing by itself and never repeats a secret. Called by `status`.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from scheduler.overview import Overview
from scheduler.settings import Settings
from schemas.management.status import (
    BrokerStatus,
    EventsStatus,
    JobsStatus,
    NodeStatus,
    PoolStatus,
    Problem,
    Status,
)

#: Older than this, what waits does not wait for its turn any more: nobody works.
STUCK_S: Final = 60
#: A node that answered answers again within this time, or nobody asks it.
UNSEEN_S: Final = 300
#: Deliveries are retried for hours; one that is older than this is worth a look.
DELIVERY_S: Final = 3_600


def found(status: Status, read: Overview, now_ms: int, settings: Settings) -> Iterator[Problem]:
    """Return what is wrong, the gravest first."""
    unseen_ms = 1_000 * max(UNSEEN_S, 10 * int(settings.poll_interval_s))
    if status.broker is not None:
        yield from _broker(status.broker)
    for pool in status.pools:
        yield from _pool(pool)
    for node, row in zip(status.nodes, read.nodes, strict=True):
        yield from _node(node, row["answered_ms"], now_ms, unseen_ms)
    yield from _events(status.events)
    yield from _jobs(status.jobs)
    for endpoint in read.sick:
        yield from _endpoint(endpoint)


def _broker(broker: BrokerStatus) -> Iterator[Problem]:
    if not broker.reachable:
        yield Problem(subject="broker", detail=f"not reachable: {broker.detail}")
    for queue in broker.queues:
        if queue.queue == "parked" and queue.waiting:
            detail = f"{queue.waiting} messages are parked: nobody could process them"
            yield Problem(subject="broker", detail=detail)
        elif queue.queue != "parked" and queue.waiting and not queue.consumers:
            detail = f"{queue.waiting} messages wait in {queue.queue} and nobody reads them"
            yield Problem(subject="broker", detail=detail)


def _pool(pool: PoolStatus) -> Iterator[Problem]:
    subject = f"pool {pool.pool}"
    if not pool.worker:
        detail = "no worker has taken it yet: start `seatkeep worker` or `seatkeep up`"
        yield Problem(subject=subject, detail=detail)
    if pool.peak > pool.seats:
        detail = (
            f"{pool.peak} seats are guaranteed within two hours and its nodes have"
            f" {pool.seats}: add nodes"
        )
        yield Problem(subject=subject, detail=detail)


def _node(
    node: NodeStatus, answered_ms: int | None, now_ms: int, unseen_ms: int
) -> Iterator[Problem]:
    subject = f"node {node.node}"
    if node.state == "disabled":
        return
    if node.health == "down":
        yield Problem(subject=subject, detail=f"down: {node.reason or 'no reason is known'}")
    elif node.health == "up" and answered_ms is not None and now_ms - answered_ms > unseen_ms:
        detail = (
            f"nobody has looked at it for {(now_ms - answered_ms) // 60_000} minutes: does a"
            " worker with the role observer run?"
        )
        yield Problem(subject=subject, detail=detail)


def _events(events: EventsStatus) -> Iterator[Problem]:
    if events.unpublished_s > STUCK_S:
        detail = (
            f"{events.unpublished} wait in the outbox, the oldest for {events.unpublished_s} s:"
            " does a worker with the role relay run?"
        )
        yield Problem(subject="events", detail=detail)
    if events.parked:
        detail = (
            f"{events.parked} are parked: see `seatkeep delivery list --state parked`, then"
            " replay or drop them"
        )
        yield Problem(subject="deliveries", detail=detail)
    if events.oldest_s > DELIVERY_S:
        detail = (
            f"the oldest of {events.queued} waits for {events.oldest_s // 60} minutes: see"
            " `seatkeep delivery targets`"
        )
        yield Problem(subject="deliveries", detail=detail)


def _jobs(jobs: JobsStatus) -> Iterator[Problem]:
    if jobs.oldest_s > STUCK_S:
        detail = (
            f"{jobs.waiting} wait, the oldest for {jobs.oldest_s} s: does a worker with the role"
            " jobs run?"
        )
        yield Problem(subject="jobs", detail=detail)
    if jobs.errands_s > STUCK_S:
        detail = f"{jobs.errands} wait for a worker, the oldest for {jobs.errands_s} s"
        yield Problem(subject="commands", detail=detail)


def _endpoint(endpoint: Mapping[str, Any]) -> Iterator[Problem]:
    number = endpoint["id"]
    subject = f"endpoint {number} of {endpoint['slug']}"
    if endpoint["disabled_reason"]:
        detail = (
            f"switched off, {endpoint['disabled_reason']}: `seatkeep endpoint enable {number}`"
            " once its application answers again"
        )
    else:
        since = datetime.fromtimestamp(endpoint["failing_since_ms"] / 1_000, UTC)
        detail = (
            f"{endpoint['failures']} attempts failed since {since:%Y-%m-%d %H:%M} UTC: see"
            f" `seatkeep endpoint show {number}`"
        )
    yield Problem(subject=subject, detail=detail)
