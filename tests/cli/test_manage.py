"""Commands that work: what they print, and what they never print."""

import json
import re
from typing import Any

import pytest

from tests.cli.conftest import NODE_SECRET, Place

DATABASE_URL = "postgresql+asyncpg://keeper:canary-db-1@127.0.0.1:1/x"


def test_migrate_may_be_repeated(place: Place) -> None:
    for _ in range(2):
        result = place.run("migrate")
        assert (result.exit_code, result.output) == (0, "the database is up to date\n")


@pytest.mark.parametrize("kind", ["node", "subscription", "endpoint"])
def test_lists_are_aligned_and_the_same_as_json(place: Place, kind: str) -> None:
    url = "https://app.example.org/hook?tag=a%2Fb"
    if kind == "endpoint":
        assert place.run("endpoint", "add", "acme", url, "--kinds", "userLeft").exit_code == 0
        place.run("endpoint", "add", "acme", "https://b.example.org/")
    shown = place.run(kind, "list")
    assert (shown.exit_code, shown.errors) == (0, "")
    rows = json.loads(place.run(kind, "list", "--json").output)
    assert_aligned(shown.output.splitlines(), rows)
    if kind == "endpoint":
        assert url in {row["url"] for row in rows}
    assert not any("secret" in name for row in rows for name in row)


def assert_aligned(lines: list[str], rows: list[dict[str, Any]]) -> None:
    """Each cell begins or, a number, ends where its heading does."""
    assert len(lines) == len(rows) + 1
    for name in rows[0]:
        heading = re.search(rf"(^|  ){re.escape(name.upper().replace('_', ' '))}(  |$)", lines[0])
        assert heading is not None, lines[0]
        start, end = heading.end(1), heading.start(2)
        number = any(type(row[name]) is int for row in rows)
        for line, row in zip(lines[1:], rows, strict=True):
            cell = _cell(row[name])
            if number:
                assert line[:end].endswith(cell), (name, line)
            else:
                assert line[start:].startswith(cell), (name, line)


def _cell(value: object) -> str:
    words = {None: "-", True: "yes", False: "no"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def test_a_secret_is_shown_once_when_it_is_made(place: Place) -> None:
    made = place.run("credential", "add", "acme", "--sub", "5")
    assert (made.exit_code, made.errors) == (0, "")
    assert re.fullmatch(
        r"url     /t/acme-5/bigbluebutton/\nsecret  [A-Za-z0-9]{40}\n", made.output
    ), made.output
    secret = made.output.split()[-1]
    again = place.run("credential", "add", "acme", "--sub", "5")
    assert (again.exit_code, again.errors) == (
        1,
        "seatkeep: there is a credential acme-5 already\n",
    )
    later = [place.run(*command).output for command in (("status",), ("subscription", "list"))]
    assert not any(secret in text or NODE_SECRET in text for text in later)
    files = list((place.directory / "data").iterdir())
    assert not [file for file in files if secret.encode() in file.read_bytes()]
    assert not [file for file in files if NODE_SECRET.encode() in file.read_bytes()]


def test_a_node_changes_its_state(place: Place) -> None:
    assert place.run("node", "state", "node-1", "draining").output == "node node-1 is draining\n"
    [node] = json.loads(place.run("node", "list", "--json").output)
    assert (node["state"], node["url"]) == ("draining", "http://127.0.0.1:1/bigbluebutton/")
    assert place.run("node", "state", "node-1", "active").exit_code == 0


def test_settings_are_shown_without_their_secrets(place: Place) -> None:
    result = place.run(
        "settings",
        "--json",
        database_url=DATABASE_URL,
        amqp_url="amqp://keeper:canary-mq-2@127.0.0.1/",
        secret_key="canary-key-3",
        port="8123",
    )
    assert (result.exit_code, result.errors) == (0, "")
    assert "canary" not in result.output
    shown = {row["setting"]: row["value"] for row in json.loads(result.output)}
    assert shown["SEATKEEP_PORT"] == "8123"
    assert shown["SEATKEEP_DATABASE_URL"] == "postgresql+asyncpg://***@127.0.0.1:1/x"
    assert shown["SEATKEEP_AMQP_URL"]
    assert all(row["meaning"] for row in json.loads(result.output))
