"""`seatkeep delivery …`: look at deliveries, send them again, park them, discard them.

Owns options and layout only; the operations are `scheduler.manage.deliveries`, whose long work is
done here and now. Times are UTC.
"""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from scheduler.cli import entries, printing, progress
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.deliveries import LIMIT_MAX, STATES
from scheduler.manage import deliveries, instants
from scheduler.manage.context import Context
from schemas.management import paging
from schemas.management.deliveries import (
    DeliveriesAgain,
    DeliveriesAsked,
    DeliveriesAway,
    DeliveriesChosen,
    DeliveryAsked,
    DeliveryShown,
)

delivery = typer.Typer(help="Events on their way to applications.", no_args_is_help=True)
app.add_typer(delivery, name="delivery")

IdsArgument = Annotated[list[str] | None, typer.Argument(help="Ids of deliveries.")]
EndpointOption = Annotated[int | None, typer.Option("--endpoint", help="Number of the endpoint.")]
SubscriptionOption = Annotated[str | None, typer.Option("--subscription", help="Its slug.")]
CredentialOption = Annotated[str | None, typer.Option("--credential", help="Its name.")]
KindOption = Annotated[str | None, typer.Option("--kind", help="E.g. `userLeft`.")]
MeetingOption = Annotated[str | None, typer.Option("--meeting", help="The caller's meetingID.")]
StateOption = Annotated[str | None, typer.Option("--state", help=f"One of {', '.join(STATES)}.")]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="`10:00` (UTC), `2h`, `2026-03-01T10:00`."),
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="As --since; not included.")
]
_AGO: Final = re.compile(r"([0-9]{1,5})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def instant_ms(text: str | None, *, now: datetime) -> int | None:
    """Return the instant that a person means; ends the program with a sentence otherwise."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        meant = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    elif clock := _CLOCK.fullmatch(text):
        meant = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        if meant > now:
            meant -= timedelta(days=1)  # ten o'clock of yesterday, then
    else:
        try:
            meant = datetime.fromisoformat(text)
        except ValueError:
            said = f"{text!r} is no time; write 10:00, 2h or 2026-03-01T10:00, all in UTC"
            printing.fail(said, code=printing.MISUSED)
        if meant.tzinfo is None:
            meant = meant.replace(tzinfo=UTC)
    return round(meant.timestamp() * 1_000)


def _chosen(since: str | None, until: str | None, **named: Any) -> dict[str, Any]:
    """Return what was asked for by name."""
    now = datetime.now(UTC)
    if (state := named.get("state")) is not None and state not in STATES:
        printing.fail(f"{state!r} is none of {', '.join(STATES)}")
    given = named | {
        "since_at": instants.maybe_ms(instant_ms(since, now=now)),
        "until_at": instants.maybe_ms(instant_ms(until, now=now)),
    }
    return {name: value for name, value in given.items() if value is not None}


def _time(at: datetime | None) -> str:
    return "-" if at is None else at.strftime("%m-%d %H:%M:%S")


@delivery.command("list")
def list_(  # noqa: PLR0913  # each is an option
    endpoint: EndpointOption = None,
    subscription: SubscriptionOption = None,
    credential: CredentialOption = None,
    kind: KindOption = None,
    meeting: MeetingOption = None,
    state: StateOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX)] = 100,
    json: JsonOption = False,
) -> None:
    """Show the newest deliveries that fit, newest first."""
    asked = _chosen(
        *(since, until),
        endpoint=endpoint,
        subscription=subscription,
        credential=credential,
        kind=kind,
        meeting_id=meeting,
        state=state,
    )

    async def work(context: Context) -> list[DeliveryShown]:
        rows: list[DeliveryShown] = []
        after: str | None = None
        while len(rows) < limit:
            page = {"limit": min(paging.LIMIT_MAX, limit - len(rows)), "after": after}
            found = await deliveries.list_deliveries(
                context, DeliveriesAsked.model_validate(asked | page)
            )
            rows += found.items
            after = found.next
            if after is None:
                break
        return rows

    rows = operate(work)
    if json:
        printing.document([row.model_dump(mode="json") for row in rows])
        return
    lines = [
        row.model_dump() | {"created": _time(row.created_at), "next": _time(row.next_attempt_at)}
        for row in rows
    ]
    columns = ["id", "created", "subscription", "kind", "target", "state", "attempts", "next"]
    printing.table(lines, [*columns, "parked_reason"], as_json=False)


@delivery.command()
def show(delivery_id: Annotated[str, typer.Argument()], *, json: JsonOption = False) -> None:
    """Show a delivery, what it says, and every attempt."""
    found = operate(lambda context: deliveries.show(context, DeliveryAsked(delivery=delivery_id)))
    if json:
        printing.document(found.model_dump(mode="json"))
        return
    row = found.model_dump(exclude={"attempts_made", "body"})
    times = {name: _time(value) for name, value in row.items() if name.endswith("_at")}
    printing.fields(row | times)
    if found.body:
        typer.echo(f"\n{found.body}\n")
    lines = [made.model_dump() | {"at": _time(made.at)} for made in found.attempts_made]
    printing.table(lines, ["number", "at", "took_ms", "status", "error"], as_json=False)


@delivery.command()
def targets(*, json: JsonOption = False) -> None:
    """Show how those fare that events go to: what waits, who fails, who is left alone."""
    rows = operate(lambda context: entries.every(context, deliveries.list_targets, paging.Paged()))
    if json:
        printing.document([row.model_dump(mode="json") for row in rows])
        return
    lines = [
        row.model_dump()
        | {
            "failing_since": _time(row.failing_since_at),
            "left_alone_until": _time(row.paused_until_at),
            "last_success": _time(row.last_success_at),
        }
        for row in rows
    ]
    numbers = ["target", "open", "delivered", "parked", "failures"]
    times = ["failing_since", "left_alone_until", "last_success"]
    printing.table(lines, [*numbers, *times], as_json=False)


@delivery.command()
def replay(  # noqa: PLR0913  # each is an option
    ids: IdsArgument = None,
    endpoint: EndpointOption = None,
    subscription: SubscriptionOption = None,
    kind: KindOption = None,
    meeting: MeetingOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    *,
    delivered: Annotated[
        bool, typer.Option("--delivered", help="What was delivered too, not only what is parked.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Send deliveries again, by id or by what they are; their event ids stay the same."""
    asked = _chosen(
        *(since, until),
        ids=ids,
        endpoint=endpoint,
        subscription=subscription,
        kind=kind,
        meeting_id=meeting,
    )
    _work(
        *(deliveries.REPLAY, "queued again"),
        lambda context: deliveries.replay_params(
            context, DeliveriesAgain.model_validate(asked | {"delivered": delivered})
        ),
        json=json,
    )


@delivery.command()
def park(
    ids: IdsArgument = None,
    endpoint: EndpointOption = None,
    subscription: SubscriptionOption = None,
    kind: KindOption = None,
    meeting: MeetingOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Put deliveries aside that are still to be sent; `replay` sends them after all."""
    asked = _chosen(
        *(since, until),
        ids=ids,
        endpoint=endpoint,
        subscription=subscription,
        kind=kind,
        meeting_id=meeting,
    )
    _work(
        *(deliveries.PARK, "parked"),
        lambda context: deliveries.params(context, DeliveriesChosen.model_validate(asked)),
        json=json,
    )


@delivery.command("drop", hidden=True)
@delivery.command()
def discard(
    ids: IdsArgument = None,
    endpoint: EndpointOption = None,
    subscription: SubscriptionOption = None,
    state: StateOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Remove deliveries for good."""
    asked = _chosen(
        *(since, until), ids=ids, endpoint=endpoint, subscription=subscription, state=state
    )
    if not yes:
        typer.confirm("They cannot be brought back. Remove them?", abort=True)
    _work(
        *(deliveries.DISCARD, "removed"),
        lambda context: deliveries.params(context, DeliveriesAway.model_validate(asked)),
        json=json,
    )


def _work(
    kind: str,
    said: str,
    told: Callable[[Context], Awaitable[dict[str, Any]]],
    *,
    json: bool,
) -> None:
    """Do the work here and now, and say how many deliveries it was."""

    async def work(context: Context) -> int:
        done = await progress.run_inline(context, kind, await told(context), json=json)
        return int(done["deliveries"])

    count = operate(work)
    if json:
        printing.document({"deliveries": count})
    else:
        typer.echo(f"{count} {'delivery' if count == 1 else 'deliveries'} {said}")
