"""Commands for credentials: add, list, show, set, rotate, revoke, and the dry run of their rules.

Owns options and output only; the work is done by `scheduler.operations`, `scheduler.credentials`
and `scheduler.trial`. A secret is shown once, when it is made.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from scheduler import credentials, operations
from scheduler.cli import entries, printing
from scheduler.cli.performing import JsonOption, perform
from scheduler.cli.root import app
from scheduler.trial import trial

credential = typer.Typer(help="Secrets of subscriptions.", no_args_is_help=True)
app.add_typer(credential, name="credential")

NameArgument = Annotated[str, typer.Argument(help="Name of the credential: acme or acme-5.")]
_COLUMNS: Final = (
    "name", "label", "enabled", "seats", "meetings_max", "meeting_seats_max", "hosts",
    "algorithms", "switches", "secrets",
)  # fmt: skip
_SWITCHES: Final = ("jsonp", "draft", "moderators_pass")


@credential.command("add")
def credential_add(
    subscription: Annotated[str, typer.Argument(help="Slug of the subscription.")],
    sub: Annotated[
        int | None, typer.Option(min=0, max=999, help="Number behind the slug: acme-5.")
    ] = None,
    label: Annotated[str, typer.Option(help="What uses it.")] = "",
    hosts: Annotated[str, typer.Option(help="Exact host names, comma-separated.")] = "",
    secret: Annotated[
        str | None,
        typer.Option(help="Take over a secret instead of making one.", envvar="CREDENTIAL_SECRET"),
    ] = None,
    *,
    default: Annotated[
        bool, typer.Option("--default", help="Owns /bigbluebutton/api without a name in it.")
    ] = False,
) -> None:
    """Add a credential and print its secret, this once."""
    made = perform(
        lambda parts: operations.add_credential(
            parts.database,
            parts.vault,
            subscription=subscription,
            sub=sub,
            secret=secret,
            label=label,
            hosts=[host.strip() for host in hosts.split(",") if host.strip()],
            is_default=default,
        )
    )
    name = subscription if sub is None else f"{subscription}-{sub}"
    typer.echo(f"url     /t/{name}/bigbluebutton/")
    typer.echo(f"secret  {made.secret}")


@credential.command("list")
def credential_list(
    subscription: Annotated[
        str | None, typer.Option(help="Those of one subscription only.")
    ] = None,
    *,
    json: JsonOption = False,
) -> None:
    """List the credentials; secrets are never shown."""
    rows = perform(lambda parts: credentials.describe(parts.database, subscription=subscription))
    for row in rows:
        row["switches"] = " ".join(name for name in _SWITCHES if row[name])
        row["secrets"] = 2 if row["previous"] else 1
    printing.table(rows, _COLUMNS, as_json=json)


@credential.command("show")
def credential_show(name: NameArgument, *, json: JsonOption = False) -> None:
    """Show all that is set on a credential, its rules too; never its secret."""
    (row,) = perform(lambda parts: credentials.describe(parts.database, name=name))
    if json:
        printing.document(row)
        return
    rules = row.pop("rules")
    until_ms = row.pop("previous_until_ms")
    if row["previous"] and until_ms is not None:
        row["previous"] = f"valid until {datetime.fromtimestamp(until_ms // 1000, UTC):%F %T} UTC"
    printing.fields(row)
    printing.rules(rules)


@credential.command("set")
def credential_set(  # noqa: PLR0913  # each is an option
    name: NameArgument,
    *,
    label: Annotated[str | None, typer.Option(help="What uses it.")] = None,
    seats: entries.LimitOption = None,
    meetings_max: entries.LimitOption = None,
    default_seats: entries.LimitOption = None,
    default_minutes: entries.LimitOption = None,
    meeting_seats_max: entries.LimitOption = None,
    max_minutes: entries.LimitOption = None,
    hosts: entries.ListOption = None,
    algorithms: entries.ListOption = None,
    origins: entries.ListOption = None,
    refused_calls: entries.ListOption = None,
    rules_file: entries.RulesOption = None,
    enable: Annotated[bool | None, typer.Option("--enable/--disable")] = None,
    jsonp: Annotated[bool | None, typer.Option(help="Reading calls as JSONP.")] = None,
    draft: Annotated[bool | None, typer.Option(help="The draft dialect.")] = None,
    moderators_pass: Annotated[
        bool | None, typer.Option(help="Moderators enter full meetings.")
    ] = None,
) -> None:
    """Change what is set on a credential; in force within a second."""
    given: dict[str, Any] = {
        "label": label,
        "enabled": enable,
        "jsonp": jsonp,
        "draft": draft,
        "moderators_pass": moderators_pass,
    }
    terms = {field: value for field, value in given.items() if value is not None}
    terms |= entries.limits(
        seats=seats,
        meetings_max=meetings_max,
        default_seats=default_seats,
        default_duration_s=default_minutes,
        meeting_seats_max=meeting_seats_max,
        duration_max_s=max_minutes,
    )
    lists = {
        "hosts": hosts,
        "algorithms": algorithms,
        "origins": origins,
        "refused_calls": refused_calls,
    }
    terms |= {
        field: "" if value == entries.NONE else value
        for field, value in lists.items()
        if value is not None
    }
    if rules_file is not None:
        terms["rules"] = entries.rules(rules_file)
    perform(lambda parts: credentials.change_credential(parts.database, name, **terms))
    typer.echo(f"credential {name} was changed")


@credential.command("rotate")
def credential_rotate(
    name: NameArgument,
    overlap_hours: Annotated[
        float, typer.Option(min=0, help="How long the present secret stays valid as well.")
    ] = 24,
    secret: Annotated[
        str | None,
        typer.Option(help="Take over a secret instead of making one.", envvar="CREDENTIAL_SECRET"),
    ] = None,
) -> None:
    """Give a credential a new secret and print it, this once."""
    overlap_s = round(overlap_hours * 3_600)
    made = perform(
        lambda parts: credentials.rotate(
            parts.database, parts.vault, name, overlap_s=overlap_s, secret=secret
        )
    )
    typer.echo(f"secret  {made.secret}")
    if overlap_s:
        typer.echo(f"the previous secret stays valid for {overlap_hours:g} hours")


@credential.command("revoke")
def credential_revoke(name: NameArgument) -> None:
    """End a rotation now: only the newest secret stays valid."""
    perform(lambda parts: credentials.revoke_previous(parts.database, name))
    typer.echo(f"the previous secret of {name} is valid no more")


@credential.command("try")
def credential_try(
    name: NameArgument,
    call: Annotated[str, typer.Argument(help="create or join.")],
    query: Annotated[str, typer.Argument(help="'name=Test&maxParticipants=500', or a whole URL.")],
    *,
    json: JsonOption = False,
) -> None:
    """Show what would become of a call: the rules, the seats, what the node would get."""
    if query.startswith(("http://", "https://")):
        query = urlsplit(query).query

    async def _work(parts: Any) -> dict[str, Any]:
        return trial(parts.directory.current, name, call, query)

    found = perform(_work)
    if json:
        printing.document(found)
        return
    typer.echo("sent")
    printing.fields(found["sent"], indent="  ")
    if found["refusal"] is not None:
        typer.echo(f"refused  {found['refusal']['key']}: {found['refusal']['message']}")
        return
    for rule in found["rules"]:
        typer.echo(f"rule  {rule['rule']}")
        for line in _effects(rule):
            typer.echo(f"  {line}")
    if "seats" in found:
        typer.echo(f"reserves  {found['seats']} seats for {found['duration_s'] / 60:g} minutes")
        for url in found["callbacks"]:
            typer.echo(f"calls back  {url}")
    typer.echo("node")
    printing.fields(found["node"], indent="  ")


def _effects(rule: Mapping[str, Any]) -> list[str]:
    if not rule["held"]:
        return ["its condition is not met"]
    return [
        f"{change['name']}: {_shown(change['before'])} becomes {_shown(change['after'])}"
        for change in rule["changed"]
    ] or ["changed nothing"]


def _shown(value: str | None) -> str:
    return "absent" if value is None else repr(value)
