"""`seatkeep usage`: a table with hours, JSON with seconds, CSV for billing."""

import csv
import io
from pathlib import Path

import orjson
import pytest

from tests.commands import Result, run_inside


@pytest.fixture
def place(tmp_path: Path) -> Path:
    assert run(tmp_path, "migrate").exit_code == 0
    made = run(tmp_path, "subscription", "add", "acme", "--seats", "20")
    assert made.exit_code == 0, made
    return tmp_path


def run(directory: Path, *arguments: str) -> Result:
    environment = {"SEATKEEP_DATA_DIR": str(directory / "data"), "COLUMNS": "160"}
    return run_inside(*arguments, directory=directory, environment=environment)


def test_usage_is_printed_in_three_forms(place: Path) -> None:
    assert run(place, "usage").output == "none\n"
    assert orjson.loads(run(place, "usage", "acme", "--json").output) == {
        "items": [],
        "next": None,
    }
    table = list(csv.reader(io.StringIO(run(place, "usage", "acme", "--csv").output)))
    assert table[0][:3] == ["period", "subscription", "credential"]
    assert len(table) == 1


def test_mistakes_are_answered_with_a_sentence(place: Path) -> None:
    unknown = run(place, "usage", "nobody")
    assert unknown.exit_code == 1
    assert "no subscription nobody" in unknown.errors
    turned = run(place, "usage", "--from", "2026-02-02", "--to", "2026-02-01")
    assert (turned.exit_code, "first day is after" in turned.errors) == (1, True)
    assert run(place, "usage", "--by", "week").exit_code == 2
