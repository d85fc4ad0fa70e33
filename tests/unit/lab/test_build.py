"""Making the scenario over REST: what is sent, in which order, and what counts as done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from bgpsvc.lab.build import build_steps, contains, keys_of, new_keys, propagation_step
from bgpsvc.lab.client import Rest
from bgpsvc.lab.daemons import LabSpec, Peer, gateway_document
from bgpsvc.lab.topology import GATEWAYS, TunnelKind
from bgpsvc.resources.fields import MASK

REFERS = {
    "vpn-gateways": {"vpc": "vpcs"},
    "vpn-connections": {"vpn_gateway": "vpn-gateways", "customer_gateway": "customer-gateways"},
}


class Store:
    """A gateway's resources. Refuses references to what is not there; all is active when asked twice."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self.looks = 0

    def create(self, collection: str, document: dict[str, Any]) -> dict[str, Any]:
        for holder in (document, *document.get("tunnels", ())):
            for key, target in REFERS.get(collection, {}).items():
                assert key not in holder or holder[key] in self.found.get(target, {}), (
                    f"{holder[key]} is missing"
                )
        self.found.setdefault(collection, {})[document["name"]] = {**document, "made_by": "default"}
        return {}

    def shown(self, collection: str, name: str) -> dict[str, Any]:
        """As an answer has it: with a mask in the place of a key."""
        document = self.found[collection][name]
        tunnels = [
            {**tunnel, "ike": {**tunnel["ike"], "pre_shared_key": MASK}} if "ike" in tunnel else tunnel
            for tunnel in document.get("tunnels", ())
        ]
        return {**document, "tunnels": tunnels} if tunnels else document

    def resource(self, collection: str, name: str) -> dict[str, Any]:
        self.looks += 1
        status = "active" if self.looks % 2 == 0 else "provisioning"
        return {"config": self.shown(collection, name), "status": status, "status_reason": "on its way"}

    def set_auto_propagate(self, gateway: str, on: bool) -> None:
        self.found["vpn-gateways"][gateway]["auto_propagate"] = on


def until(_expected: str, look: Callable[[], bool | str]) -> None:
    for _ in range(3):
        if look() is True:
            return
    pytest.fail(str(look()))


@pytest.mark.parametrize("tunnels", TunnelKind)
def test_everything_is_made_in_an_order_that_can_be(tunnels: TunnelKind) -> None:
    spec = LabSpec("/python", {}, {"gw1": 5, "gw2": 6}, Peer.BGPSVC, 3, 2, via_api=True, tunnels=tunnels)
    keys = new_keys()
    stores = {gateway.name: Store() for gateway in GATEWAYS}
    rest = cast(Mapping[str, Rest], stores)
    for step in build_steps(spec, keys, rest, until):
        step.run()
    for name, store in stores.items():
        assert store.found["vpn-gateways"][name]["auto_propagate"] is False, "not before all is there"
    propagation_step(spec, rest, until).run()
    for gateway in GATEWAYS:
        wanted = gateway_document(gateway, 3, 2, keys_of(spec, keys))
        found = stores[gateway.name].found
        assert {kind.replace("_", "-") for kind in wanted} == set(found)
        for kind, documents in wanted.items():
            for document in documents:
                assert contains(found[kind.replace("_", "-")][str(document["name"])], document)


def test_each_tunnel_has_a_key_of_its_own_that_both_sides_know() -> None:
    keys = new_keys()
    assert len({*keys.values(), *new_keys().values()}) == 4
    for number, key in keys.items():
        assert len(key) >= 32
        for gateway in GATEWAYS:
            (connection,) = gateway_document(gateway, 3, 0, keys)["vpn_connections"]
            assert connection["tunnels"][number - 1]["ike"]["pre_shared_key"] == key


def test_a_peer_that_is_not_ours_gets_no_request() -> None:
    spec = LabSpec("/python", {}, {"gw1": 5}, Peer.BIRD, via_api=True)
    titles = [step.title for step in build_steps(spec, {}, {}, until)]
    assert titles[0] == "POST /v1/vpcs at gw1"


@pytest.mark.parametrize(
    ("found", "sent", "same"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"b": 1}, False),
        ({"a": [{"x": 1, "y": 2}]}, {"a": [{"x": 1}]}, True),
        ({"a": [{"x": 1}, {"x": 2}]}, {"a": [{"x": 1}]}, False),
        ({"a": "b"}, {"a": {"b": 1}}, False),
        ({"a": "b"}, {"a": ["b"]}, False),
    ],
)
def test_what_comes_back_has_what_was_sent(found: Any, sent: Any, same: bool) -> None:
    assert contains(found, sent) is same
