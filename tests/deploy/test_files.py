"""The shipped scripts, locks and production examples keep their promises.

Parses the files themselves; nothing is started but the scripts' own argument checks. Publishing on
all interfaces is looked for everywhere, since Docker's published ports bypass a firewall.
"""

import configparser
import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scheduler.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SCRIPTS = [
    DEPLOY / "run",
    DEPLOY / "test",
    DEPLOY / "lock",
    DEPLOY / "rabbitmq4",
    ROOT / ".ci" / "run",
]
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
LOCKS = [DEPLOY / "requirements.lock", DEPLOY / "requirements-dev.lock"]
OTEL_LOCK = DEPLOY / "requirements-otel.lock"
EXAMPLES = [
    DEPLOY / "compose.yaml",
    DEPLOY / "compose.env.example",
    DEPLOY / "Dockerfile",
    DEPLOY / "nginx.conf",
    *UNITS,
]
REQUIREMENT = re.compile(
    r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)[^\\]*((?:\\\n +\S+ ?)*)", re.MULTILINE
)


def code(path: Path) -> str:
    """Return a file without its comment lines."""
    lines = path.read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def locked(lock: Path) -> dict[str, str]:
    """Return the version of every package in a lock, by normalised name."""
    return {canonicalize_name(m[1]): m[2] for m in REQUIREMENT.finditer(lock.read_text())}


def unit(path: Path) -> configparser.ConfigParser:
    """Return a parsed systemd unit; of a repeated key the last value."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way
    parser.read_string(path.read_text())
    return parser


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_executable_bash(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/bin/bash\n")
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=10)


def test_continuous_integration_runs_deploy_test_and_nothing_else() -> None:
    commands = [line for line in code(ROOT / ".ci" / "run").splitlines() if line]
    assert commands == ['exec "$(dirname "$0")/../deploy/test" "$@"']


def test_deploy_run_refuses_options_it_does_not_know() -> None:
    done = subprocess.run(
        [str(DEPLOY / "run"), "--prot", "80"], check=False, capture_output=True, timeout=10
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"usage: deploy/run")


@pytest.mark.parametrize("lock", [*LOCKS, OTEL_LOCK], ids=lambda path: path.name)
def test_locks_pin_every_package_with_hashes_and_name_no_index(lock: Path) -> None:
    text = lock.read_text()
    matches = list(REQUIREMENT.finditer(text))
    assert len(matches) == sum(not line.startswith(" ") for line in text.splitlines())
    assert all("--hash=sha256:" in match[3] for match in matches)
    assert not re.search(r"://|@|^-|^/|file:", text, re.MULTILINE)


def test_the_lock_covers_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime, development = (locked(lock) for lock in LOCKS)
    for wanted in map(Requirement, project["project"]["dependencies"]):
        assert runtime[canonicalize_name(wanted.name)] in wanted.specifier, str(wanted)
    for wanted in map(Requirement, project["dependency-groups"]["dev"]):
        assert development[canonicalize_name(wanted.name)] in wanted.specifier, str(wanted)
    assert runtime.items() <= development.items()


def test_the_npm_lock_names_no_registry() -> None:
    text = (ROOT / "tests" / "clients" / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    assert "://" not in re.sub(r'"url": "[^"]*"', "", text)
    assert all("integrity" in package for name, package in packages.items() if name)
    assert not any("resolved" in package for package in packages.values())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_listen_on_all_interfaces_nowhere(example: Path) -> None:
    assert "0.0.0.0" not in example.read_text()


def test_compose_publishes_on_loopback_only() -> None:
    text = code(DEPLOY / "compose.yaml")
    sections = re.findall(r"^ +ports:\n((?: +- .*\n)+)", text, re.MULTILINE)
    published = [port.strip(' -"') for section in sections for port in section.splitlines()]
    assert text.count("ports:") == len(sections)
    assert published == ["127.0.0.1:8090:8090", "${SEATKEEP_TLS_ADDRESS:-127.0.0.1}:443:443"]
    assert "network_mode" not in text
    assert "privileged: true" not in text


def test_images_have_exact_tags() -> None:
    images = re.findall(r"^ +image: (\S+)$", code(DEPLOY / "compose.yaml"), re.MULTILINE)
    images += re.findall(r"^FROM (\S+)", code(DEPLOY / "Dockerfile"), re.MULTILINE)
    assert len(images) == 6
    assert all(re.search(r":\d+\.\d+(\.\d+)?(-[a-z-]+)*$", image) for image in images), images


def test_the_image_runs_without_rights_from_the_lock() -> None:
    text = code(DEPLOY / "Dockerfile")
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE) == ["10001:10001"]
    assert "--require-hashes" in text
    assert "PYTHONSAFEPATH=1" in text


def test_compose_and_units_use_settings_that_exist() -> None:
    known = {f"SEATKEEP_{name.upper()}" for name in Settings.model_fields}
    # Of the proxy beside the product, for compose alone.
    known |= {"SEATKEEP_TLS_ADDRESS", "SEATKEEP_TLS_DIRECTORY", "SEATKEEP_DOMAIN"}
    for example in EXAMPLES:
        used = set(re.findall(r"SEATKEEP_[A-Z_]+", example.read_text()))
        assert used - {"SEATKEEP_"} <= known, f"{example.name}: {used - known}"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_run_hardened_under_their_own_account(path: Path) -> None:
    service = unit(path)["Service"]
    assert service["User"] == "seatkeep"
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert service["UMask"] == "0077"
    assert service["ExecStart"].startswith("/opt/seatkeep/.venv/bin/seatkeep ")


def test_the_gateway_unit_listens_on_loopback() -> None:
    text = (DEPLOY / "systemd" / "seatkeep-gateway@.service").read_text()
    assert "Environment=SEATKEEP_HOST=127.0.0.1 SEATKEEP_PORT=%i" in text


def test_nginx_passes_requests_on_unchanged_and_logs_no_query() -> None:
    text = code(DEPLOY / "nginx.conf")
    targets = re.findall(r"proxy_pass +(\S+);", text)
    assert set(targets) == {"http://seatkeep_gateways"}
    log_format = re.search(r"log_format seatkeep (.*?);", text, re.DOTALL)
    assert log_format is not None
    assert not re.search(r"\$(request|args|query_string|request_uri|http_referer)\b", log_format[1])
