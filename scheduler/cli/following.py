"""Watching a long operation that a worker does, until it is over.

Owns the wait and what its end means for the exit code; the bar is that of `progress`. Whoever stops
watching (Ctrl-C) stops nothing but this. Used by commands that begin long operations.
"""

import asyncio
from typing import Any

import typer

from scheduler.cli import printing
from scheduler.cli.progress import display
from scheduler.manage import jobs
from scheduler.manage.context import Context
from schemas.management.jobs import JobAsked, JobShown

_LOOK_S = 0.5


async def follow(context: Context, job_id: str, *, json: bool = False) -> JobShown:
    """Show the progress of a job until it is over; return it then."""
    asked = JobAsked(job=job_id)
    found = await jobs.show(context, asked)
    with display(f"{found.kind} {found.subject}", json=json) as shown:
        while True:
            found = await jobs.show(context, asked)
            await shown.report(found.done, found.total, found.note or found.state)
            if found.state not in jobs.OPEN:
                return found
            await asyncio.sleep(_LOOK_S)


def told(found: JobShown) -> dict[str, Any]:
    """Return what a job brought; one that failed or was cancelled ends the program."""
    if found.state == "failed":
        printing.fail(f"{found.kind} of {found.subject} failed: {found.error}")
    if found.state == "cancelled":
        printing.fail(f"{found.kind} of {found.subject} was cancelled")
    return found.result or {}


def hint(found: JobShown) -> None:
    """Say how to follow and to stop a job that goes on without us."""
    typer.echo(f"it goes on as operation {found.id}: `seatkeep job show {found.id}` follows it,")
    typer.echo(f"`seatkeep job cancel {found.id}` stops it")
