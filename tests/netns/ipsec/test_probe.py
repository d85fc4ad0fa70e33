"""What is said of a namespace and its machine is true, and finding it out leaves nothing behind."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bgpsvc.ipsec import charon, probe
from bgpsvc.ipsec.choose import Findings
from tests.netns.namespaces import Namespace


def examined(namespace: Namespace, socket: Path) -> Findings:
    with namespace.entered():
        return asyncio.run(probe.examine(socket))


def made_by_hand(namespace: Namespace, command: str) -> bool:
    return "not" not in namespace.run("sh", "-c", f"{command} || echo not made", check=False)


def test_findings_agree_with_the_machines_own_commands(
    make_namespace: Callable[[], Namespace], tmp_path: Path
) -> None:
    namespace = make_namespace()
    found = examined(namespace, tmp_path / "no.vici")
    links = namespace.ip("-br link").splitlines()
    assert [line.split()[0] for line in links if "bgpsvc" in line] == []
    assert namespace.run("nft", "list", "ruleset") == ""

    assert found.xfrm_interface.ok is made_by_hand(namespace, "ip link add x1 type xfrm if_id 1 2>&1")
    state = "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 1 mode tunnel"
    algorithms = f"auth sha256 {'0x' + '11' * 32} enc aes {'0x' + '22' * 32}"
    assert found.esp.ok is made_by_hand(namespace, f"{state} {algorithms} 2>&1")
    assert found.tun.ok is made_by_hand(namespace, "ip tuntap add mode tun name t1 2>&1")
    assert found.nft.ok is made_by_hand(namespace, "nft add table inet t 2>&1")
    assert found.charon.ok
    assert found.libipsec.ok
    assert not found.vici.ok
    assert f"no charon answers at {tmp_path}/no.vici" in found.vici.text
    assert "start strongSwan" in found.vici.text


def test_what_is_forbidden_is_told_from_what_is_missing(
    make_namespace: Callable[[], Namespace], tmp_path: Path
) -> None:
    """As in a container without NET_ADMIN: the kernel has it all, the daemon may not use it."""
    namespace = make_namespace()
    program = (
        "import asyncio, pathlib\n"
        "from bgpsvc.ipsec import probe\n"
        "found = asyncio.run(probe.examine(pathlib.Path('/nowhere.vici')))\n"
        "print(found.tun.text, found.nft.text, sep='\\n')"
    )
    said = namespace.run(
        "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", sys.executable, "-c", program
    )
    assert "CAP_NET_ADMIN" in said.splitlines()[0]
    assert "CAP_NET_ADMIN" in said.splitlines()[1]


class SilentCharon:
    """Listens where charon would, as one does that hangs: connections are taken, and nothing is answered."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def __aenter__(self) -> None:
        self._server = await asyncio.start_unix_server(lambda _r, _w: None, path=self.path)

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


def test_a_charon_that_hangs_is_told_from_one_that_is_not_there(
    make_namespace: Callable[[], Namespace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_SECONDS", 0.2)

    async def ask() -> Findings:
        async with SilentCharon(tmp_path / "vici"):
            return await probe.examine(tmp_path / "vici")

    with make_namespace().entered():
        assert "does not answer: restart strongSwan" in asyncio.run(ask()).vici.text


def test_without_strongswan_the_packages_are_named(
    make_namespace: Callable[[], Namespace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "find_program", lambda: charon.find_program(()))
    found = examined(make_namespace(), tmp_path / "no.vici")
    assert not found.charon.ok
    assert not found.libipsec.ok
    assert "strongswan-charon" in found.charon.text
