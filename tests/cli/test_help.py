"""Every command says what it does."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest
from typer.core import TyperGroup
from typer.main import get_command

from scheduler.cli import completing, examples, root
from tests.cli.conftest import Place
from tests.commands import run_command

#: Made once: a hundred commands take a while.
PROGRAM: Any = get_command(root.commands())


def _help(path: tuple[str, ...], **environment: str) -> Any:
    return click.testing.CliRunner().invoke(PROGRAM, [*path, "--help"], env=environment)


def _commands() -> Iterator[tuple[str, ...]]:
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        path = waiting.pop()
        yield path
        command = PROGRAM
        for name in path:
            assert isinstance(command, TyperGroup)
            command = command.commands[name]
        if isinstance(command, TyperGroup):
            waiting += [(*path, name) for name in command.commands]


def _command(path: tuple[str, ...]) -> Any:
    command: Any = PROGRAM
    for name in path:
        command = command.commands[name]
    return command


def _is_leaf(path: tuple[str, ...]) -> bool:
    return not hasattr(_command(path), "commands")


LEAVES = sorted(path for path in _commands() if _is_leaf(path))


@pytest.mark.parametrize("path", sorted(_commands()), ids=" ".join)
def test_every_command_has_a_help(path: tuple[str, ...]) -> None:
    result = _help(path)
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output
    # A sentence of its own, not the usage alone.
    said = [line for line in result.output.splitlines() if line.strip().endswith((".", "JSON."))]
    assert said, result.output


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_has_an_example_that_it_takes(
    path: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logo.png").touch()
    shown = _help(path, COLUMNS="200").output
    [example, *_] = re.findall(r"Example[^\n:]*: (seatkeep [^\n]*)", shown)
    words = shlex.split(example)
    assert words[: len(path) + 1] == ["seatkeep", *path]
    # Read, not run: options and arguments are those that the command has.
    _command(path).make_context(path[-1], words[len(path) + 1 :])


def test_an_example_is_of_a_command_that_is_there() -> None:
    assert {tuple(name.split()) for name in examples.EXAMPLES} <= set(_commands())


def test_a_name_that_is_nearly_right_is_suggested(place: Place) -> None:
    for arguments, near in (
        (("stauts",), "status"),
        (("node", "lst"), "list"),
        (("node", "list", "--jsn"), "--json"),
        (("node", "show", "nod-1"), "did you mean node-1?"),
        (("subscription", "show", "acne"), "did you mean acme?"),
    ):
        result = place.run(*arguments)
        assert result.exit_code in (1, 2)
        assert near in result.errors, arguments


@pytest.mark.parametrize("kind", ["nodes", "pools", "subscriptions"])
def test_names_are_completed_from_the_database(
    place: Place, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = {"nodes": "node-1", "pools": "default", "subscriptions": "acme"}[kind]
    complete = getattr(completing, kind)
    monkeypatch.setenv("SEATKEEP_DATA_DIR", str(place.directory / "data"))
    assert name in complete(name[:2])
    assert complete("%") == complete("zz") == []
    monkeypatch.setenv("SEATKEEP_DATA_DIR", str(tmp_path / "none"))
    assert complete("") == []
    assert not (tmp_path / "none").exists()
    monkeypatch.setenv("SEATKEEP_PORT", "nonsense")
    assert complete("") == []


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("node maintenance add nod", "node-1"),
        ("subscription set ac", "acme"),
        ("pool show def", "default"),
    ],
)
def test_arguments_complete_the_names_that_they_take(
    place: Place, typed: str, completed: str
) -> None:
    words = f"seatkeep {typed}"
    asked = {
        "_SEATKEEP_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
        "SEATKEEP_DATA_DIR": str(place.directory / "data"),
    }
    result = run_command(directory=place.directory, environment=asked)
    assert result.output.split() == [completed], result


def test_a_shell_gets_its_completion(place: Place) -> None:
    shown = place.run("--show-completion", "bash")
    assert shown.exit_code == 0
    assert "_SEATKEEP_COMPLETE" in shown.output or "complete" in shown.output


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
