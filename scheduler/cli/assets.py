"""Commands about logos, slides and style sheets of subscriptions.

Owns options and layout; the operations are `scheduler.manage.assets`.
"""

from pathlib import Path
from typing import Annotated

import typer

from scheduler import asset_contents
from scheduler.cli import completing, printing
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.manage import assets
from schemas.management.assets import AssetAsked, AssetsAsked, NewAsset

asset = typer.Typer(
    help="Logo, slide and style sheet of a subscription: `seatkeep asset put acme logo acme.png`.",
    no_args_is_help=True,
)
app.add_typer(asset, name="asset")

_SubscriptionArgument = Annotated[
    str, typer.Argument(help="Slug of the subscription.", autocompletion=completing.subscriptions)
]
_KindArgument = Annotated[str, typer.Argument(help=", ".join(asset_contents.KINDS))]
_COLUMNS = ["kind", "media_type", "filename", "length_bytes", "updated", "path"]


@asset.command("put")
def asset_put(
    subscription: _SubscriptionArgument,
    kind: _KindArgument,
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The file.")
    ],
    *,
    name: Annotated[str | None, typer.Option(help="Name that people see; else the file's.")] = None,
    json: JsonOption = False,
) -> None:
    """Store a file in place of the one that is there, e.g. `asset put acme slide welcome.pdf`."""
    entered = {
        "subscription": subscription,
        "kind": kind,
        "content": file.read_bytes(),
        "filename": file.name if name is None else name,
    }
    shown = operate(lambda context: assets.put(context, NewAsset.model_validate(entered)))
    if json:
        printing.document(shown.model_dump(mode="json"))
    else:
        typer.echo(f"{shown.kind} of {subscription}: {shown.media_type}, at {shown.path}")


@asset.command("list")
def asset_list(subscription: _SubscriptionArgument, *, json: JsonOption = False) -> None:
    """List what a subscription has."""
    entered = {"subscription": subscription}
    found = operate(
        lambda context: assets.list_assets(context, AssetsAsked.model_validate(entered))
    )
    if json:
        printing.document(found.model_dump(mode="json"))
        return
    rows = [
        {**item.model_dump(), "updated": f"{item.updated_at:%Y-%m-%d %H:%M} UTC"}
        for item in found.items
    ]
    printing.table(rows, _COLUMNS, as_json=False)


@asset.command("remove")
def asset_remove(subscription: _SubscriptionArgument, kind: _KindArgument) -> None:
    """Remove the logo, the slide or the style sheet; meetings that have it keep it."""
    entered = {"subscription": subscription, "kind": kind}
    operate(lambda context: assets.remove(context, AssetAsked.model_validate(entered)))
    typer.echo(f"{subscription} has no {kind} any more")
