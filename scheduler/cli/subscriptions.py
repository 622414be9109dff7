"""Commands for subscriptions: add, set, list, show, limits, remove.

Owns options and output only; the operations are `scheduler.manage.subscriptions`.
"""

from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from scheduler import operations
from scheduler.cli import completing, entries, printing
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.manage import subscriptions
from scheduler.manage.context import Context
from schemas.management.subscriptions import (
    LimitsShown,
    NewSubscription,
    SubscriptionAsked,
    SubscriptionChange,
    SubscriptionsAsked,
    SubscriptionShown,
)

subscription = typer.Typer(help="Customers' contracts.", no_args_is_help=True)
app.add_typer(subscription, name="subscription")

SlugArgument = Annotated[
    str, typer.Argument(help="Slug of the subscription.", autocompletion=completing.subscriptions)
]
NameOption = Annotated[str | None, typer.Option(help="Name of the customer.")]
MoveOption = Annotated[
    str | None, typer.Option(help="Move it; only while it is off and nothing runs.")
]
DefaultSeatsOption = Annotated[
    int | None, typer.Option(min=1, help="Seats of a meeting without maxParticipants.")
]
DefaultMinutesOption = Annotated[
    int | None, typer.Option(min=1, help="Window of a meeting without duration.")
]
ModeratorTextOption = Annotated[
    str | None, typer.Option(help="Comes before a caller's moderatorOnlyMessage.")
]
OvertimeTextOption = Annotated[
    str | None, typer.Option(help="Chat message when a window ends; empty: none.")
]
LanguageOption = Annotated[
    str | None, typer.Option(help="Of refusals and the provider's texts: en or de.")
]
RefusalTextsOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="JSON file of own texts: {language: {key: text}}; `-`: input, `none`: ours.",
    ),
]
EnableOption = Annotated[
    bool | None,
    typer.Option("--enable/--disable", help="The integration as a whole, as the customer wants."),
]
SuspendOption = Annotated[
    bool | None,
    typer.Option("--suspend/--resume", help="Off, whatever the customer sets; or not."),
]
HashedIdsOption = Annotated[bool | None, typer.Option(help="Events show people's ids as hashes.")]
_COLUMNS: Final = (
    "slug", "name", "pool", "seats", "held_seats", "overtime_seats", "free_seats", "meetings",
    "users", "endpoints_off", "enabled", "suspended",
)  # fmt: skip
_LIMITS: Final = ("limit", "value", "used", "set_on", "credential")
_TEXTS: Final = ("welcome_text", "moderator_text", "overtime_text")


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
    asked = {
        "slug": slug,
        "seats": seats,
        "name": name,
        "pool": pool,
        "default_seats": default_seats,
        "default_duration_s": default_minutes * 60,
        "meetings_max": meetings_max,
    }

    async def work(context: Context) -> SubscriptionShown:
        wanted = NewSubscription.model_validate(asked)
        await operations.ensure_pool(context.database, pool)
        return await subscriptions.add(context, wanted)

    operate(work)
    typer.echo(f"subscription {slug} was added with {seats} seats")


