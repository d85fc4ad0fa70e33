"""What a write is said to do to the tunnels that the service makes."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from pydantic import SecretStr

from bgpsvc import tunnel_plan
from bgpsvc.control import PlannedEffect
from bgpsvc.engine import Engine
from bgpsvc.events import IpsecChanged
from bgpsvc.ipsec.model import IpsecTunnel
from bgpsvc.planning import plan
from bgpsvc.resources import Intent
from bgpsvc.resources.models import DpdSettings, IkeSettings, IpsecSettings
from bgpsvc.tunnel_plan import tunnel_effects
from tests.unit.core.made import made_intent, made_node
from tests.unit.support import T1, T2, bgp, intent, up


def changed(*numbers: int, **changes: Any) -> Intent:
    """The scenario with other settings of these tunnels."""
    made = made_intent()
    (connection,) = made.vpn_connections
    tunnels = tuple(
        tunnel.model_copy(update=changes) if number in numbers else tunnel
        for number, tunnel in enumerate(connection.tunnels, 1)
    )
    return made.model_copy(update={"vpn_connections": (connection.model_copy(update={"tunnels": tunnels}),)})


def test_every_field_of_a_tunnel_is_looked_at() -> None:
    looked_at = {*tunnel_plan._NEGOTIATED, *tunnel_plan._SECTIONS, *tunnel_plan._OF_INTERFACE}
    assert looked_at | {"id", "connection", "number", "interface"} == {f.name for f in fields(IpsecTunnel)}


@pytest.mark.parametrize(
    ("changes", "action", "detail"),
    [
        (
            {"ike": IkeSettings(pre_shared_key=SecretStr("secret-text"))},
            "reset",
            "the pre-shared key is changed; it is negotiated anew",
        ),
        (
            {"ike": IkeSettings(encryption="aes"), "dpd": DpdSettings(enabled=False)},
            "reset",
            "ike.encryption aes256 → aes; dpd.enabled on → off; it is negotiated anew",
        ),
        (
            {"ipsec": IpsecSettings(pfs="disabled"), "mtu": 1300},
            "reset",
            "ipsec.pfs group14 → disabled; mtu as it fits → 1300; it is negotiated anew",
        ),
        ({"nat_traversal": False}, "update", "nat_traversal on → off"),
        ({"customer_gateway": "c2"}, "reset", "remote 198.51.100.2 → 198.51.100.4; it is negotiated anew"),
        ({"mtu": 1300}, "update", "mtu as it fits → 1300"),
        (
            {"bgp": bgp(30)},
            "update",
            "addresses 169.254.10.1/30, fd00:10::1/126 → 169.254.30.1/30, fd00:30::1/126",
        ),
    ],
)
def test_a_change_of_one_tunnel_names_it_alone(changes: dict[str, Any], action: str, detail: str) -> None:
    found = tunnel_effects(made_intent(), changed(1, **changes))
    assert found == (PlannedEffect(action, T1, detail),)  # type: ignore[arg-type]
    assert "secret-text" not in repr(found)


def test_settings_that_mean_the_same_change_nothing() -> None:
    assert tunnel_effects(made_intent(), changed(1, ike=IkeSettings(), nat_traversal=True)) == ()


def test_tunnels_come_and_go_and_those_of_others_are_none_of_it() -> None:
    added = tunnel_effects(intent(), made_intent())
    assert [(e.action, e.subject) for e in added] == [("add", T1), ("add", T2)]
    assert added[0].detail == "ikev2 from 198.51.100.1 to 198.51.100.2, interface conn1-tunnel1"
    removed = tunnel_effects(made_intent(), intent())
    assert [(e.action, e.subject) for e in removed] == [("remove", T1), ("remove", T2)]
    assert tunnel_effects(intent(), intent()) == ()


def test_negotiating_both_tunnels_at_once_is_warned_of() -> None:
    node = made_node(Engine(made_intent(), 0.0))
    for session in (T1, T2):
        up(node.engine, session, 1, "192.168.0.0/16")
    one = plan(made_intent(), changed(1, ike=IkeSettings(version="ikev1")), node.engine)
    assert [effect.subject for effect in one.tunnels] == [T1]
    assert not [text for text in one.warnings if "at once" in text]
    both = plan(made_intent(), changed(1, 2, ike=IkeSettings(version="ikev1")), node.engine)
    said = "all established sessions of conn1 are reset at once"
    assert len([text for text in both.warnings if said in text]) == 1


def test_so_it_is_of_tunnels_without_bgp() -> None:
    before = made_intent(with_bgp=False)
    (connection,) = before.vpn_connections
    engine = made_node(Engine(before, 0.0)).engine

    def warnings(*numbers: int) -> list[str]:
        (other,) = changed(*numbers, ike=IkeSettings(version="ikev1")).vpn_connections
        wished = connection.model_copy(update={"tunnels": other.tunnels})
        found = plan(before, before.model_copy(update={"vpn_connections": (wished,)}), engine)
        return [text for text in found.warnings if "at once" in text]

    assert warnings(1) == []
    (text,) = warnings(1, 2)
    assert text.startswith("all live tunnels of conn1 are negotiated anew at once")
    engine.handle(IpsecChanged(T2, False, "the peer is dead"), 1.0)
    assert warnings(2) == []
    (text,) = warnings(1)
    assert text.startswith("all live tunnels of conn1 are negotiated anew at once")
