"""Doing things without a mouse: dialogs, menus and tabs, and where the focus is afterwards."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import grave_faults
from tests.browser.conftest import Tabs
from tests.browser.daemons import Lab
from tests.browser.keyboard import faults_of_tab_order

DIALOGS = {
    "take out of use": ("#/connections/conn1", "Take out of use"),
    "restart": ("#/connections/conn1", "Restart"),
    "propagation": ("#/connections/conn1", "Turn off"),
    "new token": ("#/tokens", "New token"),
    "rotate": ("#/tokens", "New key for secrets"),
    "delete": ("#/resources/vpn-connections/conn1", "Delete"),
}
_INSIDE = "() => document.activeElement.matches('body, dialog, dialog *')"


def opened(page: Page, button: Locator) -> Locator:
    """The dialog that a button opens, by keyboard, when its dry run has been answered."""
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    return dialog


@pytest.mark.parametrize("name", DIALOGS)
def test_a_dialog_is_left_to_where_one_was(lab: Lab, tabs: Tabs, name: str) -> None:
    route, label = DIALOGS[name]
    tab = tabs(lab.url)
    page = tab.go(route)
    button = page.get_by_role("button", name=label).first
    dialog = opened(page, button)
    tab.settle()
    tab.look(width=390)
    assert not grave_faults(page)
    # Tab stays inside, and reaches all of it.
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate(_INSIDE)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()
    opened(page, button).get_by_role("button", name="Cancel").press("Enter")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()


def test_a_plan_is_shown_before_and_followed_after(lab: Lab, tabs: Tabs) -> None:
    """A tunnel is taken out of use and given back, by keyboard alone."""
    page = tabs(lab.url).go("#/connections/conn1")
    lab.until_carrying(1)
    dialog = opened(page, page.get_by_role("button", name="Take out of use").first)
    try:
        expect(dialog).to_contain_text("conn1-tunnel2")
        dialog.get_by_role("button").last.press("Enter")
        expect(dialog).to_be_hidden()
        assert lab.rest.get("/v1/vpn-connections/conn1")["mode"] == "standby"
    finally:
        lab.rest.write("POST", "/v1/vpn-connections/conn1/switch", {"mode": "auto"})


def test_colours_are_chosen_in_a_menu_and_kept(lab: Lab, tabs: Tabs) -> None:
    page = tabs(lab.url, scheme="light").go()
    menu = page.locator("summary").filter(has_text="anonymous")
    menu.focus()
    page.keyboard.press("Enter")
    page.get_by_label("Colours").select_option("dark")
    scheme = "() => getComputedStyle(document.documentElement).colorScheme"
    assert page.evaluate(scheme) == "dark"
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate(scheme) == "dark"


def test_a_mistake_in_a_form_is_told_at_its_field(lab: Lab, tabs: Tabs) -> None:
    tab = tabs(lab.url, width=390)
    tab.watch.expect(422, "^/v1/customer-gateways$")
    page = tab.go("#/resources/customer-gateways/new")
    page.get_by_label("Name").fill("hostile")
    address = page.get_by_label("Public address")
    address.fill("169.254.1.1")
    page.get_by_role("button", name="Review and create").press("Enter")
    expect(address).to_have_attribute("aria-invalid", "true")
    described = (address.get_attribute("aria-describedby") or "").split()
    assert any("169.254" in page.locator(f'[id="{ident}"]').inner_text() for ident in described)
    assert not grave_faults(page)
    assert not faults_of_tab_order(page)
