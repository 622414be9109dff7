"""Runs a program of the product as a real process.

Owns one product process: its environment, its log, its ready line, its end. Must never import
the product into the test process for that, since crash tests need something to kill. Called by
tests that look at `seatkeep` from outside.
"""

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services import programs

READY_PREFIX = "ready "
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 40.0
SEATKEEP = str(Path(sys.executable).with_name("seatkeep"))


class ProductProcess:
    """`seatkeep` with the given arguments; `start()`, `stop()`, `kill()`, and `start()` again.

    The log of every life is kept in one file; `ready_line` belongs to the present life. All
    methods block except `ready`, which is for tests whose own event loop serves the process.
    """

    def __init__(
        self,
        *arguments: str,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        name: str = "seatkeep",
    ) -> None:
        self.arguments: Sequence[str] = (SEATKEEP, *arguments)
        self.directory = directory
        self.environment = dict(environment or {})
        self._program = programs.Program(name, log_path=directory / f"{name}.log")
        self._life_starts_at_byte = 0

    @property
    def running(self) -> bool:
        return self._program.running

    @property
    def pid(self) -> int:
        return self._program.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code of the ended process (negative: the signal), None while it runs."""
        return self._program.exit_code

    @property
    def log(self) -> str:
        """Everything the process printed in its present life."""
        with self._program.log_path.open("rb") as log:
            log.seek(self._life_starts_at_byte)
            return log.read().decode(errors="replace")

    @property
    def ready_line(self) -> str | None:
        """The line with which the process said that it serves, None before that."""
        for line in self.log.splitlines(keepends=True):
            if line.startswith(READY_PREFIX) and line.endswith("\n"):
                return line.rstrip("\n")
        return None

    def spawn(self) -> None:
        """Start the process and return at once."""
        self.directory.mkdir(parents=True, exist_ok=True)
        log_path = self._program.log_path
        self._life_starts_at_byte = log_path.stat().st_size if log_path.exists() else 0
        environment = {"PYTHONUNBUFFERED": "1", "HOME": str(self.directory), **self.environment}
        self._program.start(self.arguments, environment=environment, directory=self.directory)

    def wait_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> str:
        """Wait for the ready line and return it; `ServerFailedError` with the log otherwise."""
        self._program.wait_until(lambda: self.ready_line is not None, timeout_s=timeout_s)
        return self.ready_line or ""

    def start(self, *, timeout_s: float = READY_TIMEOUT_S) -> str:
        """Start the process and return its ready line."""
        self.spawn()
        return self.wait_ready(timeout_s=timeout_s)

    async def ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> str:
        """Wait like `wait_ready` while the event loop goes on."""
        return await asyncio.to_thread(self.wait_ready, timeout_s=timeout_s)

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Send SIGTERM and return the exit code; `ServerFailedError` when it does not obey."""
        self._program.send(signal.SIGTERM)
        return self._program.wait(timeout_s=timeout_s)

    def wait(self, *, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for the process to end by itself and return its exit code."""
        return self._program.wait(timeout_s=timeout_s)

    def kill(self) -> None:
        """SIGKILL the process and everything it started."""
        self._program.kill()

    def freeze(self) -> None:
        """SIGSTOP: the process keeps its connections and does nothing."""
        self._program.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._program.send(signal.SIGCONT)
