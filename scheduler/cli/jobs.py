"""Commands about long operations: list, show, cancel.

Owns the layout; the operations are `scheduler.manage.jobs`.
"""

from typing import Annotated, Any

import typer

from scheduler.cli import printing
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.manage import jobs
from schemas.management.jobs import JobAsked, JobsAsked, JobShown

job = typer.Typer(
    no_args_is_help=True, help="Long operations: how far they are, and stopping them."
)
app.add_typer(job, name="job")

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Id of the operation.")]


@job.command("list")
def list_jobs(
    state: Annotated[
        str | None, typer.Option(help="waiting, running, done, failed or cancelled.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind of work.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many, the newest first.")] = 50,
    *,
    json: JsonOption = False,
) -> None:
    """List long operations, the newest first."""
    found = operate(
        lambda context: jobs.list_jobs(
            context, JobsAsked.model_validate({"state": state, "kind": kind, "limit": limit})
        )
    )
    if json:
        printing.document(found.model_dump(mode="json"))
        return
    lines = [_line(item) for item in found.items]
    columns = ["id", "kind", "subject", "state", "progress", "created", "actor"]
    printing.table(lines, columns, as_json=False)


@job.command()
def show(job_id: JobArgument, *, json: JsonOption = False) -> None:
    """Show a long operation: how far it is, what came of it."""
    found = operate(lambda context: jobs.show(context, JobAsked(job=job_id)))
    _print(found, json=json)


@job.command()
def cancel(job_id: JobArgument, *, json: JsonOption = False) -> None:
    """Ask a long operation to stop; what it has done stays done."""
    found = operate(lambda context: jobs.cancel(context, JobAsked(job=job_id)))
    _print(found, json=json)


def _print(found: JobShown, *, json: bool) -> None:
    if json:
        printing.document(found.model_dump(mode="json"))
        return
    shown: dict[str, Any] = _line(found) | {"note": found.note, "error": found.error}
    if found.cancel_asked and found.state == "running":
        shown["note"] = "asked to stop"
    printing.fields({name: value for name, value in shown.items() if value not in ("", None)})
    for name, value in (found.result or {}).items():
        typer.echo(f"{name}  {value}")


def _line(found: JobShown) -> dict[str, Any]:
    of = "" if found.total is None else f"/{found.total}"
    return {
        "id": found.id,
        "kind": found.kind,
        "subject": found.subject,
        "subscription": found.subscription,
        "state": found.state,
        "progress": f"{found.done}{of}",
        "created": f"{found.created_at:%Y-%m-%d %H:%M:%S}Z",
        "finished": f"{found.finished_at:%Y-%m-%d %H:%M:%S}Z" if found.finished_at else None,
        "actor": found.actor,
    }
