"""Dumps of routes: which paths they hold, in which order, and what happens to the table meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest

from bgpsvc.engine import Engine
from bgpsvc.events import Announced, SessionResync, SessionUp
from bgpsvc.model import Family, parse_address
from bgpsvc.mrt import dump as dumping
from bgpsvc.mrt.dump import GatewayGone, Which, dump
from bgpsvc.mrt.streaming import AT_ONCE, Dumps
from bgpsvc.port import TooManyDumps
from bgpsvc.resources import Intent
from tests.mrt_files import (
    ReadPath,
    attributes,
    bgpdump,
    dumped,
    dumped_by_bgpdump,
    records,
    without_large,
)
from tests.unit.support import T1, T2, engine, negotiated, path, prefixes, run, up, withdraw

WALL = 1_760_000_000.0
BOTH = (Family.IPV4, Family.IPV6)
ONE, TWO = "169.254.10.2", "169.254.20.2"


def work(e: Engine, which: Which = "received", families: tuple[Family, ...] = BOTH) -> Generator[bytes]:
    return dump(e, e.gateways["gw1"], which, families, 100.0, WALL)


def written(directory: Path, e: Engine, which: Which = "received", *families: Family) -> Path:
    file = directory / f"{which}.mrt"
    file.write_bytes(b"".join(work(e, which, families or BOTH)))
    return file


def two_sessions(**more: object) -> Engine:
    """The second one's path is longer; of both families; with everything that a path can have."""
    e = engine(**more)  # type: ignore[arg-type]
    up(e, T1, 1.0, "20.1.0.0/16", "20.2.0.0/24", families=BOTH, peer_router_id="192.0.2.9")
    up(e, T2, 2.0)
    e.handle(Announced(T2, path(T2, 65500, 4200000001), prefixes("20.1.0.0/16", "20.0.0.0/8")), 3.0)
    rich = path(
        *(T1, 65500),
        med=7,
        communities=(0xFDE80064, 0xFFFFFF01),
        large_communities=((65000, 1, 2),),
        aggregator=(70000, "192.0.2.1"),
        atomic_aggregate=True,
    )
    e.handle(Announced(T1, rich, prefixes("20.4.0.0/22")), 3.0)
    six = path(T1, 65500, next_hop=parse_address("fd00:10::2"))
    e.handle(Announced(T1, six, prefixes("2001:db9:1::/48")), 3.0)
    run(e)
    return e


def read(prefix: str, peer: str, as_path: str = "65500", hop: str | None = None) -> ReadPath:
    return ReadPath(prefix, peer, as_path, hop or peer, "IGP", 0)


RICH = ReadPath(
    "20.4.0.0/22", ONE, "65500", ONE, "IGP", 7, tuple(sorted(("65000:100", "no-export", "65000:1:2")))
)


def test_what_was_received_is_read_back_in_address_order(tmp_path: Path) -> None:
    file = written(tmp_path, two_sessions())
    expected = [
        read("20.0.0.0/8", TWO, "65500 4200000001"),
        read("20.1.0.0/16", ONE),
        read("20.1.0.0/16", TWO, "65500 4200000001"),
        read("20.2.0.0/24", ONE),
        RICH,
        read("2001:db9:1::/48", ONE, hop="fd00:10::2"),
    ]
    assert dumped(file) == expected
    assert dumped_by_bgpdump(file) == [without_large(found) for found in expected]


def test_the_index_names_the_gateway_its_identifier_and_its_peers(tmp_path: Path) -> None:
    index, first, *_ = records(written(tmp_path, two_sessions()))
    assert index["timestamp"] == {1760000100: "2025-10-09 08:55:00"}
    assert (index["collector_bgp_id"], index["view_name"]) == ("198.51.100.1", "gw1")
    peers = [(p["peer_ip"], p["peer_as"], p["peer_bgp_id"]) for p in index["peer_entries"]]
    assert peers == [(ONE, "65500", "192.0.2.9"), (TWO, "65500", "0.0.0.0")]
    # Since the session is up: when a route came is not kept.
    assert [*first["rib_entries"][0]["originated_time"]] == [int(WALL + 2)]


def test_extended_communities_and_the_aggregator_are_there(tmp_path: Path) -> None:
    text = bgpdump(written(tmp_path, two_sessions()))
    assert "AGGREGATOR: AS70000 192.0.2.1" in text
    assert "ATOMIC_AGGREGATE" in text
    assert "LARGE_COMMUNITY: 65000:1:2" in text


def test_families_can_be_chosen(tmp_path: Path) -> None:
    e = two_sessions()
    assert {p.prefix for p in dumped(written(tmp_path, e, "received", Family.IPV6))} == {"2001:db9:1::/48"}
    assert len(dumped(written(tmp_path, e, "received", Family.IPV4))) == 5


def test_the_best_ones_have_the_preference_that_was_compared(tmp_path: Path) -> None:
    file = written(tmp_path, two_sessions(), "best")
    found = dumped(file)
    assert [(p.prefix, p.peer) for p in found if p.prefix in ("20.0.0.0/8", "20.1.0.0/16")] == [
        ("20.0.0.0/8", TWO),
        ("20.1.0.0/16", ONE),
    ]
    assert len(found) == len({p.prefix for p in found})
    preferences = {
        record["prefix"]: attributes(record["rib_entries"][0])["LOCAL_PREF"] for record in records(file)[1:]
    }
    assert (preferences["20.0.0.0"], preferences["20.1.0.0"]) == (100, 200)


