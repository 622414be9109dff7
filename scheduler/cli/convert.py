"""Commands that turn lists of other balancers into state files.

Owns options and output only; the work is done by `scheduler.state.importers`. Needs no
installation: the document goes to standard output, what could not be carried over to standard
error.
"""

import enum
import sys
from typing import Annotated, Final

import typer

from scheduler.cli.state import read_text, saying_of, state
from scheduler.state import writing
from scheduler.state.importers import b3lb, bbblb, scalelite, tables
from scheduler.state.importers.converted import Converted, Seats

_HEADING: Final = """\
Made from another balancer's list: look it over, then `seatkeep state import FILE --dry-run`.
The secrets in it can be read: keep it safe, and delete it when it was imported."""

convert = typer.Typer(
    help="Turn lists of other balancers into a state file on standard output.",
    no_args_is_help=True,
)
state.add_typer(convert, name="convert")

PerNodeOption = Annotated[
    int,
    typer.Option(
        "--seats-per-node", min=1, help="Seats of a node whose number is not in the list."
    ),
]
PerSubscriptionOption = Annotated[
    int,
    typer.Option(
        "--seats-per-subscription", min=1, help="Seats of a customer without a limit in the list."
    ),
]
FileArgument = Annotated[str, typer.Argument(help="File; `-`: input.")]


class Table(enum.StrEnum):
    """What a table lists."""

    NODES = "nodes"
    SUBSCRIPTIONS = "subscriptions"


@convert.command("scalelite")
def convert_scalelite(
    servers: Annotated[
        str, typer.Argument(help="Output of `rake servers:yaml` or `rake servers`, or a sync file.")
    ],
    tenants: Annotated[
        str | None, typer.Argument(help="Output of `rake tenants:showall`, or a list as YAML.")
    ] = None,
    *,
    settings: Annotated[
        str | None, typer.Option(metavar="FILE", help="Output of `rake tenantSettings`.")
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(
            "--loadbalancer-secret",
            envvar="LOADBALANCER_SECRET",
            help="Without tenants: the one secret of all callers.",
        ),
    ] = None,
    subscription: Annotated[
        str, typer.Option(help="Without tenants: the subscription that has this secret.")
    ] = "main",
    seats_per_node: PerNodeOption = 200,
    seats_per_subscription: PerSubscriptionOption = 100,
) -> None:
    """Convert Scalelite's servers, and its tenants when there are any."""
    into = Converted(Seats(seats_per_node, seats_per_subscription))
    with saying_of(servers):
        scalelite.servers(read_text(servers), into)
    if tenants is not None:
        with saying_of(tenants):
            told = "" if settings is None else read_text(settings)
            scalelite.tenants(read_text(tenants), into, settings=told)
    elif secret is not None:
        slug = into.subscription(subscription)
        into.credential(slug, [secret], is_default=True)
    else:
        into.note(
            "no tenants were given: name their file, or give Scalelite's own secret with"
            " --loadbalancer-secret"
        )
    _print(into)


@convert.command("b3lb")
def convert_b3lb(
    file: FileArgument,
    *,
    seats_per_node: PerNodeOption = 200,
    seats_per_subscription: PerSubscriptionOption = 100,
) -> None:
    """Convert a dump of B3LB: `manage.py dumpdata rest`."""
    into = Converted(Seats(seats_per_node, seats_per_subscription))
    with saying_of(file):
        b3lb.dump(read_text(file), into)
    into.note("set SEATKEEP_BASE_DOMAIN to B3LB's base domain, so that customers' URLs stay")
    _print(into)


@convert.command("bbblb")
def convert_bbblb(
    file: FileArgument,
    *,
    seats_per_node: PerNodeOption = 200,
    seats_per_subscription: PerSubscriptionOption = 100,
) -> None:
    """Convert an export of bbblb: `bbblb state export`."""
    into = Converted(Seats(seats_per_node, seats_per_subscription))
    with saying_of(file):
        bbblb.export(read_text(file), into)
    _print(into)


@convert.command("csv")
def convert_csv(
    file: FileArgument,
    *,
    kind: Annotated[Table, typer.Option(help="What the table lists.")],
    seats_per_node: PerNodeOption = 200,
    seats_per_subscription: PerSubscriptionOption = 100,
) -> None:
    """Convert a table; its first line names the columns.

    Nodes: url, secret, and perhaps name, seats, meeting_seats_max, weight, tags, pool, state.
    Subscriptions: slug, and perhaps name, seats, secret, previous_secret, sub, hosts, label,
    meetings_max, default_seats, default_duration_s, meeting_seats_max, duration_max_s, pool,
    enabled, language, node_tags.
    """
    into = Converted(Seats(seats_per_node, seats_per_subscription))
    with saying_of(file):
        text = read_text(file)
        (tables.nodes if kind is Table.NODES else tables.subscriptions)(text, into)
    _print(into)


def _print(into: Converted) -> None:
    sys.stdout.write(writing.as_yaml(into.document(), _HEADING))
    counts = (
        f"{len(part)} {name}"
        for name, part in (
            ("nodes", into.nodes),
            ("subscriptions", into.subscriptions),
            ("credentials", into.credentials),
        )
    )
    typer.echo(f"seatkeep: converted {', '.join(counts)}", err=True)
    for said in into.report:
        typer.echo(f"seatkeep: {said}", err=True)
