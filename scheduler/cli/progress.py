"""Long work done by the command line itself, with a progress bar.

Owns how progress looks: a bar with rate and time left on a terminal, plain lines elsewhere, nothing
beside JSON. The work is that of `scheduler.manage`. Used by commands that take long.
"""

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from scheduler.manage.context import Context
from scheduler.manage.progress import Progress as Reported

#: Plain lines come this far apart.
_LINES_S: Final = 5.0


async def run_inline(
    context: Context, kind: str, params: Mapping[str, Any], *, json: bool = False
) -> dict[str, Any]:
    """Do work of a kind here and now, instead of by a worker; return what came of it."""
    from scheduler.manage.table import WORK

    with display(kind, json=json) as shown:
        return await WORK[kind](context, params, shown)


@contextlib.contextmanager
def display(kind: str, *, json: bool = False) -> Iterator[Reported]:
    """Yield what shows progress as suits the output."""
    if json:
        yield _Silent()
        return
    if not sys.stderr.isatty():
        lines = _Lines(kind)
        yield lines
        lines.last()
        return
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as shown:
        yield _Bar(shown, kind)


class _Silent:
    async def report(self, done: int, total: int | None = None, note: str = "") -> None:
        """Say nothing: the result is all that a program wants."""


class _Bar:
    def __init__(self, shown: Progress, kind: str) -> None:
        self._shown = shown
        self._kind = kind
        self._task = shown.add_task(kind, total=None)

    async def report(self, done: int, total: int | None = None, note: str = "") -> None:
        """Move the bar."""
        self._shown.update(self._task, completed=done, total=total, description=note or self._kind)


class _Lines:
    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._said = ""
        self._at_s = 0.0
        self._latest = ""

    async def report(self, done: int, total: int | None = None, note: str = "") -> None:
        """Print a line now and then."""
        of = "" if total is None else f" of {total}"
        self._latest = f"{self._kind}: {done}{of}" + (f", {note}" if note else "")
        if time.monotonic() - self._at_s >= _LINES_S:
            self.last()

    def last(self) -> None:
        """Print what was reported last, unless it was printed."""
        if self._latest != self._said:
            typer.echo(self._latest, err=True)
            self._said, self._at_s = self._latest, time.monotonic()


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        """Return the column."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f}/s")
