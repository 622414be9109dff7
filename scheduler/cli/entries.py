"""How options of several commands are written: limits, lists, and files of rules.

Owns the word that clears something, and minutes for people where the product counts seconds. Never
checks values: that is done by `scheduler.checks`. Used by the commands that change things.
"""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from scheduler.cli import printing

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
        printing.fail(f"{source}: {error.strerror}; name a file of rules", code=printing.MISUSED)
    except UnicodeDecodeError:
        printing.fail(f"{source} is no text in UTF-8; name a file of rules", code=printing.MISUSED)
