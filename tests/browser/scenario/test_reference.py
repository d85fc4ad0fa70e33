"""The reference scenario in a browser, from an empty daemon to the other side's configuration.

The other gateway is prepared over REST, as somebody else's is; it has BFD with 300 ms three times, so that
a busy machine does not take a living tunnel for dead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Download, Locator, Page, expect

from tests.browser.conftest import Tabs
from tests.browser.daemons import Pair, open_pair
from tests.browser.lanes import CARRIES, lane
from tests.browser.tab import Tab
from tests.e2e.two_gateways import ADDRESSES, ASNS, documents
from tests.netns.namespaces import wait_until

KEYS = {number: f"the-key-of-{number}" for number in (1, 2)}
"""As `documents` has them."""
BFD = {"interval_ms": 300, "multiplier": 3}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Gateway 1 without resources, gateway 2 with all it needs."""
    with open_pair() as made:
        for kind, items in documents(2).items():
            for item in items:
                for tunnel in item.get("tunnels", ()):
                    tunnel["bgp"]["bfd"] = BFD
                made.two.rest.write("POST", f"/v1/{kind.replace('_', '-')}", item, 201)
        yield made


@pytest.fixture
def page(pair: Pair, tabs: Tabs) -> Page:
    """Signed in."""
    tab: Tab = tabs(pair.one.url, accept_downloads=True)
    tab.watch.expect(401, "^/v1/whoami$")
    # A dry run of what cannot be is answered with the reason.
    tab.watch.expect(422, "^/v1/")
    shown = tab.go()
    shown.get_by_label("Token").fill(pair.one.token("admin"))
    shown.get_by_role("button", name="Sign in").click()
    expect(shown.get_by_role("heading", name="No connection yet")).to_be_visible()
    return shown


def new(page: Page, kind: str) -> None:
    """Open the form for a new resource, the way that somebody finds it."""
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Resources").click()
    page.get_by_role("navigation", name="Kinds of resources").get_by_role("link", name=kind).click()
    page.get_by_role("link", name="New ").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^New "))


def create(page: Page, planned: str) -> None:
    """Send the form: the plan is shown first, and names what will be made."""
    page.get_by_role("button", name="Review and create").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(planned)
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(dialog).to_be_hidden()


def fill_tunnel(tunnel: Locator, number: int) -> None:
    """The fields of a tunnel."""
    tunnel.get_by_label("Customer gateway").select_option(f"peer{number}")
    tunnel.get_by_label("Pre-shared key").fill(KEYS[number])
    tunnel.get_by_label("Tunnel network").fill(f"169.254.{number}0.0/30")
    tunnel.get_by_label("Address of this side").first.fill(f"169.254.{number}0.1")
    tunnel.get_by_label("BFD", exact=True).check()


def build(page: Page) -> None:
    """All four resources, by forms."""
    page.get_by_role("link", name="Make a VPC").click()
    page.get_by_label("Name").fill("vpc1")
    networks = page.get_by_label("Networks")
    networks.fill("10.0.0.0/33")
    page.get_by_role("button", name="Review and create").click()
    expect(networks).to_have_attribute("aria-invalid", "true")
    networks.fill("10.0.0.0/24")
    create(page, "vpc1")
    new(page, "VPN gateways")
    page.get_by_label("Name").fill("gw1")
    page.get_by_label("VPC", exact=False).first.select_option("vpc1")
    for number, address in enumerate(ADDRESSES[1], start=1):
        page.get_by_label(f"Public address for tunnels {number}").fill(address)
    page.get_by_label("Automatic propagation").uncheck()
    create(page, "gw1")
    for number, address in enumerate(ADDRESSES[2], start=1):
        new(page, "Customer gateways")
        page.get_by_label("Name").fill(f"peer{number}")
        page.get_by_label("Public address").fill(address)
        page.get_by_label("AS number").fill(str(ASNS[2]))
        create(page, f"peer{number}")
    new(page, "VPN connections")
    page.get_by_label("Name").fill("conn1")
    page.get_by_label("VPN gateway").select_option("gw1")
    page.get_by_label("AS number of this side").fill(str(ASNS[1]))
    for number, role in ((1, "active"), (2, "standby")):
        fill_tunnel(page.get_by_role("group", name=f"Tunnel {number} ({role})"), number)
    create(page, "conn1")
    expect(page.get_by_role("heading", level=1)).to_have_text("Connection conn1")


def to_topology(page: Page) -> None:
    """By the navigation."""
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Topology").click()


def propagate(page: Page, word: str, shown: re.Pattern[str]) -> None:
    """Switch propagation; what that does is shown before, and afterwards."""
    page.get_by_role("link", name="conn1", exact=True).click()
    button = page.get_by_role("button", name=f"Turn {word}")
    button.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("192.168.0.0/24")
    # Nothing has happened yet; who leaves by Escape is back where they were.
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    button.press("Enter")
    dialog.get_by_role("button", name=f"Turn {word}", exact=True).click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_text(shown).first).to_be_visible()


def watch_a_failover(page: Page, pair: Pair) -> None:
    """Packets of tunnel 1 vanish: the page follows, without a hand on it."""
    to_topology(page)
    expect(lane(page, "conn1-tunnel1")).to_contain_text(CARRIES)
    with pair.wan.losing(ADDRESSES[2][0]):
        expect(lane(page, "conn1-tunnel2")).to_contain_text(CARRIES)
        expect(lane(page, "conn1-tunnel1")).to_contain_text("down")
        wait_until(pair.pings, "pings take tunnel 2")
        read_why(page, "conn1-tunnel2")
        to_topology(page)
    expect(lane(page, "conn1-tunnel1")).to_contain_text(CARRIES)


def read_why(page: Page, tunnel: str) -> None:
    """Find a prefix, and read which tunnel it takes and why."""
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Routes").click()
    page.get_by_role("link", name="192.168.0.0/24").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("192.168.0.0/24")
    expect(page.get_by_role("main")).to_contain_text(tunnel)


def download_of_peer(page: Page, path: Path) -> str:
    """The other side's configuration with its keys, as the browser saves it."""
    page.get_by_role("link", name="conn1", exact=True).click()
    page.get_by_role("link", name="Peer configuration").click()
    page.get_by_label("Platform").select_option("strongswan-frr")
    page.get_by_label("With the pre-shared keys").check()
    expect(page.get_by_text("the keys in clear")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download").click()
    got: Download = waiting.value
    got.save_as(path)
    return path.read_text()


def test_the_reference_scenario_in_a_browser(pair: Pair, page: Page, tmp_path: Path) -> None:
    build(page)
    to_topology(page)
    for number in (1, 2):
        expect(lane(page, f"conn1-tunnel{number}")).to_have_attribute("data-state", "live", timeout=90_000)
    assert not pair.pings()
    propagate(page, "on", re.compile("1 of 1 learned prefix"))
    wait_until(pair.pings, "the VPCs reach each other")
    watch_a_failover(page, pair)
    text = download_of_peer(page, tmp_path / "peer.conf")
    assert all(word in text for word in (*ADDRESSES[1], *ADDRESSES[2], *KEYS.values(), str(ASNS[2])))
    to_topology(page)
    propagate(page, "off", re.compile("no learned prefix is in the table"))
    wait_until(lambda: not pair.pings(), "the VPCs do not reach each other any more")
