"""A place to run commands in: a migrated database with a node, a subscription, an endpoint.

Owns `place`, made once, and `Place.run`. Tests that change what is there use names of their own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.commands import Result, run_inside

NODE_SECRET = "canary-node-secret-3Lk8"


@dataclass
class Place:
    """A data directory, and everything that was printed about it."""

    directory: Path
    printed: list[str] = field(default_factory=list)

    def run(self, *arguments: str, **environment: str) -> Result:
        """Run `seatkeep`; settings are given by their names without the prefix, in small letters.

        Whatever happens, nobody sees a traceback.
        """
        given = {"SEATKEEP_DATA_DIR": str(self.directory / "data"), "COLUMNS": "100"}
        given |= {f"SEATKEEP_{name.upper()}": value for name, value in environment.items()}
        result = run_inside(*arguments, directory=self.directory, environment=given)
        self.printed.append(result.output + result.errors)
        assert "Traceback" not in result.errors, result.errors
        assert "Traceback" not in result.output, result.output
        return result


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("cli"))
    node = ("--url", "http://127.0.0.1:1/bigbluebutton/", "--secret", NODE_SECRET, "--seats", "50")
    for arguments in (
        ("migrate",),
        ("node", "add", "node-1", *node, "--no-test"),
        ("subscription", "add", "acme", "--seats", "20", "--name", "Acme Ltd"),
    ):
        result = made.run(*arguments)
        assert (result.exit_code, result.errors) == (0, ""), result
    yield made
    # Nothing that any command printed shows the secret that was entered.
    assert not [text for text in made.printed if NODE_SECRET in text]
