"""Examples of how a tunnel's death is noticed."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

LINK: Json = {
    "method": "link",
    "in_force": True,
    "worst_case_ms": 1000,
    "state": "up",
    "reason": "the kernel tells when conn1-tunnel1 goes down; of the path behind it, it knows nothing",
}
BFD_DETECTION: Json = {
    "method": "bfd",
    "in_force": True,
    "worst_case_ms": 150,
    "state": "up",
    "reason": "the peer answers",
}
HOLD_TIME: Json = {
    "method": "hold_time",
    "in_force": True,
    "worst_case_ms": 30000,
    "state": "up",
    "reason": "the hold time of the BGP session",
}
DETECTION: list[Json] = [BFD_DETECTION, HOLD_TIME, LINK]
BFD: Json = {
    "state": "up",
    "remote_state": "up",
    "diagnostic": "none",
    "remote_diagnostic": "none",
    "local_discriminator": 1731207,
    "remote_discriminator": 2901556,
    "transmit_ms": 50.0,
    "receive_ms": 50.0,
    "detection_ms": 150.0,
    "sent": 52110,
    "received": 52093,
    "rejected": 0,
    "last_rejected": None,
    "since": "2025-10-09T08:41:14.100Z",
    "flaps": 0,
}
