"""Sign-in by token: who gets in, what they find, and where the token is afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import grave_faults
from tests.browser.conftest import Tabs
from tests.browser.daemons import OpenSide
from tests.browser.keyboard import faults_of_tab_order
from tests.browser.tab import Tab
from tests.netns.namespaces import wait_until

_STORED = "() => JSON.stringify([localStorage, document.cookie, location.href, history.state])"


@pytest.fixture
def tab(gateway: OpenSide, tabs: Tabs) -> Tab:
    """A page that has to sign in."""
    made = tabs(gateway.url)
    # Without a token the page is told so.
    made.watch.expect(401, "^/v1/")
    made.go()
    return made


def sign_in(page: Page, token: str) -> None:
    """As a person does it, without a mouse: the field has the focus."""
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type(token)
    page.keyboard.press("Enter")


def test_who_has_a_token_gets_in_and_the_token_stays_in_this_tab(gateway: OpenSide, tab: Tab) -> None:
    page, token = tab.page, gateway.token("admin")
    assert not grave_faults(page)
    assert not faults_of_tab_order(page)
    page.get_by_label("Token").focus()
    sign_in(page, token)
    expect(page.get_by_role("heading", level=1, name="Topology")).to_be_visible()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    assert token not in page.evaluate(_STORED)
    page.reload()
    expect(page.get_by_role("heading", level=1, name="Topology")).to_be_visible()
    # Another tab knows nothing of it.
    other = tab.context.new_page()
    other.goto(gateway.url)
    expect(other.get_by_label("Token")).to_be_visible()
    page.locator("summary").filter(has_text="browser-admin").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()


def test_a_token_is_not_kept_where_that_is_not_wanted(gateway: OpenSide, tab: Tab) -> None:
    page = tab.page
    page.get_by_label("Keep it in this tab").uncheck()
    page.get_by_label("Token").focus()
    sign_in(page, gateway.token("read"))
    expect(page.get_by_role("heading", level=1, name="Topology")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()


@pytest.mark.parametrize(
    ("token", "told"),
    [("nonsense", "looks like bgpsvc_"), ("bgpsvc_0123456789ab.wrong", "unknown, wrong, expired or revoked")],
)
def test_a_wrong_token_is_refused_with_the_reason(tab: Tab, token: str, told: str) -> None:
    sign_in(tab.page, token)
    expect(tab.page.get_by_text(told)).to_be_visible()
    expect(tab.page.get_by_label("Token")).to_be_visible()
    assert not grave_faults(tab.page)


def test_an_expired_token_is_refused_and_one_that_is_revoked_leads_out(gateway: OpenSide, tab: Tab) -> None:
    page = tab.page
    soon = datetime.now(UTC) + timedelta(seconds=8)
    expired = gateway.token("admin", expires_at=soon.isoformat())
    wait_until(lambda: datetime.now(UTC) > soon, "the token has expired")
    sign_in(page, expired)
    expect(page.get_by_text("unknown, wrong, expired or revoked")).to_be_visible()
    revoked = gateway.token("admin")
    page.get_by_label("Token").fill(revoked)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1, name="Topology")).to_be_visible()
    ident = revoked.partition("_")[2].partition(".")[0]
    gateway.rest.write("DELETE", f"/v1/tokens/{ident}")
    page.get_by_role("link", name="Sessions").click()
    expect(page.get_by_label("Token")).to_be_visible()
    expect(page.get_by_text("unknown, wrong, expired or revoked")).to_be_visible()


def test_a_daemon_that_was_away_is_followed_again(gateway: OpenSide, tab: Tab) -> None:
    page = tab.page
    sign_in(page, gateway.token("read"))
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    with tab.watch.unreachable():
        gateway.stop()
        expect(page.get_by_text("Disconnected", exact=True)).to_be_visible()
        expect(page.get_by_role("alert").get_by_text("does not answer")).to_be_visible()
        assert not grave_faults(page)
        gateway.start()
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
    # What happens now is seen without a reload.
    gateway.rest.write("POST", "/v1/vpcs", {"name": "seen", "cidrs": ["10.0.0.0/16"]}, 201)
    try:
        expect(page.get_by_role("listitem").filter(has_text="A VPC")).to_contain_text("there")
    finally:
        gateway.rest.write("DELETE", "/v1/vpcs/seen", status=202)
