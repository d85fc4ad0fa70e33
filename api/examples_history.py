"""Examples of what tunnels carried lately: shorter than the API's answers, which always fill their window."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

HISTORY: Json = {
    "tunnel": "conn1-tunnel1",
    "window": "15m",
    "interval": 5,
    "start": "2025-10-09T08:40:55.000Z",
    "bytes_in": [None, 91250.4, 40112.0, 0.0],
    "bytes_out": [None, 180034.8, 76220.2, 0.0],
    "packets_in": [None, 121.4, 53.2, 0.0],
    "packets_out": [None, 160.2, 71.8, 0.0],
    "carrying": [None, 1.0, 1.0, 0.0],
    "session_up": [None, 1.0, 1.0, 0.0],
    "prefixes_received": [None, 4, 4, 0],
    "prefixes_accepted": [None, 3, 3, 0],
    "prefixes_advertised": [None, 1, 1, 0],
}
