"""A form that was changed is not lost: neither to the way back, nor behind a notice, nor to an odd link."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Tabs
from tests.browser.daemons import OpenSide
from tests.netns.namespaces import wait_until

VPC = {"name": "vpc1", "cidrs": ["10.0.0.0/16"], "route_table": 1000}


@pytest.fixture(scope="module")
def furnished(gateway: OpenSide) -> Iterator[OpenSide]:
    """With a VPC."""
    gateway.rest.write("POST", "/v1/vpcs", VPC, 201)
    yield gateway
    gateway.rest.write("DELETE", "/v1/vpcs/vpc1", status=202)
    wait_until(lambda: not gateway.rest.get("/v1/vpcs")["items"], "it is gone")


@pytest.fixture
def form(furnished: OpenSide, tabs: Tabs) -> Page:
    """The form of the VPC, to which one came from the list, and to that from the topology; it is changed."""
    gateway = furnished
    tab = tabs(gateway.url, width=390)
    tab.token(gateway.token("admin"))
    page = tab.go()
    page.get_by_role("link", name="Resources").click()
    page.get_by_role("link", name="vpc1").click()
    page.locator("textarea").first.fill("10.7.0.0/16")
    expect(page.get_by_text("Not saved yet")).to_be_visible()
    return page


def test_who_stays_is_asked_again_and_who_leaves_is_where_back_leads(form: Page) -> None:
    dialog = form.get_by_role("dialog")
    for _ in range(2):
        form.go_back()
        dialog.get_by_role("button", name="Stay").click()
        expect(dialog).to_be_hidden()
        expect(form).to_have_url(re.compile("#/resources/vpcs/vpc1$"))
        expect(form.locator("textarea").first).to_have_value("10.7.0.0/16")
    form.go_back()
    dialog.get_by_role("button", name="Leave").click()
    expect(form.get_by_role("heading", level=1)).to_have_text("VPCs")
    form.go_back()
    expect(form.get_by_role("heading", level=1)).to_have_text("Topology")


def test_what_is_changed_back_is_no_change(form: Page) -> None:
    form.locator("textarea").first.fill("10.0.0.0/16")
    expect(form.get_by_text("No changes")).to_be_visible()
    form.go_back()
    expect(form.get_by_role("heading", level=1)).to_have_text("VPCs")


def test_a_notice_leaves_the_buttons_in_sight(form: Page) -> None:
    form.evaluate("import('/assets/ui/toasts.js').then(({toast}) => toast('bad', 'conn1: '.repeat(30)))")
    expect(form.locator(".toast")).to_be_visible()
    buttons, toast = form.locator(".form-end").bounding_box(), form.locator(".toast").bounding_box()
    assert buttons is not None
    assert toast is not None
    assert toast["y"] + toast["height"] <= buttons["y"]


def test_a_link_with_odd_values_begins_a_form(gateway: OpenSide, tabs: Tabs) -> None:
    tab = tabs(gateway.url)
    tab.token(gateway.token("admin"))
    page = tab.go("#/resources/vpcs/new?name=a&name=b&cidrs=10.0.0.0/8&constructor=x&__proto__=x")
    expect(page.get_by_role("button", name="Review and create")).to_be_enabled()


def test_a_dialog_is_not_left_by_marking_text(furnished: OpenSide, tabs: Tabs) -> None:
    tab = tabs(furnished.url)
    tab.token(furnished.token("admin"))
    page = tab.go("#/tokens")
    page.get_by_role("button", name="New token").click()
    dialog = page.get_by_role("dialog")
    name = dialog.get_by_label("Name")
    name.fill("a name")
    box = name.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(5, box["y"] + 10)
    page.mouse.up()
    expect(name).to_have_value("a name")
    page.mouse.click(5, 5)
    expect(dialog).to_be_hidden()


def test_what_fails_after_its_dialog_was_left_is_said(furnished: OpenSide, tabs: Tabs) -> None:
    tab = tabs(furnished.url)
    tab.token(furnished.token("admin"))
    tab.watch.expect(503, "^/v1/secrets")
    page = tab.go("#/tokens")
    held: list[Route] = []
    page.get_by_role("button", name="New key for secrets").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Make a new key")).to_be_enabled()
    page.route("**/v1/secrets/rotate-key", lambda route: held.append(route))
    with page.expect_request("**/v1/secrets/rotate-key"):
        dialog.get_by_role("button", name="Make a new key").click()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    held[0].fulfill(status=503, json={"title": "Service Unavailable", "status": 503, "detail": "no store"})
    expect(page.locator(".toast")).to_contain_text("no store")
