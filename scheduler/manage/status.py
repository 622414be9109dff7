"""The status of the installation, and what is wrong with it.

Owns who sees what: an owner sees the own subscription, neither nodes nor pools nor the broker. The
reading is `scheduler.overview`, what counts as a problem is said in `problems`. Called by the
command line and by the management API.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from scheduler import overview
from scheduler.bus.errors import BusError
from scheduler.checks import NotFoundError
from scheduler.manage import instants, problems
from scheduler.manage.context import Context
from scheduler.manage.operation import Operation
from scheduler.overview import Overview, Use
from scheduler.settings import Settings
from schemas.management.status import (
    BrokerStatus,
    EndpointsStatus,
    EventsStatus,
    JobsStatus,
    NodeStatus,
    PoolStatus,
    QueueStatus,
    Status,
    StatusAsked,
    SubscriptionStatus,
)


async def show(context: Context, asked: StatusAsked) -> Status:
    """Show nodes, subscriptions, queues and what is wrong with them."""
    now_ms = time.time_ns() // 1_000_000
    read = await overview.read(context.database, now_ms=now_ms, only=context.only)
    if asked.pool is not None:
        read = _of_pool(read, asked.pool)
    broker = None if context.only is not None else await _broker(context.settings, read)
    pools = {pool["id"]: pool["name"] for pool in read.pools}
    status = Status(
        at=instants.of_ms(now_ms),
        pools=[_pool(read, pool) for pool in read.pools],
        nodes=[
            NodeStatus(
                node=node["name"],
                pool=pools[node["pool_id"]],
                state=node["state"],
                health=node["health"],
                reason="" if node["health"] == "up" else node["health_reason"],
                version=node["version"],
                **_seats(node["seats"], read.uses.nodes.get(node["id"])),
            )
            for node in read.nodes
        ],
        subscriptions=[
            SubscriptionStatus(
                subscription=plan["slug"],
                pool=pools.get(plan["pool_id"], ""),
                enabled=plan["enabled"] and not plan["suspended"],
                **_seats(plan["seats"], read.uses.subscriptions.get(plan["id"])),
            )
            for plan in read.subscriptions
        ],
        broker=broker,
        events=EventsStatus(**read.events),
        endpoints=EndpointsStatus(**read.endpoints),
        jobs=JobsStatus(**read.jobs),
        problems=[],
    )
    status.problems = list(problems.found(status, read, now_ms, context.settings))
    return status


def _of_pool(read: Overview, name: str) -> Overview:
    found = [pool for pool in read.pools if pool["name"] == name]
    if not found:
        raise NotFoundError(f"there is no pool {name}")
    number = found[0]["id"]
    return Overview(
        pools=found,
        nodes=[node for node in read.nodes if node["pool_id"] == number],
        subscriptions=[plan for plan in read.subscriptions if plan["pool_id"] == number],
        uses=read.uses,
        events=read.events,
        endpoints=read.endpoints,
        sick=read.sick,
        jobs=read.jobs,
    )


def _pool(read: Overview, pool: Mapping[str, Any]) -> PoolStatus:
    nodes = [node for node in read.nodes if node["pool_id"] == pool["id"]]
    seats = sum(node["seats"] for node in nodes if node["state"] != "disabled")
    return PoolStatus(
        pool=pool["name"],
        mode=pool["mode"],
        epoch=pool["epoch"],
        worker=pool["holder"],
        nodes=len(nodes),
        **_seats(seats, read.uses.pools.get(pool["id"])),
    )


def _seats(seats: int, use: Use | None) -> dict[str, int]:
    use = use or Use()
    taken = use.held + use.overtime
    return {
        "seats": seats,
        "held": use.held,
        "overtime": use.overtime,
        "free": seats - taken,
        "peak": use.peak(),
        "load_percent": round(100 * taken / seats) if seats else 0,
        "meetings": use.meetings,
        "users": use.users,
    }


async def _broker(settings: Settings, read: Overview) -> BrokerStatus | None:
    url = settings.amqp_url.get_secret_value()
    if not url:
        return None
    # Late, so that an installation without a broker never loads the client library.
    from scheduler.bus.rabbit import depths

    try:
        found = await depths.read(url, [pool["name"] for pool in read.pools])
    except BusError as error:
        return BrokerStatus(reachable=False, detail=str(error), queues=[])
    queues = [
        QueueStatus(queue=depth.name, waiting=depth.messages, consumers=depth.consumers)
        for depth in found
    ]
    return BrokerStatus(reachable=True, detail="", queues=queues)


OPERATIONS: Final = (Operation("status.show", "GET", "/status", show, StatusAsked, Status),)
