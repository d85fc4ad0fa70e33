"""Steps of the walk that only IPsec tunnels have: SAs up, ESP alone on the wire, a key that is changed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from bgpsvc.lab.build import new_keys
from bgpsvc.lab.client import Rest
from bgpsvc.lab.daemons import Peer, served_gateways
from bgpsvc.lab.handle import Lab
from bgpsvc.lab.looking import Look, StepFailed
from bgpsvc.lab.probes import INTERVAL, SWITCHOVER_MARGIN_SECONDS, Probes, program
from bgpsvc.lab.topology import GW1, GW2, TUNNELS, Gateway
from bgpsvc.model import session_id

ESTABLISHED, REFUSED = "ipsec_sa_established", "authentication_failed"
"""Status and cause, in the words of the API."""
WIRE_SECONDS = 0.5
KEY_CHANGE_LIMIT_SECONDS = 1.0
"""How long traffic may stop when a tunnel's SAs end, which both gateways know at once: a third of the
shortest hold time (RFC 4271 4.2), which is what a gateway waits for that only BGP tells."""


class Until(Protocol):
    """Looks until it is True; StepFailed if it is not so in time."""

    def __call__(self, expected: str, look: Look, limit: float | None = None) -> None: ...


class Protection:
    """IPsec at both gateways of a running lab. Steps return what they measured, or raise StepFailed."""

    def __init__(
        self,
        lab: Lab,
        rest: Mapping[str, Rest],
        until: Until,
        carries: Callable[[int], dict[str, float]],
    ) -> None:
        """`carries` proves which tunnel does."""
        self._lab, self._rest, self._until, self._carries = lab, rest, until, carries
        self._served = served_gateways(lab.spec.peer)

    def established(self) -> dict[str, float]:
        """Both SAs of both tunnels are up, as both gateways see it."""
        for gateway in self._served:
            for tunnel in TUNNELS:
                self._until(
                    f"{session_id(gateway.connection, tunnel)} is {ESTABLISHED}",
                    partial(self._up, gateway, tunnel),
                )
        return {}

    def on_the_wire(self, probes: Probes) -> dict[str, float]:
        """Beside IKE, what crosses `inet` while requests cross the VPN is ESP of the SAs that REST shows."""
        figures: dict[str, float] = {}
        self._until("only encrypted packets on the wire", lambda: self._encrypted(figures))
        self._until("every echo request answered", lambda: probes.flows() or "requests without answer")
        return figures

    def key_changed(self, probes: Probes) -> dict[str, float]:
        """Another pre-shared key for the active tunnel, at gateway 1 only: traffic takes the standby."""
        began = time.monotonic()
        self._change_key(new_keys()[1])
        self._carries(2)
        self._until("traffic flows", lambda: probes.flows(began) or "requests without answer")
        figures = self._outage(probes, began)
        for gateway in self._served:
            tunnel = session_id(gateway.connection, 1)
            self._until(f"{tunnel} tells {REFUSED}", partial(self._refused, gateway, tunnel))
        return figures

    def key_restored(self, probes: Probes) -> dict[str, float]:
        """The former key again: the tunnel comes up, and traffic returns to it."""
        began = time.monotonic()
        self._change_key(self._lab.keys[1])
        self.established()
        up = time.monotonic() - began
        self._carries(1)
        back = time.monotonic() - began
        self._until("traffic flows", lambda: probes.flows() or "requests without answer")
        return {**self._outage(probes, began), "up_after_seconds": up, "back_after_seconds": back}

    # What is looked at. Each returns True, or what was seen instead.

    def _up(self, gateway: Gateway, tunnel: int) -> bool | str:
        ipsec = self._ipsec(gateway, tunnel)
        if ipsec is None:
            return "it is not made yet"
        return ipsec["status"] == ESTABLISHED or f"it is {ipsec['status']}: {ipsec['reason']}"

    def _refused(self, gateway: Gateway, tunnel: str) -> bool | str:
        ipsec = self._ipsec(gateway, 1)
        error = ipsec and ipsec["last_error"]
        if not ipsec or not error:
            return "no error"
        if ipsec["status"] == ESTABLISHED:
            return f"it is {ipsec['status']}"
        return error["cause"] == REFUSED or f"{error['cause']}: {error['text']}"

    def _encrypted(self, figures: dict[str, float]) -> bool | str:
        inner = [f"{GW1.host_address},{GW2.host_address}", f"{GW1.host_address6},{GW2.host_address6}"]
        inner += [f"{one},{other}" for one, other in zip(GW1.inside, GW2.inside, strict=True)]
        options = ["--seconds", str(WIRE_SECONDS)]
        for pair in inner:
            options += ["--inner", pair]
        seen = json.loads(self._lab.run("inet", *program(self._lab, "wire", *options)))
        if seen["clear"]:
            return f"{seen['clear']} packets in clear text, as {seen['example']}"
        if seen["esp"] < WIRE_SECONDS / INTERVAL:
            return f"{seen['esp']} ESP packets only"
        if unknown := self._unknown_spis(seen["spis"]):
            return f"ESP of no SA that REST shows: {unknown}"
        figures |= {"esp_packets": seen["esp"], "clear_text_packets": seen["clear"]}
        return True

    def _unknown_spis(self, seen: dict[str, list[str]]) -> dict[str, list[str]]:
        """SPIs on the wire that no SA of the gateways has, by the addresses of their packets."""
        shown: dict[str, set[str]] = {}
        for gateway in self._served:
            for tunnel in TUNNELS:
                ike = (self._ipsec(gateway, tunnel) or {}).get("ike") or {"children": []}
                for child in ike["children"]:
                    out = f"{ike['local_address']} {ike['remote_address']}"
                    back = f"{ike['remote_address']} {ike['local_address']}"
                    shown.setdefault(out, set()).add(child["spi_out"])
                    shown.setdefault(back, set()).add(child["spi_in"])
        unknown = {pair: sorted(set(spis) - shown.get(pair, set())) for pair, spis in seen.items()}
        return {pair: spis for pair, spis in unknown.items() if spis}

    # Helpers

    def _outage(self, probes: Probes, began: float) -> dict[str, float]:
        """What was lost since then; StepFailed if traffic stopped for too long."""
        limit, spec = KEY_CHANGE_LIMIT_SECONDS, self._lab.spec
        if spec.peer is not Peer.BGPSVC:
            # It does not hear of IKE: it sends into the tunnel that is gone until BFD tells it.
            limit = spec.detection + SWITCHOVER_MARGIN_SECONDS
        outage = probes.outage(began)
        if outage.seconds > limit:
            raise StepFailed(
                f"an outage of at most {limit:.1f} s", f"{outage.seconds:.3f} s, {outage.lost} lost"
            )
        return {"lost_packets": outage.lost, "outage_seconds": outage.seconds}

    def _ipsec(self, gateway: Gateway, tunnel: int) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._rest[gateway.name].tunnel(
            session_id(gateway.connection, tunnel)
        )["ipsec"]
        return found

    def _change_key(self, key: str) -> None:
        """As an operator does it. The other tunnel goes back as it came: a masked key stays what it is."""
        rest = self._rest[GW1.name]
        tunnels = rest.resource("vpn-connections", GW1.connection)["config"]["tunnels"]
        tunnels[0]["ike"]["pre_shared_key"] = key
        rest.change("vpn-connections", GW1.connection, {"tunnels": tunnels})
