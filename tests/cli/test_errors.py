"""What goes wrong is one sentence on standard error, and an exit code that says whose fault."""

import re
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import NODE_SECRET, Place
from tests.services.processes import ProductProcess

FAILED, MISUSED = 1, 2

NODE = ("--secret", NODE_SECRET, "--seats", "5")


def _sentence(place: Place, *arguments: str, code: int, **environment: str) -> str:
    """Run a command that must fail with one line, and return the line without its beginning."""
    result = place.run(*arguments, **environment)
    assert result.exit_code == code, result
    assert result.output == ""
    assert re.fullmatch(r"seatkeep: [^\n]{10,300}\n", result.errors), result.errors
    return result.errors.removeprefix("seatkeep: ").rstrip("\n")


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("prot", "1", "SEATKEEP_PROT: no such setting; `seatkeep settings` lists the names"),
        ("port", "abc", "SEATKEEP_PORT: "),
        ("port", "99999", "SEATKEEP_PORT: "),
        ("log_level", "loud", "SEATKEEP_LOG_LEVEL: 'loud' is none of debug"),
        ("callback_networks", "10.0.0.0/8,here", "SEATKEEP_CALLBACK_NETWORKS: 'here'"),
        ("database_url", "mysql://u:p@h/x", "must start with postgresql+asyncpg://"),
        ("amqp_url", "amqp://h/", "set SEATKEEP_DATABASE_URL to PostgreSQL as well"),
    ],
)
def test_a_wrong_setting_is_named(place: Place, setting: str, value: str, says: str) -> None:
    assert says in _sentence(place, "status", code=MISUSED, **{setting: value})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("node", "add", "n2", "--url", "nonsense", *NODE), "begins with http:// or https://"),
        (("node", "add", "N 2", "--url", "http://h/", *NODE), "the name of a node"),
        (("node", "add", "node-1", "--url", "http://h/", *NODE), "there is a node node-1 already"),
        (("node", "state", "node-9", "draining"), "there is no node node-9"),
        (("node", "state", "node-1", "asleep"), "must be active, draining or disabled"),
        (("subscription", "add", "acme", "--seats", "9"), "there is a subscription acme already"),
        (("subscription", "add", "acme-5", "--seats", "9"), "ends like the number of a credential"),
        (("credential", "add", "nobody"), "there is no subscription nobody"),
        (("credential", "add", "acme", "--secret", "short"), "a secret is "),
        (("endpoint", "add", "nobody", "https://h/"), "there is no subscription nobody"),
        (("endpoint", "add", "acme", "ftp://h/"), "begins with http:// or https://"),
        (("endpoint", "add", "acme", "https://u:p@h/"), "has no user name or password"),
        (("endpoint", "add", "acme", "https://h/", "--kinds", "no"), "no event kind 'no'"),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, tuple) else "",
)
def test_an_entry_that_makes_no_sense_is_refused(
    place: Place, arguments: tuple[str, ...], says: str
) -> None:
    assert says in _sentence(place, *arguments, code=FAILED)


def test_an_option_that_is_missing_or_out_of_range_is_a_wrong_question(place: Place) -> None:
    for arguments in (("subscription", "add", "x"), ("subscription", "add", "x", "--seats", "0")):
        result = place.run(*arguments)
        assert result.exit_code == MISUSED
        assert "--seats" in result.errors


def test_a_database_without_tables_says_what_to_do(place: Place, tmp_path: Path) -> None:
    says = _sentence(place, "status", code=FAILED, data_dir=str(tmp_path / "new"))
    assert "run seatkeep migrate" in says


def test_a_file_that_is_no_database_is_left_alone(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "seatkeep.sqlite"
    file.write_bytes(b"not a database " * 500)
    for command in ("migrate", "status"):
        says = _sentence(place, command, code=FAILED, data_dir=str(tmp_path))
        assert "file is not a database" in says
    assert file.read_bytes() == b"not a database " * 500


def test_separate_processes_ask_for_servers(place: Place) -> None:
    for command in ("gateway", "worker"):
        says = _sentence(place, command, code=MISUSED)
        assert "SEATKEEP_DATABASE_URL and SEATKEEP_AMQP_URL" in says


def test_a_simulated_node_without_a_port_is_refused(place: Place) -> None:
    assert "70000" in _sentence(place, "simulator", "--port", "70000", code=MISUSED)


def test_a_second_process_on_one_data_directory_is_refused(place: Place, tmp_path: Path) -> None:
    """The first one goes on, and ends with 0 when it is asked to."""
    data = tmp_path / "data"
    first = ProductProcess("up", "--port", "0", "--data", str(data), directory=tmp_path)
    try:
        first.start()
        port = first.ready_line.rpartition(":")[2].partition("/")[0] if first.ready_line else ""
        second = place.run("up", "--port", "0", "--data", str(data), log_level="warning")
        assert second.exit_code == FAILED
        assert "another seatkeep runs on the data directory" in second.errors
        third = place.run("up", "--port", port, "--data", str(tmp_path / "2"), log_level="warning")
        assert third.exit_code == FAILED
        assert f"cannot listen on 127.0.0.1:{port}" in third.errors
        assert first.running
        first._program.send(signal.SIGINT)
        assert first.wait() == 0
    finally:
        first.kill()
    assert "Traceback" not in first.log


def test_a_process_that_waits_for_its_servers_can_be_stopped(tmp_path: Path) -> None:
    """Services of one machine start in any order; waiting must not outlast the wish to stop."""
    environment = {
        "SEATKEEP_DATA_DIR": str(tmp_path / "data"),
        "SEATKEEP_DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:1/none",
        "SEATKEEP_AMQP_URL": "amqp://127.0.0.1:1/",
    }
    process = ProductProcess(
        "gateway", "--port", "0", directory=tmp_path, environment=environment, name="gateway"
    )
    try:
        process.spawn()
        process._program.wait_until(lambda: "waiting for a service" in process.log, timeout_s=30)
        assert process.stop(timeout_s=10) == 0
    finally:
        process.kill()
    assert "Traceback" not in process.log
