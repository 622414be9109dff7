"""Alert rules and the dashboard ask for metrics that exist, in PromQL that Prometheus takes."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.architecture.tree import ROOT
from tests.gateway import world

PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "seatkeep.json"
#: Not ours: of Prometheus itself, and of the client library.
FOREIGN = {"process_resident_memory_bytes", "process_cpu_seconds_total"}
NAME = re.compile(r"\b(?:seatkeep|process)_[a-z0-9_]+")
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def promtool(*arguments: str, cwd: Path = PROMETHEUS) -> str:
    done = subprocess.run(
        ["promtool", *arguments], cwd=cwd, text=True, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expressions() -> dict[str, str]:
    """Return every PromQL expression of rules and dashboard by where it stands."""
    found: dict[str, str] = {}
    for group in yaml.safe_load((PROMETHEUS / "rules.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            found[rule["alert"]] = rule["expr"]
    for panel in panels():
        for target in panel.get("targets", ()):
            found[f"{panel['title']} {target['refId']}"] = target["expr"]
    return found


def panels() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return loaded


def asked() -> set[str]:
    """Return the names of all metrics that are asked for; labels and alerts are none."""
    found: set[str] = set()
    for text in expressions().values():
        bare = re.sub(r'"[^"]*"', '""', text)
        found |= set(NAME.findall(bare))
    return found


def test_the_rules_are_taken_by_prometheus_and_go_off_when_they_should() -> None:
    assert "SUCCESS" in promtool("check", "rules", "rules.yaml")
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yaml")
    promtool("check", "config", "--syntax-only", "prometheus.yml")


def test_the_dashboard_asks_in_promql(tmp_path: Path) -> None:
    rules = [
        {
            "record": f"panel:{number}",
            "expr": text.replace("$__rate_interval", "5m").replace("$pool", ".*"),
        }
        for number, text in enumerate(expressions().values())
    ]
    document = {"groups": [{"name": "panels", "rules": rules}]}
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump(document))
    assert f"{len(rules)} rules found" in promtool("check", "rules", "panels.yaml", cwd=tmp_path)


async def test_every_metric_that_is_asked_for_is_shown(tmp_path: Path) -> None:
    async with world.running(tmp_path) as run:
        await run.create("room")
        async with run.session.get(run.origin + "/metrics") as response:
            text = await response.text()
    shown = {
        family.name + suffix
        for family in text_string_to_metric_families(text)
        for suffix in SUFFIXES.get(family.type, ("",))
    }
    assert asked() - FOREIGN - shown == set()
    assert len(asked()) > 30


def test_nothing_of_the_product_is_shown_and_never_looked_at() -> None:
    """What neither the dashboard nor a rule uses is named here, with its reason."""
    from scheduler.metrics import names

    unused = {
        instrument.name
        for instrument in names.ALL
        if not any(name.startswith(instrument.name) for name in asked())
    }
    assert unused == {
        "seatkeep_placement_epoch",  # the pool's own epoch is shown
        "seatkeep_role",  # for joins with other metrics
    }


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: str(panel["title"]))
def test_panels_say_what_they_show_and_do_not_overlap(panel: dict[str, Any]) -> None:
    assert panel["title"]
    box = panel["gridPos"]
    assert box["x"] + box["w"] <= 24
    for other in panels():
        if other["id"] != panel["id"]:
            theirs = other["gridPos"]
            apart = (
                box["x"] + box["w"] <= theirs["x"]
                or theirs["x"] + theirs["w"] <= box["x"]
                or box["y"] + box["h"] <= theirs["y"]
                or theirs["y"] + theirs["h"] <= box["y"]
            )
            assert apart, other["title"]


def test_alerts_say_what_is_wrong_and_what_to_do() -> None:
    for group in yaml.safe_load((PROMETHEUS / "rules.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("info", "warning", "critical"), rule
            assert set(rule["annotations"]) == {"summary", "description"}, rule
