"""The pictures of docs/dashboard.md, made anew from a lab: `python -m tests.browser.gallery [DIRECTORY]`.

A lab with some prefixes, a failover behind it and traffic in it, looked at by day and by night, on a desk and
on a phone. It takes some minutes: the charts need something to show.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Browser, FloatRect

from tests.browser.chromium import chromium
from tests.browser.daemons import Lab
from tests.browser.tab import Scheme, Tab
from tests.netns.namespaces import wait_until

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
MOST_BYTES = 200_000
PREFIXES = 40
TRAFFIC = "for size in 200 1200 700 1400 400; do ping -q -i 0.004 -c 5000 -s $size 192.168.0.10; done"
"""What the charts show: some 100 s of it, from host to host; in the middle the active tunnel fails."""
PIECE_SECONDS = 35.0
CALM_SECONDS, CALM_MOST = 10.0, 300.0
"""Longer than a notice stays on the page; on a busy machine it may take long until it is calm."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as it stands in the docs: its name there, where it is, and how it is looked at."""

    name: str
    route: str
    width: int = 1440
    scheme: Scheme = "light"


_SHOWN = """
() => Math.min(innerHeight, document.querySelector('main article').getBoundingClientRect().bottom + 16)
"""
"""Height of what is not empty, in CSS pixels."""
PICTURES = (
    Picture("topology-light", "#/"),
    Picture("topology-dark", "#/", scheme="dark"),
    Picture("topology-phone-light", "#/", width=390),
    Picture("topology-phone-dark", "#/", width=390, scheme="dark"),
    Picture("routes-light", "#/routes?gateway=gw1"),
    Picture("route-dark", "#/routes/gw1/192.168.0.0%2F16", scheme="dark"),
    Picture("traffic-dark", "#/traffic?window=15m", scheme="dark"),
    Picture("events-light", "#/events"),
    Picture("connection-light", "#/connections/conn1"),
    Picture("form-phone-light", "#/resources/vpn-connections/conn1", width=390),
)


@contextmanager
def prepared() -> Iterator[Lab]:
    """A lab that has lived through a failover, with traffic between its hosts."""
    lab = Lab("--prefixes", str(PREFIXES))
    try:
        lab.be_patient()
        lab.until_carrying(1)
        with lab.started("exec", "ecs1", "--", "sh", "-c", TRAFFIC) as traffic:
            for step in ("fail", "heal"):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    traffic.wait(PIECE_SECONDS)
                lab(step, "1")
            traffic.communicate()
        yield lab
    finally:
        lab.close()


def until_calm(lab: Lab) -> None:
    """Until all is well, and nothing has happened for a while that would be shown as news."""

    def calm() -> bool:
        latest = datetime.fromisoformat(lab.rest.events()[-1]["time"])
        return (datetime.now(UTC) - latest).total_seconds() > CALM_SECONDS

    lab.until_carrying(1)
    wait_until(calm, "nothing happens", CALM_MOST)


def take(browser: Browser, lab: Lab, picture: Picture, directory: Path) -> Path:
    """Write one picture; AssertionError if anything goes wrong in the page, or the file is too large."""
    until_calm(lab)
    tab = Tab(browser, lab.url, width=picture.width, scheme=picture.scheme)
    tab.go(picture.route)
    path = directory / f"dashboard-{picture.name}.png"
    height = float(tab.page.evaluate(_SHOWN))
    clip: FloatRect = {"x": 0, "y": 0, "width": picture.width, "height": height}
    tab.page.screenshot(path=path, animations="disabled", caret="hide", clip=clip)
    tab.close()
    size = path.stat().st_size
    assert size < MOST_BYTES, f"{path.name} has {size} bytes, more than {MOST_BYTES}"
    return path


def main(arguments: list[str]) -> None:
    """Write all pictures to a directory, by default that of the docs."""
    directory = Path(arguments[0]) if arguments else IMAGES
    directory.mkdir(parents=True, exist_ok=True)
    with prepared() as lab, chromium() as browser:
        for picture in PICTURES:
            print(take(browser, lab, picture, directory))


if __name__ == "__main__":
    main(sys.argv[1:])
