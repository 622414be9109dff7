"""The description of threats names tests that are there."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
THREATS = TESTS.parent / "gateway" / "THREATS.md"


def test_every_threat_names_a_test_that_exists() -> None:
    rows = [line for line in THREATS.read_text().splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith("| threat |")]
    assert len(rows) > 25
    for row in rows:
        named = re.findall(r"`([a-z]+(?:/[a-z]+)*/test_\w+)`", row)
        assert named or "every test" in row, row
        for name in named:
            assert (TESTS / f"{name}.py").exists(), name


def test_every_test_of_this_package_is_named() -> None:
    text = THREATS.read_text()
    for path in Path(__file__).parent.glob("test_*.py"):
        assert path == Path(__file__) or f"`security/{path.stem}`" in text, path
