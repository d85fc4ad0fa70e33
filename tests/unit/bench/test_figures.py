"""Percentiles and medians, what /proc and a log tell, and outages out of packets."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.bench.configurations import Setup, neighbors
from tests.bench.probes import Seen
from tests.bench.sessions import far_configuration, read_log
from tests.bench.statistic import medians, percentile
from tests.bench.switchover import addresses, summary
from tests.bench.usage import cpu_seconds, usage


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.5, 5.0), (0.9, 9.0), (0.91, 10.0), (0.99, 10.0), (1.0, 10.0)]
)
def test_percentile_is_the_smallest_value_that_covers_the_share(share: float, expected: float) -> None:
    assert percentile([10.0, *(float(value) for value in range(1, 10))], share) == expected


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_medians_are_of_the_figures_that_all_samples_have() -> None:
    assert medians([{"a": 3.0, "b": 1.0}, {"a": 1.0}, {"a": 2.0}]) == {"a": 2.0}
    assert medians([]) == {}


def test_usage_adds_up_what_proc_tells(tmp_path: Path) -> None:
    for pid, rss, ticks in ((7, 100, 30), (8, 50, 12)):
        directory = tmp_path / str(pid)
        directory.mkdir()
        (directory / "smaps_rollup").write_text(
            f"00-ff ---p 0 00:00 0 [rollup]\nRss: {rss} kB\nPss: {rss // 2} kB\n"
        )
        stat = f"{pid} (a ) b) S " + " ".join(["0"] * 10 + [str(ticks), "8"] + ["0"] * 30)
        (directory / "stat").write_text(stat)
    found = usage([7, 8, 9], tmp_path)  # 9 has ended
    assert (found.processes, found.resident, found.proportional) == (2, 150 * 1024, 75 * 1024)
    assert found.cpu_seconds == cpu_seconds([7, 8, 9], tmp_path) == pytest.approx(58 / 100)


def test_log_of_sessions_tells_which_are_up(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert read_log(log) == {}
    log.write_text(
        "2026-01-02 03:04:05.250000 <TRACE> p1t1: BGP session established\n"
        "2026-01-02 03:04:06.000000 <TRACE> p1t2: BGP session established\n"
        "2026-01-02 03:04:07.000000 <TRACE> p1t2: BGP session closed\n"
        "2026-01-02 03:04:08.000000 <TRACE> p2t1: Incoming connection from 169.254.8.1 accepted\n"
    )
    up = read_log(log)
    assert list(up) == ["p1t1"]
    assert up["p1t1"] % 60 == 5.25


def test_far_end_announces_the_same_networks_on_both_sessions_of_a_pair() -> None:
    text = far_configuration(neighbors(2))
    assert text.count("table c1; import none; export all") == 2
    assert "route 20.0.0.0/24 blackhole" in text
    assert "route 20.0.16.0/24 blackhole" in text.split("protocol static s2")[1]


def packed(text: str) -> bytes:
    return socket.inet_aton(text)


SAMPLED = ("20.0.0.1", "20.0.1.1", "20.0.2.1")


def test_outages_run_from_the_last_packet_to_the_first_over_the_other_tunnel() -> None:
    first = Seen([(at, packed(to)) for at in (1.0, 1.5) for to in SAMPLED], None)
    second = Seen([(1.5 + 0.1 * n, packed(to)) for n in (1, 2) for to in SAMPLED], None)
    late = Seen([*second.probes[1:]], None)  # the first sampled network comes 0.2 s after, not 0.1
    assert summary("link", SAMPLED, first, late, None) == pytest.approx(
        {"longest": 0.2, "median": 0.1, "shortest": 0.1}
    )
    assert summary("silent", SAMPLED, first, late, 1.57)["detection"] == pytest.approx(0.07)
    assert summary("silent", SAMPLED, first, late, None)["detection"] == pytest.approx(0.1)
    assert summary("silent", SAMPLED, first, late, 1.9)["detection"] == pytest.approx(0.1), "moved before"


def test_outages_of_a_closed_session_run_from_its_notification() -> None:
    # The tunnel itself still carries packets meanwhile.
    first = Seen([(at, packed(to)) for at in (1.0, 1.5) for to in SAMPLED], 1.2)
    second = Seen([(1.55, packed(to)) for to in SAMPLED], None)
    assert summary("closed", SAMPLED, first, second, None)["longest"] == pytest.approx(0.35)
    with pytest.raises(ValueError, match="no end of the session"):
        summary("closed", SAMPLED, Seen(first.probes, None), second, None)


def test_outages_of_networks_that_did_not_move_once_are_refused() -> None:
    first = Seen([(1.0, packed(to)) for to in SAMPLED], None)
    with pytest.raises(ValueError, match=r"20\.0\.2\.1: nothing was seen"):
        summary("link", SAMPLED, first, Seen([(2.0, packed(to)) for to in SAMPLED[:2]], None), None)
    with pytest.raises(ValueError, match=r"20\.0\.0\.1: it was on tunnel 2 before"):
        summary("link", SAMPLED, first, Seen([(0.5, packed(to)) for to in SAMPLED], None), None)


def test_sampled_addresses_are_spread_evenly() -> None:
    assert addresses(2) == ["20.0.0.1", "20.0.1.1"]
    assert len(addresses(100_000)) == 64
    assert addresses(1_000_000)[-1] == "35.5.55.1"  # network 984,375 of the million


def test_a_thousand_sessions_have_addresses_of_their_own() -> None:
    setup = Setup(neighbors(500))
    ends = {end for each in setup.neighbors for end in (each.local, each.peer, each.local6, each.peer6)}
    assert len(ends) == 4000
    assert len({each.link for each in setup.neighbors}) == 1000
    assert max(len(each.link) for each in setup.neighbors) <= 15
