"""Algorithms and lifetimes between our words and strongSwan's."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgpsvc.ipsec import proposals
from bgpsvc.ipsec.proposals import Lifetime
from bgpsvc.resources import fields
from bgpsvc.resources.models import IkeSettings, IpsecSettings

CIPHERS = get_args(get_args(fields.Encryption)[0])
INTEGRITY = get_args(get_args(fields.Authentication)[0])
GROUPS = get_args(get_args(fields.IpsecGroup)[0])


@pytest.mark.parametrize(
    ("encryption", "authentication", "pfs", "expected"),
    [
        ("aes", "sha1", "group2", "aes128-sha1-modp1024"),
        ("aes192", "sha384", "group5", "aes192-sha384-modp1536"),
        ("aes256", "sha256", "group14", "aes256-sha256-modp2048"),
        ("aes256", "sha512", "group14", "aes256-sha512-modp2048"),
        ("des", "md5", "group1", "des-md5-modp768"),
        ("3des", "sha1", "group2", "3des-sha1-modp1024"),
    ],
)
def test_proposals(encryption: str, authentication: str, pfs: str, expected: str) -> None:
    values = {"encryption": encryption, "authentication": authentication, "pfs": pfs}
    assert proposals.ike_proposal(IkeSettings.model_validate(values)) == expected
    assert proposals.esp_proposal(IpsecSettings.model_validate(values)) == expected


def test_no_group_without_pfs() -> None:
    assert proposals.esp_proposal(IpsecSettings(pfs="disabled")) == "aes256-sha256"
    assert proposals.esp_words(IpsecSettings(pfs="disabled")) == "aes256-sha256"


@given(st.sampled_from(CIPHERS), st.sampled_from(INTEGRITY), st.sampled_from(GROUPS))
def test_every_setting_has_words(encryption: str, authentication: str, pfs: str) -> None:
    settings = IpsecSettings.model_validate(
        {"encryption": encryption, "authentication": authentication, "pfs": pfs}
    )
    words = proposals.esp_words(settings).split("-")
    assert words[0] in (encryption, "aes128")
    assert words[1:] == ([authentication] if pfs == "disabled" else [authentication, pfs])
    assert len(proposals.esp_proposal(settings).split("-")) == len(words)


@pytest.mark.parametrize(
    ("name", "bits", "expected"),
    [
        ("AES_CBC", 128, "aes128"),
        ("AES_CBC", 256, "aes256"),
        ("3DES_CBC", None, "3des"),
        ("DES_CBC", None, "des"),
        ("AES_GCM_16", 256, "aes256gcm128"),
        ("CHACHA20_POLY1305", None, "chacha20poly1305"),
    ],
)
def test_ciphers_of_charon(name: str, bits: int | None, expected: str) -> None:
    assert proposals.cipher_name(name, bits) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048", "aes256-sha256-group14"),
        ("ESP:AES_CBC_128/HMAC_SHA1_96/NO_EXT_SEQ", "aes128-sha1"),
        ("ESP:3DES_CBC/HMAC_MD5_96/MODP_768/NO_EXT_SEQ", "3des-md5-group1"),
        ("ESP:DES_CBC/HMAC_SHA2_512_256/MODP_1536/NO_EXT_SEQ", "des-sha512-group5"),
        ("IKE:AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384", "aes256gcm128-group20"),
        (
            "received proposals: IKE:AES_CBC_128/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024, "
            "IKE:3DES_CBC/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024",
            "aes128-sha1-group2, 3des-sha1-group2",
        ),
        ("IKE:AES_CBC_128/AES_CBC_256/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024", "aes128-aes256-sha1-group2"),
        ("received proposals: ", None),
    ],
)
def test_proposals_of_the_log(line: str, expected: str | None) -> None:
    assert proposals.proposals_words(line) == expected


def test_lifetime_zero_is_for_ever() -> None:
    assert Lifetime.of(0) == Lifetime(0, 0, 0)
    assert set(proposals.ike_lifetime(0).values()) == set(proposals.child_lifetime(0).values()) == {"0s"}


def test_usual_lifetimes() -> None:
    assert Lifetime.of(86400) == Lifetime(rekey=77760, jitter=4320, end=86400)
    assert Lifetime.of(3600) == Lifetime(rekey=3240, jitter=180, end=3600)
    assert Lifetime.of(60) == Lifetime(rekey=40, jitter=10, end=60)
    assert proposals.ike_lifetime(3600) == {
        "rekey_time": "3240s",
        "rand_time": "180s",
        "over_time": "360s",
        "reauth_time": "0s",
    }
    assert proposals.child_lifetime(3600) == {
        "rekey_time": "3240s",
        "rand_time": "180s",
        "life_time": "3600s",
    }


@given(st.integers(1, 86400))
def test_every_lifetime_leaves_room_for_a_rekey(lifetime: int) -> None:
    times = Lifetime.of(lifetime)
    # 0 is never: a rekey must not become that.
    assert 0 < times.rekey < times.end
    assert 0 <= times.jitter < times.rekey
    assert times.end == max(lifetime, 2)
    assert times.margin >= lifetime // 10
