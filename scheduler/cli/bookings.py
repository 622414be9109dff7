"""Commands about bookings: add, list, show, move, cancel.

Owns the layout and the repetition of a booking by days or weeks; the operations are
`scheduler.manage.bookings`.
"""

from datetime import timedelta
from typing import Annotated, Any, Final

import typer

from scheduler.cli import completing, instants, printing
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.manage import bookings
from schemas.management.bookings import (
    BookingAsked,
    BookingChange,
    BookingsAsked,
    BookingShown,
    NewBooking,
)

booking = typer.Typer(no_args_is_help=True, help="Seats for later meetings.")
app.add_typer(booking, name="booking")

BookingArgument = Annotated[
    str, typer.Argument(metavar="BOOKING", help="Our id of it; `seatkeep booking list` shows it.")
]
SeatsChange = Annotated[int | None, typer.Option(min=1, help="New number of seats.")]
_EVERY: Final = {"day": timedelta(days=1), "week": timedelta(weeks=1)}
_COLUMNS: Final = ["id", "meeting_id", "credential", "node", "seats", "start", "end", "state"]


@booking.command()
def add(  # noqa: PLR0913  # each is an option
    subscription: Annotated[
        str, typer.Argument(help="Whose seats.", autocompletion=completing.subscriptions)
    ],
    meeting_id: Annotated[str, typer.Argument(help="The meetingID of the create to come.")],
    seats: Annotated[int, typer.Option(min=1, help="Seats.")],
    start: Annotated[str, typer.Option(help="Begin: 2026-11-22T14:30 (UTC), 14:30, +2h.")],
    duration: Annotated[str | None, typer.Option(help="Length: 90m, 1h30m.")] = None,
    end: Annotated[str | None, typer.Option(help="End, instead of a length.")] = None,
    credential: Annotated[str | None, typer.Option(help="Which credential creates it.")] = None,
    every: Annotated[str | None, typer.Option(help="Again each `day` or `week` …")] = None,
    *,
    times: Annotated[int, typer.Option(min=1, max=100, help="… so many times in all.")] = 1,
    json: JsonOption = False,
) -> None:
    """Book seats for a later meeting, or for several: all of them or none."""
    if (duration is None) == (end is None):
        printing.fail("say either --duration 90m or --end 16:00", code=printing.MISUSED)
    if (every is None) != (times == 1) or every not in (None, *_EVERY):
        printing.fail("repeat with --every day or week and --times 2 to 100", code=printing.MISUSED)
    begin = instants.instant(start)
    length = _length(start, duration, end)
    window = {"start_at": begin, "duration_s": length}
    step = _EVERY[every or "day"]
    repeats = [window | {"start_at": begin + step * number} for number in range(1, times)]
    wanted = window | {
        "subscription": subscription,
        "meeting_id": meeting_id,
        "seats": seats,
        "credential": credential,
        "repeats": repeats,
    }
    made = operate(lambda context: bookings.add(context, NewBooking.model_validate(wanted)))
    if json:
        printing.document(made.model_dump(mode="json"))
    else:
        printing.table([_line(item) for item in made.items], _COLUMNS, as_json=False)


@booking.command("list")
def list_bookings(  # each is an option
    subscription: Annotated[str | None, typer.Option(help="Only of one subscription.")] = None,
    credential: Annotated[str | None, typer.Option(help="Only of one credential.")] = None,
    node: Annotated[str | None, typer.Option(help="Only on one node.")] = None,
    meeting_id: Annotated[str | None, typer.Option(help="The meetingID.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 100,
    *,
    past: Annotated[bool, typer.Option("--past", help="Those that are over.")] = False,
    json: JsonOption = False,
) -> None:
    """List bookings by the begin of their windows."""
    wanted = {
        "which": "past" if past else "live",
        "subscription": subscription,
        "credential": credential,
        "node": node,
        "meeting_id": meeting_id,
        "limit": limit,
    }
    found = operate(
        lambda context: bookings.list_bookings(context, BookingsAsked.model_validate(wanted))
    )
    if json:
        printing.document(found.model_dump(mode="json"))
        return
    printing.table([_line(item) for item in found.items], _COLUMNS, as_json=False)
    if found.next is not None:
        typer.echo(f"there are more than {limit}; --limit shows them", err=True)


@booking.command()
def show(booking_id: BookingArgument, *, json: JsonOption = False) -> None:
    """Show a booking."""
    _print(operate(lambda context: bookings.show(context, _asked(booking_id))), json=json)


@booking.command()
def cancel(booking_id: BookingArgument) -> None:
    """Give a booking back."""
    operate(lambda context: bookings.cancel(context, _asked(booking_id)))
    typer.echo("the booking was given back; its seats are free")


@booking.command()
def move(
    booking_id: BookingArgument,
    start: Annotated[str | None, typer.Option(help="New begin: 2026-11-22T14:30, 14:30.")] = None,
    end: Annotated[str | None, typer.Option(help="New end.")] = None,
    duration: Annotated[str | None, typer.Option(help="New length: 90m.")] = None,
    seats: SeatsChange = None,
    node: Annotated[str | None, typer.Option(help="Another node.")] = None,
    *,
    json: JsonOption = False,
) -> None:
    """Give a booking another time, size or node: in one decision, or it stays as it is."""
    moved(booking_id, start, end, duration, seats=seats, node=node, json=json)


def moved(  # each is an option
    booking_id: str,
    start: str | None,
    end: str | None,
    duration: str | None,
    *,
    seats: int | None,
    node: str | None,
    json: bool,
) -> None:
    """Move a booking as the options say."""
    wanted = {
        "booking": booking_id,
        "start_at": None if start is None else instants.instant(start),
        "end_at": None if end is None else instants.instant(end),
        "duration_s": None if duration is None else instants.seconds(duration),
        "seats": seats,
        "node": node,
    }
    sent = {name: value for name, value in wanted.items() if value is not None}
    found = operate(lambda context: bookings.move(context, BookingChange.model_validate(sent)))
    _print(found, json=json)


def _length(start: str, duration: str | None, end: str | None) -> int:
    if duration is not None:
        return instants.seconds(duration)
    length = instants.instant(end or "") - instants.instant(start)
    return round(length.total_seconds())


def _asked(booking_id: str) -> BookingAsked:
    return BookingAsked.model_validate({"booking": booking_id})


def _line(found: BookingShown) -> dict[str, Any]:
    return {
        **found.model_dump(include={"id", "meeting_id", "credential", "node", "state", "seats"}),
        "start": instants.shown(found.start_at),
        "end": instants.shown(found.end_at),
    }


def _print(found: BookingShown, *, json: bool) -> None:
    if json:
        printing.document(found.model_dump(mode="json"))
    else:
        printing.fields(_line(found))
