"""A gateway with very many connections: what is drawn stays little, and all of it can be found."""

from __future__ import annotations

import json

from playwright.sync_api import Route, expect

from tests.browser.conftest import Tabs
from tests.browser.daemons import Lab

MANY = 300


def multiplied(route: Route) -> None:
    """The lab's connection many times over, all of them without traffic."""
    answer = route.fetch()
    text = json.dumps({**answer.json()["items"][0], "carrying": None})
    items = [json.loads(text.replace("conn1", f"conn{i}")) for i in range(1, MANY + 1)]
    route.fulfill(response=answer, json={"items": items, "next_cursor": None})


def test_many_connections_are_drawn_as_they_are_wanted(lab: Lab, tabs: Tabs) -> None:
    tab = tabs(lab.url)
    tab.page.route("**/v1/vpn-connections?*", multiplied)
    page = tab.go()
    drawn, named = page.locator("section.connection"), page.locator(".topology-attention li")
    expect(drawn).to_have_count(50)
    expect(named).to_have_count(21)
    expect(named.last).to_have_text(f"and {MANY - 20} more")
    page.get_by_label("Show").fill(f"conn{MANY}")
    expect(drawn).to_have_count(1)
    page.get_by_label("Show").fill("")
    page.get_by_role("button", name="Show more").click()
    expect(drawn).to_have_count(100)
