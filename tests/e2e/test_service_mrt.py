"""Routes and updates as MRT, from a real daemon with real peers, read back by bgpdump and mrtparse."""

from __future__ import annotations

import gzip
import os
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import (
    END,
    LOCAL_ASN,
    LONG,
    PEER_ASN,
    REPOSITORY,
    Site,
    configuration,
    prefixes,
    prefixes6,
    table6_of,
    table_of,
)
from tests.fakes import bgp_wire as wire
from tests.mrt_files import ReadPath, dumped, dumped_by_bgpdump, replayed, without_large
from tests.netns.namespaces import wait_until

PEERS = {f"conn1-tunnel{number}": f"169.254.{number}0.2" for number in (1, 2)}
BOTH, TAGGED, SECOND, GONE = prefixes(300), prefixes(20, 300), prefixes(5, 400), prefixes(30, 500)
V6 = prefixes6(150)
LARGE = wire.attribute(0xC0, 32, struct.pack("!3I", PEER_ASN, 7, 9))
REFUSED = "40.1.0.0/16"
ONE = (
    table_of(1, BOTH, as_path=(PEER_ASN, 4_200_000_000))
    + table6_of(1, V6)
    + table_of(1, TAGGED, communities=[(PEER_ASN, 100), (0xFFFF, 0xFF01)], med=7, extra=LARGE)
    + table_of(1, [REFUSED], as_path=(PEER_ASN, LOCAL_ASN, 64999))
)
TWO = table_of(2, BOTH, as_path=(PEER_ASN,)) + table_of(2, SECOND, as_path=(PEER_ASN, 64700))
"""What the two peers announce, and again when they are asked."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Two sessions: what they send, some of it refused, some of it withdrawn again, is recorded."""
    with Site() as made:
        made.configure(configuration())
        made.options = ("--mrt-dir", str(made.directory / "mrt"), "--mrt-interval", "1d")
        made.start()
        with made.peer(1, answer_refresh=ONE) as one, made.peer(2, answer_refresh=TWO) as two:
            for peer in (one, two):
                peer.wait_established()
            one.send(ONE + table_of(1, GONE) + wire.update(withdrawn=GONE) + END)
            two.send(TWO + END)
            made.until_routes({*BOTH, *TAGGED, *SECOND})
            made.until_routes(V6, version=6)
            yield made


def shown(site: Site, best: bool = False) -> list[ReadPath]:
    """What REST shows of all paths, or of the best ones alone."""
    found = []
    for route in site.rest.routes():
        accepted = [path for path in route["candidates"] if path["rank"] is not None]
        for path in accepted[:1] if best else route["candidates"]:
            found.append(read_path(route["prefix"], path))
    return sorted(found)


def read_path(prefix: str, path: dict[str, Any]) -> ReadPath:
    return ReadPath(
        prefix,
        PEERS[path["session"]],
        path["as_path"],
        path["next_hop"],
        path["origin"].upper(),
        path["med"] or 0,
        tuple(sorted([*path["communities"], *path["large_communities"]])),
    )


def bgpsvc(site: Site, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """The command line against this daemon."""
    command = [sys.executable, "-m", "bgpsvc", "--server", f"unix:{site.socket_path}", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=LONG)


def recorded(site: Site) -> list[Path]:
    """The files of the recording, oldest first."""
    return sorted((site.directory / "mrt").iterdir())


def left(site: Site) -> list[ReadPath]:
    return sorted(replayed(recorded(site))[0].values())


@pytest.mark.parametrize("which", ["received", "best"])
def test_a_dump_holds_what_rest_shows(site: Site, which: str) -> None:
    file = site.directory / f"{which}.mrt.gz"
    made = bgpsvc(site, "dump", "-o", str(file), "--which", which)
    assert (made.returncode, made.stdout) == (0, b"")
    plain = file.with_suffix("")
    plain.write_bytes(gzip.decompress(file.read_bytes()))
    assert made.stderr.decode() == f"{file}: {plain.stat().st_size} bytes of MRT\n"
    expected = shown(site, best=which == "best")
    assert len(expected) == len(V6) + len([*TAGGED, *SECOND]) + (
        2 * len(BOTH) + 1 if which == "received" else len(BOTH)
    )
    assert sorted(dumped(plain)) == expected
    # bgpdump reads compressed files itself.
    assert sorted(dumped_by_bgpdump(file)) == sorted(map(without_large, expected))


def test_a_dump_goes_through_a_pipe_and_may_be_cut_off(site: Site) -> None:
    whole = bgpsvc(site, "dump", "--family", "ipv6").stdout
    ran = subprocess.run(["bgpdump", "-m", "-"], input=whole, capture_output=True, check=True)
    assert len(ran.stdout.splitlines()) == len(V6)
    command = f"{sys.executable} -m bgpsvc --server unix:{site.socket_path} dump | head -c 10"
    cut = subprocess.run(["bash", "-c", command], cwd=REPOSITORY, capture_output=True, timeout=LONG)
    assert (len(cut.stdout), cut.stderr) == (10, b"")


def test_what_cannot_be_written_leaves_nothing_behind(site: Site) -> None:
    made = bgpsvc(site, "dump", "-o", str(site.directory / "missing" / "rib.mrt"))
    assert made.returncode == 1
    assert made.stderr.decode().endswith("rib.mrt can't be written: No such file or directory\n")
    (site.directory / "taken.mrt").mkdir()
    assert bgpsvc(site, "dump", "-o", str(site.directory / "taken.mrt")).returncode == 1
    assert not list(site.directory.glob("*.part"))


def test_the_recording_leaves_what_rest_shows_after_a_crash_too(site: Site) -> None:
    """In this order, as each step is what the next begins with."""
    expected = shown(site)
    wait_until(lambda: left(site) == expected, "everything is recorded", LONG)
    (part,) = recorded(site)
    assert part.name.endswith(".mrt.part")
    assert stat.S_IMODE(part.stat().st_mode) == 0o640
    first_states = [(peer, "OpenConfirm", "Established") for peer in sorted(PEERS.values())]
    assert sorted(replayed([part])[1]) == first_states
    site.stop(signal.SIGKILL)
    with part.open("ab") as file:
        file.write(os.urandom(7))  # as if the crash had come in the middle of a record
    site.start()
    assert part.with_suffix("") in recorded(site)
    # The speakers went on; what they announced is asked for and recorded again.
    again = [(peer, "Idle", "Established") for peer in sorted(PEERS.values())]

    def of_the_second() -> bool:
        routes, states = replayed(recorded(site)[1:])
        return (sorted(routes.values()), sorted(states)) == (expected, again)

    wait_until(lambda: len(recorded(site)) == 2 and of_the_second(), "all of it again", LONG)
    metrics = site.rest.http.get("/metrics").text
    assert "bgpsvc_recording_up 1.0" in metrics
    assert "bgpsvc_recording_lost_events_total 0.0" in metrics
    site.stop()
    files = recorded(site)
    assert {file.suffix for file in files} == {".mrt"}
    assert left(site) == []
    ends = replayed(files[1:])[1]
    assert sorted(ends[-2:]) == [(peer, "Established", "Idle") for peer in sorted(PEERS.values())]


def test_a_directory_that_is_not_for_the_daemon_ends_its_start(site: Site) -> None:
    (site.directory / "open").mkdir()
    (site.directory / "open").chmod(0o777)
    argv = site.gateway.command(*site.argv("--mrt-dir", str(site.directory / "open")))
    ran = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=LONG)
    assert ran.returncode == 1
    assert ran.stderr.endswith("open is writable by every user (mode 0777): chmod o-w " + argv[-1] + "\n")
