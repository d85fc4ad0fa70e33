"""What a former daemon left and nobody wants any more: charons of our own, or our part of the system's."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection
from pathlib import Path

from bgpsvc.ipsec import interfaces
from bgpsvc.ipsec.charon import TABLE, CharonProcess, Home, end_strays, recorded_tunnel
from bgpsvc.ipsec.firewall import Firewall
from bgpsvc.ipsec.probe import answers
from bgpsvc.ipsec.shared_charon import SharedCharon
from bgpsvc.ipsec.vici import CharonError
from bgpsvc.model import SessionId

log = logging.getLogger(__name__)


async def sweep(state_dir: Path, keep: Collection[SessionId]) -> None:
    """Remove the charons and interfaces that a former daemon left of tunnels other than these.

    DriverError, OSError.
    """
    for home in _homes(state_dir):
        if recorded_tunnel(home.read()) not in keep:
            await _end_charon(home)
    await interfaces.remove([link for link in await interfaces.ours() if link.tunnel not in keep])
    if not keep:
        await interfaces.remove_rules(TABLE)


async def dismantle(state_dir: Path) -> None:
    """Remove everything that `userspace` left, for another one to make the tunnels. DriverError, OSError."""
    base = state_dir / "ipsec"
    if not base.is_dir():
        return
    for home in _homes(state_dir):
        await _end_charon(home)
    # The TUNs of the charons have gone with them; whatever else is ours is the other driver's.
    await interfaces.remove([link for link in await interfaces.ours() if link.placeholder])
    await interfaces.remove_rules(TABLE)
    await Firewall().remove()
    shutil.rmtree(base)


async def dismantle_xfrm(charon_socket: Path, state_dir: Path) -> None:
    """The same of `xfrm`; what charon has goes once it answers, now or next time. DriverError, OSError."""
    record = state_dir / "xfrm.json"
    if not record.exists():
        return
    charon = SharedCharon(charon_socket, record)
    try:
        finding = await answers(charon.vici)
        if finding.ok:
            await charon.survey(())
        elif charon.holds:
            log.warning("what a former daemon gave to charon stays for now: %s", finding.text)
    except CharonError as error:
        log.warning("what a former daemon gave to charon stays for now: %s", error)
    finally:
        await charon.vici.close()
    left = [link for link in await interfaces.ours() if link.kind == "xfrm"]
    await interfaces.remove(left)
    if not charon.holds:
        await Firewall().remove()
        record.unlink()


def _homes(state_dir: Path) -> list[Home]:
    base = state_dir / "ipsec"
    return [Home(path) for path in sorted(base.iterdir()) if path.is_dir()] if base.is_dir() else []


async def _end_charon(home: Home) -> None:
    process = CharonProcess.adopt(home)
    if process is not None:
        await process.stop()
    await end_strays(home)
    home.remove()
