"""Examples of explanations and simulations."""

from __future__ import annotations

from api.examples import CANDIDATE, CANDIDATE_2, Json

VERDICT: Json = {
    "stage": "import_policy",
    "policy": "from-peers",
    "rule": 1,
    "accepted": True,
    "changes": ["local_preference 200"],
    "text": "rule 1 of from-peers accepts it",
}
PATH: Json = {
    "session": "conn1-tunnel1",
    "role": "active",
    "received": {
        "next_hop": "169.254.10.2",
        "as_path": "65500",
        "origin": "igp",
        "med": None,
        "local_pref": None,
        "communities": ["65500:100"],
    },
    "verdicts": [VERDICT],
    "candidate": CANDIDATE,
}
STEP: Json = {
    "number": 3,
    "name": "local preference",
    "compared": {"conn1-tunnel1": "200", "conn1-tunnel2": "100"},
    "eliminated": ["conn1-tunnel2"],
    "remaining": ["conn1-tunnel1"],
}
HOP: Json = {
    "session": "conn1-tunnel1",
    "interface": "t1",
    "next_hop": "169.254.10.2",
    "tunnel_state": "live",
    "tunnel_reason": "the session is established and sent End-of-RIB",
    "chosen": True,
}
LOOKUP: Json = {
    "stage": "vpc_table",
    "route": "learned route 192.168.0.0/16",
    "wins": True,
    "text": "the VPC table has a learned route",
}
EXPLANATION: Json = {
    "prefix": "192.168.0.0/16",
    "family": "ipv4",
    "gateway": "gw1",
    "vpc": "vpc1",
    "asked": "192.168.3.4",
    "state": "installed",
    "reason": None,
    "summary": "packets take conn1-tunnel1 (t1): it has the higher local preference",
    "paths": [
        PATH,
        PATH | {"session": "conn1-tunnel2", "role": "standby", "candidate": CANDIDATE_2},
    ],
    "decision": [STEP],
    "hops": [HOP],
    "nexthop_group": 536870914,
    "interface": "t1",
    "lookup": [LOOKUP],
    "less_specific": None,
    "kernel": "table 1001 has it with nexthop group 536870914",
}
QUESTION: Json = {"fail_tunnels": ["conn1-tunnel1"], "samples": 5}
SAMPLE: Json = {
    "prefix": "192.168.0.0/16",
    "from_session": "conn1-tunnel1",
    "to_session": "conn1-tunnel2",
    "reason": "conn1-tunnel1 would be down",
}
CHANGE: Json = {"count": 1, "samples": [SAMPLE]}
NONE: Json = {"count": 0, "samples": []}
OUTCOME: Json = {
    "gateway": "gw1",
    "gained": NONE,
    "lost": NONE,
    "moved": CHANGE,
    "unchanged": 2,
    "advertised_gained": {},
    "advertised_lost": {"conn1-tunnel1": 1},
    "notes": ["traffic of conn1 would take conn1-tunnel2"],
}
