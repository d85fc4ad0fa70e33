"""Examples of tunnels' IPsec: that of the reference scenario as gateway 1 sees it."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

CHILD_SA: Json = {
    "unique_id": 3,
    "state": "INSTALLED",
    "encapsulated": True,
    "spi_in": "c4a7e2d1",
    "spi_out": "cb03f59e",
    "encryption": "aes256",
    "authentication": "sha256",
    "pfs": "group14",
    "bytes_in": 48216,
    "bytes_out": 51020,
    "packets_in": 574,
    "packets_out": 607,
    "installed_at": "2025-10-09T08:41:11.730Z",
    "rekey_at": "2025-10-10T07:29:11.730Z",
    "expires_at": "2025-10-10T08:41:11.730Z",
    "local_selectors": ["0.0.0.0/0"],
    "remote_selectors": ["0.0.0.0/0"],
}
IKE_SA: Json = {
    "unique_id": 2,
    "version": "ikev2",
    "state": "ESTABLISHED",
    "initiator": True,
    "local_address": "198.51.100.1",
    "local_port": 4500,
    "local_id": "198.51.100.1",
    "remote_address": "198.51.100.2",
    "remote_port": 4500,
    "remote_id": "198.51.100.2",
    "spi_initiator": "9b1c64e0a2d35f78",
    "spi_responder": "40fe12bb7c9d8a06",
    "nat_local": False,
    "nat_remote": False,
    "encryption": "aes256",
    "authentication": "sha256",
    "group": "group14",
    "established_at": "2025-10-09T08:41:11.702Z",
    "rekey_at": "2025-10-10T07:29:11.702Z",
    "children": [CHILD_SA],
}
IPSEC_ERROR: Json = {
    "time": "2025-10-09T08:41:04.318Z",
    "cause": "authentication_failed",
    "text": "the peer refused our pre-shared key",
    "local": None,
    "remote": None,
}
IPSEC: Json = {
    "tunnel": "conn1-tunnel1",
    "driver": "userspace",
    "interface": "conn1-tunnel1",
    "status": "ipsec_sa_established",
    "reason": "both SAs are established",
    "since": "2025-10-09T08:41:11.730Z",
    "seen_at": "2025-10-09T08:59:58.201Z",
    "ike": IKE_SA,
    "last_error": IPSEC_ERROR,
    "retry_at": None,
    "mtu": 1406,
    "established_count": 2,
    "rekey_count": 0,
}
IPSEC_2: Json = IPSEC | {
    "tunnel": "conn1-tunnel2",
    "interface": "conn1-tunnel2",
    "ike": IKE_SA
    | {
        "unique_id": 1,
        "local_address": "198.51.100.3",
        "local_id": "198.51.100.3",
        "remote_address": "198.51.100.4",
        "remote_id": "198.51.100.4",
        "spi_initiator": "1f0a77c3d9e85b24",
        "spi_responder": "c85d2f61084b9a3e",
        "children": [CHILD_SA | {"unique_id": 1, "spi_in": "c1d90b3a", "spi_out": "c6e8f204"}],
    },
    "last_error": None,
    "established_count": 1,
}
