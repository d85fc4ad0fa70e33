"""`bgpsvc dump` against the served fake: where it writes, and what it says."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tests.fakes.server import RunningApi
from tests.mrt_files import dumped
from tests.unit.cli.conftest import Run


@pytest.mark.usefixtures("running")
def test_a_file_is_written_whole_and_compressed_if_its_name_says_so(bgpsvc: Run, tmp_path: Path) -> None:
    plain, packed = tmp_path / "rib.mrt", tmp_path / "rib.mrt.gz"
    made = bgpsvc("dump", "-o", str(plain))
    assert (made.status, made.out) == (0, "")
    assert made.err == f"{plain}: {plain.stat().st_size} bytes of MRT\n"
    assert bgpsvc("dump", "--gateway", "gw1", "-o", str(packed)).status == 0
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert {path.prefix for path in dumped(plain)} > {"192.168.0.0/16", "2001:db8:2::/48"}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["rib.mrt", "rib.mrt.gz"]


@pytest.mark.usefixtures("running")
def test_paths_and_families_can_be_chosen(bgpsvc: Run, tmp_path: Path) -> None:
    file = tmp_path / "rib.mrt"
    bgpsvc("dump", "-o", str(file), "--which", "best", "--family", "ipv6")
    found = dumped(file)
    assert found
    assert {":" in path.prefix for path in found} == {True}
    assert len(found) == len({path.prefix for path in found})
    assert bgpsvc("dump", "-o", str(file), "--which", "all").status == 2


def test_what_fails_leaves_what_was_there(bgpsvc: Run, running: RunningApi, tmp_path: Path) -> None:
    file = tmp_path / "rib.mrt"
    file.write_bytes(b"yesterday's")
    running.service.dumping = 1
    busy = bgpsvc("dump", "-o", str(file))
    assert busy.status == 1
    assert "4 dumps are being read already; wait until one of them is through" in busy.err
    running.service.dumping = 0
    assert bgpsvc("dump", "-g", "gw9", "-o", str(file)).err.startswith(
        "bgpsvc: there is no VPN gateway 'gw9'"
    )
    assert bgpsvc("dump", "-o", str(tmp_path / "no" / "rib.mrt")).status == 1
    assert [(f.name, f.read_bytes()) for f in tmp_path.iterdir()] == [("rib.mrt", b"yesterday's")]


@pytest.mark.usefixtures("running")
def test_what_is_no_file_is_not_replaced_by_one(bgpsvc: Run, tmp_path: Path) -> None:
    """`-o /dev/null` of root would have."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused = bgpsvc("dump", "-o", str(pipe))
    assert refused.status == 1
    assert f"{pipe} is no regular file" in refused.err
    assert pipe.is_fifo()
