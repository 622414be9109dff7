"""The image: what its recipe promises, and that its health check tells a process that serves."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser

from deploy import healthcheck
from tests.services.ports import free_port
from tests.services.processes import ProductProcess

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@pytest.fixture
def steps(tmp_path: Path) -> list[dict[str, Any]]:
    """Return the instructions of the Dockerfile; the parser wants a directory to write to."""
    parser = DockerfileParser(str(tmp_path))
    parser.content = (DEPLOY / "Dockerfile").read_text()
    return [step for step in parser.structure if step["instruction"] != "COMMENT"]


def test_every_instruction_is_one(steps: list[dict[str, Any]]) -> None:
    known = {
        *("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "HEALTHCHECK", "LABEL", "RUN"),
        *("USER", "WORKDIR"),
    }
    assert {step["instruction"] for step in steps} <= known
    assert steps[0]["instruction"] == "FROM"


def test_the_second_stage_holds_the_product_alone(steps: list[dict[str, Any]]) -> None:
    starts = [i for i, step in enumerate(steps) if step["instruction"] == "FROM"]
    assert len(starts) == 2
    final = steps[starts[1] :]
    copied = [step["value"] for step in final if step["instruction"] == "COPY"]
    assert copied == ["--from=build /opt/seatkeep /opt/seatkeep"]
    order = [step["instruction"] for step in final]
    assert order.index("USER") < order.index("HEALTHCHECK") < order.index("ENTRYPOINT")
    assert not [step for step in final if step["instruction"] in {"ADD", "EXPOSE", "VOLUME"}]


def test_what_is_copied_is_there_and_not_ignored(steps: list[dict[str, Any]]) -> None:
    sent = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    for step in steps:
        if step["instruction"] != "COPY" or step["value"].startswith("--from"):
            continue
        *sources, _ = step["value"].split()
        for source in sources:
            assert list(ROOT.glob(source)), source
            assert f"!{source.partition('/')[0]}" in sent, source


def test_each_choice_of_requirements_is_a_lock_and_the_larger_one_has_traces() -> None:
    pinned = re.compile(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)
    plain, traced, development = (
        dict(pinned.findall((DEPLOY / f"requirements{name}.lock").read_text()))
        for name in ("", "-otel", "-dev")
    )
    assert plain.items() <= traced.items() <= development.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for wanted in project["optional-dependencies"]["otel"]:
        name = re.split(r"[^a-z0-9-]", wanted)[0]
        assert name in traced
        assert name not in plain


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, "http://127.0.0.1:8090/healthz"),
        ({"SEATKEEP_HOST": "gateway", "SEATKEEP_PORT": "80"}, "http://gateway:80/healthz"),
        ({"SEATKEEP_HOST": "fd00::5"}, "http://[fd00::5]:8090/healthz"),
        ({"SEATKEEP_METRICS_PORT": "8091"}, "http://127.0.0.1:8091/healthz"),
        (
            {"SEATKEEP_METRICS_PORT": "8091", "SEATKEEP_METRICS_HOST": "10.0.0.7"},
            "http://10.0.0.7:8091/healthz",
        ),
        ({"SEATKEEP_METRICS_PORT": "0", "SEATKEEP_PORT": "81"}, "http://127.0.0.1:81/healthz"),
    ],
)
def test_the_health_check_asks_where_the_process_listens(
    environment: dict[str, str], asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOST", "PORT", "METRICS_HOST", "METRICS_PORT"):
        monkeypatch.delenv(f"SEATKEEP_{name}", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert healthcheck.address() == asked


def test_a_process_is_healthy_while_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(free_port())
    monkeypatch.setenv("SEATKEEP_PORT", port)
    for name in ("HOST", "METRICS_PORT"):
        monkeypatch.delenv(f"SEATKEEP_{name}", raising=False)
    # A proxy of the environment must not be asked.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    assert healthcheck.main() == 1
    assert capsys.readouterr().err.startswith("not healthy: ")
    process = ProductProcess("up", "--port", port, "--data", str(tmp_path), directory=tmp_path)
    try:
        process.start()
        assert healthcheck.main() == 0
    finally:
        process.kill()
