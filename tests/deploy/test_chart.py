"""The Helm chart and compose, read without Helm and without Docker.

Shows that nothing is used which is not there; what Helm makes of it is not shown.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "helm" / "seatkeep"
TEMPLATES = sorted((CHART / "templates").iterdir())
ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
VALUE = re.compile(r"(?:^|[\s($])\.Values((?:\.[A-Za-z]+)+)")
SETTINGS = {f"SEATKEEP_{name.upper()}" for name in Settings.model_fields}
#: What the chart leaves to a secret.
SECRETS = {"DATABASE_URL", "AMQP_URL", "SECRET_KEY", "METRICS_TOKEN"}


def _values() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def _used() -> dict[str, str]:
    """Return every value that a template uses, with one of the templates."""
    used = {}
    for template in TEMPLATES:
        for action in ACTION.findall(template.read_text()):
            for path in VALUE.findall(action.replace("$.Values", ".Values")):
                used[path.removeprefix(".")] = template.name
    return used


def _leaves(value: Any, path: tuple[str, ...] = ()) -> set[str]:
    if isinstance(value, dict) and value:
        found: set[str] = set()
        for name, inner in value.items():
            found |= _leaves(inner, (*path, name))
        return found
    return {".".join(path)}


def test_the_chart_says_what_it_is() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["apiVersion"], chart["name"], chart["type"]) == ("v2", "seatkeep", "application")
    assert chart["appVersion"] == _values()["image"]["tag"]


def test_every_value_that_is_used_exists() -> None:
    used = _used()
    assert len(used) > 30
    for path, template in used.items():
        value: Any = _values()
        for name in path.split("."):
            assert name in value, f"{template} uses .Values.{path}"
            value = value[name]


def test_every_value_that_exists_is_used() -> None:
    used = set(_used())
    for leaf in _leaves(_values()):
        assert any(leaf == path or leaf.startswith(f"{path}.") for path in used), leaf


def test_every_template_that_is_included_is_defined_and_used() -> None:
    actions = [action for path in TEMPLATES for action in ACTION.findall(path.read_text())]
    defined = {m[1] for action in actions if (m := re.match(r'define "([^"]+)"', action))}
    included = {m[1] for action in actions if (m := re.match(r'include "([^"]+)"', action))}
    assert defined == included


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_blocks_of_a_template_are_closed(template: Path) -> None:
    open_blocks = 0
    for action in ACTION.findall(template.read_text()):
        word = action.split()[0]
        if word in {"if", "range", "with", "define"}:
            open_blocks += 1
        elif word == "end":
            open_blocks -= 1
        assert open_blocks >= 0, action
    assert open_blocks == 0
    text = ACTION.sub("", template.read_text())
    assert "{{" not in text
    assert "}}" not in text


def test_what_a_cluster_gets_is_all_there() -> None:
    kinds = re.findall(
        r"^kind: (\w+)$", "\n".join(path.read_text() for path in TEMPLATES), re.MULTILINE
    )
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "ConfigMap": 1,
        "Deployment": 2,
        "HorizontalPodAutoscaler": 1,
        "Ingress": 1,
        "Job": 1,
        "NetworkPolicy": 2,
        "PodDisruptionBudget": 2,
        "PodMonitor": 1,
        "Service": 1,
        "ServiceMonitor": 1,
    }


def test_the_chart_uses_settings_that_exist_and_holds_no_secret() -> None:
    names = set(_values()["settings"])
    for path in TEMPLATES:
        names |= set(re.findall(r"SEATKEEP_[A-Z_]+", path.read_text()))
    assert names <= SETTINGS, names - SETTINGS
    assert not {f"SEATKEEP_{name}" for name in SECRETS} & set(_values()["settings"])
    assert "kind: Secret" not in "".join(path.read_text() for path in TEMPLATES)


def test_pods_run_without_rights() -> None:
    helpers = (CHART / "templates" / "_helpers.tpl").read_text()
    for promise in (
        "runAsNonRoot: true",
        "readOnlyRootFilesystem: true",
        "allowPrivilegeEscalation: false",
        "drop: [ALL]",
    ):
        assert promise in helpers
    for path in TEMPLATES:
        text = path.read_text()
        pods = text.count("containers:")
        assert text.count('include "seatkeep.podSecurity"') == pods, path.name
        assert text.count('include "seatkeep.containerSecurity"') == pods, path.name
        assert text.count("automountServiceAccountToken: false") == pods, path.name


def test_pods_get_more_time_to_end_than_workers_need() -> None:
    assert _values()["terminationGracePeriodSeconds"] > 30


def test_compose_is_yaml_of_the_known_form() -> None:
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = composed["services"]
    assert set(services) == {"postgresql", "rabbitmq", "migrate", "gateway", "worker", "proxy"}
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in composed["volumes"] or source.startswith((".", "${")), volume
    asked = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))
    offered = set(
        re.findall(r"^([A-Z_]+)=", (DEPLOY / "compose.env.example").read_text(), re.MULTILINE)
    )
    assert asked - {"SEATKEEP_TRUSTED_PROXIES"} == offered
    for name in ("gateway", "worker", "migrate", "proxy"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]


def test_the_proxy_of_compose_changes_what_is_in_the_file() -> None:
    [script] = re.findall(r"sed (.*?)\n +> ", (DEPLOY / "compose.yaml").read_text(), re.DOTALL)
    replaced = re.findall(r"s([/#])(.+?)\1", script)
    assert len(replaced) == 3
    for _, old in replaced:
        assert old in (DEPLOY / "nginx.conf").read_text()


def test_every_alert_and_document_names_settings_that_exist() -> None:
    for path in (DEPLOY / "OPERATING.md", DEPLOY / "README.md"):
        used = set(re.findall(r"SEATKEEP_[A-Z_]+", path.read_text()))
        assert used - {"SEATKEEP_TEST_DATABASE_URL", "SEATKEEP_TEST_AMQP_URL"} <= SETTINGS
