"""Commands for endpoints: add, list, show, set, rotate, enable, disable, ping, remove.

Owns options and output only; the work is done by `scheduler.endpoints`. A secret is shown once,
when it is made.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from scheduler import endpoints
from scheduler.cli import entries, printing
from scheduler.cli.performing import JsonOption, perform
from scheduler.cli.root import app
from schemas.dialects.names import Dialect

endpoint = typer.Typer(help="Where events go.", no_args_is_help=True)
app.add_typer(endpoint, name="endpoint")

IdArgument = Annotated[int, typer.Argument(min=1, help="Number of the endpoint.")]
KindsOption = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="Event kinds, comma-separated; `none`: all of them."),
]
MeetingOption = Annotated[
    str | None, typer.Option(metavar="MEETINGID", help="Only this meeting; `none`: all meetings.")
]
_COLUMNS: Final = (
    "id", "subscription", "credential", "dialect", "ordering", "kinds", "meeting", "enabled",
    "disabled_reason", "url",
)  # fmt: skip
_DAY_HOURS: Final = 24


@endpoint.command("add")
def endpoint_add(  # noqa: PLR0913  # each is an option
    subscription: Annotated[str, typer.Argument(help="Slug of the subscription.")],
    url: Annotated[str, typer.Argument(help="Where events go.")],
    dialect: Annotated[
        str,
        typer.Option(
            help="draft (GET), webhooks (as bbb-webhooks; webhooks-sha256, -sha384, -sha512, -v2,"
            " -bearer) or signed (JSON)."
        ),
    ] = Dialect.DRAFT.value,
    credential: Annotated[
        str | None, typer.Option(help="Only events of this credential: acme-5.")
    ] = None,
    *,
    kinds: KindsOption = None,
    meeting: MeetingOption = None,
    label: Annotated[str, typer.Option(help="What listens there.")] = "",
    relaxed: Annotated[
        bool, typer.Option("--relaxed", help="Not in order: nothing waits for what fails.")
    ] = False,
    secret: Annotated[
        str | None,
        typer.Option(help="Sign with this instead of the usual.", envvar="ENDPOINT_SECRET"),
    ] = None,
) -> None:
    """Add an endpoint and print its number and, this once, a secret made for it."""
    terms = _terms(kinds=kinds, meeting=meeting, label=label or None)
    made = perform(
        lambda parts: endpoints.add(
            parts.database,
            parts.vault,
            subscription=subscription,
            dialect=dialect,
            credential=credential,
            secret=secret,
            ordering="relaxed" if relaxed else "strict",
            url=url,
            **terms,
        )
    )
    typer.echo(f"endpoint {made.id} of {subscription} was added")
    if made.secret is not None and secret is None:
        typer.echo(f"secret  {made.secret}")


@endpoint.command("list")
def endpoint_list(
    subscription: Annotated[
        str | None, typer.Option(help="Those of one subscription only.")
    ] = None,
    *,
    json: JsonOption = False,
) -> None:
    """List the endpoints; secrets are never shown."""
    rows = perform(lambda parts: endpoints.describe(parts.database, subscription=subscription))
    shown = [{column: row[column] for column in _COLUMNS} for row in rows]
    printing.table(shown, _COLUMNS, as_json=json)


@endpoint.command("show")
def endpoint_show(number: IdArgument, *, json: JsonOption = False) -> None:
    """Show all that is set on an endpoint; never its secret."""
    (row,) = perform(lambda parts: endpoints.describe(parts.database, endpoint_id=number))
    if json:
        printing.document(row)
        return
    until_ms = row.pop("previous_until_ms")
    row["created"] = _instant(row.pop("created_ms"))
    if until_ms is not None:
        row["previous secret"] = f"signs until {_instant(until_ms)}"
    printing.fields(row)


@endpoint.command("set")
def endpoint_set(
    number: IdArgument,
    *,
    url: Annotated[str | None, typer.Option(help="Where events go from now on.")] = None,
    kinds: KindsOption = None,
    meeting: MeetingOption = None,
    label: Annotated[str | None, typer.Option(help="What listens there.")] = None,
    relaxed: Annotated[bool | None, typer.Option("--relaxed/--strict")] = None,
) -> None:
    """Change an endpoint; what is queued goes where it was meant to go."""
    terms = _terms(kinds=kinds, meeting=meeting, label=label, url=url)
    if relaxed is not None:
        terms["ordering"] = "relaxed" if relaxed else "strict"
    perform(lambda parts: endpoints.change(parts.database, number, **terms))
    typer.echo(f"endpoint {number} was changed")


@endpoint.command("rotate")
def endpoint_rotate(
    number: IdArgument,
    hours: Annotated[
        int, typer.Option(min=0, help="How long signed JSON carries both signatures.")
    ] = _DAY_HOURS,
    secret: Annotated[
        str | None,
        typer.Option(help="The new secret, instead of a made one.", envvar="ENDPOINT_SECRET"),
    ] = None,
) -> None:
    """Give an endpoint a new secret and print it, this once."""
    made = perform(
        lambda parts: endpoints.rotate(
            parts.database, parts.vault, number, overlap_s=hours * 3_600, secret=secret
        )
    )
    typer.echo(f"endpoint {number} has a new secret")
    if secret is None:
        typer.echo(f"secret  {made.secret}")


@endpoint.command("enable")
def endpoint_enable(number: IdArgument) -> None:
    """Switch an endpoint on again."""
    perform(lambda parts: endpoints.enable(parts.database, number))
    typer.echo(f"endpoint {number} is on")


@endpoint.command("disable")
def endpoint_disable(number: IdArgument) -> None:
    """Switch an endpoint off; new events pass it by."""
    perform(lambda parts: endpoints.disable(parts.database, number))
    typer.echo(f"endpoint {number} is off")


@endpoint.command("ping")
def endpoint_ping(number: IdArgument) -> None:
    """Send a test event to an endpoint."""
    event_id = perform(lambda parts: endpoints.ping(parts.database, number))
    typer.echo(f"event {event_id} is on its way to endpoint {number}")


@endpoint.command("remove")
def endpoint_remove(number: IdArgument) -> None:
    """Remove an endpoint."""
    perform(lambda parts: endpoints.remove(parts.database, number))
    typer.echo(f"endpoint {number} was removed")


def _terms(
    *,
    kinds: str | None,
    meeting: str | None,
    label: str | None = None,
    url: str | None = None,
) -> dict[str, Any]:
    """Return what was given."""
    terms: dict[str, Any] = {}
    if kinds is not None:
        terms["kinds"] = "" if kinds == entries.NONE else kinds
    if meeting is not None:
        terms["external_id"] = None if meeting == entries.NONE else meeting
    if label is not None:
        terms["label"] = label
    if url is not None:
        terms["url"] = url
    return terms


def _instant(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms // 1_000, UTC):%F %T} UTC"
