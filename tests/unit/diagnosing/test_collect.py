"""Which address the probes of the public side are sent from."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bgpsvc.diagnosing import collect, links, probes
from bgpsvc.diagnosing.evidence import Reply, Way
from tests.unit.diagnosing.cases import OURS, THEIRS, without_ike


@pytest.mark.parametrize(
    ("way", "sources"),
    [
        (Way(True, OURS, "wan0", None), {OURS}),
        (Way(False, "10.1.1.1", "wan0", None), {"10.1.1.1"}),  # a NAT translates it
        (Way(False, "203.0.113.7", "wan0", None), set()),
        (Way(True, None, None, None, "network is unreachable"), set()),
    ],
)
def test_probes_leave_from_an_address_that_this_machine_has(
    monkeypatch: pytest.MonkeyPatch, way: Way, sources: set[str]
) -> None:
    used: set[str] = set()

    async def found(local: str, remote: str) -> Way:
        assert (local, remote) == (OURS, THEIRS)
        return way

    async def probe(source: str, remote: str, *_: Any) -> Reply:
        used.add(source)
        return Reply("silent", "no answer")

    monkeypatch.setattr(links, "way", found)
    monkeypatch.setattr(probes, "ike", probe)
    monkeypatch.setattr(probes, "ping", probe)
    known = replace(without_ike(), way=None, udp500=None, udp4500=None)
    seen = asyncio.run(collect._outside(cast(collect.Sources, SimpleNamespace(offers={})), known))
    assert used == sources
    assert (seen.udp500 is not None) is bool(sources)
    assert seen.way is not None
    assert seen.way.local_present is way.local_present
