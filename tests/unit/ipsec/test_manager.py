"""The manager with a simulated charon, in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bgpsvc.effects import Log
from bgpsvc.events import IpsecChanged
from bgpsvc.ipsec.manager import Tunnels
from bgpsvc.ipsec.model import IpsecStatus
from tests.fakes.driver import FakeDriver, clock, simulate
from tests.unit.ipsec.support import tunnel

T1, T2 = tunnel(1), tunnel(2)
BOTH = {T1.id: T1, T2.id: T2}


class Rig:
    """Tunnels over a fake driver, with what they told."""

    def __init__(self, driver: FakeDriver) -> None:
        self.driver = driver
        self.changes: list[IpsecChanged] = []
        self.logs: list[Log] = []
        self.tunnels = Tunnels(driver, self.changes.append, self.logs.append, clock)
        driver.on_signal = self.tunnels.hear

    def told(self, ident: str) -> list[bool]:
        return [change.up for change in self.changes if change.tunnel == ident]

    def kinds(self) -> list[str]:
        return [log.kind for log in self.logs]

    async def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        end = clock() + seconds
        while not condition():
            assert clock() < end, f"not within {seconds} simulated seconds"
            await asyncio.sleep(0.05)

    def up(self, ident: str) -> bool:
        state = self.tunnels.states()[ident]  # type: ignore[index]
        return state.status is IpsecStatus.IPSEC_SA_ESTABLISHED


def test_tunnels_come_up() -> None:
    async def work() -> None:
        rig = Rig(FakeDriver())
        await rig.tunnels.start(BOTH)
        await rig.until(lambda: rig.up(T1.id) and rig.up(T2.id))
        assert rig.told(T1.id) == [False, True]
        await rig.tunnels.stop(keep=False)

    simulate(work)
