"""Whatever paths there are, bgpdump and mrtparse read them back as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bgpsvc.events import Announced, SessionDown, SessionUp
from bgpsvc.model import (
    Attributes,
    Community,
    Family,
    Prefix,
    SessionId,
    format_address,
    format_as_path,
    format_community,
    format_prefix,
    prefix_family,
)
from bgpsvc.mrt.codec import Ends, Peer, peer_index_table, rib_attributes, rib_entry, rib_record
from bgpsvc.mrt.recorder import Recorder
from tests.mrt_files import ReadPath, dumped, dumped_by_bgpdump, replayed, without_large
from tests.property.test_bgp_message import attribute_sets, prefixes
from tests.unit.support import negotiated

PEER, LOCAL = bytes((169, 254, 10, 2)), bytes((169, 254, 10, 1))
SESSION = SessionId("conn1-tunnel1")
NAMES = {0xFFFF0000: "graceful-shutdown", 0xFFFFFF01: "no-export", 0xFFFFFF02: "no-advertise"}

# A path of several hundred numbers is cut off in bgpdump's lines, and it has words of its own for some
# communities; what it makes of those is not ours to test.
paths = st.tuples(
    st.sampled_from(Family).flatmap(lambda f: prefixes(f).filter(bool)),
    st.sampled_from((4, 16)).flatmap(attribute_sets),
).map(lambda drawn: (drawn[0][:1], _fitting(*drawn)))


def _fitting(found: list[Prefix], attributes: Attributes) -> Attributes:
    hop = (bytes(range(1, 17)) + attributes.next_hop)[: 4 if prefix_family(found[0]) is Family.IPV4 else 16]
    path = tuple(replace(s, asns=s.asns[:20]) for s in attributes.as_path)
    usual = tuple(c for c in attributes.communities if c >> 16 not in (0, 0xFFFF))
    return replace(attributes, next_hop=hop, as_path=path, communities=usual)


def expected(prefix: Prefix, attributes: Attributes) -> ReadPath:
    communities: list[Community] = [*attributes.communities, *attributes.large_communities]
    return ReadPath(
        format_prefix(prefix),
        format_address(PEER),
        format_as_path(attributes.as_path),
        format_address(attributes.next_hop),
        attributes.origin.name,
        attributes.med or 0,
        tuple(sorted(format_community(c) for c in communities)),
    )


def unique(drawn: list[tuple[list[Prefix], Attributes]]) -> dict[Prefix, Attributes]:
    return {found[0]: attributes for found, attributes in drawn}


# Each runs bgpdump; to make a failing one smaller would take minutes.
few = settings(
    max_examples=8,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@few
@given(st.lists(paths, min_size=1, max_size=25).map(unique))
def test_dumps_are_read_back(routes: dict[Prefix, Attributes]) -> None:
    parts = [peer_index_table(1_760_000_000, LOCAL, "gw1", [Peer(PEER, bytes(4), 65500)])]
    for number, (prefix, attributes) in enumerate(routes.items()):
        octets = rib_attributes(attributes, prefix_family(prefix))
        parts.append(rib_record(1_760_000_000, number, prefix, [rib_entry(0, 1_759_999_999, octets)]))
    wanted = [expected(prefix, attributes) for prefix, attributes in routes.items()]
    with TemporaryDirectory() as directory:
        file = Path(directory, "rib.mrt")
        file.write_bytes(b"".join(parts))
        assert dumped(file) == wanted
        assert dumped_by_bgpdump(file) == [without_large(path) for path in wanted]


@few
@given(st.lists(paths, min_size=1, max_size=25).map(unique))
def test_recordings_are_read_back(routes: dict[Prefix, Attributes]) -> None:
    recorder, ends = Recorder(), Ends(65500, 65530, PEER, LOCAL)
    parts = [*recorder.records(1.5, SessionUp(SESSION, negotiated()), ends)]
    for prefix, attributes in routes.items():
        parts += recorder.records(2.5, Announced(SESSION, attributes, (prefix,)), None)
    with TemporaryDirectory() as directory:
        file, ended = Path(directory, "updates.mrt"), Path(directory, "ended.mrt")
        file.write_bytes(b"".join(parts))
        ended.write_bytes(b"".join(recorder.records(3.5, SessionDown(SESSION, "lost"), None)))
        left, states = replayed([file])
        assert sorted(left.values()) == sorted(expected(p, a) for p, a in routes.items())
        assert states == [(format_address(PEER), "OpenConfirm", "Established")]
        assert replayed([file, ended])[0] == {}
