"""What an operator is given: dashboard, alerts, and a paragraph for each of them."""

import json
import re
import subprocess

import pytest
import yaml

from tests.conftest import program
from tests.support import metrics
from tests.support.whole_run import ROOT

OPERATIONS = ROOT / "docs" / "operations"
DASHBOARD = OPERATIONS / "grafana-dashboard.json"
ALERTS = OPERATIONS / "alerts.yml"
RUNBOOK = ROOT / "docs" / "how-to" / "operate.md"
OURS = re.compile(r"\b(?:fluxora|process)_\w+")


@pytest.fixture(scope="module")
def promtool() -> str:
    return program("promtool")  # of Debian's package prometheus


def rules() -> list[dict]:
    return yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]


def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]] + [rule["expr"] for rule in rules()]


def test_every_metric_that_is_asked_for_exists():
    asked = {name for query in queries() for name in OURS.findall(query)}
    assert len(asked) > 25
    assert asked <= metrics.series(), asked - metrics.series()


def test_prometheus_takes_the_rules_and_the_metrics(promtool):
    for command, text in ((["check", "rules", str(ALERTS)], ""), (["check", "metrics"], metrics.text())):
        done = subprocess.run([promtool, *command], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_dashboards_queries(promtool, tmp_path):
    file = tmp_path / "queries.yml"
    asked = [query.replace("$__rate_interval", "1m") for query in queries()]
    recorded = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(asked)]
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_paragraph():
    text = RUNBOOK.read_text()
    paragraphs = set(re.findall(r"^### (Fluxora\w+)$", text, re.MULTILINE))
    assert paragraphs == {rule["alert"] for rule in rules()}
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/how-to/operate.md#{rule['alert'].lower()}"
        paragraph = text.split(f"### {rule['alert']}\n", 1)[1].split("\n#", 1)[0]
        assert all(word in paragraph for word in ("**Means:**", "**Look at:**", "**Do:**")), rule["alert"]


def test_panels_do_not_lie_on_each_other():
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
