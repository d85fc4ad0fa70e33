"""`bgpsvc peer-config`: to standard output, into a file that only its owner reads, and apart."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from bgpsvc.cli.running import peer_config_dir
from bgpsvc.cli.serving import Options
from bgpsvc.peerconfig.platforms import PLATFORMS
from tests.fakes.server import RunningApi
from tests.unit.cli.conftest import Run


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_platforms_one_a_line(running: RunningApi, bgpsvc: Run) -> None:
    result = bgpsvc("peer-config", "--list")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == list(PLATFORMS)


def test_platforms_are_known_without_a_daemon(bgpsvc: Run, tmp_path: Path) -> None:
    result = bgpsvc("peer-config", "--list", "--server", f"unix:{tmp_path}/none")
    assert (result.status, result.out.splitlines()) == (0, list(PLATFORMS))
    assert "cannot reach" in result.err


def test_to_standard_output_with_what_to_do_beside(running: RunningApi, bgpsvc: Run) -> None:
    result = bgpsvc("peer-config", "conn1", "--platform", "bgpsvc")
    assert result.status == 0
    assert 'pre_shared_key: "<pre-shared key of tunnel 1>"' in result.out
    assert "1 line has EDIT" in result.err
    assert "--secrets puts them in" in result.err
    named = bgpsvc("peer-config", "conn1", "-p", "bgpsvc", "--secrets", "-n", "192.168.0.0/16")
    assert "    cidrs: [192.168.0.0/16]\n" in named.out
    assert 'pre_shared_key: "sharedKey1"' in named.out
    assert named.err == ""


def test_into_a_file_that_others_cannot_read(running: RunningApi, bgpsvc: Run, tmp_path: Path) -> None:
    path = tmp_path / "peer.yaml"
    path.write_text("x" * 100_000)
    path.chmod(0o644)
    result = bgpsvc("peer-config", "conn1", "-p", "bgpsvc", "--secrets", "-o", str(path))
    assert (result.status, result.out) == (0, "")
    assert mode(path) == 0o600
    assert path.read_text() == bgpsvc("peer-config", "conn1", "-p", "bgpsvc", "--secrets", "-o", "-").out


def test_apart(running: RunningApi, bgpsvc: Run, tmp_path: Path) -> None:
    folder = tmp_path / "device"
    result = bgpsvc("peer-config", "conn1", "-p", "strongswan-frr", "--output-dir", str(folder))
    assert result.status == 0
    swanctl = folder / "etc/swanctl/conf.d/conn1.conf"
    script = folder / "usr/local/sbin/conn1-tunnels"
    assert {str(swanctl), str(script), str(folder / "README")} <= set(result.out.splitlines())
    assert (mode(folder), mode(swanctl), mode(script)) == (0o700, 0o600, 0o700)
    assert script.read_text().startswith("#!/bin/sh\n")
    one = bgpsvc("peer-config", "conn1", "-p", "bgpsvc", "--output-dir", str(tmp_path / "one"))
    assert one.out == f"{tmp_path}/one/conn1-bgpsvc.yaml\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("conn1",), "--platform takes bgpsvc, strongswan-frr,"),
        ((), "which connection?"),
        (("--list", "conn1"), "--list goes alone"),
        (("conn1", "-p", "bgpsvc", "-o", "f", "--output-dir", "d"), "not both"),
        (("conn1", "-p", "pix"), "'pix' is no platform"),
        (("../conn1", "-p", "bgpsvc"), "is not the name of anything"),
    ],
)
def test_called_wrongly(running: RunningApi, bgpsvc: Run, arguments: tuple[str, ...], said: str) -> None:
    result = bgpsvc("peer-config", *arguments)
    assert (result.status, result.out) == (2, "")
    assert said in result.err


def test_a_file_that_cannot_be_written(running: RunningApi, bgpsvc: Run, tmp_path: Path) -> None:
    result = bgpsvc("peer-config", "conn1", "-p", "bgpsvc", "-o", str(tmp_path / "no" / "file"))
    assert (result.status, result.out) == (1, "")
    assert "no/file cannot be written: No such file or directory" in result.err


def options(config: Path | None, state: Path, given: Path | None) -> Options:
    """Options of `bgpsvc serve` that matter here."""
    usual = Options(
        *(None, state, None, "", None, None, None, 0, None),
        *("auto", Path("/run/charon.vici"), None, False, False),
        *(None, None, (), "", 0.0),
    )
    return replace(usual, config=config, peer_config_dir=given)


def test_where_the_operators_templates_are_looked_for(tmp_path: Path) -> None:
    beside, state, other = tmp_path / "etc", tmp_path / "state", tmp_path / "other"
    config = beside / "gw1.yaml"
    assert peer_config_dir(options(config, state, None)) is None
    for folder in (beside / "peer-config", state / "peer-config", other):
        folder.mkdir(parents=True)
    assert peer_config_dir(options(config, state, None)) == beside / "peer-config"
    assert peer_config_dir(options(None, state, None)) == state / "peer-config"
    assert peer_config_dir(options(config, state, other)) == other
