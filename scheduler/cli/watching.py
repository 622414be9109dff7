"""A view that is shown over and over: `--watch`.

Owns the repetition and the look of it: in place on a terminal, one block after the other elsewhere,
one line of JSON each for programs. Ends with 0 on Ctrl-C, since that is how watching ends. What is
shown comes from the command.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

import orjson
import typer
from sqlalchemy.exc import SQLAlchemyError

from scheduler import logs
from scheduler.cli.performing import operate
from scheduler.manage.context import Context

View = TypeVar("View")

WatchOption = Annotated[
    bool, typer.Option("--watch", "-w", help="Show it over and over, until Ctrl-C.")
]
EveryOption = Annotated[
    float, typer.Option("--every", min=0.5, max=3_600, help="Seconds between two views.")
]

_pause = asyncio.sleep
_HOME: Final = "\x1b[H"
_CLEAR: Final = "\x1b[2J"
_TO_END_OF_LINE: Final = "\x1b[K"
_TO_END_OF_SCREEN: Final = "\x1b[J"


def watch(
    look: Callable[[Context], Awaitable[View]],
    lines: Callable[[View], list[str]],
    *,
    every_s: float,
    document: Callable[[View], Any] | None = None,
) -> None:
    """Look and show, over and over; with `document` a line of JSON each."""

    async def _watch(context: Context) -> None:
        fresh = True
        while True:
            try:
                view = await look(context)
            except (SQLAlchemyError, OSError) as error:
                # A database that restarts is a reason to go on watching.
                reason = str(getattr(error, "orig", None) or error).splitlines()[0]
                shown = [f"not readable at present: {logs.mask(reason)}"]
            else:
                if document is not None:
                    typer.echo(orjson.dumps(document(view)).decode())
                    await _pause(every_s)
                    continue
                shown = lines(view)
            if document is None:
                _show(shown, fresh=fresh)
            else:
                typer.echo(shown[0], err=True)
            fresh = False
            await _pause(every_s)

    try:
        operate(_watch)
    except KeyboardInterrupt:
        raise typer.Exit from None


def _show(shown: list[str], *, fresh: bool) -> None:
    if sys.stdout.isatty():
        start = _CLEAR + _HOME if fresh else _HOME
        # One write, and every line cleared behind itself: nothing flickers.
        body = "".join(f"{line}{_TO_END_OF_LINE}\n" for line in shown)
        sys.stdout.write(start + body + _TO_END_OF_SCREEN)
        sys.stdout.flush()
        return
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    typer.echo("\n".join(["" if fresh else "\n", at, *shown]).strip("\n") + "\n")
