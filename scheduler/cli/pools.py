"""Commands for pools: list, add, show, set, remove.

Owns options and output only; the operations are `scheduler.manage.pools`.
"""

from typing import Annotated, Final

import typer

from scheduler.cli import completing, entries, printing
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.manage import pools
from schemas.management.paging import Paged
from schemas.management.pools import NewPool, PoolAsked, PoolChange, PoolShown

pool = typer.Typer(help="Sets of nodes, with the customers they serve.", no_args_is_help=True)
app.add_typer(pool, name="pool")

NameArgument = Annotated[
    str, typer.Argument(help="Name of the pool.", autocompletion=completing.pools)
]
ModeOption = Annotated[str | None, typer.Option(help="spread or pack.")]
KeepFreeOption = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER", help="Nodes kept for large meetings; `none`: one of seven of them."
    ),
]
LargeOption = Annotated[
    int | None, typer.Option(min=1, help="From how many seats on a meeting is large.")
]
EvictOption = Annotated[
    bool | None,
    typer.Option(
        "--evict-across/--evict-own-only",
        help="Whether overtime meetings yield their nodes to other subscriptions.",
    ),
]
_COLUMNS: Final = (
    "name", "mode", "nodes", "node_seats", "subscriptions", "sold_seats", "held_seats",
    "overtime_seats", "meetings", "worker",
)  # fmt: skip


@pool.command("list")
def pool_list(*, json: JsonOption = False) -> None:
    """List the pools with what they have."""
    found = operate(lambda context: entries.every(context, pools.list_pools, Paged()))
    rows = [{name: row[name] for name in _COLUMNS} for row in map(_row, found)]
    printing.table(rows, _COLUMNS, as_json=json)


@pool.command("add")
def pool_add(
    name: NameArgument,
    mode: ModeOption = None,
    keep_free: KeepFreeOption = None,
    large_seats: LargeOption = None,
    *,
    evict_across: EvictOption = None,
) -> None:
    """Add a pool; start workers for it with its name as SEATKEEP_POOL."""
    rules = entries.sent(
        mode=mode, large_seats=large_seats, evict_across_subscriptions=evict_across
    ) | entries.limits(keep_free=keep_free)
    operate(lambda context: pools.add(context, NewPool(name=name, **rules)))
    typer.echo(f"pool {name} was added; a worker with SEATKEEP_POOL={name} serves it")


@pool.command("show")
def pool_show(name: NameArgument, *, json: JsonOption = False) -> None:
    """Show a pool: its rules, and what it has at present."""
    found = operate(lambda context: pools.show(context, PoolAsked(pool=name)))
    if json:
        printing.document(found.model_dump(mode="json"))
    else:
        printing.fields(_row(found))


@pool.command("set")
def pool_set(
    name: NameArgument,
    mode: ModeOption = None,
    keep_free: KeepFreeOption = None,
    large_seats: LargeOption = None,
    *,
    evict_across: EvictOption = None,
) -> None:
    """Change the rules of a pool; they hold for the next decision, within a second."""
    rules = entries.sent(
        mode=mode, large_seats=large_seats, evict_across_subscriptions=evict_across
    ) | entries.limits(keep_free=keep_free)
    operate(lambda context: pools.change(context, PoolChange(pool=name, **rules)))
    typer.echo(f"pool {name} was changed")


@pool.command("remove")
def pool_remove(name: NameArgument) -> None:
    """Remove a pool that has no nodes, subscriptions or meetings any more."""
    operate(lambda context: pools.remove(context, PoolAsked(pool=name)))
    typer.echo(f"pool {name} was removed")


def _row(shown: PoolShown) -> dict[str, object]:
    return shown.model_dump(mode="json", exclude={"now"}) | shown.now.model_dump(mode="json")
