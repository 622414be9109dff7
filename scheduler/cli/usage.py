"""The command that shows what customers used.

Owns options and layout; the operation is `scheduler.manage.usage`.
"""

from datetime import date, datetime
from typing import Annotated, Any

import typer

from scheduler.cli import printing
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.manage import usage
from scheduler.manage.operation import Document
from schemas.management.usage import UsageLine, UsageList

_COLUMNS = (
    *("period", "subscription", "credential", "creates", "joins", "seat_h", "used_h", "overtime_h"),
    *("peak_seats", "peak_users", "refused", "full", "evicted"),
)


@app.command("usage")
def usage_list(  # noqa: PLR0913  # each filter is an option
    subscription: Annotated[str | None, typer.Argument(help="Of one subscription.")] = None,
    first: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="First day (UTC); default: 30 days ago."),
    ] = None,
    last: Annotated[
        datetime | None,
        typer.Option("--to", formats=["%Y-%m-%d"], help="Last day (UTC); default: today."),
    ] = None,
    credential: Annotated[str | None, typer.Option(help="Of one credential: acme-5.")] = None,
    by: Annotated[str, typer.Option(help="day or month.")] = "day",
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many lines.")] = 1_000,
    after: Annotated[
        str | None, typer.Option(help="The next page: what the last one said.")
    ] = None,
    *,
    credentials: Annotated[
        bool, typer.Option("--credentials", help="A line for each credential.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, all lines.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what customers used: seat-hours, peaks, creates, refusals, evictions.

    Example: seatkeep usage acme --from 2026-11-01 --to 2026-11-30 --by month
    """
    entered = {
        "subscription": subscription,
        "credential": credential,
        "first_day": _day(first),
        "last_day": _day(last),
        "by": by,
        "split": "credential" if credentials else "subscription",
        "format": "csv" if as_csv else "json",
        "limit": limit,
        "after": after,
    }
    found = operate(lambda context: usage.listed(context, UsageList.model_validate(entered)))
    if isinstance(found, Document):
        typer.echo(found.content.decode().replace("\r\n", "\n"), nl=False)
        return
    if json:
        printing.document(found.model_dump(mode="json"))
        return
    shown = [
        name
        for name in _COLUMNS
        if name != "credential" or any(line.credential for line in found.items)
    ]
    printing.table([_line(line) for line in found.items], shown, as_json=False)
    if found.next is not None:
        typer.echo(f"there are more: --after {found.next}", err=True)


def _line(line: UsageLine) -> dict[str, Any]:
    refused = {
        "seats": line.refused_seats,
        "meetings": line.refused_meetings,
        "nodes": line.refused_nodes,
        "other": line.refused_other,
    }
    why = ", ".join(f"{count} {reason}" for reason, count in refused.items() if count)
    return {
        **line.model_dump(),
        "seat_h": _hours(line.reserved_seat_s),
        "used_h": _hours(line.used_seat_s),
        "overtime_h": _hours(line.overtime_seat_s),
        "refused": why or "-",
        "full": line.refused_joins,
        "evicted": line.evictions,
    }


def _hours(seconds: int) -> str:
    return f"{seconds / 3_600:.1f}".rjust(8)


def _day(entered: datetime | None) -> date | None:
    return None if entered is None else entered.date()
