"""`seatkeep status`: for people, for programs, for cron, and over and over."""

import io
import itertools
import json
import signal
import sys
from pathlib import Path

import pytest

from scheduler.cli import printing, watching
from tests.cli.conftest import Place
from tests.cli.test_manage import assert_aligned
from tests.services.processes import ProductProcess


def test_json_is_for_programs(place: Place) -> None:
    result = place.run("status", "--json")
    assert (result.exit_code, result.errors) == (0, "")
    shown = json.loads(result.output)
    assert set(shown) == {
        *("at", "pools", "nodes", "subscriptions", "broker", "events", "endpoints", "jobs"),
        "problems",
    }
    [node] = [node for node in shown["nodes"] if node["node"] == "node-1"]
    assert (node["seats"], node["held"], node["overtime"], node["free"]) == (50, 0, 0, 50)
    [plan] = [plan for plan in shown["subscriptions"] if plan["subscription"] == "acme"]
    assert (plan["seats"], plan["free"], plan["meetings"], plan["users"]) == (20, 20, 0, 0)
    assert {"unpublished", "queued", "parked", "oldest_s"} <= set(shown["events"])


def test_tables_are_aligned(place: Place) -> None:
    place.run("subscription", "add", "a-much-longer-slug", "--seats", "1000000")
    result = place.run("status")
    assert (result.exit_code, result.errors) == (0, "")
    tables = [table.splitlines() for table in result.output.split("\n\n")]
    [plans] = [table for table in tables if table[0].startswith("SUBSCRIPTION")]
    rows = json.loads(place.run("status", "--json").output)["subscriptions"]
    columns = plans[0].lower().replace("load %", "load_percent").split()
    shown = [{column: row[column] for column in columns} for row in rows]
    for row in shown:
        row["load_%"] = row.pop("load_percent")
    assert_aligned(plans, shown)


def test_a_pool_can_be_chosen_and_a_wrong_one_is_refused(place: Place) -> None:
    shown = json.loads(place.run("status", "--json", "--pool", "default").output)
    assert [pool["pool"] for pool in shown["pools"]] == ["default"]
    result = place.run("status", "--pool", "nowhere")
    assert (result.exit_code, result.output) == (1, "")
    assert "there is no pool nowhere" in result.errors


def test_problems_are_an_exit_code(place: Place) -> None:
    result = place.run("status", "--problems")
    assert result.exit_code == 1
    # Other tests of this place add pools.
    default, *_ = sorted(result.output.splitlines())
    assert default.startswith("problem  pool default: no worker has taken it yet")
    found = place.run("status", "--problems", "--json")
    assert found.exit_code == 1
    assert "pool default" in [problem["subject"] for problem in json.loads(found.output)]


def test_a_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert printing.coloured("down", "red") == "down"
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert printing.coloured("down", "red") == "\x1b[31mdown\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert printing.coloured("down", "red") == "down"


def test_a_terminal_is_drawn_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    watching._show(["one", "two"], fresh=True)
    watching._show(["one"], fresh=False)
    assert screen.getvalue() == (
        "\x1b[2J\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J" + "\x1b[Hone\x1b[K\n\x1b[J"
    )


@pytest.fixture
def _shown_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what Ctrl-C does as soon as something was shown twice; CI may have SIGINT ignored."""
    pauses = itertools.count(1)

    async def pause(_: float) -> None:
        if next(pauses) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(watching, "_pause", pause)


@pytest.mark.usefixtures("_shown_twice")
def test_watching_a_file_prints_block_after_block(place: Place) -> None:
    result = place.run("status", "--watch", "--every", "0.5", "--problems")
    assert (result.exit_code, result.errors) == (0, "")
    blocks = result.output.strip().split("\n\n")
    assert len(blocks) == 2
    for block in blocks:
        at, *lines = block.strip().splitlines()
        assert at.endswith(" UTC")
        assert lines[0].startswith("problem  pool default")


@pytest.mark.usefixtures("_shown_twice")
def test_watching_for_programs_prints_a_line_of_json_each(place: Place) -> None:
    result = place.run("status", "--watch", "--every", "0.5", "--json")
    assert (result.exit_code, result.errors) == (0, "")
    lines = result.output.splitlines()
    assert len(lines) == 2
    assert all("nodes" in json.loads(line) for line in lines)


def test_ctrl_c_ends_a_process_that_watches_with_0(place: Place, tmp_path: Path) -> None:
    process = ProductProcess(
        *("status", "--watch", "--every", "0.5"),
        directory=tmp_path,
        environment={"SEATKEEP_DATA_DIR": str(place.directory / "data")},
        name="watching",
    )
    # A suite in the background has SIGINT ignored, and its children would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process.spawn()
        process._program.wait_until(lambda: process.log.count("POOL ") >= 2, timeout_s=30)
        process._program.send(signal.SIGINT)
        assert process.wait() == 0
    finally:
        signal.signal(signal.SIGINT, before)
        process.kill()
    assert "Traceback" not in process.log
