"""Commands for the webhooks that applications registered: list, remove.

Owns options and output only; the operations are `scheduler.manage.hooks`.
"""

from typing import Annotated, Final

import typer

from scheduler.cli import entries, printing
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.manage import hooks
from schemas.management.hooks import HookAsked, HooksAsked

hook = typer.Typer(help="Webhooks that applications registered.", no_args_is_help=True)
app.add_typer(hook, name="hook")

_COLUMNS: Final = (
    "id", "credential", "meeting_id", "events", "enabled", "disabled_reason", "created_at", "url",
)  # fmt: skip


@hook.command("list")
def hook_list(
    subscription: Annotated[
        str | None, typer.Option(help="Those of one subscription only.")
    ] = None,
    credential: Annotated[str | None, typer.Option(help="Those of one credential only.")] = None,
    *,
    json: JsonOption = False,
) -> None:
    """List the webhooks, the newest first."""
    found = operate(
        lambda context: entries.every(
            *(context, hooks.list_hooks),
            HooksAsked(subscription=subscription, credential=credential),
        )
    )
    rows = [{name: row[name] for name in _COLUMNS} for row in map(entries.flat, found)]
    printing.table(rows, _COLUMNS, as_json=json)


@hook.command("remove")
def hook_remove(hook_id: Annotated[str, typer.Argument(help="Id of the webhook.")]) -> None:
    """Remove a webhook; its application may register it again."""
    operate(lambda context: hooks.remove(context, HookAsked(hook=hook_id)))
    typer.echo(f"webhook {hook_id} was removed")
