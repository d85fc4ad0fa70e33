"""Every page, on a phone and on a desk, by day and by night: it fits, it can be read, it needs no mouse."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Tabs
from tests.browser.daemons import Lab
from tests.browser.keyboard import faults_of_tab_order
from tests.browser.looks import faults_of_looks

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


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_and_can_be_read_in_every_look(lab: Lab, tabs: Tabs, name: str) -> None:
    tab = tabs(lab.url)
    page = tab.go(PAGES[name])
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.title().endswith("bgpsvc")
    assert not faults_of_looks(tab)
    if name != "unknown":
        assert not faults_of_tab_order(page)
