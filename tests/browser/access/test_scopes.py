"""Who may only look finds nothing to press, and is told why."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import grave_faults
from tests.browser.conftest import Tabs
from tests.browser.daemons import OpenSide
from tests.browser.tab import Tab
from tests.e2e.two_gateways import documents
from tests.netns.namespaces import wait_until


@pytest.fixture(scope="module")
def furnished(gateway: OpenSide) -> Iterator[OpenSide]:
    """With a connection whose tunnels somebody else would have to make."""
    wanted = copy.deepcopy(documents(1))
    for number, tunnel in enumerate(wanted["vpn_connections"][0]["tunnels"], start=1):
        del tunnel["ike"]
        tunnel["interface"] = f"elsewhere{number}"
    gateway.rest.write("POST", "/v1/configuration/apply", wanted)
    yield gateway
    gateway.rest.write("POST", "/v1/configuration/delete", wanted)
    wait_until(lambda: not gateway.rest.get("/v1/vpcs")["items"], "all of it is gone")


def show(gateway: OpenSide, tabs: Tabs, scope: str) -> Tab:
    """A page for who has a token of a scope."""
    tab = tabs(gateway.url)
    tab.token(gateway.token(scope))
    return tab


def enabled(page: Page) -> list[str]:
    """What can be pressed in the page's content, but for what only looks."""
    buttons = page.get_by_role("main").get_by_role("button", disabled=False)
    return [text for text in buttons.all_inner_texts() if text.endswith("…")]


def test_who_may_read_can_change_nothing(furnished: OpenSide, tabs: Tabs) -> None:
    tab = show(furnished, tabs, "read")
    page = tab.go("#/connections/conn1")
    expect(page.get_by_role("button", name="Turn off")).to_be_disabled()
    assert not enabled(page)
    assert not grave_faults(page)
    for route in ("#/resources/vpcs/vpc1", "#/resources/vpcs/new", "#/tokens"):
        tab.go(route)
        expect(page.get_by_text("needs the scope admin").first).to_be_visible()
        assert not enabled(page)
        assert page.get_by_role("main").locator("input:enabled, textarea:enabled").count() == 0
        assert not grave_faults(page)
    expect(page.get_by_role("link", name="Tokens")).to_have_count(0)


def test_who_may_operate_can_switch_and_not_change(furnished: OpenSide, tabs: Tabs) -> None:
    tab = show(furnished, tabs, "operate")
    page = tab.go("#/connections/conn1")
    expect(page.get_by_role("button", name="Turn off")).to_be_enabled()
    tab.go("#/resources/vpcs/vpc1")
    expect(page.get_by_text("needs the scope admin").first).to_be_visible()
    assert not enabled(page)


def test_a_link_leads_where_it_should_after_signing_in(furnished: OpenSide, tabs: Tabs) -> None:
    """Who follows a link and has to sign in first is led where the link leads."""
    tab = tabs(furnished.url)
    tab.watch.expect(401, "^/v1/whoami$")
    page = tab.go("#/resources/vpcs/vpc1")
    page.get_by_label("Token").fill(furnished.token("admin"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="vpc1")).to_be_visible()
