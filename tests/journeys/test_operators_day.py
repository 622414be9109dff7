"""The operator's day of the README runs as it stands, and does what it says."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.ports import free_neighbours, free_port

_README = Path(__file__).parents[2] / "README.md"
_TIMEOUT_S = 400
#: What the day shows, in this order.
_SAID = (
    "node bbb1 was added to pool default with 100 seats",
    "node bbb2 was added",
    "<meetingID>lecture</meetingID>",
    "20 of 50 seats are free; 30 seats for 90 minutes fit at",
    "<meetingID>seminar</meetingID>",
    "no problems",
    "maintenance 1 of node bbb1",
    "0 of 50 seats are free; 20 seats for 60 minutes fit at",
    "node bbb1 is draining: empty at",
    "empty, 0 ended",
    "node bbb1 is active",
    "the previous secret stays valid for 48 hours",
    "node bbb2 has another secret; it takes the previous one now",
    "<meetingID>evening</meetingID>",
    "5 deliveries queued again",
    "6 would be added",
    "6 added",
    "the same",
    "delivery.replay",
)


def _script() -> str:
    """Return the commands of the README, on ports that are free here."""
    section = _README.read_text().partition("## An operator's day")[2]
    found = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert found is not None
    servers = free_neighbours(2)
    chosen = {"8090": free_port(), "9001": free_port(), "7001": servers, "7002": servers + 1}
    return re.sub("|".join(chosen), lambda port: str(chosen[port[0]]), found[1])


@pytest.mark.timeout(_TIMEOUT_S + 60)
def test_the_operators_day_of_the_readme_runs(tmp_path: Path) -> None:
    commands = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    day = subprocess.Popen(
        ["bash", "-eu", "-o", "pipefail", "-c", _script()],
        cwd=tmp_path,
        env={"PATH": commands, "HOME": str(tmp_path), "COLUMNS": "160", "LANG": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = day.communicate(timeout=_TIMEOUT_S)
    finally:
        # Whatever it left in the background.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(day.pid, signal.SIGTERM)
    assert day.returncode == 0, f"{output}\n{errors}"
    assert "Traceback" not in errors
    place = 0
    for said in _SAID:
        found = output.find(said, place)
        assert found >= 0, f"{said!r} is not behind {output[:place][-200:]!r}:\n{output}\n{errors}"
        place = found + len(said)
