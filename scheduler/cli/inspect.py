"""Commands that show: status and settings.

Owns their options; `scheduler.manage.status` reads, `overviews` has the layout.
"""

from typing import Annotated, Any

import typer
from pydantic import SecretStr

from scheduler import logs
from scheduler.cli import completing, environment_file, overviews, printing, watching
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app, settings_or_fail
from scheduler.manage import status as manage
from scheduler.manage.context import Context
from scheduler.settings import descriptions
from schemas.management.status import Status, StatusAsked

PoolOption = Annotated[
    str | None,
    typer.Option("--pool", help="Only this pool.", autocompletion=completing.pools),
]


@app.command()
def status(
    *,
    json: JsonOption = False,
    pool: PoolOption = None,
    problems: Annotated[
        bool, typer.Option("--problems", help="Only what is wrong; exit code 1 when something is.")
    ] = False,
    watch: watching.WatchOption = False,
    every: watching.EveryOption = 2.0,
) -> None:
    """Show nodes, subscriptions and queues: what is held, in overtime and free right now.

    `peak` is the most seats that are guaranteed at any moment of the next two hours.

    Example: seatkeep status --pool default --watch --every 5

    For cron: seatkeep status --problems
    """

    def document(shown: Status) -> Any:
        found = shown.model_dump(mode="json")
        return found["problems"] if problems else found

    async def look(context: Context) -> Status:
        return await manage.show(context, StatusAsked(pool=pool))

    lines = overviews.problem_lines if problems else overviews.lines
    if watch:
        watching.watch(look, lines, every_s=every, document=document if json else None)
        return
    shown = operate(look)
    if json:
        printing.document(document(shown))
    else:
        for line in lines(shown):
            typer.echo(line)
    if problems and shown.problems:
        raise typer.Exit(printing.FAILED)


@app.command()
def settings(
    *,
    json: JsonOption = False,
    env: Annotated[
        bool, typer.Option("--env", help="Print an environment file with all of them instead.")
    ] = False,
) -> None:
    """Show the settings in force and what they mean; secrets are masked.

    Example: seatkeep settings --env
    """
    if env:
        typer.echo(environment_file.text(), nl=False)
        return
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
