"""Commands for nodes.

Owns options and output only; the work is done by `scheduler.operations`.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer

from scheduler import operations
from scheduler.assembly import Assembly
from scheduler.cli import printing
from scheduler.cli.performing import JsonOption, perform
from scheduler.cli.root import app
from scheduler.database import Database

Result = TypeVar("Result")

node = typer.Typer(help="BigBlueButton servers.", no_args_is_help=True)
app.add_typer(node, name="node")


@node.command("add")
def node_add(
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
) -> None:
    """Add a node; placement workers use it within a second."""

    async def _work(parts: Assembly) -> None:
        await operations.ensure_pool(parts.database, pool)
        await operations.add_node(
            parts.database,
            parts.vault,
            name=name,
            base_url=url,
            secret=secret,
            seats=seats,
            pool=pool,
            meeting_seats_max=meeting_seats_max,
        )

    perform(_work)
    typer.echo(f"node {name} was added to pool {pool} with {seats} seats")


@node.command("list")
def node_list(*, json: JsonOption = False) -> None:
    """List the nodes."""
    rows, names = perform(_with_pools(operations.list_nodes))
    columns = ["name", "pool", "state", "health", "seats", "meeting_seats_max", "base_url"]
    printing.table(_rows(rows, columns, names), columns, as_json=json)


@node.command("state")
def node_state(
    name: str,
    state: Annotated[str, typer.Argument(help="active, draining or disabled.")],
) -> None:
    """Change whether a node takes new meetings."""
    perform(lambda parts: operations.set_node_state(parts.database, name, state))
    typer.echo(f"node {name} is {state}")


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
