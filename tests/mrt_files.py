"""What independent readers make of files in MRT: mrtparse, and bgpdump of Debian.

Both are reduced to what REST shows of a path too, so that each can be compared with each.
"""

from __future__ import annotations

import importlib
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import ModuleType
from typing import Any

WELL_KNOWN = {"65535:65281": "no-export", "65535:65282": "no-advertise", "65535:0": "graceful-shutdown"}
SETS = {"AS_SET": "{%s}", "AS_CONFED_SEQUENCE": "(%s)", "AS_CONFED_SET": "[%s]"}


def _mrtparse() -> ModuleType:
    """The module, without what its import does to the process.

    It sets SIGPIPE to end the process: that would be a worker of the tests, as soon as a server that some
    test has in a thread writes to a client that has gone.
    """
    before = signal.getsignal(signal.SIGPIPE)
    try:
        return importlib.import_module("mrtparse")
    finally:
        signal.signal(signal.SIGPIPE, before)


mrtparse = _mrtparse()


@dataclass(frozen=True, order=True)
class ReadPath:
    """One path of one peer, as text; communities standard and large ones, in order.

    Addresses can be written in several ways: here they are as `ipaddress` writes them.
    """

    prefix: str
    peer: str
    as_path: str
    next_hop: str
    origin: str
    med: int
    communities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefix", str(ip_network(self.prefix)))
        object.__setattr__(self, "next_hop", str(ip_address(self.next_hop)))


def records(path: Path) -> list[dict[str, Any]]:
    """The records of a file by mrtparse. AssertionError for one that it cannot read."""
    found = []
    for entry in mrtparse.Reader(str(path)):
        assert entry.err is None, f"{entry.err}: {entry.err_msg} in {entry.data}"
        found.append(entry.data)
    return found


def first(value: dict[int, str]) -> str:
    """The name that mrtparse gives a number."""
    return next(iter(value.values()))


def attributes(entry: dict[str, Any]) -> dict[str, Any]:
    """The values of path attributes by name."""
    return {first(a["type"]): a["value"] for a in entry["path_attributes"]}


def path_text(segments: list[dict[str, Any]]) -> str:
    """An AS path as operators write it."""
    texts = []
    for segment in segments:
        kind = first(segment["type"])
        joined = (" " if kind.endswith("SEQUENCE") else ",").join(segment["value"])
        texts.append(SETS.get(kind, "%s") % joined)
    return " ".join(texts)


def path_of(prefix: str, peer: str, values: dict[str, Any], next_hop: str) -> ReadPath:
    """A path of what mrtparse found."""
    communities = [WELL_KNOWN.get(c, c) for c in values.get("COMMUNITY", ())]
    return ReadPath(
        prefix,
        peer,
        path_text(values["AS_PATH"]),
        next_hop,
        first(values["ORIGIN"]),
        values.get("MULTI_EXIT_DISC", 0),
        tuple(sorted([*communities, *values.get("LARGE_COMMUNITY", ())])),
    )


def dumped(path: Path) -> list[ReadPath]:
    """The paths of a TABLE_DUMP_V2 by mrtparse, in the file's order."""
    index, *rest = records(path)
    assert first(index["subtype"]) == "PEER_INDEX_TABLE"
    peers = [peer["peer_ip"] for peer in index["peer_entries"]]
    found = []
    for number, record in enumerate(rest):
        assert record["sequence_number"] == number
        for entry in record["rib_entries"]:
            values = attributes(entry)
            reach = values.get("MP_REACH_NLRI")
            hop = values["NEXT_HOP"] if reach is None else reach["next_hop"][0]
            prefix = f"{record['prefix']}/{record['length']}"
            found.append(path_of(prefix, peers[entry["peer_index"]], values, hop))
    return found


def bgpdump(path: Path, *options: str) -> list[str]:
    """What bgpdump prints; AssertionError unless it read the file to its end without complaint."""
    ran = subprocess.run(["bgpdump", *options, str(path)], capture_output=True, text=True, timeout=120)
    complaints = [line for line in ran.stderr.splitlines() if "[info] logging to" not in line]
    assert (ran.returncode, complaints) == (0, [])
    return ran.stdout.splitlines()


def dumped_by_bgpdump(path: Path) -> list[ReadPath]:
    """The same by bgpdump, which leaves large communities out of its lines."""
    found = []
    for line in bgpdump(path, "-m"):
        kind, _, _, peer, _, prefix, as_path, origin, hop, _, med, communities, *_ = line.split("|")
        assert kind == "TABLE_DUMP2"
        standard = tuple(sorted(communities.split()))
        found.append(ReadPath(prefix, peer, as_path, hop, origin, int(med), standard))
    return found


def without_large(path: ReadPath) -> ReadPath:
    """A path as bgpdump's lines have it."""
    standard = tuple(c for c in path.communities if c.count(":") < 2)
    return ReadPath(path.prefix, path.peer, path.as_path, path.next_hop, path.origin, path.med, standard)


def replayed(paths: list[Path]) -> tuple[dict[tuple[str, str], ReadPath], list[tuple[str, str, str]]]:
    """What files of BGP4MP leave, by peer and prefix, to who reads one after the other; changes of state."""
    routes: dict[tuple[str, str], ReadPath] = {}
    states: list[tuple[str, str, str]] = []
    for record in (r for path in paths for r in records(path)):
        peer = record["peer_ip"]
        if first(record["subtype"]).startswith("BGP4MP_STATE_CHANGE"):
            old, new = first(record["old_state"]), first(record["new_state"])
            states.append((peer, old, new))
            if new != "Established":
                routes = {key: value for key, value in routes.items() if key[0] != peer}
            continue
        message = record["bgp_message"]
        if first(message["type"]) == "UPDATE":
            for prefix, found in _update(peer, message):
                routes.pop((peer, prefix), None)
                if found is not None:
                    routes[peer, prefix] = found
    return routes, states


def _update(peer: str, message: dict[str, Any]) -> Iterator[tuple[str, ReadPath | None]]:
    values = attributes(message)
    unreach = values.get("MP_UNREACH_NLRI", {"withdrawn_routes": ()})
    for item in [*message["withdrawn_routes"], *unreach["withdrawn_routes"]]:
        yield _prefix(item), None
    for item in message["nlri"]:
        yield _prefix(item), path_of(_prefix(item), peer, values, values["NEXT_HOP"])
    reach = values.get("MP_REACH_NLRI", {"nlri": ()})
    for item in reach["nlri"]:
        yield _prefix(item), path_of(_prefix(item), peer, values, reach["next_hop"][0])


def _prefix(item: dict[str, Any]) -> str:
    return str(ip_network(f"{item['prefix']}/{item['length']}"))