def test_refused_shed_and_stale_paths_were_received_too(tmp_path: Path) -> None:
    e = two_sessions(max_prefixes=5)
    own = path(T1, 65500, 65530)
    e.handle(Announced(T1, own, prefixes("20.1.0.0/16", "30.1.0.0/16")), 4.0)  # our own AS: refused
    e.handle(Announced(T1, path(T1), prefixes("31.0.0.0/8", "31.1.0.0/16", "31.2.0.0/16")), 4.0)
    assert e.sessions[T1].adj.shed
    e.handle(SessionResync(T2, negotiated()), 5.0)
    run(e)
    assert e.sessions[T2].adj.stale
    found = dumped(written(tmp_path, e))
    assert read("20.1.0.0/16", ONE, "65500 65530") in found
    assert read("30.1.0.0/16", ONE, "65500 65530") in found
    assert read("20.0.0.0/8", TWO, "65500 4200000001") in found
    assert {p.prefix for p in found if p.prefix.startswith("31.")} == {
        "31.0.0.0/8",
        "31.1.0.0/16",
        "31.2.0.0/16",
    }
    assert len(found) == len({(p.prefix, p.peer) for p in found}), "each path once"
    assert "30.1.0.0/16" not in {p.prefix for p in dumped(written(tmp_path, e, "best"))}


def test_policies_change_the_best_paths_and_not_what_was_received(tmp_path: Path) -> None:
    policy: dict[str, object] = {
        "name": "p",
        "default_action": "accept",
        "rules": [{"action": "accept", "add_communities": ["65530:9"], "local_preference": 777}],
    }
    e = engine()
    e.reconfigure(with_policy(e.intent, policy), 0.5)
    up(e, T1, 1.0, "20.1.0.0/16")
    assert [p.communities for p in dumped(written(tmp_path, e))] == [()]
    file = written(tmp_path, e, "best")
    assert [p.communities for p in dumped(file)] == [("65530:9",)]
    assert attributes(records(file)[1]["rib_entries"][0])["LOCAL_PREF"] == 777


def with_policy(intent: Intent, policy: dict[str, object]) -> Intent:
    document = intent.model_dump(mode="json")
    document["routing_policies"] = [policy]
    document["vpn_gateways"][0]["import_policy"] = "p"
    return Intent.model_validate(document)


def test_a_table_that_changes_meanwhile_is_written_as_it_is_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dumping, "AT_ONCE", 1)
    e = two_sessions()
    parts: list[bytes] = []
    for part in work(e):
        parts.append(part)
        if len(parts) > 1 and part and parts[-2] == b"":  # the first prefix is written
            withdraw(e, T1, 4.0, "20.1.0.0/16", "20.4.0.0/22")
            e.handle(Announced(T1, path(T1, 65500, 64999), prefixes("20.2.0.0/24", "20.3.0.0/16")), 4.0)
    file = tmp_path / "changing.mrt"
    file.write_bytes(b"".join(parts))
    assert dumped(file) == [
        read("20.0.0.0/8", TWO, "65500 4200000001"),
        read("20.1.0.0/16", TWO, "65500 4200000001"),
        read("20.2.0.0/24", ONE, "65500 64999"),
        read("2001:db9:1::/48", ONE, hop="fd00:10::2"),
    ]


def test_a_gateway_that_is_deleted_meanwhile_ends_the_dump() -> None:
    e = two_sessions()
    generator = work(e)
    next(generator)
    e.reconfigure(Intent(), 4.0)
    with pytest.raises(GatewayGone, match="gw1 was deleted"):
        list(generator)


def test_a_session_that_came_later_than_the_index_is_left_out(tmp_path: Path) -> None:
    """It has no number that a reader could look up."""
    e = two_sessions()
    late = e.sessions.pop(T2)
    generator = work(e)
    parts = [next(generator)]
    e.sessions[T2] = late
    file = tmp_path / "late.mrt"
    file.write_bytes(b"".join([*parts, *generator]))
    assert {p.peer for p in dumped(file)} == {ONE}


def test_many_attributes_are_not_all_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dumping, "REMEMBERED", 3)
    e = engine()
    e.handle(SessionUp(T1, negotiated()), 1.0)
    for number in range(20):
        e.handle(Announced(T1, path(T1, 65500, 70000 + number), prefixes(f"20.{number}.0.0/16")), 2.0)
    found = dumped(written(tmp_path, e))
    assert [p.as_path for p in found] == [f"65500 {70000 + number}" for number in range(20)]


# Beside everything else ---------------------------------------------------------------------------


async def whole(dumps: Dumps, e: Engine) -> bytes:
    return b"".join([chunk async for chunk in dumps.written(work(e))])


def test_dumps_side_by_side_are_whole_and_give_others_their_turn() -> None:
    e = two_sessions()
    expected = b"".join(work(e))

    async def both() -> list[bytes]:
        dumps = Dumps()
        return await asyncio.gather(*(whole(dumps, e) for _ in range(AT_ONCE)))

    assert asyncio.run(both()) == [expected] * AT_ONCE


def test_only_some_are_written_at_a_time_and_abandoned_ones_do_not_count() -> None:
    e = two_sessions()

    async def many() -> None:
        dumps = Dumps()
        begun = [dumps.written(work(e)) for _ in range(AT_ONCE)]
        for one in begun:
            await anext(one)
        with pytest.raises(TooManyDumps, match="4 dumps are being read"):
            await anext(dumps.written(work(e)))
        await begun[0].aclose()
        assert await whole(dumps, e) == b"".join(work(e))
        for one in begun[1:]:
            await one.aclose()

    asyncio.run(many())
