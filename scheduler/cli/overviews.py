"""What `seatkeep status` looks like.

Owns the layout for people; the figures come from `scheduler.manage.status`. Colour only repeats
what the words say. Called by `inspect`.
"""

from typing import Any

from scheduler.cli import printing
from schemas.management.status import Status

_SEATS = ["seats", "held", "overtime", "free", "peak", "meetings", "users", "load_%"]


def lines(shown: Status) -> list[str]:
    """Return the whole status."""
    found: list[str] = []
    if shown.pools:
        columns = ["pool", "mode", "epoch", "worker", "nodes", *_SEATS]
        found += [*printing.aligned(_rows(shown.pools), columns), ""]
        columns = ["node", "pool", "state", "health", "version", *_SEATS]
        if len(shown.pools) == 1:
            columns.remove("pool")
        found += [*printing.aligned(_rows(shown.nodes), columns), ""]
    columns = ["subscription", *_SEATS]
    found += [*printing.aligned(_rows(shown.subscriptions), columns), ""]
    found += [*_queues(shown), ""]
    return found + problem_lines(shown)


def problem_lines(shown: Status) -> list[str]:
    """Return what is wrong, a line each, or that nothing is."""
    if not shown.problems:
        return [printing.coloured("no problems", "green")]
    return [
        printing.coloured(f"problem  {problem.subject}: {problem.detail}", "red")
        for problem in shown.problems
    ]


def _queues(shown: Status) -> list[str]:
    events, endpoints, jobs = shown.events, shown.endpoints, shown.jobs
    told = (
        f"{endpoints.enabled} on, {endpoints.failing} of them failing,"
        f" {endpoints.disabled} off, {endpoints.targets_paused} targets paused"
    )
    rows = [
        f"events      {events.unpublished} not yet relayed (oldest {events.unpublished_s} s)",
        f"deliveries  {events.queued} queued (oldest {events.oldest_s} s), {events.parked} parked",
        f"endpoints   {told}",
        f"jobs        {jobs.running} running, {jobs.waiting} waiting (oldest {jobs.oldest_s} s)",
    ]
    if shown.broker is None:
        return rows
    if not shown.broker.reachable:
        return [*rows, "broker      not reachable"]
    waiting = ", ".join(f"{queue.waiting} {queue.queue}" for queue in shown.broker.queues)
    return [*rows, f"broker      waiting: {waiting}"]


def _rows(items: Any) -> list[dict[str, Any]]:
    rows = [item.model_dump() for item in items]
    return [
        {name: value or "-" if isinstance(value, str) else value for name, value in row.items()}
        | {"load_%": row["load_percent"]}
        for row in rows
    ]
