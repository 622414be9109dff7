"""Commands for nodes: how they are set, tested, given another secret, removed.

Owns options and output only; the operations are `scheduler.manage.nodes`. Emptying nodes and their
maintenance are in `node_life`.
"""

from typing import Annotated, Any, Final

import typer

from scheduler import checks
from scheduler.cli import completing, entries, printing
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.manage import nodes, pools
from scheduler.manage.context import Context
from schemas.management.nodes import (
    NewNode,
    NodeAsked,
    NodeChange,
    NodeRemoval,
    NodesAsked,
    NodeShown,
    NodeTested,
    Rotation,
)
from schemas.management.pools import NewPool

node = typer.Typer(help="BigBlueButton servers.", no_args_is_help=True)
app.add_typer(node, name="node")

NameArgument = Annotated[
    str, typer.Argument(help="Name of the node.", autocompletion=completing.nodes)
]
WeightOption = Annotated[
    int | None, typer.Option(min=1, max=1_000, help="Share of the load, in percent.")
]
TestOption = Annotated[
    bool, typer.Option("--test/--no-test", help="Whether to test the connection first.")
]
_COLUMNS: Final = (
    "name", "pool", "state", "health", "seats", "held", "overtime", "free", "peak", "meetings",
    "users", "weight", "version", "tags", "url",
)  # fmt: skip


@node.command("add")
def node_add(  # noqa: PLR0913  # each is an option
    name: Annotated[str, typer.Argument(help="Name, for logs and lists.")],
    url: Annotated[str, typer.Option(help="https://HOST/bigbluebutton/")],
    secret: Annotated[
        str, typer.Option(help="Shared secret (`bbb-conf --secret`).", envvar="NODE_SECRET")
    ],
    seats: Annotated[int, typer.Option(min=1, help="Users that it carries at once.")],
    meeting_seats_max: Annotated[
        int | None, typer.Option(min=1, help="Largest meeting that it takes.")
    ] = None,
    pool: Annotated[str, typer.Option(help="Pool; made when it is new.")] = "default",
    weight: WeightOption = None,
    tags: entries.ListOption = None,
    *,
    test: TestOption = True,
) -> None:
    """Add a node after a test of the connection; workers use it within a second."""
    given = entries.sent(weight=weight, tags=entries.listed(tags))

    async def _add(context: Context) -> NodeShown:
        checks.name("node", name)
        checks.name("pool", pool)
        checks.secret(secret, characters_min=1)
        asked = NewNode(
            name=name,
            url=url,
            secret=secret,
            seats=seats,
            meeting_seats_max=meeting_seats_max,
            pool=pool,
            test=test,
            **given,
        )
        if pool != "default" and pool not in context.directory.current.pool_by_name:
            await pools.add(context, NewPool(name=pool))
        return await nodes.add(context, asked)

    added = operate(_add)
    version = f", version {added.version}" if added.version else ""
    typer.echo(f"node {name} was added to pool {pool} with {seats} seats{version}")


@node.command("list")
def node_list(
    pool: Annotated[str | None, typer.Option(help="Only this pool.")] = None,
    state: Annotated[str | None, typer.Option(help="active, draining or disabled.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only nodes with this tag.")] = None,
    *,
    json: JsonOption = False,
) -> None:
    """List the nodes with what is on them; `peak` is that of the next two hours."""
    asked = {"pool": pool, "state": state, "tag": tag}

    async def _list(context: Context) -> list[NodeShown]:
        chosen = NodesAsked.model_validate(entries.sent(**asked))
        return await entries.every(context, nodes.list_nodes, chosen)

    found = operate(_list)
    printing.table([_row(one) for one in found], _COLUMNS, as_json=json)


@node.command("show")
def node_show(name: NameArgument, *, json: JsonOption = False) -> None:
    """Show a node: how it is set, how it is and why, and what is on it."""
    found = operate(lambda context: nodes.show(context, NodeAsked(node=name)))
    if json:
        printing.document(found.model_dump(mode="json"))
        return
    plain = found.model_dump(mode="json", exclude={"health", "now", "maintenance"})
    printing.fields(
        plain | {"tags": ",".join(found.tags) or None, "summary": found.summary or None}
    )
    typer.echo("health")
    printing.fields(found.health.model_dump(mode="json"), indent="  ")
    typer.echo("now")
    printing.fields(found.now.model_dump(mode="json"), indent="  ")
    for window in found.maintenance:
        note = f"  {window.note}" if window.note else ""
        typer.echo(
            f"maintenance {window.id}  {window.start_at:%Y-%m-%d %H:%M} to"
            f" {window.end_at:%Y-%m-%d %H:%M} UTC{note}"
        )


