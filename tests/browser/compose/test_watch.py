"""The containers' gateways in a browser of the host: by what `bgpsvc dashboard` prints."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Tabs
from tests.browser.lanes import CARRIES, lane
from tests.browser.tab import Tab
from tests.e2e.compose_lab import FAILBACK_SECONDS, SWITCHOVER_SECONDS, ComposeLab

_LEFT = """
() => JSON.stringify([localStorage, document.cookie, location.href, history.state, document.body.outerHTML])
"""


def opened(tabs: Tabs, lab: ComposeLab, gateway: str) -> Tab:
    """A page of a gateway, by its link."""
    tab = tabs(lab.urls[gateway])
    tab.page.goto(lab.link(gateway))
    expect(tab.page.get_by_role("heading", level=1, name="Topology")).to_be_visible()
    return tab


def test_the_walk_through_a_failover_watched_at_both_gateways(lab: ComposeLab, tabs: Tabs) -> None:
    pages = {f"conn{number}": opened(tabs, lab, f"gw{number}").page for number in (1, 2)}

    def carries(tunnel: int, seconds: int) -> None:
        timeout = 1000 * seconds
        for connection, page in pages.items():
            expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=timeout)
            expect(lane(page, f"{connection}-tunnel{tunnel}")).to_contain_text(CARRIES, timeout=timeout)
            expect(lane(page, f"{connection}-tunnel{3 - tunnel}")).not_to_contain_text(CARRIES)

    carries(1, FAILBACK_SECONDS)
    try:
        lab.check("exec", "-T", "gw1", "/lab/tunnel", "break", "1")
        carries(2, SWITCHOVER_SECONDS)
        lab.until_says("gw1", "installed over conn1-tunnel2", "bgpsvc", "show", "route", "192.168.0.10")
        lab.until_says("gw1", "leave over conn1-tunnel2", "bgpsvc", "explain", "192.168.0.10")
        told = lab.output("gw1", "bgpsvc", "get", "events", "--kind", "connection.switchover")
        assert "traffic moved from conn1-tunnel1 to conn1-tunnel2" in told
        lab.until_says("gw1", "FAILED", "bgpsvc", "diagnose", "conn1", "--tunnel", "1", status=1)
        # The packets themselves; and BFD ends no session: that is left to the hold time.
        for number in (1, 2):
            lab.until_carrying(f"gw{number}", f"conn{number}-tunnel2", 1, SWITCHOVER_SECONDS)
    finally:
        lab.check("exec", "-T", "gw1", "/lab/tunnel", "heal", "1")
    carries(1, FAILBACK_SECONDS)
    lab.until_carrying("gw1", "conn1-tunnel1", 2, FAILBACK_SECONDS)
    switch = ("bgpsvc", "switch", "conn1", "--to", "2", "--reason", "provider works on tunnel 1", "--dry-run")
    lab.until_says("gw1", "traffic moves from conn1-tunnel1 to conn1-tunnel2", *switch)


def test_the_link_signs_in_once_and_leaves_no_trace_of_the_token(lab: ComposeLab, tabs: Tabs) -> None:
    tab = tabs(lab.urls["gw2"])
    page, link = tab.page, lab.link("gw2", "--scope", "read", "--name", "ann")
    token = link.partition("#token=")[2]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(link)
    expect(page.locator("summary").filter(has_text="ann")).to_contain_text("read")
    assert page.url == f"{lab.urls['gw2']}/#/"
    assert asked
    assert token not in page.evaluate(_LEFT) + "".join(asked)
    page.reload()
    expect(page.locator("summary").filter(has_text="ann")).to_be_visible()
    # Another one pasted into the same tab is taken like the first, and never shown as a page's name.
    page.goto(f"{lab.urls['gw2']}/#/events")
    page.goto(lab.link("gw2", "--name", "bob"))
    expect(page.locator("summary").filter(has_text="bob")).to_contain_text("operate")
    expect(page.get_by_role("heading", level=1, name="Topology")).to_be_visible()
    assert "bgpsvc_" not in page.evaluate(_LEFT)
    assert token not in lab.check("logs")


@pytest.mark.parametrize("gateway", ["gw1", "gw2"])
def test_without_a_token_nobody_gets_in(lab: ComposeLab, tabs: Tabs, gateway: str) -> None:
    tab = tabs(lab.urls[gateway])
    tab.watch.expect(401, "^/v1/")
    tab.go()
    expect(tab.page.get_by_label("Token")).to_be_visible()
