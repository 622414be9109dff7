"""Commands for subscriptions.

Owns options and output only; the work is done by `scheduler.operations`.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer

from scheduler import operations
from scheduler.assembly import Assembly
from scheduler.cli import entries, printing
from scheduler.cli.performing import JsonOption, perform
from scheduler.cli.root import app
from scheduler.database import Database

Result = TypeVar("Result")

subscription = typer.Typer(help="Customers' contracts.", no_args_is_help=True)
app.add_typer(subscription, name="subscription")


@subscription.command("add")
def subscription_add(
    slug: Annotated[str, typer.Argument(help="Short name, part of the customer's URL.")],
    seats: Annotated[int, typer.Option(min=1, help="Concurrent connections of the contract.")],
    name: Annotated[str, typer.Option(help="Name of the customer.")] = "",
    default_seats: Annotated[
        int, typer.Option(min=1, help="Seats of a meeting without maxParticipants.")
    ] = 10,
    default_minutes: Annotated[
        int, typer.Option(min=1, help="Window of a meeting without duration.")
    ] = 120,
    meetings_max: Annotated[
        int | None, typer.Option(min=1, help="Meetings at the same time.")
    ] = None,
    pool: Annotated[str, typer.Option(help="Pool; made when it is new.")] = "default",
) -> None:
    """Add a subscription; give it a credential next."""

    async def _work(parts: Assembly) -> None:
        await operations.ensure_pool(parts.database, pool)
        await operations.add_subscription(
            parts.database,
            slug,
            seats=seats,
            name=name,
            pool=pool,
            default_seats=default_seats,
            default_duration_s=default_minutes * 60,
            meetings_max=meetings_max,
        )

    perform(_work)
    typer.echo(f"subscription {slug} was added with {seats} seats")


@subscription.command("set")
def subscription_set(  # noqa: PLR0913  # each is an option
    slug: Annotated[str, typer.Argument(help="Slug of the subscription.")],
    *,
    name: Annotated[str | None, typer.Option(help="Name of the customer.")] = None,
    seats: Annotated[int | None, typer.Option(min=1, help="Seats of the contract.")] = None,
    default_seats: Annotated[
        int | None, typer.Option(min=1, help="Seats of a meeting without maxParticipants.")
    ] = None,
    default_minutes: Annotated[
        int | None, typer.Option(min=1, help="Window of a meeting without duration.")
    ] = None,
    meetings_max: entries.LimitOption = None,
    meeting_seats_max: entries.LimitOption = None,
    max_minutes: entries.LimitOption = None,
    welcome: Annotated[str | None, typer.Option(help="Comes before a caller's welcome.")] = None,
    moderator_text: Annotated[
        str | None, typer.Option(help="Comes before a caller's moderatorOnlyMessage.")
    ] = None,
    rules_file: entries.RulesOption = None,
    enable: Annotated[bool | None, typer.Option("--enable/--disable")] = None,
    event_names: Annotated[bool | None, typer.Option(help="Events name people.")] = None,
    event_hashed_ids: Annotated[
        bool | None, typer.Option(help="Events show people's ids as hashes.")
    ] = None,
) -> None:
    """Change a subscription; meetings that are admitted already stay so."""
    given: dict[str, Any] = {
        "name": name,
        "enabled": enable,
        "event_names": event_names,
        "event_hashed_ids": event_hashed_ids,
        "seats": seats,
        "default_seats": default_seats,
        "default_duration_s": default_minutes and default_minutes * 60,
        "welcome_text": welcome,
        "moderator_text": moderator_text,
        "rules": None if rules_file is None else entries.rules(rules_file),
    }
    terms = {field: value for field, value in given.items() if value is not None}
    terms |= entries.limits(
        meetings_max=meetings_max,
        meeting_seats_max=meeting_seats_max,
        duration_max_s=max_minutes,
    )
    perform(lambda parts: operations.change_subscription(parts.database, slug, **terms))
    typer.echo(f"subscription {slug} was changed")


@subscription.command("list")
def subscription_list(*, json: JsonOption = False) -> None:
    """List the subscriptions."""
    rows, names = perform(_with_pools(operations.list_subscriptions))
    columns = ["slug", "name", "pool", "seats", "default_seats", "default_duration_s", "enabled"]
    printing.table(_rows(rows, columns, names), columns, as_json=json)


@subscription.command("show")
def subscription_show(
    slug: Annotated[str, typer.Argument(help="Slug of the subscription.")],
    *,
    json: JsonOption = False,
) -> None:
    """Show all that is set on a subscription, its rules too."""
    rows = perform(lambda parts: operations.list_subscriptions(parts.database))
    row = next((row for row in rows if row.slug == slug), None)
    if row is None:
        printing.fail(f"there is no subscription {slug}")
    names = ["slug", *operations.SubscriptionTerms.__annotations__]
    shown = {name: getattr(row, name) for name in names}
    if json:
        printing.document(shown)
        return
    rules = shown.pop("rules")
    printing.fields(shown)
    printing.rules(rules)


def _with_pools(
    read: Callable[[Database], Awaitable[Result]],
) -> Callable[[Assembly], Awaitable[tuple[Result, dict[int, str]]]]:
    async def _work(parts: Assembly) -> tuple[Result, dict[int, str]]:
        pools = parts.directory.current.pools
        return await read(parts.database), {pool.id: pool.name for pool in pools.values()}

    return _work


def _rows(rows: Any, columns: list[str], names: dict[int, str]) -> list[dict[str, Any]]:
    """Return the columns of the rows, with the names behind the ids of pools."""
    return [
        {
            column: names.get(row.pool_id) if column == "pool" else getattr(row, column)
            for column in columns
        }
        for row in rows
    ]
