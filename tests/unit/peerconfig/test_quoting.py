"""Keys and passwords as a device reads them back, and those that it could not read."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from bgpsvc.peerconfig.facts import PeerFacts
from bgpsvc.peerconfig.quoting import id_kind, mask_of, short
from bgpsvc.peerconfig.render import render
from bgpsvc.peerconfig.words import Unsupported
from tests.unit.peerconfig.scenarios import GUARDED, REFERENCE

FACTS = REFERENCE.facts
SYMBOLS = "~!`@#$%^&*()_-+={}[]\\|;:',.<>/?"
"""All that a pre-shared key may have beside letters and digits."""


def unescaped(text: str) -> str:
    """Of text between double quotes with backslashes."""
    return re.sub(r"\\(.)", r"\1", text)


def hex_or(read: Callable[[str], str], prefix: str) -> Callable[[str], str]:
    def decode(text: str) -> str:
        if text.startswith(prefix):
            return bytes.fromhex(text.removeprefix(prefix).strip('"')).decode()
        return read(text)

    return decode


def between(quote: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        assert text[0] == text[-1] == quote
        return text[1:-1]

    return read


# Where the key of tunnel 1 stands, how the device reads it, and the characters that it cannot be given.
KEYS: Mapping[str, tuple[str, Callable[[str], str], str]] = {
    "vyos": (r"psk conn1-t1 secret (.*)", lambda text: shlex.split(text)[0], "'\\"),
    "cisco-ios-xe": (r"\n  pre-shared-key (.*)", str, "?"),
    "cisco-asa": (r"ikev2 remote-authentication pre-shared-key (.*)", str, "?"),
    "juniper-srx": (
        r"policy conn1-t1 pre-shared-key (.*)",
        hex_or(lambda text: between('"')(text.removeprefix("ascii-text ")), "hexadecimal "),
        "",
    ),
    "fortigate": (r"psksecret (.*)", hex_or(lambda text: unescaped(between('"')(text)), "0x"), ""),
    "palo-alto": (r"gateway conn1-t1 authentication pre-shared-key key (.*)", between('"'), "\\?"),
    "mikrotik": (r"secret=(\".*\") my-id", lambda text: unescaped(between('"')(text)), ""),
    "huawei": (r"pre-shared-key cipher (.*)", str, "?"),
    "h3c": (r"pre-shared-key plaintext (.*)", str, "?"),
    "opnsense": (r"Pre-Shared Key:\n\n       (.*)", str, ""),
    "json": (r'"Psk": (".*")', json.loads, ""),
}


def with_key(key: str) -> PeerFacts:
    return replace(FACTS, tunnels=(replace(FACTS.tunnels[0], pre_shared_key=key),))


def with_bgp(**changes: Any) -> PeerFacts:
    first = FACTS.tunnels[0]
    assert first.bgp is not None
    return replace(FACTS, tunnels=(replace(first, bgp=replace(first.bgp, **changes)),))


def read_back(facts: PeerFacts, platform: str) -> str:
    pattern, read, _ = KEYS[platform]
    found = re.search(pattern, render(facts, platform).text)
    assert found
    return read(found[1])


@pytest.mark.parametrize("platform", KEYS)
def test_a_key_is_read_back_as_it_is(platform: str) -> None:
    cannot = KEYS[platform][2]
    every = "Aa0" + "".join(sign for sign in SYMBOLS if sign not in cannot) + "Zz9"
    for key in (every, every[::-1], "0xABCDEF", "simple", "a" * 100):
        assert read_back(with_key(key), platform) == key


@pytest.mark.parametrize(
    ("platform", "sign"), [(platform, sign) for platform, (_, _, cannot) in KEYS.items() for sign in cannot]
)
def test_a_key_that_cannot_be_given_is_refused(platform: str, sign: str) -> None:
    key = f"secret{sign}key"
    with pytest.raises(Unsupported) as refused:
        render(with_key(key), platform)
    assert refused.value.what == "the pre-shared key's choice of characters"
    assert sign in refused.value.allowed
    assert "without secrets" in refused.value.allowed
    assert key not in str(refused.value)


@pytest.mark.parametrize("platform", KEYS)
def test_placeholders_are_no_keys(platform: str) -> None:
    assert read_back(with_key("<pre-shared key of tunnel 1>"), platform) == "<pre-shared key of tunnel 1>"


@pytest.mark.parametrize(
    ("platform", "key", "what"),
    [
        ("fortigate", "short", "length"),
        ("cisco-ios-xe", "hex", "text"),
        ("cisco-asa", "0", "text"),
    ],
)
def test_keys_that_a_platform_takes_for_something_else(platform: str, key: str, what: str) -> None:
    with pytest.raises(Unsupported, match=f"the pre-shared key's {what}"):
        render(with_key(key), platform)


@pytest.mark.parametrize(
    ("platform", "line", "refused"),
    [
        ("vyos", "password 'p{}\"'", '"'),
        ("cisco-ios-xe", " password 0 p{}\n", "?"),
        ("cisco-asa", " password 0 p{}\n", "?"),
        ("juniper-srx", ' authentication-key "p{}"\n', '"'),
        ("fortigate", ' set password "p{}"\n', "?"),
        ("palo-alto", ' secret "p{}"\n', '"'),
        ("mikrotik", ' tcp-md5-key="p{}" \\\n', ""),
        ("huawei", " password cipher p{}\n", "?"),
        ("h3c", " password simple p{}\n", "?"),
    ],
)
def test_passwords(platform: str, line: str, refused: str) -> None:
    assert line.format("#;x").replace("\"'", "'") in render(with_bgp(password="p#;x"), platform).text
    for sign in refused:
        with pytest.raises(Unsupported, match="the BGP password's choice of characters"):
            render(with_bgp(password=f"p{sign}"), platform)


def test_what_needs_an_escape_has_one() -> None:
    assert r'tcp-md5-key="a\"b\\c\$d\?e"' in render(with_bgp(password='a"b\\c$d?e'), "mikrotik").text
    assert r'set password "a\"b\\c$d"' in render(with_bgp(password='a"b\\c$d'), "fortigate").text


@pytest.mark.parametrize(("platform", "key_id"), [("juniper-srx", 64), ("h3c", 0)])
def test_key_ids_of_bfd(platform: str, key_id: int) -> None:
    first = FACTS.tunnels[0]
    assert first.inside is not None
    assert first.inside.bfd is not None
    inside = replace(first.inside, bfd=replace(first.inside.bfd, key_id=key_id, key="signed"))
    with pytest.raises(Unsupported, match=f"BFD key id {key_id}"):
        render(replace(FACTS, tunnels=(replace(first, inside=inside),)), platform)


@pytest.mark.parametrize("platform", ["vyos", "fortigate", "palo-alto", "mikrotik", "huawei", "opnsense"])
def test_a_platform_that_cannot_sign_bfd_says_so(platform: str) -> None:
    facts = GUARDED.facts
    text = render(replace(facts, tunnels=facts.tunnels[1:]), platform).text
    assert "keyed SHA1, key id 8" in text
    assert "signed2" not in text


@pytest.mark.parametrize("platform", ["fortigate", "mikrotik", "huawei"])
def test_a_platform_without_multihop_bfd_says_so(platform: str) -> None:
    first = FACTS.tunnels[0]
    assert first.inside is not None
    assert first.inside.bfd is not None
    bfd = replace(first.inside.bfd, multihop=True)
    inside = replace(first.inside, bfd=bfd)
    assert first.bgp is not None
    facts = replace(FACTS, tunnels=(replace(first, inside=inside, bgp=replace(first.bgp, bfd=bfd)),))
    text = render(facts, platform).text
    assert "RFC 5883" in text
    assert not re.search(r"bfd enable|use-bfd|bfd min-tx", text)


def test_names_fit() -> None:
    assert short("conn1", 12) == "conn1"
    first, second = short("head-office-to-branch-1", 12), short("head-office-to-branch-2", 12)
    assert len(first) == len(second) == 12
    assert first != second
    long = replace(FACTS, connection="a" * 63)
    text = render(long, "fortigate").text
    assert all(len(name) <= 15 for name in re.findall(r'set phase1name "(.*)"', text))
    assert all(len(name) <= 15 for name in re.findall(r"ike peer (.*)", render(long, "huawei").text))
    assert all(len(name) <= 31 for name in re.findall(r"ike gateway (\S+)", render(long, "palo-alto").text))


def test_identities_and_masks() -> None:
    assert [id_kind(name) for name in ("192.0.2.1", "2001:db8::1", "gw.example.net")] == [
        "ipv4",
        "ipv6",
        "fqdn",
    ]
    assert mask_of(30) == "255.255.255.252"
