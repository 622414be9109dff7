"""The root of the command line, and how every command starts and fails.

Owns the entry point, the reading of settings, and the translation of operating errors into one
sentence and an exit code (0 done, 1 it did not work, 2 it was asked wrongly).
"""

import gc
import os
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from scheduler import logs, settings
from scheduler.assembly import AlreadyRunningError, StoppedEarlyError, tune_interpreter
from scheduler.bus.errors import BusError
from scheduler.cli import printing
from scheduler.database import UnfitDatabaseError
from scheduler.operations import OperationError
from scheduler.settings import Settings
from scheduler.vault import VaultError

Result = TypeVar("Result")

#: Commands that end by themselves print their result; their log would only be in the way.
_QUIET = frozenset({"manage", "migrate"})

#: The commands of `processes`.
_PROCESSES = frozenset({"up", "gateway", "worker", "migrate", "simulator"})
_HELP = frozenset({"--help", "-h"})

app = typer.Typer(
    help="Guaranteed seats in front of many BigBlueButton servers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def settings_or_fail(**overrides: object) -> Settings:
    """Return the settings; a wrong one ends the program with its sentence."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return settings.load(**given)
    except ValidationError as error:
        for fault in error.errors():
            name = ".".join(str(part) for part in fault["loc"])
            place = f"SEATKEEP_{name.upper()}: " if name else ""
            typer.echo(f"seatkeep: {place}{fault['msg'].removeprefix('Value error, ')}", err=True)
        raise typer.Exit(printing.MISUSED) from error
    except ValueError as error:
        printing.fail(str(error), code=printing.MISUSED)


def run(work: Coroutine[Any, Any, Result], loaded: Settings, role: str) -> Result:
    """Run a command to its end; what goes wrong in operation is a sentence, not a traceback."""
    import uvloop

    if role in _QUIET:
        loaded = loaded.model_copy(update={"log_level": "error"})
    logs.configure(loaded, role)
    tune_interpreter()
    try:
        return uvloop.run(work)
    except StoppedEarlyError as error:
        raise typer.Exit from error
    except (OperationError, VaultError, UnfitDatabaseError, AlreadyRunningError) as error:
        printing.fail(str(error))
    except BusError as error:
        printing.fail(f"the message broker cannot be used: {error}")
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        printing.fail(f"the database cannot be used: {logs.mask(reason)}")
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        printing.fail(f"{error.filename}: {error.strerror}; check SEATKEEP_DATA_DIR")
    except BrokenPipeError:
        # Whoever read has seen enough, as `head` does. What is still buffered has no reader.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None
    except OSError as error:
        printing.fail(f"a service cannot be reached: {error}")


def commands() -> typer.Typer:
    """Return the command line with all of its commands."""
    # Each module registers its commands with `app`.
    from scheduler.cli import (  # noqa: F401
        assets,
        audit,
        bench,
        bookings,
        capacity,
        convert,
        credentials,
        deliveries,
        endpoints,
        events,
        examples,
        hooks,
        inspect,
        jobs,
        meetings,
        node_life,
        nodes,
        pools,
        processes,
        state,
        subscriptions,
        tokens,
        usage,
    )

    examples.attach(app)
    return app


def main() -> None:
    """Run the command line."""
    gc.disable()  # see the package
    if len(sys.argv) > 1 and sys.argv[1] in _PROCESSES and not _HELP & set(sys.argv):
        # What runs for long, and is started often, needs no other command.
        from scheduler.cli import processes  # noqa: F401

        run_app = app
    else:
        run_app = commands()
    gc.enable()
    run_app()
