"""What a lab needs of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from bgpsvc.ipsec.charon import PROGRAMS
from bgpsvc.lab import launch
from bgpsvc.lab.daemons import MAX_VIA_API, Peer
from bgpsvc.lab.topology import TunnelKind


def programs_in(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).write_text("#!/bin/sh\n")
        (directory / name).chmod(0o755)


@pytest.fixture
def bin_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(launch, "SBIN", ())
    monkeypatch.setattr(launch, "_FRR_DIR", str(tmp_path / "frr"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_missing_programs_are_named_with_their_packages(bin_directory: Path) -> None:
    programs_in(bin_directory, "unshare", "nsenter", "mount")
    with pytest.raises(launch.CannotStart, match=r"ip, bird not found: apt-get install bird2 iproute2"):
        launch.find_programs(Peer.BIRD)
    with pytest.raises(
        launch.CannotStart, match=r"ip, zebra, bfdd, bgpd not found: apt-get install frr iproute2"
    ):
        launch.find_programs(Peer.FRR)


def test_only_what_the_peer_needs_is_looked_for(bin_directory: Path) -> None:
    programs_in(bin_directory, "unshare", "nsenter", "mount", "ip")
    found = launch.find_programs(Peer.BGPSVC)
    assert found == {name: str(bin_directory / name) for name in ("unshare", "nsenter", "mount", "ip")}


def test_frr_is_found_where_debian_hides_it(bin_directory: Path) -> None:
    programs_in(bin_directory, "unshare", "nsenter", "mount", "ip")
    (bin_directory / "frr").mkdir()
    programs_in(bin_directory / "frr", "zebra", "bfdd", "bgpd")
    assert launch.find_programs(Peer.FRR)["bgpd"] == str(bin_directory / "frr" / "bgpd")


def test_charon_is_looked_for_where_the_gateways_do() -> None:
    assert {str(path.parent) for path in PROGRAMS} == set(launch.CHARON_DIRS)


def test_a_taken_port_is_passed_over() -> None:
    with launch.listen((0,)) as taken:
        port = taken.getsockname()[1]
        with launch.listen((port, 0)) as other:
            assert other.getsockname()[0] == "127.0.0.1"
            assert other.getsockname()[1] != port
        with pytest.raises(launch.CannotStart, match="no free TCP port"):
            launch.listen((port,))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """What this machine lacks for IPsec, nothing at first."""
    lacks: list[str | None] = [None]
    monkeypatch.setattr(launch, "_no_ipsec_here", lambda _programs, _rootless: lacks[0])
    return lacks


def choose(asked: TunnelKind | None = None, prefixes: int = 0) -> tuple[TunnelKind, str | None]:
    return launch.choose_tunnels(asked, prefixes, {}, rootless=False)


def test_tunnels_are_ipsec_where_that_can_run(here: list[str | None]) -> None:
    assert choose() == choose(TunnelKind.IPSEC) == (TunnelKind.IPSEC, None)
    assert choose(TunnelKind.VXLAN) == (TunnelKind.VXLAN, None)
    here[0] = "nft is not installed"
    assert choose() == (TunnelKind.VXLAN, "nft is not installed")
    with pytest.raises(launch.CannotStart, match="nft is not installed; --tunnels vxlan does without"):
        choose(TunnelKind.IPSEC)


@pytest.mark.usefixtures("here")
def test_more_prefixes_than_a_request_takes_leave_no_room_for_ipsec() -> None:
    assert choose(prefixes=MAX_VIA_API)[0] is TunnelKind.IPSEC
    kind, why = choose(prefixes=MAX_VIA_API + 1)
    assert kind is TunnelKind.VXLAN
    assert "of 40001 prefixes only 40000 fit into a request" in str(why)
    with pytest.raises(launch.CannotStart, match="only 40000 fit"):
        choose(TunnelKind.IPSEC, MAX_VIA_API + 1)
