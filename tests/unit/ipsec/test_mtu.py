"""MTUs against tables that were calculated by hand from RFC 4303."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgpsvc.ipsec.mtu import esp_size, tunnel_mtu
from bgpsvc.resources.models import IpsecSettings

# 1500 - 20 IPv4 - 8 ESP - IV - ICV, whole blocks of that, minus 2 for pad length and next header.
TABLE = [
    # encryption, authentication, encapsulated, path, expected
    ("aes256", "sha256", False, 1500, 1438),  # 1500-20-8-16-16=1440=90*16
    ("aes256", "sha256", True, 1500, 1422),  # 1432 -> 89*16=1424
    ("aes", "sha1", False, 1500, 1438),  # 1444 -> 90*16=1440
    ("aes", "sha1", True, 1500, 1422),  # 1436 -> 89*16=1424
    ("aes192", "sha384", True, 1500, 1422),  # 1424 = 89*16
    ("aes256", "sha512", True, 1500, 1406),  # 1416 -> 88*16=1408
    ("3des", "md5", False, 1500, 1446),  # 1500-20-8-8-12=1452 -> 181*8=1448
    ("des", "sha256", True, 1500, 1438),  # 1500-20-8-8-8-16=1440=180*8
    ("aes256", "sha256", True, 1400, 1326),  # 1332 -> 83*16=1328
    ("aes256", "sha256", False, 9000, 8926),  # 8940 -> 558*16=8928
    ("aes256", "sha256", True, 576, 494),  # 508 -> 31*16=496
]


@pytest.mark.parametrize(("encryption", "authentication", "encapsulated", "path", "expected"), TABLE)
def test_table(encryption: str, authentication: str, encapsulated: bool, path: int, expected: int) -> None:
    ipsec = IpsecSettings.model_validate({"encryption": encryption, "authentication": authentication})
    assert tunnel_mtu(path, ipsec, encapsulated) == expected


@given(
    st.integers(200, 9000),
    st.sampled_from(["aes", "aes192", "aes256", "des", "3des"]),
    st.sampled_from(["md5", "sha1", "sha256", "sha384", "sha512"]),
    st.booleans(),
)
def test_the_largest_packet_fits_and_the_next_does_not(
    path: int, encryption: str, authentication: str, encapsulated: bool
) -> None:
    ipsec = IpsecSettings.model_validate({"encryption": encryption, "authentication": authentication})
    mtu = tunnel_mtu(path, ipsec, encapsulated)
    assert esp_size(mtu, ipsec, encapsulated) <= path < esp_size(mtu + 1, ipsec, encapsulated)


def test_path_too_narrow() -> None:
    with pytest.raises(ValueError, match="70 bytes leaves no room"):
        tunnel_mtu(70, IpsecSettings(), True)
