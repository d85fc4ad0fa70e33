"""Examples of diagnoses."""

from __future__ import annotations

from api.examples import Json

FACT: Json = {"label": "ASN of the peer", "value": None, "local": "65500 (configured)", "remote": "65501"}
CHECK: Json = {
    "layer": "bgp",
    "outcome": "failed",
    "code": "bgp_wrong_asn",
    "summary": "the peer has ASN 65501, the customer gateway says 65500",
    "evidence": [FACT],
    "remedy": "Set the ASN of the customer gateway to 65501, or the peer's own ASN to 65500.",
}
TUNNEL: Json = {"tunnel": "conn1-tunnel1", "role": "active", "fault": CHECK, "checks": [CHECK]}
DIAGNOSIS: Json = {
    "connection": "conn1",
    "time": "2025-10-09T08:41:07.120Z",
    "seconds": 2.114,
    "summary": "tunnel 1 (active): the peer has ASN 65501, the customer gateway says 65500; "
    "tunnel 2 (standby) works and carries traffic",
    "tunnels": [TUNNEL],
}
REQUEST: Json = {"tunnel": 1}
