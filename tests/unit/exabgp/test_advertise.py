"""What is announced, as a level: whatever ExaBGP has, the commands lead to what is desired."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from bgpsvc.exabgp.advertise import PREFIXES_PER_COMMAND, AdjRibOut, Advertisement
from bgpsvc.exabgp.config import SpeakerSession
from bgpsvc.model import Family, Prefix, Role, SessionId, parse_prefix

EBGP = SpeakerSession(
    id=SessionId("c1-tunnel1"),
    role=Role.ACTIVE,
    local_address="169.254.10.1",
    peer_address="169.254.10.2",
    local_asn=65530,
    peer_asn=65500,
    router_id="10.0.0.1",
    families=(Family.IPV4, Family.IPV6),
    local_address_v6="fd00:10::1",
)
IBGP = SpeakerSession(
    **{name: getattr(EBGP, name) for name in ("id", "role", "local_address", "peer_address", "local_asn")},
    peer_asn=65530,
    router_id="10.0.0.1",
)
HEAD = "neighbor 169.254.10.2 local-ip 169.254.10.1"
P1, P2, P6 = parse_prefix("10.0.0.0/16"), parse_prefix("10.1.0.0/16"), parse_prefix("2001:db8::/32")


def out(session: SpeakerSession = EBGP, **desired: Advertisement) -> AdjRibOut:
    made = AdjRibOut(session)
    made.desired = {}
    return made


def carry_out(rib: AdjRibOut) -> list[str]:
    """Send everything; the commands."""
    commands = []
    for command, prefixes, advertisement in list(rib.changes()):
        rib.done(prefixes, advertisement)
        commands.append(command)
    return commands


def test_nothing_is_touched_until_it_is_known_what_is_desired() -> None:
    rib = AdjRibOut(EBGP)
    rib.listed({P1}, certain=False)
    assert carry_out(rib) == []
    assert rib.sent == {P1: None}


def test_announce_change_and_withdraw() -> None:
    rib = out()
    rib.desired = {P1: Advertisement(med=100), P2: Advertisement(med=100), P6: Advertisement(med=100)}
    assert carry_out(rib) == [
        f"{HEAD} announce attributes next-hop 169.254.10.1 med 100 nlri 10.0.0.0/16 10.1.0.0/16",
        f"{HEAD} announce attributes next-hop fd00:10::1 med 100 nlri 2001:db8::/32",
    ]
    assert carry_out(rib) == []
    # P1 changes: it is announced again, never withdrawn; P2 goes.
    rib.desired = {P1: Advertisement(med=7, communities=(65500 << 16 | 1, 65535 << 16 | 65281))}
    assert carry_out(rib) == [
        f"{HEAD} withdraw attributes next-hop 169.254.10.1 nlri 10.1.0.0/16",
        f"{HEAD} withdraw attributes next-hop fd00:10::1 nlri 2001:db8::/32",
        f"{HEAD} announce attributes next-hop 169.254.10.1 med 7 community [ 65500:1 65535:65281 ]"
        " nlri 10.0.0.0/16",
    ]
    assert carry_out(rib) == []


def test_local_preference_goes_to_ibgp_peers_alone() -> None:
    rib = out(IBGP)
    rib.desired = {P1: Advertisement(), P2: Advertisement(local_pref=200)}
    assert carry_out(rib) == [
        f"{HEAD} announce attributes next-hop 169.254.10.1 local-preference 100 nlri 10.0.0.0/16",
        f"{HEAD} announce attributes next-hop 169.254.10.1 local-preference 200 nlri 10.1.0.0/16",
    ]
    rib = out(EBGP)
    rib.desired = {P1: Advertisement(local_pref=200)}
    assert carry_out(rib) == [f"{HEAD} announce attributes next-hop 169.254.10.1 nlri 10.0.0.0/16"]


def test_prepends_and_large_communities() -> None:
    rib = out(EBGP)
    rib.desired = {
        P1: Advertisement(med=1, prepend=2, large_communities=((65530, 1, 4294967295), (65530, 2, 0)))
    }
    assert carry_out(rib) == [
        f"{HEAD} announce attributes next-hop 169.254.10.1 med 1"
        " large-community [ 65530:1:4294967295 65530:2:0 ] as-path [ 65530 65530 65530 ] nlri 10.0.0.0/16"
    ]
    # To an iBGP peer our ASN in the path would be a loop.
    rib = out(IBGP)
    rib.desired = {P1: Advertisement(prepend=2)}
    assert carry_out(rib) == [
        f"{HEAD} announce attributes next-hop 169.254.10.1 local-preference 100 nlri 10.0.0.0/16"
    ]


def test_a_family_that_the_session_lacks_is_left_out() -> None:
    rib = out(IBGP)
    rib.desired = {P6: Advertisement()}
    assert carry_out(rib) == []


def test_after_a_doubt_everything_is_said_again_without_withdrawing() -> None:
    rib = out()
    rib.desired = {P1: Advertisement(med=1), P2: Advertisement(med=1)}
    carry_out(rib)
    rib.listed({P1, P6}, certain=False)
    commands = carry_out(rib)
    assert commands == [
        f"{HEAD} withdraw attributes next-hop fd00:10::1 nlri 2001:db8::/32",
        f"{HEAD} announce attributes next-hop 169.254.10.1 med 1 nlri 10.0.0.0/16 10.1.0.0/16",
    ]


def test_a_certain_listing_repeats_only_what_is_missing() -> None:
    rib = out()
    rib.desired = {P1: Advertisement(med=1), P2: Advertisement(med=1)}
    carry_out(rib)
    rib.listed({P1}, certain=True)
    assert carry_out(rib) == [f"{HEAD} announce attributes next-hop 169.254.10.1 med 1 nlri 10.1.0.0/16"]


def test_many_prefixes_take_few_commands() -> None:
    rib = out()
    rib.desired = {
        Prefix(bytes((20, a, b, 0, 24))): Advertisement(med=1) for a in range(8) for b in range(250)
    }
    commands = carry_out(rib)
    assert len(commands) == len(rib.desired) / PREFIXES_PER_COMMAND
    # ExaBGP reads 16 KiB at a time and refuses a line of a megabyte.
    assert max(map(len, commands)) < 16384


advertisements = st.builds(
    Advertisement,
    med=st.none() | st.integers(0, 2),
    communities=st.sampled_from([(), (1,)]),
    prepend=st.integers(0, 1),
)
tables = st.dictionaries(st.sampled_from([P1, P2, P6]), advertisements)


@given(tables, tables, st.sets(st.sampled_from([P1, P2, P6])), st.booleans())
def test_the_commands_lead_to_what_is_desired(
    before: dict[Prefix, Advertisement],
    after: dict[Prefix, Advertisement],
    listed: set[Prefix],
    certain: bool,
) -> None:
    rib = out()
    rib.desired = before
    carry_out(rib)
    rib.listed(listed, certain)
    rib.desired = after
    carry_out(rib)
    assert rib.sent == after
    assert carry_out(rib) == []


def test_another_next_hop_of_our_own_is_announced() -> None:
    rib = AdjRibOut(EBGP)
    rib.desired = {P1: Advertisement(), P6: Advertisement()}
    for _, prefixes, advertisement in list(rib.changes()):
        rib.done(prefixes, advertisement)
    rib.session = dataclasses.replace(EBGP, hold_time=9)
    assert not list(rib.changes())
    rib.session = dataclasses.replace(EBGP, local_address_v6="fd00:10::3")
    ((command, prefixes, _),) = rib.changes()
    assert prefixes == [P6]
    assert "next-hop fd00:10::3 nlri 2001:db8::/32" in command
