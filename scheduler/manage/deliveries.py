"""Deliveries: list, show, replay, park, discard, and how the targets fare.

Owns what of them is whose, and the long work of sending many again or removing them. The doing is
`scheduler.deliveries`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from scheduler import audit, changes, deliveries
from scheduler.checks import ForbiddenError, NotFoundError, OperationError
from scheduler.deliveries import Wanted
from scheduler.manage import instants, jobs, owned, paging
from scheduler.manage.context import Context
from scheduler.manage.operation import Access, Operation
from scheduler.manage.progress import Progress, Work
from schemas.management.deliveries import (
    AttemptShown,
    DeliveriesAgain,
    DeliveriesAsked,
    DeliveriesAway,
    DeliveriesChosen,
    DeliveryAsked,
    DeliveryDetail,
    DeliveryShown,
    TargetShown,
)
from schemas.management.jobs import JobShown
from schemas.management.paging import Listed, Paged

REPLAY: Final = "delivery.replay"
PARK: Final = "delivery.park"
DISCARD: Final = "delivery.discard"


async def list_deliveries(context: Context, asked: DeliveriesAsked) -> Listed[DeliveryShown]:
    """List the newest deliveries that fit; without what they say."""
    after = paging.read_cursor(asked.after, str)
    chosen = await wanted(context, asked)
    rows = await deliveries.listed(
        *(context.database, Wanted(**chosen)),
        limit=asked.limit + 1,
        before_id=None if after is None else str(after[0]),
    )
    return paging.page(rows, asked.limit, keys=lambda row: (row["id"],), shown=_shown)


async def show(context: Context, asked: DeliveryAsked) -> DeliveryDetail:
    """Show a delivery, what it says, and every attempt."""
    row = await deliveries.shown(context.database, asked.delivery)
    if not context.sees(row["subscription_id"]):
        raise NotFoundError(f"there is no delivery {asked.delivery}")
    owner = context.directory.current.subscriptions.get(row["subscription_id"])
    row["subscription"] = None if owner is None else owner.slug
    return DeliveryDetail(
        **_shown(row).model_dump(),
        url=row["url"],
        dialect=row["dialect"],
        lane=row["lane"],
        body=row["body"],
        attempts_made=[
            AttemptShown(
                number=made["number"],
                at=instants.of_ms(made["at_ms"]),
                took_ms=made["took_ms"],
                status=made["status"],
                error=made["error"],
            )
            for made in row["attempts_made"]
        ],
    )


async def list_targets(context: Context, asked: Paged) -> Listed[TargetShown]:
    """List how those fare that events go to: what waits, who fails, who is left alone."""
    if context.only is not None:
        raise ForbiddenError(
            "targets of all customers are the provider's to see; endpoints show their health"
        )
    after = paging.read_cursor(asked.after, str)
    rows = await deliveries.targets(context.database)
    if after is not None:
        rows = [row for row in rows if row["target"] > after[0]]
    return paging.page(rows, asked.limit, keys=lambda row: (row["target"],), shown=_target)


def _target(row: Mapping[str, Any]) -> TargetShown:
    return TargetShown(
        **{name: row[name] for name in ("target", "open", "delivered", "parked")},
        failures=row["failures"],
        failing_since_at=instants.maybe_ms(row["failing_since_ms"]),
        paused_until_at=instants.maybe_ms(row["left_alone_until_ms"]),
        last_success_at=instants.maybe_ms(row["last_success_ms"]),
    )


async def replay(context: Context, asked: DeliveriesAgain) -> JobShown:
    """Begin to send deliveries again, by id or by what they are; their event ids stay."""
    return await _begin(context, REPLAY, await replay_params(context, asked))


async def park(context: Context, asked: DeliveriesChosen) -> JobShown:
    """Begin to put deliveries aside that are still to be sent; a replay sends them after all."""
    return await _begin(context, PARK, await params(context, asked))


async def discard(context: Context, asked: DeliveriesAway) -> JobShown:
    """Begin to remove deliveries for good, except those that are being sent."""
    return await _begin(context, DISCARD, await params(context, asked))


async def replay_params(context: Context, asked: DeliveriesAgain) -> dict[str, Any]:
    """Return what the work of a replay is told, checked for who asks."""
    if asked.endpoint is not None:
        await owned.check_endpoint(context, asked.endpoint)
        await deliveries.check_on(context.database, asked.endpoint)
    return await params(context, asked) | {
        "delivered": asked.delivered,
        # What went out again since is not to go out a third time when the work is begun anew.
        "finished_by_ms": changes.now_ms(),
    }


async def params(context: Context, asked: DeliveriesChosen) -> dict[str, Any]:
    """Return what work on deliveries is told, limited to what the actor sees."""
    chosen = await wanted(context, asked)
    named = {name: value for name, value in chosen.items() if value not in (None, ())}
    if not named.keys() - ({"subscription"} if asked.subscription is None else set()):
        raise OperationError("say which deliveries: by id, endpoint, subscription, time …")
    return named


async def wanted(context: Context, asked: DeliveriesAsked | DeliveriesChosen) -> dict[str, Any]:
    """Return the fields of `Wanted`; what is named must be seen by the actor."""
    credential = None
    if asked.credential is not None:
        credential = await owned.check_credential(context, asked.credential)
    return {
        "ids": tuple(getattr(asked, "ids", ())),
        "endpoint": asked.endpoint,
        "subscription": await owned.slug_seen(context, asked.subscription),
        "credential": credential,
        "kind": asked.kind,
        "meeting": asked.meeting_id,
        "state": getattr(asked, "state", None),
        "since_ms": None if asked.since_at is None else instants.milliseconds(asked.since_at),
        "until_ms": None if asked.until_at is None else instants.milliseconds(asked.until_at),
    }


async def _begin(context: Context, kind: str, told: dict[str, Any]) -> JobShown:
    slug = told.get("subscription")
    of_whom = None if slug is None else await owned.subscription_id(context, slug)
    subject = "deliveries" if slug is None else f"deliveries of {slug}"
    return await jobs.start(context, kind, told, subject=subject, subscription_id=of_whom)


async def _replay(context: Context, told: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    delivered = bool(told.get("delivered"))
    states = deliveries.OVER if delivered else deliveries.OVER[:1]

    async def work(chosen: Wanted, said: deliveries.Progress) -> int:
        return await deliveries.replay(context.database, chosen, delivered=delivered, progress=said)

    return await _counted(context, told, progress, (REPLAY, states, work))


async def _park(context: Context, told: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    async def work(chosen: Wanted, said: deliveries.Progress) -> int:
        return await deliveries.park(context.database, chosen, progress=said)

    return await _counted(context, told, progress, (PARK, deliveries.OPEN, work))


async def _discard(context: Context, told: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    async def work(chosen: Wanted, said: deliveries.Progress) -> int:
        return await deliveries.drop(context.database, chosen, progress=said)

    states = (*deliveries.OVER, *deliveries.OPEN)
    return await _counted(context, told, progress, (DISCARD, states, work))


async def _counted(
    context: Context,
    told: Mapping[str, Any],
    progress: Progress,
    doing: tuple[str, tuple[str, ...], Callable[[Wanted, deliveries.Progress], Awaitable[int]]],
) -> dict[str, Any]:
    """Do work on deliveries and say how far it is; safe to repeat, what is done is not found."""
    kind, states, work = doing
    chosen = Wanted(**{name: value for name, value in told.items() if name != "delivered"})
    total = await deliveries.count(context.database, chosen, states)
    await progress.report(0, total)

    async def said(done: int) -> None:
        await progress.report(done, max(total, done))

    count = await work(chosen, said)
    slug = told.get("subscription")
    owner = context.directory.current.subscription_by_slug.get(slug or "")
    async with context.database.write_lock, context.database.begin() as connection:
        await audit.note(
            *(connection, kind, "deliveries" if slug is None else f"deliveries of {slug}"),
            {**told, "deliveries": count},
            subscription_id=None if owner is None else owner.id,
        )
    return {"deliveries": count}


def _shown(row: Mapping[str, Any]) -> DeliveryShown:
    names = ("id", "event_id", "subscription", "kind", "target", "state", "attempts")
    queued = row["state"] == "queued"
    return DeliveryShown(
        **{name: row[name] for name in names},
        meeting_id=row["meeting_id"],
        created_at=instants.of_ms(row["created_ms"]),
        next_attempt_at=instants.of_ms(row["next_attempt_ms"]) if queued else None,
        finished_at=instants.maybe_ms(row["finished_ms"]),
        parked_reason=row["parked_reason"],
    )


OPERATIONS: Final = (
    Operation(
        *("delivery.list", "GET", "/deliveries", list_deliveries, DeliveriesAsked),
        Listed[DeliveryShown],
    ),
    Operation(
        *("delivery.show", "GET", "/deliveries/{delivery}", show, DeliveryAsked, DeliveryDetail)
    ),
    Operation("delivery.targets", "GET", "/targets", list_targets, Paged, Listed[TargetShown]),
    Operation(
        *(REPLAY, "POST", "/deliveries/replay", replay, DeliveriesAgain, JobShown),
        access=Access.WRITE,
        status=202,
    ),
    Operation(
        *(PARK, "POST", "/deliveries/park", park, DeliveriesChosen, JobShown),
        access=Access.WRITE,
        status=202,
    ),
    Operation(
        *(DISCARD, "POST", "/deliveries/discard", discard, DeliveriesAway, JobShown),
        access=Access.WRITE,
        status=202,
    ),
)

WORK: Final[Mapping[str, Work]] = {REPLAY: _replay, PARK: _park, DISCARD: _discard}
