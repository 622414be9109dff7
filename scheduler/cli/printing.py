"""What the command line prints: aligned tables for people, JSON for programs, one-line errors.

Owns the look of the output. Never shows a secret that it was not explicitly handed.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import orjson
import typer

#: Exit codes: 0 done, 1 it did not work, 2 it was asked wrongly.
FAILED = 1
MISUSED = 2


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows with the named columns; numbers stand to the right."""
    if as_json:
        document([dict(row) for row in rows])
        return
    for line in aligned(rows, columns):
        typer.echo(line)


def aligned(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Return the lines of a table, its headings first."""
    if not rows:
        return ["none"]
    cells = [[_text(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *cells]) for i in range(len(columns))]
    right = [any(_is_number(row.get(column)) for row in rows) for column in columns]
    lines = []
    for line in [[column.upper().replace("_", " ") for column in columns], *cells]:
        padded = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def coloured(text: str, colour: str) -> str:
    """Return a text in a colour where that can be seen; it must say the same without.

    A terminal shows it, unless `NO_COLOR` is set to anything; a file or a pipe never gets it.
    """
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return text
    return typer.style(text, fg=colour)


def fields(row: Mapping[str, Any], *, indent: str = "") -> None:
    """Print names and values, a line for each."""
    width = max(map(len, row), default=0)
    for name, value in row.items():
        typer.echo(f"{indent}{name.ljust(width)}  {_text(value)}".rstrip())


def rules(text: str) -> None:
    """Print parameter rules, when there are any."""
    if text:
        typer.echo("\n  ".join(["rules", *text.splitlines()]))


def document(value: Any) -> None:
    """Print JSON."""
    sys.stdout.write(
        orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n"
    )


def fail(message: str, *, code: int = FAILED) -> NoReturn:
    """End the program with a sentence on standard error."""
    typer.echo(f"seatkeep: {message}", err=True)
    raise typer.Exit(code)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
