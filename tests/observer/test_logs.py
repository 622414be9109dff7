"""Facts about logs and crash points."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from scheduler import failpoints, logs
from scheduler.settings import Settings


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Put the logs back as they were."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def fail() -> None:
    raise RuntimeError("GET /api/create?name=a&checksum=canary5 failed")


def test_lines_are_json_with_role_and_level(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json"), "gateway")
    structlog.get_logger().info("seats held", seats=5)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["role"], line["level"], line["seats"]) == (
        "seats held",
        "gateway",
        "info",
        5,
    )
    assert line["timestamp"].endswith("Z")


def test_the_level_is_a_floor(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json", log_level="warning"), "x")
    structlog.get_logger().info("not shown")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_never_reach_the_output(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    logs.configure(Settings(log_format=log_format), "x")
    try:
        fail()
    except RuntimeError:
        structlog.get_logger().exception(
            "call failed",
            secret="canary1",
            nested={"moderatorPassword": "canary2", "list": ["https://h/?a=1&checksum=canary3"]},
            url="amqp://user:canary4@host/vhost",
            join="https://h/join?fullName=x&password=canary6&checksum=canary7",
        )
    text = capsys.readouterr().err
    assert "canary" not in text
    assert "***" in text


def test_wrong_formats_and_levels_are_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="xml"):
        Settings(log_format="xml")
    with pytest.raises(ValueError, match="loud"):
        Settings(log_level="loud")


def test_a_crash_point_kills_at_the_configured_hit() -> None:
    program = (
        "from scheduler import failpoints\n"
        "failpoints.configure('a:3, b')\n"
        "for n in range(5):\n"
        "    failpoints.hit('other')\n"
        "    print(n, flush=True)\n"
        "    failpoints.hit('a')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout.split()) == (-9, [b"0", b"1", b"2"])


@pytest.mark.parametrize("text", ["a:0", "a:x", ":1", "a:1:2"])
def test_crash_points_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="SEATKEEP_FAILPOINTS"):
        failpoints.configure(text)


def test_without_configuration_a_crash_point_does_nothing() -> None:
    failpoints.configure("")
    failpoints.hit("a")
