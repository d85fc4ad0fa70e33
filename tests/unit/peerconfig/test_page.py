"""The page for operators says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bgpsvc.peerconfig.platforms import PLATFORMS
from bgpsvc.peerconfig.render import platforms, render
from bgpsvc.peerconfig.words import Unsupported
from tests.unit.peerconfig.scenarios import EVERYTHING, REFERENCE

PAGE = (Path(__file__).parents[3] / "docs" / "peer-configurations.md").read_text(encoding="utf-8")


def test_every_platform_is_in_the_table() -> None:
    table = PAGE.partition("## Platforms\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| ([^|]+) \|", table, flags=re.MULTILINE)
    assert rows == [(platform.name, platform.title) for platform in PLATFORMS.values()]


def test_its_example_of_a_template_works(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```jinja\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "acme.j2").write_text(example)
    assert platforms(tmp_path)["acme"].title == "ACME VPN box"
    text = render(REFERENCE.facts, "acme", tmp_path).text
    assert "vpn conn1-tunnel2 remote 198.51.100.3 local 198.51.100.4\n" in text
    assert "  bgp 65500 neighbor 169.254.20.1 remote-as 65530 med 200\n" in text
    with pytest.raises(Unsupported, match="conn1-tunnel1: IKE encryption aes is not possible there"):
        render(EVERYTHING.facts, "acme", tmp_path)
