"""Commands for credentials: add, list, show, set, rotate, revoke, remove, and trying their rules.

Owns options and output only; the operations are `scheduler.manage.credentials`. A secret is shown
once, when it is made.
"""

from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from scheduler.cli import completing, entries, printing
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.manage import credentials
from schemas.management.credentials import (
    CredentialAsked,
    CredentialChange,
    CredentialRemoval,
    CredentialRotation,
    CredentialsAsked,
    NewCredential,
    RuleShown,
    TrialAsked,
)

credential = typer.Typer(help="Secrets of subscriptions.", no_args_is_help=True)
app.add_typer(credential, name="credential")

NameArgument = Annotated[str, typer.Argument(help="Name of the credential: acme or acme-5.")]
_COLUMNS: Final = (
    "name", "label", "enabled", "seats", "meetings_max", "meeting_seats_max", "hosts",
    "is_default", "algorithms", "switches", "secrets", "meetings",
)  # fmt: skip
_SWITCHES: Final = ("jsonp", "draft", "moderators_pass")


@credential.command("add")
def credential_add(
    subscription: Annotated[
        str,
        typer.Argument(help="Slug of the subscription.", autocompletion=completing.subscriptions),
    ],
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
    asked = {
        "subscription": subscription,
        "sub": sub,
        "secret": secret,
        "label": label,
        "hosts": [host.strip() for host in hosts.split(",") if host.strip()],
        "is_default": default,
    }
    made = operate(lambda context: credentials.add(context, NewCredential.model_validate(asked)))
    typer.echo(f"url     {made.credential.path}")
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
    found = operate(
        lambda context: entries.every(
            *(context, credentials.list_credentials), CredentialsAsked(subscription=subscription)
        )
    )
    rows = []
    for item in found:
        row = entries.flat(item)
        row |= row.pop("now")
        row["switches"] = " ".join(name for name in _SWITCHES if row[name])
        row["secrets"] = 2 if row["previous"] else 1
        rows.append(row)
    printing.table(rows, _COLUMNS, as_json=json)


@credential.command("show")
def credential_show(name: NameArgument, *, json: JsonOption = False) -> None:
    """Show all that is set on a credential, its rules too; never its secret."""
    found = operate(lambda context: credentials.show(context, CredentialAsked(credential=name)))
    row = entries.flat(found)
    if json:
        printing.document(row)
        return
    now, rules = row.pop("now"), row.pop("rules")
    row.pop("previous_until_at")
    if found.previous and found.previous_until_at is not None:
        row["previous"] = f"valid until {found.previous_until_at:%F %T} UTC"
    printing.fields(row)
    typer.echo("\nat present")
    printing.fields(now, indent="  ")
    if rules:
        typer.echo()
        printing.rules(rules)


@credential.command("set")
def credential_set(  # noqa: PLR0913  # each is an option
    name: NameArgument,
    *,
    label: Annotated[str | None, typer.Option(help="What uses it.")] = None,
    seats: Annotated[str | None, entries.limit("Its own limit of seats")] = None,
    meetings_max: Annotated[str | None, entries.limit("Meetings at the same time")] = None,
    default_seats: Annotated[
        str | None, entries.limit("Seats without maxParticipants", cleared="as subscribed")
    ] = None,
    default_minutes: Annotated[
        str | None, entries.limit("Window without duration", cleared="as subscribed")
    ] = None,
    meeting_seats_max: Annotated[str | None, entries.limit("Seats of the greatest meeting")] = None,
    max_minutes: Annotated[str | None, entries.limit("Longest window")] = None,
    hosts: Annotated[str | None, entries.words("Exact host names that belong to it")] = None,
    algorithms: Annotated[str | None, entries.words("Hash algorithms of checksums")] = None,
    origins: Annotated[
        str | None, entries.words("Origins of browser applications, `*` is any")
    ] = None,
    refused_calls: Annotated[str | None, entries.words("Names of calls that are refused")] = None,
    rules_file: entries.RulesOption = None,
    enable: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether it can be used.")
    ] = None,
    default: Annotated[
        bool | None,
        typer.Option("--default/--no-default", help="Owns the bare path, and no other does."),
    ] = None,
    jsonp: Annotated[bool | None, typer.Option(help="Reading calls as JSONP.")] = None,
    draft: Annotated[bool | None, typer.Option(help="The draft dialect.")] = None,
    moderators_pass: Annotated[
        bool | None, typer.Option(help="Moderators enter full meetings.")
    ] = None,
) -> None:
    """Change what is set on a credential; in force within a second."""
    terms = entries.sent(
        label=label,
        enabled=enable,
        is_default=default,
        jsonp=jsonp,
        draft=draft,
        moderators_pass=moderators_pass,
        hosts=entries.listed(hosts),
        algorithms=entries.listed(algorithms),
        origins=entries.listed(origins),
        refused_calls=entries.listed(refused_calls),
    )
    terms |= entries.limits(
        seats=seats,
        meetings_max=meetings_max,
        default_seats=default_seats,
        default_duration_s=default_minutes,
        meeting_seats_max=meeting_seats_max,
        duration_max_s=max_minutes,
    )
    if rules_file is not None:
        terms["rules"] = entries.rules(rules_file)
    asked = {"credential": name, **terms}
    operate(lambda context: credentials.change(context, CredentialChange.model_validate(asked)))
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
    asked = {"credential": name, "overlap_s": overlap_s, "secret": secret}
    made = operate(
        lambda context: credentials.rotate(context, CredentialRotation.model_validate(asked))
    )
    typer.echo(f"secret  {made.secret}")
    if overlap_s:
        typer.echo(f"the previous secret stays valid for {overlap_hours:g} hours")


@credential.command("revoke")
def credential_revoke(name: NameArgument) -> None:
    """End a rotation now: only the newest secret stays valid."""
    operate(lambda context: credentials.revoke(context, CredentialAsked(credential=name)))
    typer.echo(f"the previous secret of {name} is valid no more")


@credential.command("remove")
def credential_remove(
    name: NameArgument,
    *,
    force: Annotated[
        bool,
        typer.Option("--force", help="Even if meetings or recordings get out of reach."),
    ] = False,
) -> None:
    """Remove a credential; it ends no meetings."""
    operate(
        lambda context: credentials.remove(context, CredentialRemoval(credential=name, force=force))
    )
    typer.echo(f"credential {name} was removed")


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

    asked = {"credential": name, "call": call, "query": query}
    found = operate(
        lambda context: credentials.try_rules(context, TrialAsked.model_validate(asked))
    )
    if json:
        printing.document(found.model_dump(mode="json", exclude_unset=True))
        return
    typer.echo("sent")
    printing.fields(found.sent, indent="  ")
    if found.refusal is not None:
        typer.echo(f"refused  {found.refusal.key}: {found.refusal.message}")
        return
    for rule in found.rules:
        typer.echo(f"rule  {rule.rule}")
        for line in _effects(rule):
            typer.echo(f"  {line}")
    if found.seats is not None and found.duration_s is not None:
        typer.echo(f"reserves  {found.seats} seats for {found.duration_s / 60:g} minutes")
        for url in found.callbacks:
            typer.echo(f"calls back  {url}")
    typer.echo("node")
    printing.fields(found.node or {}, indent="  ")


def _effects(rule: RuleShown) -> list[str]:
    if not rule.held:
        return ["its condition is not met"]
    return [
        f"{change.name}: {_shown(change.before)} becomes {_shown(change.after)}"
        for change in rule.changed
    ] or ["changed nothing"]


def _shown(value: str | None) -> str:
    return "absent" if value is None else repr(value)
