"""Every page, on a phone and on a desk, by day and by night: it fits, it can be read, it needs no mouse."""

from __future__ import annotations

import pytest

from tests.browser.axe import grave_faults
from tests.browser.conftest import Tabs
from tests.browser.daemons import Lab
from tests.browser.keyboard import faults_of_tab_order
from tests.browser.tab import WIDTHS, Tab

PAGES = {
    "topology": "#/",
    "sessions": "#/sessions",
    "tunnel": "#/tunnels/conn1-tunnel1",
    "routes": "#/routes?gateway=gw1",
    "route": "#/routes/gw1/192.168.0.0%2F16",
    "events": "#/events",
    "traffic": "#/traffic",
    "connection": "#/connections/conn1",
    "diagnosis": "#/connections/conn1/diagnosis",
    "peer configuration": "#/connections/conn1/peer-config",
    "resources": "#/resources/vpn-connections",
    "resource": "#/resources/vpn-connections/conn1",
    "new connection": "#/resources/vpn-connections/new",
    "new VPC": "#/resources/vpcs/new",
    "tokens": "#/tokens",
    "unknown": "#/no-such-page",
}
_OVERFLOW = """
() => {
  const root = document.scrollingElement;
  const hides = [document.documentElement, document.body]
    .filter((e) => ['hidden', 'clip'].includes(getComputedStyle(e).overflowX))
    .map((e) => `${e.localName} hides it`);
  if (root.scrollWidth <= root.clientWidth) return hides;
  const wide = [...document.querySelectorAll('body *')]
    .filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 200));
  return [`${root.scrollWidth} of ${root.clientWidth} px`, ...wide.slice(-3)];
}
"""


def faults(tab: Tab) -> list[str]:
    """What is wrong with the page that is shown, in every look."""
    found: list[str] = []
    for device, width in WIDTHS.items():
        for scheme in ("light", "dark"):
            tab.look(width=width, scheme=scheme)
            told = [f"wider than the screen: {text}" for text in tab.page.evaluate(_OVERFLOW)]
            # Only colours depend on the scheme.
            told += grave_faults(tab.page, *(("color-contrast",) if scheme == "dark" else ()))
            found += [f"{device}, {scheme}: {text}" for text in told]
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_and_can_be_read_in_every_look(lab: Lab, tabs: Tabs, name: str) -> None:
    tab = tabs(lab.url)
    page = tab.go(PAGES[name])
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.title().endswith("bgpsvc")
    assert not faults(tab)
    if name != "unknown":
        assert not faults_of_tab_order(page)