@node.command("set")
def node_set(
    name: NameArgument,
    url: Annotated[str | None, typer.Option(help="https://HOST/bigbluebutton/")] = None,
    seats: Annotated[int | None, typer.Option(min=1, help="Users that it carries at once.")] = None,
    meeting_seats_max: entries.LimitOption = None,
    weight: WeightOption = None,
    tags: entries.ListOption = None,
    pool: Annotated[str | None, typer.Option(help="Pool; nothing may be on the node.")] = None,
) -> None:
    """Change a node; meetings on it stay as they are."""
    given = entries.sent(url=url, seats=seats, weight=weight, tags=entries.listed(tags), pool=pool)
    given |= entries.limits(meeting_seats_max=meeting_seats_max)
    operate(lambda context: nodes.change(context, NodeChange(node=name, **given)))
    typer.echo(f"node {name} was changed")


@node.command("test")
def node_test(name: NameArgument, *, json: JsonOption = False) -> None:
    """Test the connection to a node; ends with 1 when meetings cannot be held there."""
    found = operate(lambda context: nodes.test(context, NodeAsked(node=name)))
    if json:
        printing.document(found.model_dump(mode="json"))
    else:
        typer.echo(_said(name, found))
        if found.next_step:
            typer.echo(found.next_step)
    if not found.ok:
        raise typer.Exit(printing.FAILED)


def _said(name: str, found: NodeTested) -> str:
    if not found.ok:
        return f"node {name} cannot be used: {found.detail}"
    version = f" (version {found.version})" if found.version else ""
    said = f"node {name} answers{version}: {found.meetings} meetings, {found.took_ms} ms"
    return f"{said}; but {found.detail}" if found.detail else said


@node.command("state")
def node_state(
    name: NameArgument,
    state: Annotated[str, typer.Argument(help="active, draining or disabled.")],
) -> None:
    """Change whether a node takes new meetings; `drain` says more and waits."""
    _change_state(name, state, force=True)


@node.command("activate")
def node_activate(name: NameArgument) -> None:
    """Let a node take meetings again; ends a drain that waits."""
    _change_state(name, "active")


@node.command("disable")
def node_disable(
    name: NameArgument,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Although meetings are on it: they are seen no more.")
    ] = False,
) -> None:
    """Leave a node alone: no meetings, no polls; refused while meetings are on it."""
    _change_state(name, "disabled", force=force)


def _change_state(name: str, state: str, *, force: bool = False) -> None:
    async def _change(context: Context) -> NodeShown:
        checks.choice("state", state)
        asked: Any = {"node": name, "state": state, "force": force}
        return await nodes.change(context, NodeChange.model_validate(asked))

    operate(_change)
    typer.echo(f"node {name} is {state}")


@node.command("rotate")
def node_rotate(
    name: NameArgument,
    secret: Annotated[
        str | None,
        typer.Option(help="The new secret; asked for unless given.", envvar="NODE_SECRET"),
    ] = None,
    overlap_hours: Annotated[
        float, typer.Option(min=0, help="How long the former secret is good as well.")
    ] = 24.0,
    *,
    make: Annotated[
        bool, typer.Option("--make", help="Make a random secret, and print it.")
    ] = False,
    test: TestOption = True,
) -> None:
    """Give a node another secret without downtime: before or after `bbb-conf --setsecret` on it."""
    if secret is None and not make:
        secret = typer.prompt("New secret", hide_input=True, err=True)
    asked: Any = {
        "node": name,
        "secret": None if make else secret,
        "overlap_s": round(overlap_hours * 3_600),
        "test": test,
    }

    async def _rotate(context: Context) -> Any:
        if not make:
            checks.secret(secret or "", characters_min=1)
        return await nodes.rotate(context, Rotation.model_validate(asked))

    found = operate(_rotate)
    typer.echo(f"node {name} has another secret; it takes the {found.takes} one now")
    if found.secret is not None:
        typer.echo(f"secret  {found.secret}")
    typer.echo(found.next_step)


@node.command("remove")
def node_remove(
    name: NameArgument,
    *,
    forget_recordings: Annotated[
        bool, typer.Option("--forget-recordings", help="Although recordings are on it.")
    ] = False,
) -> None:
    """Remove a node that nothing is on any more."""
    asked = {"node": name, "forget_recordings": forget_recordings}
    operate(lambda context: nodes.remove(context, NodeRemoval.model_validate(asked)))
    typer.echo(f"node {name} was removed")


def _row(shown: NodeShown) -> dict[str, Any]:
    now = shown.now
    return {
        "name": shown.name,
        "pool": shown.pool,
        "state": shown.state,
        "health": shown.health.state,
        "seats": shown.seats,
        "held": now.held_seats,
        "overtime": now.overtime_seats,
        "free": now.free_seats,
        "peak": now.peak_seats,
        "meetings": now.meetings,
        "users": now.users,
        "weight": shown.weight,
        "version": shown.version or None,
        "tags": ",".join(shown.tags) or None,
        "url": shown.url,
    }
