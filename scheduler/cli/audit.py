"""The command that shows the audit log.

Owns options and layout; the operation is `scheduler.manage.audit`.
"""

from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer

from scheduler.cli import printing
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.manage import audit
from schemas.management.audit import AuditEntry, AuditList

_COLUMNS = ["recorded", "actor", "action", "subject", "changes"]
_SHOWN_CHARACTERS_MAX = 100
_Time = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"], help="UTC."),
]


@app.command("audit")
def audit_list(  # noqa: PLR0913  # each filter is an option
    since: _Time = None,
    until: _Time = None,
    actor: Annotated[str | None, typer.Option(help="cli:USER, token:NUMBER or a role.")] = None,
    action: Annotated[str | None, typer.Option(help="node.changed, or all of node.")] = None,
    subject: Annotated[str | None, typer.Option(help="Kind and name: 'node bbb1'.")] = None,
    subscription: Annotated[str | None, typer.Option(help="What belongs to this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many lines.")] = 50,
    after: Annotated[
        str | None, typer.Option(help="The next page: what the last one said.")
    ] = None,
    *,
    json: JsonOption = False,
) -> None:
    """Show who changed what, the newest first."""
    entered = {
        "since": _utc(since),
        "until": _utc(until),
        "actor": actor,
        "action": action,
        "subject": subject,
        "subscription": subscription,
        "limit": limit,
        "after": after,
    }
    found = operate(lambda context: audit.listed(context, AuditList.model_validate(entered)))
    if json:
        printing.document(found.model_dump(mode="json"))
        return
    printing.table([_line(entry) for entry in found.items], _COLUMNS, as_json=False)
    if found.next is not None:
        typer.echo(f"there are more: --after {found.next}", err=True)


def _line(entry: AuditEntry) -> dict[str, Any]:
    return {
        "recorded": f"{entry.recorded_at:%Y-%m-%d %H:%M:%SZ}",
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "changes": _changes(entry.changes),
    }


def _changes(changes: dict[str, Any]) -> str:
    """Return what changed in one line: `seats 20→30`."""
    text = ", ".join(_change(name, value) for name, value in changes.items())
    if len(text) > _SHOWN_CHARACTERS_MAX:
        return text[: _SHOWN_CHARACTERS_MAX - 1] + "…"
    return text


def _change(name: str, value: Any) -> str:
    if isinstance(value, list) and len(value) == 2:  # noqa: PLR2004  # before and after
        before, after = map(_shown, value)
        return f"{name} {after}" if value[0] is None else f"{name} {before}→{after}"
    return f"{name} {_shown(value)}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) and value else orjson.dumps(value).decode()
    return text.replace("\n", "⏎")


def _utc(entered: datetime | None) -> datetime | None:
    return None if entered is None else entered.replace(tzinfo=UTC)
