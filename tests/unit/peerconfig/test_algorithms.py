"""Every algorithm that a tunnel may have, in the words of every device, or the reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from bgpsvc.peerconfig.algorithms import lifetime_within, within
from bgpsvc.peerconfig.facts import PeerFacts, TunnelFacts
from bgpsvc.peerconfig.render import render
from bgpsvc.peerconfig.words import Unsupported
from tests.unit.peerconfig.scenarios import STATIC

VALUES = {
    "encryption": ("aes", "aes192", "aes256", "des", "3des"),
    "authentication": ("md5", "sha1", "sha256", "sha384", "sha512"),
    "pfs": ("group1", "group2", "group5", "group14"),
}
NONE = "-"
"""The platform has no word for it."""
AES_CBC = "aes-128-cbc,aes-192-cbc,aes-256-cbc"
HASHES = "md5,sha1,sha256,sha384,sha512"
GROUPS = "group1,group2,group5,group14"
MODPS = "modp768,modp1024,modp1536,modp2048"
# Setting: the line that says it, and the words in the order of VALUES (and `disabled` for IPsec's PFS).
EXPECTED: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "vyos": {
        "ike.encryption": (" ike-group conn1-t1 proposal 1 encryption '{}'", "aes128,aes192,aes256,-,3des"),
        "ike.authentication": (" ike-group conn1-t1 proposal 1 hash '{}'", HASHES),
        "ike.pfs": (" ike-group conn1-t1 proposal 1 dh-group '{}'", "1,2,5,14"),
        "ipsec.encryption": (" esp-group conn1-t1 proposal 1 encryption '{}'", "aes128,aes192,aes256,-,3des"),
        "ipsec.authentication": (" esp-group conn1-t1 proposal 1 hash '{}'", HASHES),
        "ipsec.pfs": (
            " esp-group conn1-t1 pfs '{}'",
            "dh-group1,dh-group2,dh-group5,dh-group14,disable",
        ),
    },
    "cisco-ios-xe": {
        "ike.encryption": (" encryption {}\n integrity", "aes-cbc-128,aes-cbc-192,aes-cbc-256,des,3des"),
        "ike.authentication": ("\n integrity {}\n", HASHES),
        "ike.pfs": ("\n group {}\n", "1,2,5,14"),
        "ipsec.encryption": (
            "transform-set CONN1-T1 {} esp-sha256-hmac",
            "esp-aes,esp-aes 192,esp-aes 256,esp-des,esp-3des",
        ),
        "ipsec.authentication": (
            "transform-set CONN1-T1 esp-aes 256 {}\n",
            "esp-md5-hmac,esp-sha-hmac,esp-sha256-hmac,esp-sha384-hmac,esp-sha512-hmac",
        ),
        "ipsec.pfs": ("\n set pfs {}\n", f"{GROUPS},no `set pfs`"),
    },
    "cisco-asa": {
        "ike.encryption": (" encryption {}\n integrity", "aes,aes-192,aes-256,des,3des"),
        "ike.authentication": ("\n integrity {}\n", "md5,sha,sha256,sha384,sha512"),
        "ike.pfs": ("\n group {}\n", "1,2,5,14"),
        "ipsec.encryption": (" esp encryption {}\n", "aes,aes-192,aes-256,des,3des"),
        "ipsec.authentication": (" esp integrity {}\n", "md5,sha-1,sha-256,sha-384,sha-512"),
        "ipsec.pfs": ("\n set pfs {}\n", f"{GROUPS},no `set pfs`"),
    },
    "juniper-srx": {
        "ike.encryption": (" ike proposal conn1-t1 encryption-algorithm {}\n", f"{AES_CBC},des-cbc,3des-cbc"),
        "ike.authentication": (
            " ike proposal conn1-t1 authentication-algorithm {}\n",
            "md5,sha1,sha-256,sha-384,sha-512",
        ),
        "ike.pfs": (" ike proposal conn1-t1 dh-group {}\n", GROUPS),
        "ipsec.encryption": (
            " ipsec proposal conn1-t1 encryption-algorithm {}\n",
            f"{AES_CBC},des-cbc,3des-cbc",
        ),
        "ipsec.authentication": (
            " ipsec proposal conn1-t1 authentication-algorithm {}\n",
            "hmac-md5-96,hmac-sha1-96,hmac-sha-256-128,hmac-sha-384,hmac-sha-512",
        ),
        "ipsec.pfs": (" perfect-forward-secrecy keys {}\n", f"{GROUPS},Without perfect forward secrecy"),
    },
    "fortigate": {
        "ike.encryption": ("proposal {}-sha256\n        set dhgrp", "aes128,aes192,aes256,des,3des"),
        "ike.authentication": ("proposal aes256-{}\n        set dhgrp", HASHES),
        "ike.pfs": ("\n        set dhgrp {}\n        set keylife ", "1,2,5,14"),
        "ipsec.encryption": ("proposal {}-sha256\n        set pfs", "aes128,aes192,aes256,des,3des"),
        "ipsec.authentication": ("proposal aes256-{}\n        set pfs", HASHES),
        "ipsec.pfs": ("\n        set dhgrp {}\n        set keylifeseconds", "1,2,5,14,set pfs disable"),
    },
    "palo-alto": {
        "ike.encryption": (" ike-crypto-profiles conn1-t1 encryption {}\n", f"{AES_CBC},des,3des"),
        "ike.authentication": (" ike-crypto-profiles conn1-t1 hash {}\n", HASHES),
        "ike.pfs": (" ike-crypto-profiles conn1-t1 dh-group {}\n", GROUPS),
        "ipsec.encryption": (" esp encryption {}\n", f"{AES_CBC},des,3des"),
        "ipsec.authentication": (" esp authentication {}\n", HASHES),
        "ipsec.pfs": (" ipsec-crypto-profiles conn1-t1 dh-group {}\n", f"{GROUPS},no-pfs"),
    },
    "mikrotik": {
        "ike.encryption": (" enc-algorithm={} ", "aes-128,aes-192,aes-256,des,3des"),
        "ike.authentication": (" hash-algorithm={} ", HASHES),
        "ike.pfs": (" dh-group={} ", MODPS),
        "ipsec.encryption": (" enc-algorithms={} ", f"{AES_CBC},des,3des"),
        "ipsec.authentication": (" auth-algorithms={} ", "md5,sha1,sha256,-,sha512"),
        "ipsec.pfs": (" pfs-group={} ", f"{MODPS},none"),
    },
    "huawei": {
        "ike.encryption": (
            "\n encryption-algorithm {}\n authentication",
            "aes-128,aes-192,aes-256,des,3des",
        ),
        "ike.authentication": (
            "\n integrity-algorithm hmac-{}\n prf",
            "md5-96,sha1-96,sha2-256,sha2-384,sha2-512",
        ),
        "ike.pfs": ("\n dh {}\n", GROUPS),
        "ipsec.encryption": (" esp encryption-algorithm {}\n", "aes-128,aes-192,aes-256,des,3des"),
        "ipsec.authentication": (
            " esp authentication-algorithm {}\n",
            "md5,sha1,sha2-256,sha2-384,sha2-512",
        ),
        "ipsec.pfs": ("\n pfs {}\n", "dh-group1,dh-group2,dh-group5,dh-group14,no `pfs`"),
    },
    "h3c": {
        "ike.encryption": (
            "\n encryption {}\n integrity",
            "aes-cbc-128,aes-cbc-192,aes-cbc-256,des-cbc,3des-cbc",
        ),
        "ike.authentication": ("\n integrity {}\n prf", HASHES),
        "ike.pfs": ("\n dh {}\n", GROUPS),
        "ipsec.encryption": (
            " esp encryption-algorithm {}\n",
            "aes-cbc-128,aes-cbc-192,aes-cbc-256,des-cbc,3des-cbc",
        ),
        "ipsec.authentication": (" esp authentication-algorithm {}\n", HASHES),
        "ipsec.pfs": ("\n pfs {}\n", "dh-group1,dh-group2,dh-group5,dh-group14,no `pfs`"),
    },
    "opnsense": {
        "ike.encryption": ("   Proposals: {}-sha256-modp2048\n", "aes128,aes192,aes256,-,-"),
        "ike.authentication": ("   Proposals: aes256-{}-modp2048\n", "-,sha1,sha256,sha384,sha512"),
        "ike.pfs": ("   Proposals: aes256-sha256-{}\n", "-,-,-,modp2048"),
        "ipsec.encryption": ("ESP proposals: {}-sha256-modp2048\n", "aes128,aes192,aes256,-,-"),
        "ipsec.authentication": ("ESP proposals: aes256-{}-modp2048\n", "-,sha1,sha256,sha384,sha512"),
        "ipsec.pfs": ("ESP proposals: {}\n", "-,-,-,aes256-sha256-modp2048,aes256-sha256"),
    },
    "json": {
        "ike.encryption": ('"IkeEncAlg": "{}"', "aes,aes192,aes256,des,3des"),
        "ike.authentication": ('"IkeAuthAlg": "{}"', HASHES),
        "ike.pfs": ('"IkePfs": "{}"', GROUPS),
        "ipsec.encryption": ('"IpsecEncAlg": "{}"', "aes,aes192,aes256,des,3des"),
        "ipsec.authentication": ('"IpsecAuthAlg": "{}"', HASHES),
        "ipsec.pfs": ('"IpsecPfs": "{}"', f"{GROUPS},disabled"),
    },
}
FACTS = STATIC.facts
CASES = [(platform, setting) for platform, settings in EXPECTED.items() for setting in settings]


def with_tunnel(**ike_and_ipsec: object) -> PeerFacts:
    """A connection of one tunnel: IKEv2, AES-256, SHA-256, group 14 unless said otherwise (`ike__pfs=`)."""
    usual = {"encryption": "aes256", "authentication": "sha256", "pfs": "group14", "lifetime": 3600}
    ike: dict[str, object] = {"version": "ikev2", "mode": "main"} | usual
    ipsec: dict[str, object] = dict(usual)
    for key, value in ike_and_ipsec.items():
        phase, setting = key.split("__")
        (ike if phase == "ike" else ipsec)[setting] = value
    first = FACTS.tunnels[0]
    tunnel: TunnelFacts = replace(
        first, ike=first.ike.model_copy(update=ike), ipsec=first.ipsec.model_copy(update=ipsec)
    )
    return replace(FACTS, tunnels=(tunnel,))


@pytest.mark.parametrize(("platform", "setting"), CASES)
def test_words(platform: str, setting: str) -> None:
    line, words = EXPECTED[platform][setting]
    phase, name = setting.split(".")
    values = VALUES[name] + (("disabled",) if setting == "ipsec.pfs" else ())
    assert len(values) == len(words.split(","))
    for value, word in zip(values, words.split(","), strict=True):
        facts = with_tunnel(**{f"{phase}__{name}": value})
        if word == NONE:
            with pytest.raises(Unsupported) as refused:
                render(facts, platform)
            assert refused.value.where == "tunnel 1"
            assert refused.value.allowed
        else:
            # Without PFS some platforms have a line less, and a comment that says so.
            said = word if value == "disabled" and " " in word else line.format(word)
            assert said in render(facts, platform).text


@pytest.mark.parametrize(
    ("platform", "allowed"),
    [(platform, ("main", "aggressive") if platform != "cisco-asa" else ("main",)) for platform in EXPECTED],
)
def test_modes_of_ikev1(platform: str, allowed: tuple[str, ...]) -> None:
    # What an ASA's IKEv1 can do.
    old = {"ike__authentication": "sha1", "ipsec__authentication": "sha1"}
    for mode in ("main", "aggressive"):
        facts = with_tunnel(ike__version="ikev1", ike__mode=mode, **old)
        if mode in allowed:
            assert render(facts, platform).text
        else:
            with pytest.raises(Unsupported, match="IKEv1 mode aggressive"):
                render(facts, platform)


def test_an_asa_has_no_sha2_in_ikev1() -> None:
    with pytest.raises(Unsupported) as refused:
        render(with_tunnel(ike__version="ikev1"), "cisco-asa")
    assert str(refused.value) == (
        "tunnel 1: IKE authentication sha256 is not possible there; allowed: md5, sha1"
    )


@pytest.mark.parametrize(("seconds", "taken"), [(0, 86400), (1, 120), (120, 120), (86400, 86400)])
def test_a_lifetime_out_of_range_is_said(seconds: int, taken: int) -> None:
    text = render(with_tunnel(ike__lifetime=seconds), "cisco-ios-xe").text
    assert f"\n lifetime {taken}\n" in text
    assert ("they need not be equal" in text) == (seconds != taken)


@pytest.mark.parametrize(
    ("seconds", "word"),
    [(180, "seconds 180"), (65535, "seconds 65535"), (65536, "minutes 1092"), (86400, "hours 24")],
)
def test_lifetimes_of_pan_os_fit_16_bits(seconds: int, word: str) -> None:
    assert (
        f"ike-crypto-profiles conn1-t1 lifetime {word}\n"
        in render(with_tunnel(ike__lifetime=seconds), "palo-alto").text
    )


def test_numbers() -> None:
    assert [within(number, (2, 5)).value for number in (1, 2, 5, 6)] == [2, 2, 5, 5]
    assert [lifetime_within(number, (180, 7200)).value for number in (0, 1, 200)] == [7200, 180, 200]
    assert not within(3, (2, 5)).differs
    assert lifetime_within(0, (1, 2)).differs
