"""The alert rules: Prometheus' own tool checks them, and what each one fires on and is silent about."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.monitoring.alert_cases import CASES, WHERE, Series

SAID: dict[str, dict[str, str]] = yaml.safe_load(
    Path(__file__).with_name("said.yaml").read_text(encoding="utf-8")
)
"""Summary and description of each alert, as they are in the case where it fires."""
ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "monitoring" / "prometheus" / "bgpsvc.rules.yaml"


def rules() -> dict[str, dict[str, Any]]:
    """All alerts by name."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    named = {rule["alert"]: rule for rule in found}
    assert len(named) == len(found), "a name stands for one alert"
    return named


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_rules_are_ones_that_prometheus_takes() -> None:
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for name, rule in rules().items():
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, name
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert anchor == name.lower()
        headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert name in headings, f"{page} does not say what to do about {name}"


def unit(name: str, at: str, series: Series, expected: list[dict[str, str]]) -> dict[str, Any]:
    """One test of promtool's. What an alert says is compared to the letter."""
    said = {**SAID.get(name, {}), "runbook": f"docs/operations/monitoring.md#{name.lower()}"}
    alerts = [{"exp_labels": labels, "exp_annotations": said} for labels in expected]
    return {
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": name, "exp_alerts": alerts}],
    }


def units(name: str, severity: str) -> list[dict[str, Any]]:
    """What is good is told by daemons of their own, beside the one that the alert is about."""
    case = CASES[name]
    if name == "BgpsvcNotScraped":  # is about all of them
        expected = [{**case.labels, "severity": severity}]
        return [unit(name, case.at, case.fires, expected), *(unit(name, case.at, q, []) for q in case.quiet)]
    series = dict(case.fires)
    for number, quiet in enumerate(case.quiet):
        series |= {key.replace(WHERE["instance"], f"quiet{number}"): values for key, values in quiet.items()}
    return [unit(name, case.at, series, [{**case.labels, **WHERE, "severity": severity}])]


def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    found = rules()
    assert set(CASES) == set(found)
    files = []
    for name, rule in found.items():
        write(tmp_path / f"{name}.rules.yaml", {"groups": [{"name": "one", "rules": [rule]}]})
        tests = units(name, rule["labels"]["severity"])
        file = tmp_path / f"{name}.tests.yaml"
        write(file, {"rule_files": [f"{name}.rules.yaml"], "evaluation_interval": "1m", "tests": tests})
        files.append(file)
    tested = promtool("test", "rules", *files)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
