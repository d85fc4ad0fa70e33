"""The nft table of the tunnels, when somebody removes it and when there is none to remove."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bgpsvc.ipsec.firewall import TABLE, Clamp, Firewall
from tests.netns.namespaces import Namespace


@pytest.mark.parametrize("clamps", [[], [Clamp("t1", 1400)]], ids=["no tunnel", "a tunnel"])
def test_only_a_table_that_is_needed_is_missed(
    clamps: list[Clamp], make_namespace: Callable[[], Namespace], caplog: pytest.LogCaptureFixture
) -> None:
    here = make_namespace()

    async def lose_it() -> None:
        firewall = Firewall()
        await firewall.apply([], clamps)
        here.run("nft", "flush", "ruleset")
        await firewall.restore()

    with here.entered():
        asyncio.run(lose_it())
    assert (f"table {TABLE}" in here.run("nft", "list", "tables")) == bool(clamps)
    assert len(caplog.records) == len(clamps)
