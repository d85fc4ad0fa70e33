"""What another driver finds of tunnels that `xfrm` made: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

import pytest

from bgpsvc.ipsec import interfaces, leftovers, shared_charon
from bgpsvc.ipsec.firewall import Firewall
from bgpsvc.ipsec.interfaces import ALIAS, Link
from bgpsvc.ipsec.leftovers import dismantle_xfrm
from tests.unit.ipsec.support import tunnel
from tests.unit.ipsec.test_shared_charon import load, shared
from tests.unit.ipsec.test_xfrm import FakeSystem

ONE = tunnel(1)


class Machine:
    """A charon that others use too, an interface of ours of each kind, and the nft table."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.charon = folder, FakeSystem()
        self.links = [
            Link(number, f"conn{number}-tunnel1", kind, 1400, True, f"{ALIAS}conn{number}-tunnel1", 0)
            for number, kind in ((1, "xfrm"), (2, "tun"))
        ]
        self.table = True
        monkeypatch.setattr(shared_charon, "Charon", lambda path: self.charon)
        monkeypatch.setattr(leftovers, "answers", FakeSystem.answers)
        monkeypatch.setattr(interfaces, "ours", self._ours)
        monkeypatch.setattr(interfaces, "remove", self._remove)
        monkeypatch.setattr(Firewall, "remove", self._remove_table)

    async def _ours(self) -> list[Link]:
        return self.links

    async def _remove(self, links: Collection[Link]) -> None:
        self.links = [link for link in self.links if link not in links]

    async def _remove_table(self) -> None:
        self.table = False

    def dismantle(self) -> None:
        asyncio.run(dismantle_xfrm(self.folder / "charon.vici", self.folder))

    @property
    def record(self) -> Path:
        return self.folder / "xfrm.json"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path, monkeypatch)
    asyncio.run(load(shared(tmp_path, made.charon), ONE))
    return made


def test_what_is_ours_goes_and_nothing_else(machine: Machine) -> None:
    machine.dismantle()
    assert set(machine.charon.conns) == {"office"}
    assert set(machine.charon.keys) == {"ike-office"}
    assert [link.kind for link in machine.links] == ["tun"]
    assert not machine.table
    assert not machine.record.exists()
    machine.table = True
    machine.dismantle()
    assert machine.table, "it is the other driver's by now"


def test_a_charon_that_does_not_answer_is_asked_next_time(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.charon.running = False
    machine.dismantle()
    assert "stays for now: no charon answers" in caplog.text
    assert [link.kind for link in machine.links] == ["tun"]
    assert machine.record.exists()
    machine.charon.running = True
    machine.dismantle()
    assert set(machine.charon.conns) == {"office"}
    assert not machine.record.exists()
