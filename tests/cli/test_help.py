"""Every command says what it does."""

from collections.abc import Iterator

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from scheduler.cli import root
from tests.cli.conftest import Place


def _commands() -> Iterator[tuple[str, ...]]:
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        path = waiting.pop()
        yield path
        command = get_command(root.commands())
        for name in path:
            assert isinstance(command, TyperGroup)
            command = command.commands[name]
        if isinstance(command, TyperGroup):
            waiting += [(*path, name) for name in command.commands]


@pytest.mark.parametrize("path", sorted(_commands()), ids=" ".join)
def test_every_command_has_a_help(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(root.commands(), [*path, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output
    # A sentence of its own, not the usage alone.
    said = [line for line in result.output.splitlines() if line.strip().endswith((".", "JSON."))]
    assert said, result.output


def test_the_commands_that_operators_rely_on_are_there() -> None:
    found = {" ".join(path) for path in _commands()}
    assert {
        "up", "gateway", "worker", "migrate", "status", "settings", "simulator",
        "node add", "node list", "node state", "subscription add", "subscription list",
        "subscription set", "subscription show",
        "credential add", "credential list", "credential show", "credential set",
        "credential rotate", "credential revoke", "credential try",
        "endpoint add", "endpoint list", "endpoint show", "endpoint set", "endpoint rotate",
        "endpoint enable", "endpoint disable", "endpoint ping", "endpoint remove",
        "event list", "event show", "event verify",
    } <= found  # fmt: skip


def test_no_command_is_a_wrong_question(place: Place) -> None:
    """Without a command the program shows what there is, and ends with 2."""
    result = place.run()
    assert result.exit_code == 2
    assert "Usage:" in result.output + result.errors
    result = place.run("nonsense")
    assert result.exit_code == 2
    assert "No such command 'nonsense'" in result.errors
