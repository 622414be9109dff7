"""The systemd units, as systemd itself sees them."""

import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
#: Tenths; systemd calls everything up to 2.0 "OK". What is left is the network, which they need.
EXPOSURE_MAX = 15
INSTANCES = {"seatkeep-gateway@": "seatkeep-gateway@8090", "seatkeep-worker@": "seatkeep-worker@eu"}


def test_the_units_make_sense_to_systemd(tmp_path: Path) -> None:
    for path in UNITS:
        # The product is not installed here; all the rest is checked as it is.
        text = path.read_text().replace("/opt/seatkeep/.venv/bin/seatkeep", "/bin/true")
        (tmp_path / f"{INSTANCES.get(path.stem, path.stem)}.service").write_text(text)
        (tmp_path / path.name).write_text(text)
    started = [f"{INSTANCES.get(path.stem, path.stem)}.service" for path in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in started)],
        check=False,
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_is_little_exposed(path: Path) -> None:
    done = subprocess.run(
        [
            *("systemd-analyze", "security", "--offline=true", "--no-pager"),
            *(f"--threshold={EXPOSURE_MAX}", str(path)),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-400:] + done.stderr
