"""Our gateway and a VPN device that is none of ours, between which faults can be put and taken out again.

gateway ══ IPsec (tunnel 1) ══ device: strongSwan, BIRD
        ══ a plain cable (tunnel 2, external) ══
"""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.vpn_gateway import FAR, NEAR, VpnGateway, configuration
from tests.interop import daemons
from tests.interop.ipsec.strongswan import StrongSwan
from tests.netns.namespaces import Namespace
from tests.netns.wan import Wan

LONG = 90.0
HOLD_TIME = 6
KEY = "k3y-of-both-sides"
Json = dict[str, Any]

SWANCTL = """
connections {{
  cloud {{
    version = {version}
    local_addrs = {device}
    remote_addrs = {remote}
    proposals = {ike}
    encap = yes
    local {{ auth = psk
      {local_id} }}
    remote {{ auth = psk }}
    children {{
      net {{
        local_ts = {local_ts}
        remote_ts = 0.0.0.0/0
        esp_proposals = {esp}
      }}
    }}
  }}
}}
secrets {{
  ike-cloud {{ secret = "{key}" }}
}}
"""


def swanctl(**changes: Any) -> str:
    """The device's configuration, with changes."""
    values: Json = {
        "version": 2,
        "device": FAR.public[0],
        "remote": NEAR.public[0],
        "ike": "aes256-sha256-modp2048",
        "esp": "aes256-sha256-modp2048",
        "local_id": "",
        "local_ts": "0.0.0.0/0",
        "key": KEY,
    }
    return SWANCTL.format(**(values | changes))


def document(**changes: Any) -> Json:
    """Our resources. `bgp1`, `bgp2`, `ike`, `ipsec`: more settings; the others are the connection's."""
    first: Json = {
        "ike": {"pre_shared_key": KEY, **changes.pop("ike", {})},
        "ipsec": changes.pop("ipsec", {}),
        "dpd": {"timeout": 3},
    }
    second: Json = {"interface": "t2"}
    bgp = [changes.pop("bgp1", {}), changes.pop("bgp2", {})]
    others: Json = {}
    for kind in ("routing_policies", "destination_routes"):
        if kind in changes:
            others[kind] = changes.pop(kind)
    made = configuration(NEAR, FAR, first, second, hold_time=HOLD_TIME, **changes)
    for tunnel, more in zip(made["vpn_connections"][0]["tunnels"], bgp, strict=True):
        tunnel["bgp"] = {**tunnel["bgp"], **more}
    return {**copy.deepcopy(made), **others}


class World:
    """Our gateway, and the device at the other end of both tunnels."""

    def __init__(self, wan: Wan, ours: VpnGateway, device: Namespace, swan: StrongSwan) -> None:
        self.wan, self.ours, self.device, self.swan = wan, ours, device, swan
        self._birds: dict[int, contextlib.ExitStack] = {}
        self.birds: dict[int, daemons.Bird] = {}

    def route_daemon(self, number: int, **options: Any) -> None:
        """(Re)start the BIRD at the far end of a tunnel."""
        self.no_route_daemon(number)
        more = options.pop("options", "")
        stack = contextlib.ExitStack()
        self.birds[number] = stack.enter_context(
            daemons.bird(
                self.device,
                **{
                    "local": FAR.inside[number - 1],
                    "remote": NEAR.inside[number - 1],
                    "options": f"strict bind yes; {more}",
                    **options,
                },
            )
        )
        self._birds[number] = stack

    def no_route_daemon(self, number: int) -> None:
        """End it."""
        if number in self._birds:
            self._birds.pop(number).close()

    def close(self) -> None:
        for number in tuple(self._birds):
            self.no_route_daemon(number)

    def apply(self, **changes: Any) -> None:
        """Our resources with changes, in force."""
        self.ours.apply(document(**changes))
        self.ours.rest.until_active("/v1/vpn-connections/conn1")

    def peer(self, **changes: Any) -> None:
        """The device's IPsec with changes; negotiated anew."""
        self.swan.load(swanctl(**changes))
        self.restart()

    def propagate(self, on: bool) -> None:
        """Switch automatic propagation."""
        self.ours.rest.write("PATCH", "/v1/vpn-gateways/gw", {"auto_propagate": on})

    def peer_begins(self) -> None:
        """Have the device negotiate: who is asked sees more than who is refused."""
        self.swan.swanctl("--initiate", "--child", "net", "--timeout", "5", check=False)

    def restart(self) -> None:
        """Negotiate tunnel 1 anew."""
        answer = self.ours.rest.http.post("/v1/tunnels/conn1-tunnel1/restart")
        assert answer.status_code < 300, answer.text

    def diagnose(self, number: int) -> Json:
        """The diagnosis of a tunnel."""
        found = self.ours.rest.write("POST", "/v1/vpn-connections/conn1/diagnose", {"tunnel": number})
        (tunnel,) = found["tunnels"]
        return {**tunnel, "summary": found["summary"], "seconds": found["seconds"]}

    def lives(self) -> list[int]:
        """How often SAs and sessions were established."""
        sessions = [self.ours.rest.get(f"/v1/bgp-sessions/conn1-tunnel{n}") for n in (1, 2)]
        return [self.ours.ipsec(1)["established_count"], *(s["established_count"] for s in sessions)]

    def until(self, number: int, code: str, layer: str | None = None) -> Json:
        """Until a check has this code: the check. `layer` None: it is the first that fails."""
        deadline = time.monotonic() + LONG
        while True:
            found = self.diagnose(number)
            checks = [c for c in found["checks"] if c["layer"] == layer] if layer else [found["fault"]]
            if checks[0] is not None and checks[0]["code"] == code:
                return dict(checks[0])
            assert time.monotonic() < deadline, f"not {code}: {found}\n{self.ours.log()}\n{self.swan.log()}"

    def until_well(self, number: int) -> Json:
        """Until no layer of a tunnel fails."""
        deadline = time.monotonic() + LONG
        while (found := self.diagnose(number))["fault"] is not None:
            assert time.monotonic() < deadline, f"{found}\n{self.ours.log()}\n{self.swan.log()}"
        return found

    @contextmanager
    def dropping(self, rule: str) -> Iterator[None]:
        """Have the device drop what it gets and what a rule of nftables matches."""
        nft = self.device.run
        nft("nft", "add table inet diagnosis")
        try:
            nft("nft", "add chain inet diagnosis in { type filter hook input priority 0; }")
            nft("nft", f"add rule inet diagnosis in {rule}")
            yield
        finally:
            nft("nft", "delete table inet diagnosis")


def fact(check: Json, label: str) -> Json:
    """A piece of evidence."""
    (found,) = [f for f in check["evidence"] if f["label"] == label]
    return dict(found)
