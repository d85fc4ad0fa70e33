"""Every fault as two real charons (strongSwan 5.9.8) told of it, in both roles.

`recorded/<kind>-<fault>-<role>.txt` holds what charon logged at level 1: group, id of the IKE SA, whether
charon ascribed the line to our connection, and the message. The initiator was 198.51.100.1, the responder
198.51.100.2, both with the default settings but for what the fault is about.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from bgpsvc.ipsec.causes import CauseReader, Finding
from bgpsvc.ipsec.model import Cause, IpsecTunnel
from bgpsvc.ipsec.port import Logged
from tests.unit.ipsec.support import tunnel

RECORDED = Path(__file__).parent / "recorded"
KINDS = ("ikev1", "aggressive", "ikev2")
ADDRESSES = ("198.51.100.1", "198.51.100.2")
OURS, ALL = "aes256-sha256-group14", "0.0.0.0/0 === 0.0.0.0/0"

Expected = tuple[Cause, str | None, str | None]
AUTHENTICATION: Expected = (Cause.AUTHENTICATION_FAILED, None, None)


def recorded(kind: str, fault: str, role: str, **ike: Any) -> list[Finding]:
    """What the reader of that side makes of the recorded lines."""
    mine, peers = ADDRESSES if role == "initiator" else reversed(ADDRESSES)
    ours = tunnel(
        ike={
            "version": "ikev2" if kind == "ikev2" else "ikev1",
            "mode": "aggressive" if kind == "aggressive" else "main",
            **ike,
        },
        local=IPv4Address(mine),
        remote=IPv4Address(peers),
    )
    return list(findings(ours, RECORDED / f"{kind}-{fault}-{role}.txt"))


def findings(ours: IpsecTunnel, path: Path) -> Iterator[Finding]:
    reader = CauseReader(ours)
    for number, line in enumerate(path.read_text().splitlines()):
        group, ike, _named, message = line.split(" ", 3)
        found = reader.feed(Logged(ours.id, group, message, None if ike == "-" else int(ike)), float(number))
        if found is not None:
            assert found.error.time == number
            yield found


def short(found: list[Finding]) -> list[Expected]:
    return [(item.error.cause, item.error.local, item.error.remote) for item in found]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ["initiator", "responder"])
@pytest.mark.parametrize("course", ["good", "rekey"])
def test_no_failure_is_seen_where_there_is_none(kind: str, role: str, course: str) -> None:
    if (kind, course) == ("aggressive", "rekey"):
        course = "good"  # rekeyed as in main mode
    assert {item.error.cause for item in recorded(kind, course, role)} <= {Cause.DELETED_BY_PEER}


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_key(kind: str) -> None:
    """In main mode both sides know that it is the key; else the one that checks the other's proof."""
    knowing = {"ikev1": ("initiator", "responder"), "aggressive": ("initiator",), "ikev2": ("responder",)}
    for role in ("initiator", "responder"):
        found = recorded(kind, "key", role)
        assert set(short(found)) == {AUTHENTICATION}
        sure = any(item.error.text.startswith("the pre-shared keys differ") for item in found)
        assert sure == (role in knowing[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_key_that_only_one_side_has(kind: str) -> None:
    assert [item[0] for item in short(recorded(kind, "no-key", "initiator"))] == [Cause.AUTHENTICATION_FAILED]
    (found,) = recorded(kind, "no-key", "responder")
    assert found.error.cause is Cause.NO_PRE_SHARED_KEY
    assert "198.51.100.2 and 198.51.100.1" in found.error.text


@pytest.mark.parametrize("kind", KINDS)
def test_other_ike_algorithms(kind: str) -> None:
    """The initiator had aes and group5."""
    ours = {"encryption": "aes", "pfs": "group5"}
    (told,) = recorded(kind, "ike-proposal", "initiator", **ours)
    assert told.vague
    assert short([told]) == [(Cause.IKE_PROPOSAL_MISMATCH, "aes128-sha256-group5", None)]
    found = recorded(kind, "ike-proposal", "responder")
    assert short(found) == [(Cause.IKE_PROPOSAL_MISMATCH, OURS, "aes128-sha256-group5")]
    assert not found[0].vague


@pytest.mark.parametrize("kind", KINDS)
def test_other_esp_algorithms(kind: str) -> None:
    """The initiator had aes and sha1. IKEv2's first child has no group of its own, so none is compared."""
    (told,) = recorded(kind, "esp-proposal", "initiator")
    assert (told.error.cause, told.vague) == (Cause.ESP_PROPOSAL_MISMATCH, True)
    group = "" if kind == "ikev2" else "-group14"
    assert short(recorded(kind, "esp-proposal", "responder")) == [
        (Cause.ESP_PROPOSAL_MISMATCH, "aes256-sha256" + group, "aes128-sha1" + group)
    ]


@pytest.mark.parametrize(("fault", "theirs"), [("pfs", "group5"), ("pfs-missing", "disabled")])
@pytest.mark.parametrize("kind", KINDS)
def test_other_pfs_group(kind: str, fault: str, theirs: str) -> None:
    """In IKEv2 nobody notices before the first rekey."""
    if kind == "ikev2":
        assert recorded(kind, fault, "initiator") == recorded(kind, fault, "responder") == []
        fault = f"rekey-{fault}"
        assert short(recorded(kind, fault, "initiator")) == [(Cause.PFS_MISMATCH, "group14", None)]
    assert short(recorded(kind, fault, "responder")) == [(Cause.PFS_MISMATCH, "group14", theirs)]


@pytest.mark.parametrize("kind", KINDS)
def test_other_selectors(kind: str) -> None:
    """The initiator had 10.9.0.0/16 behind it, and 10.8.0.0/16 at the peer; so ours come first."""
    assert [item[0] for item in short(recorded(kind, "selectors", "initiator"))] == [Cause.SELECTOR_MISMATCH]
    assert short(recorded(kind, "selectors", "responder")) == [
        (Cause.SELECTOR_MISMATCH, ALL, "10.8.0.0/16 === 10.9.0.0/16")
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_initiator_with_another_id(kind: str) -> None:
    assert short(recorded(kind, "initiator-id", "initiator", local_id="east.example")) == [AUTHENTICATION]
    assert short(recorded(kind, "initiator-id", "responder")) == [
        (Cause.ID_MISMATCH, "198.51.100.1", "east.example")
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_responder_with_another_id(kind: str) -> None:
    found = short(recorded(kind, "responder-id", "initiator"))
    told = short(recorded(kind, "responder-id", "responder", local_id="west.example"))
    if kind == "ikev2":
        assert found == [AUTHENTICATION]
        assert told == [(Cause.ID_MISMATCH, "west.example", "198.51.100.2")]
        return
    assert found == [(Cause.ID_MISMATCH, "198.51.100.2", "west.example")]
    assert told == [AUTHENTICATION if kind == "aggressive" else (Cause.DELETED_BY_PEER, "west.example", None)]


@pytest.mark.parametrize("kind", KINDS)
def test_initiator_that_expects_another_id(kind: str) -> None:
    found = short(recorded(kind, "expected-id", "initiator", remote_id="west.example"))
    told = short(recorded(kind, "expected-id", "responder"))
    if kind == "ikev2":
        assert (found, told) == ([AUTHENTICATION], [(Cause.ID_MISMATCH, "198.51.100.2", "west.example")])
        return
    assert found == [(Cause.ID_MISMATCH, "west.example", "198.51.100.2")]
    assert told == [AUTHENTICATION if kind == "aggressive" else (Cause.DELETED_BY_PEER, "198.51.100.2", None)]


@pytest.mark.parametrize("kind", KINDS)
def test_peer_without_connection_for_us(kind: str) -> None:
    assert short(recorded(kind, "unknown", "initiator")) == [(Cause.IKE_PROPOSAL_MISMATCH, OURS, None)]
    assert short(recorded(kind, "unknown", "responder")) == [(Cause.UNKNOWN_PEER, None, None)]


def test_other_version() -> None:
    for ours, path in (("ikev2", "version1to2-responder"), ("ikev1", "version2to1-responder")):
        found = short(list(findings(tunnel(ike={"version": ours}), RECORDED / f"{path}.txt")))
        assert found == [(Cause.IKE_VERSION_MISMATCH, ours, "ikev1" if ours == "ikev2" else "ikev2")]


def test_other_mode() -> None:
    for ours, path in (
        ("aggressive", "mode-main-to-aggressive-responder"),
        ("main", "mode-aggressive-to-main-responder"),
    ):
        settings = tunnel(ike={"version": "ikev1", "mode": ours})
        (found,) = findings(settings, RECORDED / f"{path}.txt")
        assert (found.error.local, found.error.remote) == (
            ours,
            "main" if ours == "aggressive" else "aggressive",
        )


def test_charon_that_refuses_aggressive_mode() -> None:
    (found,) = recorded("aggressive", "refused", "responder")
    assert "strongswan.conf" in found.error.text


@pytest.mark.parametrize("kind", KINDS)
def test_silent_peer(kind: str) -> None:
    assert short(recorded(kind, "silent", "initiator")) == [(Cause.PEER_NOT_RESPONDING, None, None)]


@pytest.mark.parametrize("kind", KINDS)
def test_peer_that_died(kind: str) -> None:
    (found,) = recorded(kind, "dead", "initiator")
    # charon's own detection of IKEv1; in IKEv2 it only knows retransmits, which the keeper understands.
    assert found.error.cause is (Cause.PEER_NOT_RESPONDING if kind == "ikev2" else Cause.DPD_TIMEOUT)


@pytest.mark.parametrize("kind", KINDS)
def test_peer_that_ended_the_sas(kind: str) -> None:
    found = recorded(kind, "deleted", "initiator")
    assert [item.error.text for item in found] == ["the peer ended the child SA", "the peer ended the IKE SA"]


def test_lines_that_were_not_recorded() -> None:
    """What other implementations make strongSwan say, and what one with fewer plugins does."""
    ours = tunnel(ike={"version": "ikev1"})

    def told(message: str, version: str = "ikev1") -> Expected:
        reader = CauseReader(tunnel(ike={"version": version}))
        found = reader.feed(Logged(ours.id, "IKE", message, 1), 0.0)
        assert found is not None
        return short([found])[0]

    assert told("received PAYLOAD_MALFORMED error notify") == AUTHENTICATION
    assert told("received INVALID_MAJOR_VERSION notify error", "ikev2") == (
        Cause.IKE_VERSION_MISMATCH,
        "ikev2",
        "ikev1",
    )
    assert told("peer didn't accept DH group MODP_2048, it requested MODP_1024", "ikev2") == (
        Cause.IKE_PROPOSAL_MISMATCH,
        "group14",
        "group2",
    )
    assert told("received INVALID_ID_INFORMATION error notify")[0] is Cause.ID_MISMATCH
    for line in (
        "configured DH group MODP_768 not supported",
        "ENCRYPTION_ALGORITHM DES_CBC (key size 0) not supported!",
        "algorithm DES_CBC not supported by kernel!",
    ):
        assert told(line, "ikev2")[0] is Cause.UNSUPPORTED_ALGORITHM


def test_group_that_the_peer_asks_for_in_a_rekey() -> None:
    reader = CauseReader(tunnel())
    lines = (
        "generating CREATE_CHILD_SA request 2 [ N(REKEY_SA) SA No KE TSi TSr ]",
        "peer didn't accept DH group MODP_2048, it requested MODP_1536",
    )
    found = [reader.feed(Logged(tunnel().id, "IKE", line, 1), 0.0) for line in lines][-1]
    assert found is not None
    assert short([found]) == [(Cause.PFS_MISMATCH, "group14", "group5")]


def test_damaged_packet_of_ikev2_says_nothing_about_the_key() -> None:
    reader = CauseReader(tunnel())
    assert reader.feed(Logged(tunnel().id, "ENC", "could not decrypt payloads", 1), 0.0) is None


HOSTILE = ("peer configs matching " * 50 + "." * 4000, "[...[" * 900, " === " * 900, "' - '" * 900)


@pytest.mark.parametrize("ident", HOSTILE)
def test_no_id_of_a_peer_takes_long_to_read(ident: str) -> None:
    """Whoever sends one IKE_AUTH chooses it, and what takes seconds would hold up every tunnel."""

    def seconds(said: str) -> float:
        line = f"looking for peer configs matching 198.51.100.1[%any]...203.0.113.1[{said}"
        reader, began = CauseReader(tunnel()), time.process_time()
        for _ in range(10):
            reader.feed(Logged(tunnel().id, "CFG", line, 1), 0.0)
        return time.process_time() - began

    harmless = min(seconds("x" * len(ident)) for _ in range(3))
    assert min(seconds(ident) for _ in range(3)) < 100 * harmless


def test_the_probe_of_a_diagnosis_at_the_peer_is_no_failure() -> None:
    """It proposes a cipher for private use, so that it is refused; charon calls that one undefined."""
    reader = CauseReader(tunnel())
    for line in (
        "received proposals: IKE:UNDEFINED_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048",
        "configured proposals: IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048",
        "received proposals unacceptable",
    ):
        assert reader.feed(Logged(tunnel().id, "CFG", line, 1), 0.0) is None


def test_negotiations_are_kept_apart() -> None:
    """Proposals of one IKE SA are not those of another, and old ones are forgotten."""
    ours = tunnel()
    reader = CauseReader(ours)
    proposal = "IKE:AES_CBC_128/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024"
    reader.feed(Logged(ours.id, "CFG", f"received proposals: {proposal}", 1), 0.0)
    other = reader.feed(Logged(ours.id, "IKE", "received proposals unacceptable", 2), 0.0)
    same = reader.feed(Logged(ours.id, "IKE", "received proposals unacceptable", 1), 0.0)
    assert other is not None
    assert same is not None
    assert (other.error.remote, same.error.remote) == ("none", "aes128-sha1-group2")
    for number in range(3, 40):
        reader.feed(Logged(ours.id, "IKE", "anything", number), 0.0)
    late = reader.feed(Logged(ours.id, "IKE", "received proposals unacceptable", 1), 0.0)
    assert late is not None
    assert late.error.remote == "none"
