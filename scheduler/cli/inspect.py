"""Commands that show: status and settings.

Owns the layout of what an operator sees of a running installation; `scheduler.overview` reads it.
"""

import typer
from pydantic import SecretStr

from scheduler import logs, overview
from scheduler.cli import printing
from scheduler.cli.performing import JsonOption, perform
from scheduler.cli.root import app, settings_or_fail
from scheduler.settings import descriptions


@app.command()
def status(*, json: JsonOption = False) -> None:
    """Show nodes, subscriptions, queues: what is held, in overtime and free right now."""
    shown = perform(lambda parts: overview.read(parts.database))
    if json:
        printing.document(shown)
        return
    for pool in shown["pools"]:
        worker = pool["holder"] or "nobody yet"
        typer.echo(f"pool {pool['name']}  {pool['mode']}  epoch {pool['epoch']}  worker {worker}")
    seats = ["seats", "held", "overtime", "free", "meetings", "users"]
    typer.echo("")
    printing.table(shown["nodes"], ["node", "state", "health", *seats], as_json=False)
    typer.echo("")
    printing.table(shown["subscriptions"], ["subscription", *seats], as_json=False)
    typer.echo("")
    events = shown["events"]
    typer.echo(
        f"events      {events['unpublished']} not yet relayed\n"
        f"deliveries  {events['queued']} queued (oldest {events['oldest_s']} s),"
        f" {events['parked']} parked"
    )


@app.command()
def settings(*, json: JsonOption = False) -> None:
    """Show the settings in force and what they mean; secrets are masked."""
    loaded = settings_or_fail()
    meaning = descriptions()
    rows = [
        {
            "setting": f"SEATKEEP_{name.upper()}",
            "value": _shown(getattr(loaded, name)),
            "meaning": meaning.get(name, ""),
        }
        for name in type(loaded).model_fields
    ]
    printing.table(rows, ["setting", "value", "meaning"], as_json=json)


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else ""
    if isinstance(value, tuple):
        return ", ".join(f"{item:g}" for item in value)
    # A database URL has a password in it.
    return str(logs.mask(str(value)))
