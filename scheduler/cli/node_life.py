"""Commands that empty nodes, and their maintenance.

Owns options and output only; the operations are `scheduler.manage.node_life` and `maintenance`.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from scheduler.cli import entries, following, instants, printing
from scheduler.cli.nodes import NameArgument, node
from scheduler.cli.performing import JsonOption, operate
from scheduler.manage import maintenance, node_life
from scheduler.manage.context import Context
from schemas.management.nodes import (
    Drain,
    Emptying,
    MaintenanceAsked,
    MaintenancesAsked,
    MaintenanceShown,
    NewMaintenance,
    Panic,
)

windows = typer.Typer(help="Windows in which a node takes no meetings.", no_args_is_help=True)
node.add_typer(windows, name="maintenance")

WaitOption = Annotated[bool, typer.Option("--wait", help="Show the progress until it is over.")]


@node.command("drain")
def node_drain(
    name: NameArgument,
    *,
    end_overtime: Annotated[
        bool, typer.Option("--end-overtime", help="End meetings in overtime, and later ones too.")
    ] = False,
    then_disable: Annotated[
        bool, typer.Option("--then-disable", help="Disable it once it is empty.")
    ] = False,
    activate_on_cancel: Annotated[
        bool, typer.Option("--activate-on-cancel", help="Activate it when this is cancelled.")
    ] = False,
    wait: WaitOption = False,
    json: JsonOption = False,
) -> None:
    """Let a node become empty: it takes no more meetings, and its bookings move."""
    asked = {
        "node": name,
        "end_overtime": end_overtime,
        "then": "disabled" if then_disable else "draining",
        "on_cancel": "active" if activate_on_cancel else "draining",
    }

    async def _drain(context: Context) -> Emptying:
        return await node_life.drain(context, Drain.model_validate(asked))

    _begun(operate(_drain), wait=wait, json=json)


@node.command("panic")
def node_panic(
    name: NameArgument,
    confirm: Annotated[
        str | None, typer.Option(metavar="NAME", help="The name once more; asked for else.")
    ] = None,
    *,
    keep_state: Annotated[
        bool, typer.Option("--keep-state", help="Leave its state; else it is disabled.")
    ] = False,
    wait: WaitOption = False,
    json: JsonOption = False,
) -> None:
    """End every meeting on a node at once, whatever was promised to it."""
    if confirm is None:
        typer.echo(f"This ends every meeting on node {name}, promised or not.", err=True)
        confirm = typer.prompt("Type the name of the node to go on", err=True)
    asked = {"node": name, "confirm": confirm, "keep_state": keep_state}

    async def _panic(context: Context) -> Emptying:
        return await node_life.panic(context, Panic.model_validate(asked))

    _begun(operate(_panic), wait=wait, json=json)


def _begun(found: Emptying, *, wait: bool, json: bool) -> None:
    """Print what has begun; with `wait`, stay until it is over."""
    if json and not wait:
        printing.document(found.model_dump(mode="json"))
        return
    if not json:
        typer.echo(f"node {found.node.name} is {found.node.state}: {found.summary}")
        if found.bookings_stay:
            typer.echo(f"{found.bookings_stay} bookings on it move to where one fits")
    if not wait:
        following.hint(found.operation)
        return
    job_id = found.operation.id
    over = operate(lambda context: following.follow(context, job_id, json=json))
    result = following.told(over)
    if json:
        printing.document(over.model_dump(mode="json"))
    else:
        typer.echo(f"{result.get('outcome', over.state)}, {result.get('ended_meetings', 0)} ended")


@windows.command("add")
def maintenance_add(
    name: NameArgument,
    start: Annotated[
        str, typer.Option("--from", help="Begin: now, 22:00 (UTC), 2026-12-01T22:00, +6d.")
    ] = "now",
    until: Annotated[str | None, typer.Option("--until", help="End: 2026-12-02, +8d.")] = None,
    minutes: Annotated[int | None, typer.Option(min=1, help="Instead of --until.")] = None,
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    *,
    json: JsonOption = False,
) -> None:
    """Plan maintenance: new meetings keep out of it, bookings in it move where there is room.

    Example: seatkeep node maintenance add bbb1 --from 2026-12-01T22:00 --minutes 90
    """
    if (until is None) == (minutes is None):
        printing.fail("say its end, with --until or with --minutes", code=printing.MISUSED)
    begin = None if start == "now" else instants.instant(start)
    end = None if until is None else instants.instant(until)
    if minutes is not None:
        end = (begin or datetime.now(UTC)) + timedelta(minutes=minutes)
    asked: Any = {"node": name, "start_at": begin, "end_at": end, "note": note}

    async def _add(context: Context) -> MaintenanceShown:
        return await maintenance.add(context, NewMaintenance.model_validate(asked))

    found = operate(_add)
    if json:
        printing.document(found.model_dump(mode="json"))
        return
    typer.echo(
        f"maintenance {found.id} of node {name}: {found.start_at:%Y-%m-%d %H:%M} to"
        f" {found.end_at:%Y-%m-%d %H:%M} UTC"
    )
    _in_the_way(found)


@windows.command("list")
def maintenance_list(name: NameArgument, *, json: JsonOption = False) -> None:
    """List the maintenance of a node that is not over, and who is in its way."""
    found = operate(
        lambda context: entries.every(
            context, maintenance.list_windows, MaintenancesAsked(node=name)
        )
    )
    if json:
        printing.document([one.model_dump(mode="json") for one in found])
        return
    rows = [
        {
            "id": one.id,
            "from": f"{one.start_at:%Y-%m-%d %H:%M}",
            "until": f"{one.end_at:%Y-%m-%d %H:%M}",
            "in_the_way": one.in_the_way_count,
            "note": one.note or None,
        }
        for one in found
    ]
    printing.table(rows, ["id", "from", "until", "in_the_way", "note"], as_json=False)


@windows.command("show")
def maintenance_show(name: NameArgument, number: int, *, json: JsonOption = False) -> None:
    """Show who is in the way of maintenance."""
    asked = {"node": name, "maintenance": number}

    async def _show(context: Context) -> MaintenanceShown:
        return await maintenance.show(context, MaintenanceAsked.model_validate(asked))

    found = operate(_show)
    if json:
        printing.document(found.model_dump(mode="json"))
    else:
        _in_the_way(found)


@windows.command("remove")
def maintenance_remove(name: NameArgument, number: int) -> None:
    """Give maintenance up, or end it early."""
    asked = {"node": name, "maintenance": number}

    async def _remove(context: Context) -> None:
        await maintenance.remove(context, MaintenanceAsked.model_validate(asked))

    operate(_remove)
    typer.echo(f"node {name} takes meetings again")


def _in_the_way(found: MaintenanceShown) -> None:
    """Print who runs into the maintenance."""
    if not found.in_the_way_count:
        typer.echo("nothing is in its way")
        return
    typer.echo(f"{found.in_the_way_count} are in its way; nobody ends them, bookings may yet move:")
    rows = [one.model_dump(mode="json") for one in found.in_the_way]
    columns = ["external_id", "subscription", "state", "seats", "start_at", "end_at"]
    printing.table(rows, columns, as_json=False)
