"""Commands for nodes; the operations behind them are tested in `tests/manage/servers`."""

import json
from collections.abc import Iterator

import pytest

from deploy.simulator import app as simulator
from deploy.simulator.settings import SimulatorSettings
from tests.cli.conftest import NODE_SECRET, Place
from tests.serving import serving

HERE = ("--url", "http://127.0.0.1:1/bigbluebutton/", "--secret", NODE_SECRET, "--seats", "30")


@pytest.fixture(scope="module")
def server() -> Iterator[simulator.RunningNode]:
    """A simulated node in a thread of its own, since commands run in the foreground."""
    settings = [SimulatorSettings(name="s", secret=NODE_SECRET, version="3.0.4")]
    with serving(lambda: simulator.running(settings)) as [node]:
        yield node


def test_a_node_is_tested_when_it_is_added(place: Place, server: simulator.RunningNode) -> None:
    refused = place.run("node", "add", "away", *HERE)
    assert refused.exit_code == 1
    assert "node away was not added: no connection" in refused.errors
    assert "--no-test" in refused.errors
    url = ("--url", server.base_url, "--secret", NODE_SECRET, "--seats", "30")
    added = place.run("node", "add", "here", *url, "--tags", "gpu,eu", "--weight", "200")
    assert added.output == "node here was added to pool default with 30 seats, version 3.0.4\n"
    tested = place.run("node", "test", "here")
    assert (tested.exit_code, tested.errors) == (0, "")
    assert tested.output.startswith("node here answers (version 3.0.4): 0 meetings, ")
    shown = place.run("node", "show", "here").output
    assert "tags                      eu,gpu" in shown
    assert "weight                    200" in shown
    [row] = json.loads(place.run("node", "list", "--tag", "gpu", "--json").output)
    assert (row["name"], row["version"], row["free"]) == ("here", "3.0.4", 30)
    wrong = place.run("node", "rotate", "here", "--secret", "x" * 20)
    assert "it takes the previous one now" in wrong.output
    assert "x" * 20 not in wrong.output
    made = place.run("node", "rotate", "here", "--make")
    assert len(made.output.split("secret  ")[1].split("\n")[0]) == 40
    assert "bbb-conf --setsecret" in made.output
    assert place.run("node", "disable", "here").output == "node here is disabled\n"
    assert place.run("node", "remove", "here").output == "node here was removed\n"


def test_a_node_that_cannot_be_used_ends_the_test_with_1(place: Place) -> None:
    found = place.run("node", "test", "node-1")
    assert found.exit_code == 1
    assert "node node-1 cannot be used: no connection" in found.output
    assert "is nginx running" in found.output
    told = json.loads(place.run("node", "test", "node-1", "--json").output)
    assert (told["ok"], told["check"]) == (False, "refused")


def test_a_node_is_changed_and_its_limits_are_lifted(place: Place) -> None:
    url = ("--url", "http://h.invalid/")
    assert place.run("node", "add", "set-me", *HERE[2:], *url, "--no-test").exit_code == 0
    changed = place.run("node", "set", "set-me", "--seats", "40", "--meeting-seats-max", "20")
    assert changed.output == "node set-me was changed\n"
    assert place.run("node", "set", "set-me", "--meeting-seats-max", "none").exit_code == 0
    shown = json.loads(place.run("node", "show", "set-me", "--json").output)
    assert (shown["seats"], shown["meeting_seats_max"]) == (40, None)
    nothing = place.run("node", "set", "set-me")
    assert (nothing.exit_code, nothing.errors) == (1, "seatkeep: there is nothing to change\n")
    assert "drain it first" in place.run("node", "remove", "set-me").errors
    place.run("node", "state", "set-me", "disabled")
    assert place.run("node", "remove", "set-me").exit_code == 0


def test_maintenance_is_planned_listed_and_removed(place: Place) -> None:
    planned = place.run(
        *("node", "maintenance", "add", "node-1", "--from", "2030-01-01T22:00"),
        *("--minutes", "90", "--note", "kernel"),
    )
    assert planned.exit_code == 1
    assert "two years ahead" in planned.errors
    both = place.run("node", "maintenance", "add", "node-1")
    assert (both.exit_code, both.errors) == (
        2,
        "seatkeep: say its end, with --until or with --minutes\n",
    )
    planned = place.run("node", "maintenance", "add", "node-1", "--minutes", "90", "--note", "x")
    assert planned.exit_code == 0
    assert "nothing is in its way" in planned.output
    [row] = json.loads(place.run("node", "maintenance", "list", "node-1", "--json").output)
    assert row["note"] == "x"
    assert f"maintenance {row['id']} " in place.run("node", "show", "node-1").output
    removed = place.run("node", "maintenance", "remove", "node-1", str(row["id"]))
    assert removed.output == "node node-1 takes meetings again\n"
    assert place.run("node", "maintenance", "list", "node-1").output == "none\n"


def test_a_drain_says_how_to_follow_it(place: Place) -> None:
    told = place.run("node", "drain", "node-1")
    assert "node node-1 is draining: empty\n" in told.output
    job = told.output.split("operation ")[1].split(":")[0]
    assert f"`seatkeep job cancel {job}` stops it" in told.output
    again = json.loads(place.run("node", "drain", "node-1", "--json").output)
    assert again["operation"]["id"] == job
    place.run("job", "cancel", job)
    assert place.run("node", "activate", "node-1").output == "node node-1 is active\n"


def test_a_panic_asks_for_the_name(place: Place) -> None:
    refused = place.run("node", "panic", "node-1", "--confirm", "node-2")
    assert refused.exit_code == 1
    assert "confirm it with the name" in refused.errors
    begun = place.run("node", "panic", "node-1", "--confirm", "node-1", "--json")
    job = json.loads(begun.output)["operation"]["id"]
    place.run("job", "cancel", job)
    assert place.run("node", "activate", "node-1").exit_code == 0
