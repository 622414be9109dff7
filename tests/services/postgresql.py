"""A PostgreSQL server of one's own on 127.0.0.1.

Owns a data directory, a port and the server process on it. Must never touch a server it did not
start, listen on anything but loopback, or run with fsync off (the crash tests mean it). Called by
the fixtures in `tests/conftest.py` and by fault tests that need a server to kill.
"""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.services import programs
from tests.services.ports import free_port

BINARIES_PATTERN = "postgresql/*/bin/postgres"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
COMMAND_TIMEOUT_S = 60.0
#: PostgreSQL refuses to run as root; the first of these accounts that exists is used then.
ACCOUNTS = ("postgres", "nobody")
SUPERUSER = "seatkeep"


class PostgreSQL:
    """A server in `directory`: `start()`, `stop()`, `kill()`, and `start()` again on the same data.

    All methods block; a test on an event loop calls them through `asyncio.to_thread`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._binaries = find_binaries()
        self._account = _unprivileged_account()
        self._program = programs.Program("PostgreSQL", log_path=directory / "postgresql.log")

    @property
    def running(self) -> bool:
        return self._program.running

    @property
    def pid(self) -> int:
        return self._program.pid

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database (asyncpg driver)."""
        return f"postgresql+asyncpg://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server, on the same data and port as before; return when it answers."""
        data = self.directory / "data"
        if not data.exists():
            self._initialise(data)
        arguments = [
            str(self._binaries / "postgres"),
            *("-D", str(data)),
            *("-h", "127.0.0.1"),
            *("-p", str(self.port)),
            *("-k", str(self.directory)),
            *("-c", "fsync=on"),
            *("-c", "max_connections=200"),
            *("-c", "log_line_prefix=%m [%p] "),
        ]
        self._program.start(arguments, environment={}, directory=self.directory, user=self._account)
        self._program.wait_until(self._answers, timeout_s=START_TIMEOUT_S)

    def stop(self) -> None:
        """Stop in an orderly way (connections are cut, a checkpoint is written)."""
        self._program.end(stop=signal.SIGINT, timeout_s=STOP_TIMEOUT_S)

    def kill(self) -> None:
        """Stop at once without a checkpoint, as a crash would; the next start recovers."""
        self._program.end(stop=signal.SIGQUIT, timeout_s=STOP_TIMEOUT_S)

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Create a database as a copy of `template` and return its URL.

        Nobody may be connected to the template meanwhile.
        """
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, cutting whoever is connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str, *, database: str = "postgres") -> str:
        """Run one statement and return the rows as text, one per line, `|` between columns."""
        return self._run(
            [
                str(self._binaries / "psql"),
                *("-h", "127.0.0.1"),
                *("-p", str(self.port)),
                *("-U", SUPERUSER),
                *("-d", database),
                *("-v", "ON_ERROR_STOP=1"),
                "-XAtqc",
                statement,
            ]
        ).strip()

    def _initialise(self, data: Path) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._account is not None:
            shutil.chown(self.directory, self._account)
        self._run(
            [
                str(self._binaries / "initdb"),
                *("-D", str(data)),
                *("-U", SUPERUSER),
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ]
        )

    def _answers(self) -> bool:
        command = [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1"]
        return (
            subprocess.run(
                [*command, "-p", str(self.port), "-U", SUPERUSER],
                check=False,
                timeout=COMMAND_TIMEOUT_S,
                env=programs.inherited_environment(),
            ).returncode
            == 0
        )

    def _run(self, arguments: Sequence[str]) -> str:
        done = subprocess.run(
            list(arguments),
            check=False,
            cwd=self.directory,
            env=programs.inherited_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            user=self._account,
            group=None if self._account is None else pwd.getpwnam(self._account).pw_gid,
            extra_groups=None if self._account is None else [],
        )
        if done.returncode != 0:
            raise programs.ServerFailedError(f"{Path(arguments[0]).name} failed:\n{done.stdout}")
        return done.stdout


def find_binaries() -> Path:
    """Return the folder with PostgreSQL's programs, the newest release first.

    Raises `ServerMissingError` when there is none.
    """
    found = sorted(
        Path("/usr/lib").glob(BINARIES_PATTERN), key=lambda path: int(path.parts[-3]), reverse=True
    )
    if not found:
        raise programs.ServerMissingError(
            "PostgreSQL is not installed: run deploy/test, which installs it, install the package "
            "'postgresql', or set SEATKEEP_TEST_DATABASE_URL"
        )
    return found[0].parent


def _unprivileged_account() -> str | None:
    if os.geteuid() != 0:
        return None
    for account in ACCOUNTS:
        try:
            pwd.getpwnam(account)
        except KeyError:
            continue
        return account
    raise programs.ServerMissingError(f"root needs one of the accounts {ACCOUNTS} for PostgreSQL")
