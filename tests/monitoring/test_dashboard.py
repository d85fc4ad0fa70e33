"""The shape of the dashboard's JSON: what Grafana would put up with silently, and nobody would like."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

from tests.monitoring.test_alerts import promtool, write
from tests.monitoring.test_live import dashboard, panels, substituted

BUILT_IN = {"stat", "timeseries", "state-timeline", "table", "bargauge"}


def test_panels_have_ids_of_their_own_and_lie_beside_each_other() -> None:
    everything = dashboard()["panels"]
    ids = [panel["id"] for panel in everything]
    assert len(ids) == len(set(ids))
    for panel in everything:
        at = panel["gridPos"]
        assert 0 <= at["x"] < at["x"] + at["w"] <= 24, panel["title"]
    for one, other in combinations(everything, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not beside and not below


def test_rows_come_in_the_order_in_which_one_looks() -> None:
    rows = [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"]
    assert rows == ["Overview", "Tunnels", "BGP sessions", "Routes", "Switchovers", "Daemon"]


def test_every_panel_says_what_it_shows_and_needs_no_plugin() -> None:
    titles = [panel["title"] for panel in panels()]
    assert len(titles) == len(set(titles))
    for panel in panels():
        title = panel["title"]
        assert panel["type"] in BUILT_IN, title
        assert len(panel["description"]) > 15, title
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], title
        assert defaults["thresholds"]["steps"], title


def test_every_query_goes_to_the_chosen_prometheus_and_daemons() -> None:
    chosen: dict[str, Any] = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels():
        assert panel["datasource"] == chosen
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert target["datasource"] == chosen
            assert 'instance=~"$instance"' in target["expr"], panel["title"]


def test_it_can_be_imported_again_and_keeps_its_address() -> None:
    found = dashboard()
    assert found["id"] is None, "Grafana gives the number"
    assert found["uid"] == "bgpsvc"
    assert found["schemaVersion"] >= 38, "Grafana 10"
    names = [variable["name"] for variable in found["templating"]["list"]]
    assert names == ["datasource", "instance", "gateway", "connection"]


def test_every_move_of_traffic_is_marked_and_no_restart(tmp_path: Path) -> None:
    """Traffic moves between two looks of the graph, and later the daemon's counter begins anew."""
    (marks,) = [found["expr"] for found in dashboard()["annotations"]["list"] if "expr" in found]
    # What Grafana makes of a step of a minute and a scrape every 15 seconds.
    for name, value in {"$__rate_interval": "75s", "$__interval": "60s"}.items():
        marks = marks.replace(name, value)
    series = 'bgpsvc_connection_switchovers_total{instance="gw1:8179", connection="conn1"}'
    expected = {"50s": [], "110s": [{"labels": "{}", "value": 1}], "230s": [], "290s": [], "350s": []}
    counted = f"count({substituted(marks)})"
    test = {
        "interval": "15s",
        "input_series": [{"series": series, "values": "0x3 1x11 0x10"}],
        "promql_expr_test": [
            {"expr": counted, "eval_time": at, "exp_samples": samples} for at, samples in expected.items()
        ],
    }
    write(tmp_path / "marks.yaml", {"evaluation_interval": "15s", "tests": [test]})
    tested = promtool("test", "rules", tmp_path / "marks.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
