"""What happened and what was carried: the story of a move, charts and their figures, a diagnosis."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from playwright.sync_api import Page, expect

from bgpsvc.views import EventKind
from tests.browser.conftest import Tabs
from tests.browser.daemons import Lab
from tests.browser.tab import WEB
from tests.e2e.service import LONG
from tests.netns.namespaces import wait_until

T1, T2 = "conn1-tunnel1", "conn1-tunnel2"
SILENT = "no packet for 150 ms: Control Detection Time Expired"
_TELL = """
async (events) => {
  const { stories, tell } = await import(new URL('assets/pages/events-stories.js', location.href).href);
  return stories(events).map((story) => ({ ids: story.events.map((event) => event.id), ...tell(story) }));
}
"""


@pytest.fixture
def page(lab: Lab, tabs: Tabs) -> Page:
    return tabs(lab.url).go("#/events")


def event(
    ident: int, second: float, kind: str, subject: str, message: str = "", **data: Any
) -> dict[str, Any]:
    bad = kind.endswith(("down", "switchover", "failback", "switched"))
    severity = "error" if kind == "connection.no_live_tunnel" else "warning" if bad else "info"
    time = f"2025-10-09T08:{int(second) // 60:02}:{second % 60:06.3f}Z"
    named = {"id": ident, "time": time, "kind": kind, "severity": severity, "subject": subject}
    return named | {"message": message, "data": data}


def told(page: Page, *events: dict[str, Any]) -> list[dict[str, Any]]:
    """The stories that these events are, newest first."""
    found: list[dict[str, Any]] = page.evaluate(_TELL, list(reversed(events)))
    return found


FAILOVER = [
    event(1, 7.0, "bfd.down", T1, SILENT, detection_ms=150),
    event(2, 7.0, "tunnel.down", T1, f"BFD is down: {SILENT}"),
    event(
        *(3, 7.001, "connection.switchover", "conn1", f"traffic moved from {T1} to {T2}"),
        **{"from": T1, "to": T2, "why": f"{T1}: BFD is down: {SILENT}"},
    ),
    event(4, 7.002, "guard.switched", T1, "the guard moved 2 nexthop groups away", method="bfd"),
]
LATE = event(
    5, 36.0, "session.down", T1, "the session went down: notification sent (4,0): Hold timer expired"
)
BACK = [
    event(6, 50.0, "session.up", T1, "the session is established"),
    event(7, 51.0, "tunnel.live", T1, "the session is established and in sync"),
    event(
        *(8, 51.0, "connection.failback", "conn1", f"traffic moved from {T2} to {T1}"),
        **{"from": T2, "to": T1, "why": f"{T1}: the session is established and in sync"},
    ),
]


def test_a_failover_and_what_it_still_causes_is_one_story(page: Page) -> None:
    back, failover = told(page, *FAILOVER, LATE, *BACK)
    assert failover["ids"] == [1, 2, 3, 4, 5]
    assert (failover["kind"], failover["title"]) == ("warn", f"Traffic moved from {T1} to {T2}")
    assert (failover["tunnel"], failover["why"]) == (T1, f"BFD is down: {SILENT}")
    assert failover["gap"].startswith("About 150 ms: so long nothing was heard (BFD)")
    assert back["ids"] == [6, 7, 8]
    assert (back["kind"], back["title"]) == ("good", f"Traffic returned to {T1}")
    assert (back["why"], back["gap"]) == (
        "the session is established and in sync",
        "Not at all: both tunnels were live",
    )


def test_other_stories(page: Page) -> None:
    stranger = event(20, 7.0, "session.up", "conn2-tunnel1", "the session is established")
    assert [story["ids"] for story in told(page, FAILOVER[0], stranger, *FAILOVER[1:])] == [
        [20],
        [1, 2, 3, 4],
    ]
    brief = [
        *FAILOVER,
        event(9, 8.0, "tunnel.live", T1, "in sync"),
        {**BACK[2], "time": "2025-10-09T08:00:08.501Z"},
    ]
    (story,) = told(page, *brief)
    assert (story["kind"], story["title"]) == ("warn", f"Traffic left {T1} and came back after 1.5 s")
    none = event(3, 7.0, "connection.no_live_tunnel", "conn1", "no tunnel is live")
    (outage,) = told(page, FAILOVER[1], none)
    assert (outage["kind"], outage["title"]) == ("bad", "conn1: no tunnel is live")
    again = event(9, 8.7, "connection.switchover", "conn1", "traffic is back", **{"from": None, "to": T2})
    (over,) = told(page, FAILOVER[1], none, again)
    assert (over["title"], over["gap"]) == (
        f"Traffic of conn1 flows again, over {T2}",
        "1.7 s without a live tunnel",
    )
    chosen = event(2, 7.0, "connection.operator_switch", "conn1", "ann chose standby: maintenance")
    (wish,) = told(page, chosen, {**FAILOVER[2], "data": {"from": T1, "to": T2, "why": "operator"}})
    assert (wish["kind"], wish["operator"]) == ("good", "ann chose standby: maintenance")
    (death,) = told(page, *FAILOVER[:2])
    assert (death["title"], death["gap"]) == (
        f"{T1} went down",
        "Not at all: it took another tunnel, or none",
    )


def test_a_tunnel_that_keeps_failing_has_a_story_for_each_time(page: Page) -> None:
    again = [
        {**event, "id": 10 + event["id"], "time": event["time"].replace(":07.", ":09.")} for event in FAILOVER
    ]
    live = event(9, 8.5, "tunnel.live", T1, "in sync")
    back = {**BACK[2], "id": 10, "time": live["time"]}
    assert [story["ids"] for story in told(page, *FAILOVER, live, back, *again)] == [
        [11, 12, 13, 14],
        [1, 2, 3, 4, 9, 10],
    ]


def test_every_kind_of_event_can_be_asked_for() -> None:
    source = (WEB / "pages" / "events-kinds.js").read_text()
    assert sorted(re.findall(r"'([a-z]+\.[a-z_]+)'", source)) == sorted(get_args(EventKind))


@pytest.fixture
def switched(lab: Lab) -> Iterator[Lab]:
    """An operator has just chosen the standby; the choice is given back after the test."""
    lab.until_carrying(1)
    lab.rest.write("POST", "/v1/vpn-connections/conn1/switch", {"mode": "standby", "reason": "a look"}, 200)
    yield lab
    lab.rest.write("POST", "/v1/vpn-connections/conn1/switch", {"mode": "auto"}, 200)
    lab.until_carrying(1)


def test_the_story_of_a_switch_is_told_and_found_again(switched: Lab, tabs: Tabs) -> None:
    page = tabs(switched.url).go("#/events")
    story = page.locator("li.story").filter(has_text="chose standby: a look")
    # On a busy machine BFD may have failed by itself beside it.
    expect(story).to_contain_text(re.compile("Traffic (moved from|left|returned to) conn1-tunnel1"))
    story.locator("summary").click()
    expect(story.get_by_role("listitem").first).to_contain_text("connection.operator_switch")
    page.get_by_label("Severity").select_option("Warnings and errors")
    page.get_by_label("Time").select_option("Last hour")
    page.get_by_label("Connection or tunnel").fill("conn1")
    expect(page).to_have_url(re.compile(r"#/events\?subject=conn1&severity=warning&period=1h$"))
    expect(page.locator("li.story").first).to_be_visible()
    page.reload()
    expect(page.get_by_label("Severity")).to_have_value("warning")
    page.get_by_role("link", name="Clear").click()
    expect(page).to_have_url(re.compile("#/events$"))


def test_charts_show_what_their_table_says(lab: Lab, tabs: Tabs, tmp_path: Path) -> None:
    def known() -> bool:
        history = lab.rest.get(f"/v1/tunnels/{T1}/history", window="15m")
        # Keepalives and BFD alone are some bytes.
        return (history["bytes_in"][-1] or 0) > 0 and history["prefixes_accepted"][-1] is not None

    wait_until(known, "the last interval of the active tunnel", LONG)
    page = tabs(lab.url).go(f"#/traffic?tunnel={T1}&window=15m")
    for title in ("Received from the peer", "Sent to the peer", "Prefixes accepted", "Prefixes advertised"):
        chart = page.get_by_role("img", name=re.compile(f"{title}.*tunnel1 .active.: now [0-9]"))
        expect(chart.locator("canvas")).to_be_visible()
    page.get_by_text("Packets", exact=True).click()
    expect(page).to_have_url(re.compile("connection=conn1&window=15m&unit=packets"))
    page.get_by_text("All figures as a table").click()
    figures = page.get_by_role("region", name=re.compile("averages over 5 s"))
    expect(figures.locator("tbody tr")).to_have_count(180)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    download.value.save_as(tmp_path / "figures.csv")
    rows = list(csv.DictReader((tmp_path / "figures.csv").open()))
    assert len(rows) == 180
    assert float(rows[-1][f"{T1} packets_in"]) > 0


def test_a_diagnosis_names_every_layer_of_both_tunnels(lab: Lab, tabs: Tabs) -> None:
    lab.until_carrying(1)
    page = tabs(lab.url).go("#/connections/conn1/diagnosis")
    expect(page.get_by_text("Examined")).to_be_visible()
    for tunnel in (T1, T2):
        section = page.get_by_role("region", name=re.compile(tunnel))
        expect(section.locator("li.layer")).to_have_count(10)
        expect(section).to_contain_text("the IKE SA is up")
    page.get_by_role("link", name="Tunnel 2").click()
    expect(page.get_by_role("region", name=re.compile(T1))).to_have_count(0)
    expect(page.get_by_role("region", name=re.compile(T2))).to_be_visible()
