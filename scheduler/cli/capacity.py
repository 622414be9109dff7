"""Commands about seats: reservations, capacity over time, what-if.

Owns the layout; the operations are in `scheduler.manage`.
"""

from typing import Annotated, Any, Final

import typer

from scheduler.cli import completing, instants, printing
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.manage import bookings
from scheduler.manage import capacity as seats_over_time
from scheduler.manage import whatif as questions
from schemas.management.bookings import ReservationsAsked
from schemas.management.capacity import CapacityAsked, WhatIfAsked

FromOption = Annotated[str, typer.Option("--from", help="Begin: now, 14:30, 2026-11-22T14:30.")]
#: Characters of a bar.
_BAR: Final = 30


@app.command()
def reservations(
    begin: FromOption = "now",
    to: Annotated[str, typer.Option(help="End: +1d, 18:00.")] = "+1d",
    subscription: Annotated[str | None, typer.Option(help="Only of one subscription.")] = None,
    node: Annotated[str | None, typer.Option(help="Only on one node.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 100,
    *,
    json: JsonOption = False,
) -> None:
    """List the seats that are reserved in a span: of meetings and of bookings."""
    wanted = {
        "from": instants.instant(begin),
        "to": instants.instant(to),
        "subscription": subscription,
        "node": node,
        "limit": limit,
    }
    found = operate(
        lambda context: bookings.list_reservations(
            context, ReservationsAsked.model_validate(wanted)
        )
    )
    if json:
        printing.document(found.model_dump(mode="json"))
        return
    lines = [
        item.model_dump(include={"id", "kind", "meeting_id", "credential", "node", "state"})
        | {"seats": item.seats, "start": instants.shown(item.start_at)}
        | {"end": instants.shown(item.end_at)}
        for item in found.items
    ]
    columns = ["id", "kind", "meeting_id", "credential", "node", "state", "seats", "start", "end"]
    printing.table(lines, columns, as_json=False)


@app.command()
def capacity(  # each is an option
    by: Annotated[str, typer.Argument(help="pool, node or subscription.")] = "pool",
    name: Annotated[str | None, typer.Option(help="Only the one of this name.")] = None,
    pool: Annotated[str | None, typer.Option(help="Only those of this pool.")] = None,
    begin: FromOption = "now",
    to: Annotated[str, typer.Option(help="End: +2h, 18:00.")] = "+2h",
    step: Annotated[str, typer.Option(help="Length of a step: 15m, 1h.")] = "15m",
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many lines.")] = 100,
    *,
    json: JsonOption = False,
) -> None:
    """Show seats over time: the most that are reserved at any moment of each step."""
    wanted = {
        "by": by,
        "name": name,
        "pool": pool,
        "from": instants.instant(begin),
        "to": instants.instant(to),
        "step": instants.seconds(step),
        "limit": limit,
    }
    found = operate(
        lambda context: seats_over_time.show(context, CapacityAsked.model_validate(wanted))
    )
    if json:
        printing.document(found.model_dump(mode="json"))
        return
    for line in found.items:
        sold = "" if by != "pool" else f", {line.sold} sold"
        over = "  OVER-COMMITTED" if line.over_committed else ""
        typer.echo(f"{line.name}  {line.seats} seats{sold}{over}")
        rows: list[dict[str, Any]] = [
            part.model_dump(include={"reserved", "overtime", "free"})
            | {"at": instants.shown(part.at), "": _bar(part.reserved, line.seats)}
            for part in line.steps
        ]
        printing.table(rows, ["at", "reserved", "overtime", "free", ""], as_json=False)
        typer.echo("")


@app.command()
def whatif(
    subscription: Annotated[
        str, typer.Argument(help="Whose seats.", autocompletion=completing.subscriptions)
    ],
    seats: Annotated[int, typer.Argument(min=1, help="How many.")],
    duration: Annotated[str, typer.Argument(help="How long: 90m, 1h30m.")] = "2h",
    start: Annotated[str | None, typer.Option(help="A booking for then; without: now.")] = None,
    credential: Annotated[str | None, typer.Option(help="Which credential.")] = None,
    *,
    json: JsonOption = False,
) -> None:
    """Ask what would be decided; changes nothing. Exit code 1: it would be refused."""
    wanted = {
        "subscription": subscription,
        "seats": seats,
        "duration_s": instants.seconds(duration),
        "start_at": None if start is None else instants.instant(start),
        "credential": credential,
    }
    found = operate(lambda context: questions.ask(context, WhatIfAsked.model_validate(wanted)))
    if json:
        printing.document(found.model_dump(mode="json"))
    else:
        typer.echo(found.said)
        if found.placement is not None:
            typer.echo(f"node  {found.placement.said}")
        elif found.node is not None:
            typer.echo(f"node  {found.node}")
        for victim in found.evicted:
            typer.echo(f"would end  {victim}")
    if not found.admitted:
        raise typer.Exit(printing.FAILED)


def _bar(reserved: int, seats: int) -> str:
    return "#" * min(_BAR, -(-reserved * _BAR // seats)) if seats else ""
