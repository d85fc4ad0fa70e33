"""`bgpsvc show bmp`."""

from __future__ import annotations

import json

from tests.fakes.server import RunningApi
from tests.unit.cli.conftest import Run


def test_the_stations_and_what_is_wrong_with_one(running: RunningApi, bgpsvc: Run) -> None:
    result = bgpsvc("show", "bmp", "-o", "wide")
    assert result.status == 0
    heading, connected, down = result.out.splitlines()
    assert heading.split()[:4] == ["STATION", "STATE", "FOR", "PEERS"]
    assert down.split()[:2] == ["[2001:db8::9]:1790", "waiting"]
    assert "no connection: Connection refused" in down
    assert connected.split()[:2] == ["192.0.2.9:1790", "connected"]
    assert "loc-rib,pre-policy" in connected


def test_for_programs(running: RunningApi, bgpsvc: Run) -> None:
    items = json.loads(bgpsvc("show", "bmp", "-o", "json").out)
    assert [item["station"] for item in items["items"]] == ["192.0.2.9:1790", "[2001:db8::9]:1790"]
    assert items["items"][0]["since"].endswith("Z")
