"""Commands about tokens of the management API.

Owns options and layout; the operations are `scheduler.manage.tokens`. Prints a token once: when it
is made.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from scheduler.cli import printing
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.manage import tokens
from schemas.management.tokens import AToken, NewToken, Token, TokenList

token = typer.Typer(help="Tokens of the management API.", no_args_is_help=True)
app.add_typer(token, name="token")

_COLUMNS = ["id", "scope", "subscription", "label", "state", "created", "expires", "used"]


@token.command("add")
def token_add(
    scope: Annotated[
        str, typer.Option(help="operator (everything), owner (of one subscription) or reader.")
    ],
    subscription: Annotated[
        str | None, typer.Option(help="The only subscription that it may see.")
    ] = None,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    days: Annotated[
        float | None, typer.Option(min=0.001, max=36_500, help="Days until it stops being valid.")
    ] = None,
    *,
    json: JsonOption = False,
) -> None:
    """Make a token; it is shown this once."""
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    entered = {
        "scope": scope,
        "subscription": subscription,
        "label": label,
        "expires_at": expires_at,
    }
    made = operate(lambda context: tokens.add(context, NewToken.model_validate(entered)))
    if json:
        printing.document(made.model_dump(mode="json"))
        return
    until = "" if made.expires_at is None else f", valid until {_instant(made.expires_at)}"
    whose = "" if made.subscription is None else f" of {made.subscription}"
    typer.echo(f"token {made.id} ({made.scope}{whose}{until}), shown this once:", err=True)
    typer.echo(made.token)


@token.command("list")
def token_list(
    subscription: Annotated[str | None, typer.Option(help="Those of a subscription.")] = None,
    state: Annotated[str | None, typer.Option(help="active, expired or revoked.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 100,
    after: Annotated[
        str | None, typer.Option(help="The next page: what the last one said.")
    ] = None,
    *,
    json: JsonOption = False,
) -> None:
    """List the tokens, without what only their owners have."""
    entered = {"subscription": subscription, "state": state, "limit": limit, "after": after}
    found = operate(lambda context: tokens.listed(context, TokenList.model_validate(entered)))
    if json:
        printing.document(found.model_dump(mode="json"))
        return
    printing.table([_line(item) for item in found.items], _COLUMNS, as_json=False)
    if found.next is not None:
        typer.echo(f"there are more: --after {found.next}", err=True)


@token.command("revoke")
def token_revoke(
    number: Annotated[int, typer.Argument(metavar="TOKEN", min=1, help="Its number.")],
) -> None:
    """Revoke a token: from now on it is good for nothing."""
    operate(lambda context: tokens.revoke(context, AToken(token=number)))
    typer.echo(f"token {number} is revoked")


def _line(found: Token) -> dict[str, Any]:
    return {
        "id": found.id,
        "scope": found.scope,
        "subscription": found.subscription,
        "label": found.label,
        "state": found.state,
        "created": _instant(found.created_at),
        "expires": None if found.expires_at is None else _instant(found.expires_at),
        "used": None if found.used_at is None else f"{found.used_at:%Y-%m-%d %H}h",
    }


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%MZ}"
