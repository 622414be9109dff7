"""`deploy/example.env` is what the product prints, and what it prints are its defaults."""

import re
from pathlib import Path

import pytest

from scheduler import settings
from scheduler.cli import environment_file
from scheduler.settings import Settings
from tests.commands import run_inside

EXAMPLE = Path(__file__).parents[2] / "deploy" / "example.env"


def test_the_file_is_what_the_command_prints(tmp_path: Path) -> None:
    result = run_inside("settings", "--env", directory=tmp_path)
    assert (result.exit_code, result.errors) == (0, "")
    said = "the settings have changed: seatkeep settings --env > deploy/example.env"
    assert EXAMPLE.read_text() == result.output, said


def test_every_line_is_the_default_of_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = re.findall(r"^#(SEATKEEP_[A-Z0-9_]+)=(.*)$", environment_file.text(), re.MULTILINE)
    names = {name for name, _ in lines}
    assert names == {f"SEATKEEP_{name.upper()}" for name in Settings.model_fields} - {
        "SEATKEEP_FAILPOINTS"
    }
    for name in names:
        monkeypatch.delenv(name, raising=False)
    plain = settings.load()
    for name, value in lines:
        # An empty line means the default where nothing is a value of its own.
        if value:
            monkeypatch.setenv(name, value)
    assert settings.load() == plain


def test_no_setting_goes_without_a_meaning() -> None:
    for block in environment_file.text().split("\n\n")[1:]:
        assert block.startswith("# "), block
