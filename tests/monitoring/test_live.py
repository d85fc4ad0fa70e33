"""Metrics, rules, dashboard and page beside a daemon that runs, scraped by a Prometheus that runs.

One lab serves all: its traffic was switched by an operator, and Prometheus has come by a few times, with a
token that expires.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.browser.daemons import Lab
from tests.monitoring.prometheus import PATIENCE, Prometheus, running
from tests.monitoring.test_alerts import ROOT, RULES, rules
from tests.netns.namespaces import wait_until

DASHBOARD = ROOT / "monitoring" / "grafana" / "bgpsvc.json"
PAGE = ROOT / "docs" / "operations" / "monitoring.md"
EMPTY = {
    "Probes": "no tunnel of the lab has a probe, as BFD watches",
    "Refusals and repairs": "the kernel refused nothing: only what is above 0 is drawn",
    "Expiry": "the lab serves without TLS, so there is no certificate",
}
"""Panels of which a query may find nothing."""
NAME = re.compile(r"\bbgpsvc_[a-z0-9_]+")
OPTIONAL = ("bgpsvc/bmp/stations.py", "bgpsvc/mrt/metrics.py")
"""What the lab does not use: the names of its metrics are taken from where they are made."""
WINDOWS = {"$__rate_interval": "1m", "$__interval": "15s"}


@dataclass(frozen=True)
class Site:
    """What Prometheus knows of the lab, and what a daemon of it answers."""

    prometheus: Prometheus
    text: str

    @property
    def families(self) -> dict[str, str]:
        """Type of each metric that the daemon exposes, with or without a sample."""
        return dict(re.findall(r"^# TYPE (\S+) (\S+)$", self.text, re.MULTILINE))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("prometheus")
    lab = Lab()
    try:
        wish = {"name": "prometheus", "scope": "read", "expires_at": "2099-01-01T00:00:00Z"}
        token = lab.rest.write("POST", "/v1/tokens", wish, status=201)
        (folder / "token").write_text(token["token"], encoding="utf-8")
        lab.until_carrying(1)  # a switch before any tunnel carries counts as no switchover
        lab.rest.write("POST", "/v1/vpn-connections/conn1/switch", {"mode": "standby", "reason": "test"})
        lab.until_carrying(2)
        # Of its own daemon alone: each has its own tokens.
        with running(folder, configuration(folder / "token", lab.url)) as prometheus:
            wait_until(lambda: scrapes(prometheus) >= 4, "it told four times of traffic", PATIENCE)
            yield Site(prometheus, lab.rest.http.get("/metrics").text)
    finally:
        lab.close()


def scrapes(prometheus: Prometheus) -> int:
    """How often it was there with everything: the counters of interfaces come last."""
    found = prometheus.query("min(count_over_time(bgpsvc_tunnel_bytes_total[5m]))")
    return int(found[0]["value"][1]) if found else 0


def configuration(token: Path, url: str) -> dict[str, Any]:
    """The example, made quick, for a gateway of the lab, and without TLS, which the lab has not."""
    config: dict[str, Any] = yaml.safe_load((RULES.parent / "scrape.yaml").read_text(encoding="utf-8"))
    job = config["scrape_configs"][0]
    config["scrape_configs"] = [job]
    del job["tls_config"]
    job |= {
        "scheme": "http",
        "scrape_interval": "500ms",
        "static_configs": [{"targets": [url.removeprefix("http://")]}],
    }
    job["authorization"]["credentials_file"] = str(token)
    return config | {"global": {"evaluation_interval": "1s"}, "rule_files": [str(RULES)]}


def test_the_exposition_is_as_prometheus_would_have_it(site: Site) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=site.text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


# Rules ------------------------------------------------------------------------------------------


def test_rules_name_metrics_that_there_are(site: Site) -> None:
    for name, rule in rules().items():
        assert not unknown(rule["expr"], site), name


def test_prometheus_evaluates_every_rule(site: Site) -> None:
    def told() -> list[dict[str, Any]]:
        groups = site.prometheus.get("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    wait_until(lambda: all(rule["health"] != "unknown" for rule in told()), "all were evaluated", PATIENCE)
    assert {rule["name"]: rule.get("lastError") for rule in told()} == dict.fromkeys(rules())


def unknown(expression: str, site: Site) -> set[str]:
    """Metrics of ours in an expression that the daemon does not have."""
    known = {*site.families, *optional()}
    return {name for name in NAME.findall(expression) if not ({name, base(name)} & known)}


def optional() -> set[str]:
    """Metrics of what the lab does not use, with the ending that counters get."""
    names = {name for path in OPTIONAL for name in NAME.findall((ROOT / path).read_text(encoding="utf-8"))}
    assert len(names) > len(OPTIONAL)
    return names | {f"{name}_total" for name in names}


def base(name: str) -> str:
    return re.sub(r"_(bucket|count|sum)$", "", name)


# Dashboard --------------------------------------------------------------------------------------


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def substituted(expression: str) -> str:
    """A query as Grafana sends it, with all values of every variable chosen."""
    for variable, window in WINDOWS.items():
        expression = expression.replace(variable, window)
    expression = re.sub(r"\$(instance|gateway|connection)\b", ".+", expression)
    assert "$" not in expression
    return expression


def test_every_query_of_the_dashboard_finds_something(site: Site) -> None:
    empty: dict[str, list[str]] = {}
    for panel in panels():
        for target in panel["targets"]:
            assert not unknown(target["expr"], site), panel["title"]
            if not site.prometheus.query(substituted(target["expr"])):
                empty.setdefault(panel["title"], []).append(target["expr"])
    assert set(empty) <= set(EMPTY), empty


def test_variables_and_annotations_find_something(site: Site) -> None:
    found = {}
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            form = r"label_values\((.*), ([a-z]+)\)"
            selector, label = re.fullmatch(form, variable["query"]["query"]).groups()  # type: ignore[union-attr]
            matching = {"match[]": substituted(selector)}
            found[variable["name"]] = site.prometheus.get(f"label/{label}/values", **matching)
    assert len(found["instance"]) == 1
    assert (found["gateway"], found["connection"]) == (["gw1"], ["conn1"])
    for annotation in dashboard()["annotations"]["list"]:
        if "expr" in annotation:
            site.prometheus.query(substituted(annotation["expr"]))


# The page ---------------------------------------------------------------------------------------


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    """Type and labels of each metric in the page's tables."""
    rows = re.findall(
        r"^\| `(bgpsvc_\w+)` \| (\w+) \| (.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(rows) == len({name for name, _, _ in rows}), "each is told once"
    return {name: (type_, frozenset(re.findall(r"`(\w+)`", labels))) for name, type_, labels in rows}


def test_the_page_tells_every_metric_and_no_other(site: Site) -> None:
    assert {name: type_ for name, (type_, _) in documented().items()} == site.families


def test_the_page_tells_the_labels(site: Site) -> None:
    told = documented()
    wrong = {}
    for family in text_string_to_metric_families(site.text):
        for sample in family.samples:
            name = sample.name if sample.name in told else base(sample.name)
            labels = frozenset(sample.labels) - {"le"}
            if labels != told[name][1]:
                wrong[name] = labels
    assert not wrong
