"""`seatkeep delivery …`: look at deliveries, send them again, park them, drop them.

Owns options and layout only: `scheduler.deliveries` says what may be done to which. Times are UTC.
"""

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from scheduler import deliveries
from scheduler.cli import printing
from scheduler.cli.performing import JsonOption, perform
from scheduler.cli.root import app
from scheduler.deliveries import Wanted

delivery = typer.Typer(help="Events on their way to applications.", no_args_is_help=True)
app.add_typer(delivery, name="delivery")

IdsArgument = Annotated[list[str] | None, typer.Argument(help="Ids of deliveries.")]
EndpointOption = Annotated[int | None, typer.Option("--endpoint", help="Number of the endpoint.")]
SubscriptionOption = Annotated[str | None, typer.Option("--subscription", help="Its slug.")]
KindOption = Annotated[str | None, typer.Option("--kind", help="E.g. `userLeft`.")]
MeetingOption = Annotated[str | None, typer.Option("--meeting", help="The caller's meetingID.")]
StateOption = Annotated[
    str | None, typer.Option("--state", help=f"One of {', '.join(deliveries.STATES)}.")
]
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


def _wanted(ids: list[str] | None, since: str | None, until: str | None, **named: Any) -> Wanted:
    now = datetime.now(UTC)
    return Wanted(
        ids=tuple(ids or ()),
        since_ms=instant_ms(since, now=now),
        until_ms=instant_ms(until, now=now),
        **named,
    )


def _time(at_ms: int | None) -> str:
    if at_ms is None:
        return "-"
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%m-%d %H:%M:%S")


@delivery.command("list")
def list_(  # noqa: PLR0913  # each is an option
    endpoint: EndpointOption = None,
    subscription: SubscriptionOption = None,
    kind: KindOption = None,
    meeting: MeetingOption = None,
    state: StateOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(min=1, max=deliveries.LIMIT_MAX)] = 100,
    *,
    json: JsonOption = False,
) -> None:
    """Show the newest deliveries that fit, newest first."""
    wanted = _wanted(
        *(None, since, until),
        endpoint=endpoint,
        subscription=subscription,
        kind=kind,
        meeting=meeting,
        state=state,
    )
    rows = perform(lambda parts: deliveries.listed(parts.database, wanted, limit=limit))
    if json:
        printing.document(rows)
        return
    lines = [
        row
        | {
            "created": _time(row["created_ms"]),
            "next": _time(row["next_attempt_ms"]) if row["state"] == "queued" else "-",
        }
        for row in rows
    ]
    columns = ["id", "created", "subscription", "kind", "target", "state", "attempts", "next"]
    printing.table(lines, [*columns, "parked_reason"], as_json=False)


@delivery.command()
def show(delivery_id: Annotated[str, typer.Argument()], *, json: JsonOption = False) -> None:
    """Show a delivery, what it says, and every attempt."""
    row = perform(lambda parts: deliveries.shown(parts.database, delivery_id))
    if json:
        printing.document(row)
        return
    attempts = row.pop("attempts_made")
    body = row.pop("body")
    times = {name: _time(value) for name, value in row.items() if name.endswith("_ms")}
    printing.fields(row | times)
    if body:
        typer.echo(f"\n{body}\n")
    lines = [attempt | {"at": _time(attempt["at_ms"])} for attempt in attempts]
    printing.table(lines, ["number", "at", "took_ms", "status", "error"], as_json=False)


@delivery.command()
def targets(*, json: JsonOption = False) -> None:
    """Show how those fare that events go to: what waits, who fails, who is left alone."""
    rows = perform(lambda parts: deliveries.targets(parts.database))
    if json:
        printing.document(rows)
        return
    lines = [
        row
        | {
            "failing_since": _time(row["failing_since_ms"]),
            "left_alone_until": _time(row["left_alone_until_ms"]),
            "last_success": _time(row["last_success_ms"]),
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
    wanted = _wanted(
        *(ids, since, until),
        endpoint=endpoint,
        subscription=subscription,
        kind=kind,
        meeting=meeting,
    )
    count = perform(
        lambda parts: deliveries.replay(
            parts.database, wanted, delivered=delivered, progress=_progress
        )
    )
    _say("queued again", count, json=json)


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
    wanted = _wanted(
        *(ids, since, until),
        endpoint=endpoint,
        subscription=subscription,
        kind=kind,
        meeting=meeting,
    )
    count = perform(lambda parts: deliveries.park(parts.database, wanted, progress=_progress))
    _say("parked", count, json=json)


@delivery.command()
def drop(
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
    wanted = _wanted(
        *(ids, since, until), endpoint=endpoint, subscription=subscription, state=state
    )
    if not yes:
        typer.confirm("They cannot be brought back. Remove them?", abort=True)
    count = perform(lambda parts: deliveries.drop(parts.database, wanted, progress=_progress))
    _say("removed", count, json=json)


def _progress(count: int) -> None:
    """Show how far it is, to people only."""
    if sys.stderr.isatty():
        typer.echo(f"\r{count} deliveries …", err=True, nl=False)


def _say(what: str, count: int, *, json: bool) -> None:
    if sys.stderr.isatty():
        typer.echo("\r", err=True, nl=False)
    if json:
        printing.document({"deliveries": count})
    else:
        typer.echo(f"{count} {'delivery' if count == 1 else 'deliveries'} {what}")
