"""Commands for endpoints: add, list, show, set, rotate, enable, disable, ping, remove.

Owns options and output only; the operations are `scheduler.manage.endpoints`. A secret is shown
once, when it is made.
"""

from typing import Annotated, Any, Final

import typer

from scheduler.cli import completing, entries, printing
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.manage import endpoints
from schemas.dialects.names import Dialect
from schemas.management.endpoints import (
    EndpointAsked,
    EndpointChange,
    EndpointRotation,
    EndpointsAsked,
    NewEndpoint,
)

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
    "disabled_reason", "health", "waiting", "parked", "url",
)  # fmt: skip
_DAY_HOURS: Final = 24


@endpoint.command("add")
def endpoint_add(  # noqa: PLR0913  # each is an option
    subscription: Annotated[
        str,
        typer.Argument(help="Slug of the subscription.", autocompletion=completing.subscriptions),
    ],
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
    asked = _terms(kinds=kinds, meeting=meeting, label=label) | {
        "subscription": subscription,
        "url": url,
        "dialect": dialect,
        "credential": credential,
        "secret": secret,
        "ordering": "relaxed" if relaxed else "strict",
    }
    made = operate(lambda context: endpoints.add(context, NewEndpoint.model_validate(asked)))
    typer.echo(f"endpoint {made.endpoint.id} of {subscription} was added")
    if made.secret is not None and secret is None:
        typer.echo(f"secret  {made.secret}")


@endpoint.command("list")
def endpoint_list(
    subscription: Annotated[
        str | None, typer.Option(help="Those of one subscription only.")
    ] = None,
    *,
    enabled: Annotated[
        bool | None, typer.Option("--on/--off", help="Only those that are on, or off.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the endpoints and how they fare; secrets are never shown."""
    found = operate(
        lambda context: entries.every(
            *(context, endpoints.list_endpoints),
            EndpointsAsked(subscription=subscription, enabled=enabled),
        )
    )
    rows = []
    for item in found:
        row = entries.flat(item) | {"meeting": item.meeting_id, "health": item.health.state}
        row |= {"waiting": item.health.waiting, "parked": item.health.parked}
        rows.append({column: row[column] for column in _COLUMNS})
    printing.table(rows, _COLUMNS, as_json=json)


@endpoint.command("show")
def endpoint_show(number: IdArgument, *, json: JsonOption = False) -> None:
    """Show all that is set on an endpoint, and how it fares; never its secret."""
    found = operate(lambda context: endpoints.show(context, EndpointAsked(endpoint=number)))
    row = entries.flat(found)
    row["meeting"] = row.pop("meeting_id")
    if json:
        printing.document(row)
        return
    health = row.pop("health")
    row.pop("previous_until_at")
    row["created_at"] = f"{found.created_at:%F %T} UTC"
    if found.previous_until_at is not None:
        row["previous secret"] = f"signs until {found.previous_until_at:%F %T} UTC"
    printing.fields(row)
    typer.echo("\nhealth")
    printing.fields(health, indent="  ")


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
    asked = {"endpoint": number, **terms}
    operate(lambda context: endpoints.change(context, EndpointChange.model_validate(asked)))
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
    asked = {"endpoint": number, "overlap_s": hours * 3_600, "secret": secret}
    made = operate(
        lambda context: endpoints.rotate(context, EndpointRotation.model_validate(asked))
    )
    typer.echo(f"endpoint {number} has a new secret")
    if secret is None:
        typer.echo(f"secret  {made.secret}")


@endpoint.command("enable")
def endpoint_enable(number: IdArgument) -> None:
    """Switch an endpoint on again."""
    operate(lambda context: endpoints.enable(context, EndpointAsked(endpoint=number)))
    typer.echo(f"endpoint {number} is on")


@endpoint.command("disable")
def endpoint_disable(number: IdArgument) -> None:
    """Switch an endpoint off; new events pass it by."""
    operate(lambda context: endpoints.disable(context, EndpointAsked(endpoint=number)))
    typer.echo(f"endpoint {number} is off")


@endpoint.command("ping")
def endpoint_ping(number: IdArgument) -> None:
    """Send a test event to an endpoint."""
    sent = operate(lambda context: endpoints.ping(context, EndpointAsked(endpoint=number)))
    typer.echo(f"event {sent.event_id} is on its way to endpoint {number}")


@endpoint.command("remove")
def endpoint_remove(number: IdArgument) -> None:
    """Remove an endpoint."""
    operate(lambda context: endpoints.remove(context, EndpointAsked(endpoint=number)))
    typer.echo(f"endpoint {number} was removed")


def _terms(
    *,
    kinds: str | None,
    meeting: str | None,
    label: str | None = None,
    url: str | None = None,
) -> dict[str, Any]:
    """Return what was given."""
    terms = entries.sent(label=label, url=url, kinds=entries.listed(kinds))
    if meeting is not None:
        terms["meeting_id"] = None if meeting == entries.NONE else meeting
    return terms
