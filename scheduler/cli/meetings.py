"""Commands about meetings: list, show, end, extend, move.

Owns the layout; the operations are `scheduler.manage.meetings` and `bookings`.
"""

from typing import Annotated, Any

import typer

from scheduler.cli import instants, printing
from scheduler.cli.bookings import SeatsChange, moved
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.manage import meetings
from schemas.management.meetings import (
    ExtendAsked,
    MeetingAsked,
    MeetingDetail,
    MeetingsAsked,
    MeetingShown,
)

meeting = typer.Typer(no_args_is_help=True, help="Meetings: who has which seats, and where.")
app.add_typer(meeting, name="meeting")

MeetingArgument = Annotated[
    str, typer.Argument(metavar="MEETING", help="Our id of it; `seatkeep meeting list` shows it.")
]
_COLUMNS = ["id", "meeting_id", "credential", "node", "state", "seats", "users", "start", "end"]


@meeting.command("list")
def list_meetings(  # each is an option
    subscription: Annotated[str | None, typer.Option(help="Only of one subscription.")] = None,
    credential: Annotated[str | None, typer.Option(help="Only of one credential.")] = None,
    node: Annotated[str | None, typer.Option(help="Only on one node.")] = None,
    state: Annotated[
        str | None, typer.Option(help="placing, held, overtime, ending, lost …")
    ] = None,
    meeting_id: Annotated[str | None, typer.Option(help="The caller's meetingID.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 100,
    *,
    past: Annotated[bool, typer.Option("--past", help="Those that are over.")] = False,
    json: JsonOption = False,
) -> None:
    """List meetings, the newest first."""
    wanted = {
        "which": "past" if past else "live",
        "subscription": subscription,
        "credential": credential,
        "node": node,
        "state": state,
        "meeting_id": meeting_id,
        "limit": limit,
    }
    found = operate(
        lambda context: meetings.list_meetings(context, MeetingsAsked.model_validate(wanted))
    )
    if json:
        printing.document(found.model_dump(mode="json"))
        return
    columns = [*_COLUMNS, "why_ended"] if past else _COLUMNS
    printing.table([_line(item) for item in found.items], columns, as_json=False)
    if found.next is not None:
        typer.echo(f"there are more than {limit}; --limit shows them", err=True)


@meeting.command()
def show(meeting_id: MeetingArgument, *, json: JsonOption = False) -> None:
    """Show a meeting: its seats, its life, and why it is where it is."""
    _print(operate(lambda context: meetings.show(context, _asked(meeting_id))), json=json)


@meeting.command()
def end(
    meeting_id: MeetingArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """End a meeting; its seats are free at once."""
    if not yes:
        typer.confirm("Everybody in it is put out. End it?", abort=True)
    found = operate(lambda context: meetings.end(context, _asked(meeting_id)))
    if json:
        printing.document(found.model_dump(mode="json"))
    else:
        typer.echo(f"{found.meeting_id} is {found.state}; {found.seats} seats are free")


@meeting.command()
def extend(
    meeting_id: MeetingArgument,
    by: Annotated[str | None, typer.Option(help="How much longer: 30m, 1h30m.")] = None,
    until: Annotated[str | None, typer.Option(help="Until when: 14:30, +90m.")] = None,
    *,
    json: JsonOption = False,
) -> None:
    """Keep the seats of a meeting for longer, if that takes nobody else's."""
    if (by is None) == (until is None):
        printing.fail("say either --by 30m or --until 14:30", code=printing.MISUSED)
    wanted = {
        "meeting": meeting_id,
        "duration_s": None if by is None else instants.seconds(by),
        "until_at": None if until is None else instants.instant(until),
    }
    found = operate(lambda context: meetings.extend(context, ExtendAsked.model_validate(wanted)))
    if json:
        printing.document(found.model_dump(mode="json"))
    else:
        typer.echo(
            f"{found.seats} seats of {found.meeting_id} are kept until"
            f" {instants.shown(found.end_at)}"
        )


@meeting.command()
def move(
    meeting_id: MeetingArgument,
    start: Annotated[str | None, typer.Option(help="New begin: 2026-11-22T14:30, 14:30.")] = None,
    end_at: Annotated[str | None, typer.Option("--end", help="New end.")] = None,
    duration: Annotated[str | None, typer.Option(help="New length: 90m.")] = None,
    seats: SeatsChange = None,
    node: Annotated[str | None, typer.Option(help="Another node.")] = None,
    *,
    json: JsonOption = False,
) -> None:
    """Move a booked meeting before it begins: to another time, size or node."""
    moved(meeting_id, start, end_at, duration, seats=seats, node=node, json=json)


def _asked(meeting_id: str) -> MeetingAsked:
    return MeetingAsked.model_validate({"meeting": meeting_id})


def _line(found: MeetingShown) -> dict[str, Any]:
    return {
        **found.model_dump(include={"id", "meeting_id", "credential", "node", "state", "seats"}),
        "users": found.users,
        "start": instants.shown(found.start_at),
        "end": instants.shown(found.end_at),
        "why_ended": found.end_reason,
    }


def _print(found: MeetingDetail, *, json: bool) -> None:
    if json:
        printing.document(found.model_dump(mode="json"))
        return
    line = _line(found) | {
        "name": found.name,
        "persons": found.persons,
        "joins": found.joins,
        "pool": found.pool,
        "parent": found.parent,
    }
    printing.fields({name: value for name, value in line.items() if value not in ("", None)})
    if found.placement is not None:
        typer.echo(f"\nplaced  {found.placement.said}")
        for rank in found.placement.best:
            typer.echo(f"        {rank.node}  {rank.free_seats} free")
    typer.echo("")
    life: list[dict[str, Any]] = [
        {"at": instants.clock(entry.at), "what": entry.what, "detail": entry.detail}
        | {"who": entry.actor}
        for entry in found.life
    ]
    printing.table(life, ["at", "what", "detail", "who"], as_json=False)
