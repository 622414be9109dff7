"""Starts, watches and ends the programs that the tests run.

Owns the life of one child process: environment, log file, signals, the wait for its end. Must
never signal a process it did not start (it only signals its own child and descendants of it, by
pid). Called by the server classes and by `processes`.
"""

import contextlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

POLL_INTERVAL_S = 0.02
KILL_TIMEOUT_S = 10.0
#: Environment names that a server or a product process may inherit; everything else stays out,
#: so that a developer's shell does not change what is tested.
INHERITED = ("PATH", "TZ", "TMPDIR", "VIRTUAL_ENV", "COVERAGE_PROCESS_START", "COVERAGE_FILE")


class ServerMissingError(RuntimeError):
    """A server program is not installed; the message says what to install."""


class ServerFailedError(RuntimeError):
    """A server did not start or stop in time; the message ends with its last log lines."""


class Program:
    """One child process with its output in a log file.

    The child leads its own process group, so a Ctrl-C at the terminal reaches the test run alone
    and the tests end the child in an orderly way.
    """

    def __init__(self, name: str, *, log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code of the ended child (negative: the signal), None while it runs."""
        return None if self._child is None else self._child.poll()

    def start(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        user: str | None = None,
    ) -> None:
        """Start the child; `user` names an account to run as (only root may ask for one)."""
        if self.running:
            raise RuntimeError(f"{self.name} is running already")
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(
                list(arguments),
                cwd=directory,
                env={**inherited_environment(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=None if user is None else _group_of(user),
                extra_groups=None if user is None else [],
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the child if it still runs."""
        if self.running:
            os.kill(self.pid, number)

    def descendants(self, name: str | None = None) -> list[int]:
        """Return the pids of the child's running descendants, of one program name if given."""
        if not self.running:
            return []
        parents = _parents()
        family, generation = [], {self.pid}
        while generation:
            generation = {pid for pid, (parent, _) in parents.items() if parent in generation}
            family.extend(sorted(generation))
        return [pid for pid in family if name in (None, parents[pid][1])]

    def wait(self, *, timeout_s: float) -> int:
        """Wait for the child's end and return its exit code; `ServerFailedError` when late."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise self.failure(f"did not end within {timeout_s:g} s") from None

    def wait_until(self, answers: Callable[[], bool], *, timeout_s: float) -> None:
        """Wait until `answers()` is true; `ServerFailedError` on the child's end or when late."""
        deadline = time.monotonic() + timeout_s
        while not answers():
            if not self.running:
                raise self.failure(f"ended with exit code {self.exit_code} before it was ready")
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready within {timeout_s:g} s")
            time.sleep(POLL_INTERVAL_S)

    def end(self, *, stop: signal.Signals, timeout_s: float) -> None:
        """Ask the child to stop; kill it with all descendants when it does not obey in time."""
        self.send(stop)
        try:
            if self._child is not None:
                self.wait(timeout_s=timeout_s)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL the child and every descendant, then collect the child."""
        if not self.running:
            return
        for pid in [self.pid, *self.descendants()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait(timeout_s=KILL_TIMEOUT_S)

    def failure(self, what: str) -> ServerFailedError:
        """Return an error that says what went wrong and shows the end of the log."""
        lines = self.log_path.read_text(errors="replace").splitlines()[-25:]
        tail = "\n".join(lines)
        return ServerFailedError(f"{self.name} {what}; the end of {self.log_path}:\n{tail}")


def inherited_environment() -> dict[str, str]:
    """Return the part of this process's environment that children may see."""
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {"LANG": "C.UTF-8", **environment}


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _parents() -> dict[int, tuple[int, str]]:
    """Return (parent pid, program name) of every process of this machine, by pid."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # "pid (name) state parent ...", where the name itself may hold blanks and brackets
            front, _, back = stat.read_text().rpartition(")")
            pid, _, name = front.partition(" (")
            parents[int(pid)] = (int(back.split()[1]), name)
    return parents
