"""Runs `seatkeep …` to its end: in this process, or as a process of its own.

Owns both ways and what they have in common: nothing of this process's own settings, a result with
the exit code and both streams. In this process a command takes some ten milliseconds and leaves
the logging, the garbage collector and the environment as they were; a process takes two seconds,
so only what is about processes starts one. Called by every test that runs a command.
"""

import contextvars
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import structlog
from typer.testing import CliRunner

from scheduler.cli import root
from tests.services import programs
from tests.services.processes import SEATKEEP

COMMAND_TIMEOUT_S = 60.0
#: The environment and the streams belong to the whole process.
_ONE_AT_A_TIME = threading.Lock()
_ERROR = 40


@dataclass(frozen=True)
class Result:
    """What a command printed."""

    exit_code: int
    output: str
    errors: str


def run_inside(
    *arguments: str,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    entered: str | None = None,
) -> Result:
    """Run a command in this process; from an event loop: `await asyncio.to_thread(run_inside, …)`.

    An exception that is not the command's own answer comes out of here. `entered` is what stands
    on its standard input.
    """
    given = {
        **dict.fromkeys(os.environ),
        **programs.inherited_environment(),
        "HOME": str(directory),
        **(environment or {}),
    }
    with _ONE_AT_A_TIME, _as_it_was():
        # In a context of its own: who acts is remembered there, and is nobody's once it has ended.
        result = contextvars.copy_context().run(
            CliRunner().invoke, root.commands(), arguments, input=entered, env=given
        )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Result(result.exit_code, result.stdout, result.stderr)


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Log errors to the command's standard error, and nowhere once it has ended."""
    threshold, switch_s, before = (
        gc.get_threshold(),
        sys.getswitchinterval(),
        structlog.get_config(),
    )

    def configure(*_: object) -> None:
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(_ERROR),
            logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
            # A logger that was kept would write to a stream that is closed.
            cache_logger_on_first_use=False,
        )

    try:
        # What else logs in this process must not do so into the command's output.
        configure()
        with mock.patch("scheduler.logs.configure", configure):
            yield
    finally:
        structlog.configure(**before)
        gc.set_threshold(*threshold)
        sys.setswitchinterval(switch_s)


def run_command(
    *arguments: str, directory: Path, environment: Mapping[str, str] | None = None
) -> Result:
    """Run a command as a process of its own."""
    done = subprocess.run(
        [SEATKEEP, *arguments],
        cwd=directory,
        env={**programs.inherited_environment(), "HOME": str(directory), **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=COMMAND_TIMEOUT_S,
        text=True,
    )
    return Result(done.returncode, done.stdout, done.stderr)
