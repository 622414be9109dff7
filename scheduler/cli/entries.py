"""How options of several commands are written: limits, lists, and files of rules.

Owns the word that clears something, minutes for people where the product counts seconds, and lists
as they are entered and shown. Never checks values: that is done by `scheduler.checks`. Used by the
commands that manage.
"""

import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from pydantic import BaseModel

from scheduler.cli import printing
from scheduler.manage.context import Context
from schemas.management.paging import LIMIT_MAX, Listed, Paged

Item = TypeVar("Item")

#: Clears what it is given for.
NONE: Final = "none"
_DIGITS_MAX: Final = 9

LimitOption = Annotated[str | None, typer.Option(metavar="NUMBER", help="`none`: not set.")]
ListOption = Annotated[
    str | None, typer.Option(metavar="LIST", help="Comma-separated; `none`: empty.")
]
RulesOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="File of parameter rules; `-`: input, `none`: no rules."),
]


def limit(what: str, *, cleared: str = "no limit") -> Any:
    """Return the option of a number that may be cleared."""
    return typer.Option(metavar="NUMBER", help=f"{what}; `{NONE}`: {cleared}.")


def words(what: str, *, cleared: str = "empty") -> Any:
    """Return the option of a list."""
    return typer.Option(metavar="LIST", help=f"{what}, comma-separated; `{NONE}`: {cleared}.")


def limits(**entered: str | None) -> dict[str, int | None]:
    """Return the limits that were given, in seconds what was entered in minutes."""
    found: dict[str, int | None] = {}
    for field, text in entered.items():
        if text is None:
            continue
        if text == NONE:
            found[field] = None
        elif text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX:
            found[field] = int(text) * (60 if field.endswith("_s") else 1)
        else:
            said = f"{text!r} is no number; write a whole number, or {NONE} for no limit"
            printing.fail(said, code=printing.MISUSED)
    return found


def rules(source: str) -> str:
    """Return the rules of a file, of standard input, or none."""
    if source == NONE:
        return ""
    if source == "-":
        return sys.stdin.read()
    try:
        return Path(source).read_text(encoding="utf-8")
    except OSError as error:
        printing.fail(f"{source}: {error.strerror}; name a file of text", code=printing.MISUSED)
    except UnicodeDecodeError:
        printing.fail(f"{source} is no text in UTF-8; name a file of text", code=printing.MISUSED)


def listed(entered: str | None) -> list[str] | None:
    """Return the words of a list option; None when it was not given."""
    if entered is None:
        return None
    return [] if entered == NONE else [word for word in re.split(r"[,\s]+", entered) if word]


def sent(**entered: Any) -> dict[str, Any]:
    """Return what was given of options that have no value for "not given" but None."""
    return {name: value for name, value in entered.items() if value is not None}


async def every(
    context: Context, handler: Callable[[Context, Any], Awaitable[Listed[Item]]], asked: Paged
) -> list[Item]:
    """Return the items of all pages of a list."""
    items: list[Item] = []
    asked = asked.model_copy(update={"limit": LIMIT_MAX})
    while True:
        page = await handler(context, asked)
        items += page.items
        if page.next is None:
            return items
        asked = asked.model_copy(update={"after": page.next})


def flat(shown: BaseModel) -> dict[str, Any]:
    """Return a model as the command line shows it: lists as they are entered, instants as text."""
    return {
        name: ",".join(value) if isinstance(value, list) else value
        for name, value in shown.model_dump(mode="json").items()
    }
