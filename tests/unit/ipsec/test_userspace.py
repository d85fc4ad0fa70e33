"""What the driver `userspace` does when something cannot be done; the rest is tested with real charons."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from bgpsvc.ipsec import firewall, interfaces, userspace
from bgpsvc.ipsec.charon import Home
from bgpsvc.ipsec.instance import Instance, Launcher
from bgpsvc.ipsec.model import Cause
from bgpsvc.ipsec.port import DriverError, SaChanged, Signal
from bgpsvc.ipsec.ports import Ports
from tests.unit.ipsec.support import tunnel
from tests.unit.ipsec.test_codec import recorded

ONE = tunnel(1)


def kept(folder: Path) -> userspace._Kept:
    async def prepare(_process: object) -> None:
        """Nothing is started."""

    def nothing(*_: object) -> None:
        """Nobody listens."""

    home, launcher = Home(folder), Launcher(Path("/nowhere"), own_run=True)
    instance = Instance(ONE.id, home, Ports(1, 2), launcher, None, prepare, nothing, nothing, nothing)
    return userspace._Kept(ONE, instance)


def test_a_tunnel_of_which_something_stays_can_be_taken_down_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [DriverError(Cause.INTERFACE_FAILED, "the interface ipsec-1 cannot be removed")]
    removed = []

    async def remove_of(ident: str) -> None:
        if refusals:
            raise refusals.pop()
        removed.append(ident)

    async def rules(*_: object, text: str) -> str:
        return text

    monkeypatch.setattr(interfaces, "remove_of", remove_of)
    monkeypatch.setattr(firewall, "_nft", rules)
    driver = userspace.Userspace(tmp_path, lambda signal: None)
    driver._kept[ONE.id] = kept(tmp_path / "home")

    async def work() -> None:
        with pytest.raises(DriverError):
            await driver.take_down(ONE.id)
        await driver.take_down(ONE.id)
        await driver.take_down(ONE.id)

    asyncio.run(work())
    assert removed == [ONE.id]


def test_an_nft_that_cannot_be_run_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refused)
    monkeypatch.setattr("shutil.which", lambda *_, **__: "/usr/sbin/nft")
    with pytest.raises(DriverError, match="nft cannot be run: Resource temporarily unavailable"):
        asyncio.run(firewall.Firewall().remove())


@pytest.mark.parametrize(("private", "shown"), [("1", 500), ("2", 4500), ("7", 7)])
def test_sas_are_shown_with_the_port_that_the_peer_sees(tmp_path: Path, private: str, shown: int) -> None:
    (event, message), *_ = recorded("ikev2-good")["events"]
    (name,) = (key for key in message if key != "up")
    told: list[Signal] = []
    driver = userspace.Userspace(tmp_path, told.append)
    driver._kept[ONE.id] = kept(tmp_path / "home")
    driver._heard(ONE.id, event, {**message, name: {**message[name], "local-port": private}})
    (signal,) = told
    assert isinstance(signal, SaChanged)
    assert signal.ike.local_port == shown
