"""What the driver `xfrm` does about interfaces that it finds."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from bgpsvc.ipsec import interfaces, xfrm_links
from bgpsvc.ipsec.ifids import IfIds
from bgpsvc.ipsec.interfaces import ALIAS, Link, xfrm_nameless
from bgpsvc.ipsec.xfrm_links import XfrmLinks
from tests.unit.ipsec.support import tunnel

ONE, TWO = tunnel(1), tunnel(2)


def test_one_that_a_killed_daemon_had_given_no_name_yet_goes_and_its_id_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = IfIds().of(ONE.id)
    links = [
        Link(1, xfrm_nameless(number), "xfrm", 1500, False, "", 0),
        Link(2, TWO.interface, "xfrm", 1400, True, ALIAS + TWO.id, 0),
        Link(3, "office0", "xfrm", 1400, True, "somebody's", 0),
    ]
    removed: list[str] = []

    async def numbers() -> dict[str, int]:
        return {links[0].name: number, links[1].name: 77, links[2].name: 78}

    async def ours() -> list[Link]:
        return [link for link in links if link.tunnel is not None]

    async def find(name: str) -> Link | None:
        return next((link for link in links if link.name == name), None)

    async def remove(gone: Collection[Link]) -> None:
        removed.extend(link.name for link in gone)

    monkeypatch.setattr(xfrm_links, "_numbers", numbers)
    for function in (ours, find, remove):
        monkeypatch.setattr(interfaces, function.__name__, function)
    found = XfrmLinks()
    asyncio.run(found.start({ONE.id, TWO.id}))
    assert removed == [xfrm_nameless(number)]
    assert found._ids.of(ONE.id) == number
    assert found._ids.of(TWO.id) == 77