@subscription.command("set")
def subscription_set(  # noqa: PLR0913  # each is an option
    slug: SlugArgument,
    *,
    name: NameOption = None,
    seats: Annotated[int | None, typer.Option(min=1, help="Seats of the contract.")] = None,
    pool: MoveOption = None,
    default_seats: DefaultSeatsOption = None,
    default_minutes: DefaultMinutesOption = None,
    meetings_max: Annotated[str | None, entries.limit("Meetings at the same time")] = None,
    meeting_seats_max: Annotated[str | None, entries.limit("Seats of the greatest meeting")] = None,
    max_minutes: Annotated[str | None, entries.limit("Longest window")] = None,
    welcome: Annotated[str | None, typer.Option(help="Comes before a caller's welcome.")] = None,
    moderator_text: ModeratorTextOption = None,
    overtime_text: OvertimeTextOption = None,
    language: LanguageOption = None,
    refusal_texts: RefusalTextsOption = None,
    origins: Annotated[str | None, entries.words("Origins of browser applications")] = None,
    node_tags: Annotated[
        str | None, entries.words("Tags that a node must have, all of them")
    ] = None,
    rules_file: entries.RulesOption = None,
    enable: EnableOption = None,
    suspend: SuspendOption = None,
    event_names: Annotated[bool | None, typer.Option(help="Events name people.")] = None,
    event_hashed_ids: HashedIdsOption = None,
) -> None:
    """Change a subscription; meetings that are admitted already stay so."""
    terms = entries.sent(
        name=name,
        enabled=enable,
        suspended=suspend,
        event_names=event_names,
        event_hashed_ids=event_hashed_ids,
        seats=seats,
        pool=pool,
        default_seats=default_seats,
        default_duration_s=None if default_minutes is None else default_minutes * 60,
        welcome_text=welcome,
        moderator_text=moderator_text,
        overtime_text=overtime_text,
        language=language,
        refusal_texts=None if refusal_texts is None else _texts(refusal_texts),
        origins=entries.listed(origins),
        node_tags=entries.listed(node_tags),
        rules=None if rules_file is None else entries.rules(rules_file),
    )
    terms |= entries.limits(
        meetings_max=meetings_max,
        meeting_seats_max=meeting_seats_max,
        duration_max_s=max_minutes,
    )
    asked = {"subscription": slug, **terms}
    operate(lambda context: subscriptions.change(context, SubscriptionChange.model_validate(asked)))
    typer.echo(f"subscription {slug} was changed")


@subscription.command("list")
def subscription_list(
    pool: Annotated[str | None, typer.Option(help="Those of one pool only.")] = None,
    search: Annotated[str | None, typer.Option(help="A part of the slug or the name.")] = None,
    *,
    enabled: Annotated[
        bool | None, typer.Option("--on/--off", help="Only those that are on, or off.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the subscriptions with what they use at present."""
    found = operate(
        lambda context: entries.every(
            *(context, subscriptions.list_subscriptions),
            SubscriptionsAsked(pool=pool, search=search, enabled=enabled),
        )
    )
    rows = [
        {name: row[name] for name in _COLUMNS}
        for row in (entries.flat(item) | item.now.model_dump() for item in found)
    ]
    printing.table(rows, _COLUMNS, as_json=json)


@subscription.command("show")
def subscription_show(slug: SlugArgument, *, json: JsonOption = False) -> None:
    """Show all that is set on a subscription, its rules and limits too."""

    async def work(context: Context) -> tuple[SubscriptionShown, LimitsShown]:
        asked = SubscriptionAsked(subscription=slug)
        shown = await subscriptions.show(context, asked)
        return shown, await subscriptions.limits(context, asked)

    shown, limits = operate(work)
    row = entries.flat(shown)
    if json:
        printing.document(row)
        return
    now, texts, rules = row.pop("now"), row.pop("refusal_texts"), row.pop("rules")
    own = {name: row.pop(name) for name in _TEXTS}
    printing.fields(row)
    typer.echo("\nat present")
    printing.fields(now, indent="  ")
    typer.echo("\nlimits")
    printing.table(_limits(limits), _LIMITS, as_json=False)
    own |= {
        f"{key} ({code})": text for code, by_key in texts.items() for key, text in by_key.items()
    }
    if own := {name: text for name, text in own.items() if text}:
        typer.echo("\ntexts")
        printing.fields(own, indent="  ")
    if rules:
        typer.echo()
        printing.rules(rules)


@subscription.command("limits")
def subscription_limits(slug: SlugArgument, *, json: JsonOption = False) -> None:
    """Show each limit, where it is set, and what is used of it."""
    found = operate(
        lambda context: subscriptions.limits(context, SubscriptionAsked(subscription=slug))
    )
    printing.table(_limits(found), _LIMITS, as_json=json)


@subscription.command("remove")
def subscription_remove(slug: SlugArgument) -> None:
    """Remove a subscription without credentials and meetings; endpoints and tokens go with it."""
    operate(lambda context: subscriptions.remove(context, SubscriptionAsked(subscription=slug)))
    typer.echo(f"subscription {slug} was removed")


def _limits(found: LimitsShown) -> list[dict[str, Any]]:
    return [{name: getattr(item, name) for name in _LIMITS} for item in found.items]


def _texts(source: str) -> Any:
    """Return the texts of a JSON file."""
    text = entries.rules(source)
    if not text:
        return {}
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        name = "the input" if source == "-" else Path(source).name
        printing.fail(f"{name} is no JSON: {error}", code=printing.MISUSED)
