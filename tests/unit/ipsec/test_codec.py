"""Connections and keys for charon, and its SAs and events, some as a real one told them."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from bgpsvc.ipsec import codec
from bgpsvc.ipsec.codec import Ascriber, Placing
from bgpsvc.ipsec.port import Logged, SaChanged, SaRekeyed, Signal
from bgpsvc.model import SessionId
from bgpsvc.resources.models import DpdSettings, IpsecSettings
from tests.unit.ipsec.support import KEY, tunnel

RECORDED = Path(__file__).parent / "recorded"
T1 = SessionId("conn1-tunnel1")
NAME = "bgpsvc-conn1-tunnel1"
SECRET = bytes(range(32))
NOW = 1_000_000.0


def recorded(name: str) -> dict[str, Any]:
    """What the initiating charon of `test_causes` told: its events, and its SAs at the end."""
    told: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text())
    return told


def signals(name: str) -> list[Signal]:
    return [
        signal for event, message in recorded(name)["events"] for signal in codec.signals(event, message, NOW)
    ]


def test_connection_with_defaults() -> None:
    made = codec.connection(tunnel(), Placing())
    assert made == {
        "version": "2",
        "local_addrs": ["198.51.100.1"],
        "remote_addrs": ["203.0.113.1"],
        "proposals": ["aes256-sha256-modp2048"],
        "encap": "no",
        "mobike": "no",
        "fragmentation": "yes",
        "unique": "replace",
        "keyingtries": "1",
        "rekey_time": "77760s",
        "rand_time": "4320s",
        "over_time": "8640s",
        "reauth_time": "0s",
        "dpd_delay": "10s",
        "dpd_timeout": "30s",
        "local": {"auth": "psk", "id": "198.51.100.1"},
        "remote": {"auth": "psk", "id": "203.0.113.1"},
        "children": {
            NAME: {
                "mode": "tunnel",
                "esp_proposals": ["aes256-sha256-modp2048"],
                "local_ts": ["0.0.0.0/0"],
                "remote_ts": ["0.0.0.0/0"],
                "rekey_time": "77760s",
                "rand_time": "4320s",
                "life_time": "86400s",
                "start_action": "none",
                "close_action": "none",
                "dpd_action": "none",
            }
        },
    }


def test_placing() -> None:
    made = codec.connection(
        tunnel(), Placing(local_port=10500, remote_port=500, if_id=7, encap=True, trap=True, any_local=True)
    )
    assert (made["local_port"], made["remote_port"], made["encap"]) == ("10500", "500", "yes")
    assert (made["if_id_in"], made["if_id_out"]) == ("7", "7")
    assert made["local_addrs"] == ["%any"]
    assert made["children"][NAME]["start_action"] == "trap"


def test_ikev1() -> None:
    for mode, aggressive in (("main", "no"), ("aggressive", "yes")):
        made = codec.connection(tunnel(ike={"version": "ikev1", "mode": mode}), Placing())
        assert (made["version"], made["aggressive"]) == ("1", aggressive)


def test_ids_are_taken_for_what_they_are() -> None:
    made = codec.connection(tunnel(ike={"local_id": "192.0.2.1", "remote_id": "10.example"}), Placing())
    assert (made["local"]["id"], made["remote"]["id"]) == ("192.0.2.1", "fqdn:10.example")
    assert codec.identity("2001:db8::1") == "2001:db8::1"


def test_dead_peer_detection() -> None:
    off = codec.connection(tunnel(dpd=DpdSettings(enabled=False)), Placing())
    assert off["dpd_delay"] == "0s"
    short = codec.connection(tunnel(dpd=DpdSettings(timeout=2)), Placing())
    assert (short["dpd_delay"], short["dpd_timeout"]) == ("1s", "2s")


def test_selectors_of_several_pairs() -> None:
    a, b, c = (IPv4Network(text) for text in ("10.0.0.0/16", "10.1.0.0/16", "192.168.0.0/16"))
    child = codec.connection(tunnel(pairs=((a, c), (b, c))), Placing())["children"][NAME]
    assert child["local_ts"] == ["10.0.0.0/16", "10.1.0.0/16"]
    assert child["remote_ts"] == ["192.168.0.0/16"]


def test_key_belongs_to_ids_and_addresses() -> None:
    key = codec.shared_key(tunnel(ike={"local_id": "east.example"}))
    assert key is not None
    assert (key.id, key.data) == (NAME, KEY)
    assert key.owners == ("fqdn:east.example", "203.0.113.1", "198.51.100.1")
    assert KEY not in repr(key)
    assert codec.shared_key(tunnel(ike={"pre_shared_key": None})) is None


def test_fingerprint_tells_every_change_and_no_key() -> None:
    base = codec.fingerprint(tunnel(), Placing(), SECRET)
    assert base == codec.fingerprint(tunnel(), Placing(), SECRET)
    others = [
        codec.fingerprint(tunnel(ike={"pre_shared_key": "Other"}), Placing(), SECRET),
        codec.fingerprint(tunnel(ike={"encryption": "aes"}), Placing(), SECRET),
        codec.fingerprint(tunnel(ipsec=IpsecSettings(pfs="disabled")), Placing(), SECRET),
        codec.fingerprint(tunnel(remote=IPv4Address("203.0.113.9")), Placing(), SECRET),
        codec.fingerprint(tunnel(), Placing(encap=True), SECRET),
        codec.fingerprint(tunnel(), Placing(), SECRET[::-1]),
    ]
    assert len({base, *others}) == 7
    # What charon does not see is no change of the connection.
    assert codec.fingerprint(replace(tunnel(), mtu=1300), Placing(), SECRET) == base


def test_sas_of_a_real_charon() -> None:
    (ike,) = codec.sas(recorded("ikev2-good")["sas"], NOW)[T1]
    assert (ike.version, ike.state, ike.initiator, ike.established) == ("ikev2", "ESTABLISHED", True, True)
    assert (ike.local_address, ike.local_port, ike.remote_id) == ("198.51.100.1", 4500, "198.51.100.2")
    assert (ike.encryption, ike.authentication, ike.group) == ("aes256", "sha256", "group14")
    assert (ike.nat_local, ike.nat_remote) == (False, True)
    assert ike.established_at is not None
    assert ike.established_at <= NOW < (ike.rekey_at or 0)
    (child,) = ike.children
    assert (child.state, child.encapsulated, child.established) == ("INSTALLED", True, True)
    assert (child.encryption, child.authentication, child.pfs) == ("aes256", "sha256", None)
    assert child.local_selectors == child.remote_selectors == ("0.0.0.0/0",)
    assert len(child.spi_in) == len(child.spi_out) == 8
    assert NOW - 60 < child.installed_at <= NOW < (child.rekey_at or 0) < (child.expires_at or 0)


def test_sas_after_rekeys_and_of_others() -> None:
    entries = recorded("ikev2-rekey")["sas"]
    other = {"(unnamed)": next(iter(entries[0].values()))}
    found = codec.sas([other, *entries], NOW)
    assert list(found) == [T1]
    (ike,) = found[T1]
    assert [(child.state, child.established) for child in ike.children] == [
        ("DELETED", False),
        ("INSTALLED", True),
    ]
    assert ike.children[1].pfs == "group14"


def test_newest_last() -> None:
    entry = recorded("ikev2-good")["sas"][0][NAME]
    found = codec.sas([{NAME: {**entry, "uniqueid": number}} for number in ("10", "9")], NOW)
    assert [ike.unique_id for ike in found[T1]] == [9, 10]


def test_events_of_coming_up() -> None:
    for version in ("ikev1", "ikev2"):
        ike, child = signals(f"{version}-good")
        assert isinstance(ike, SaChanged)
        assert isinstance(child, SaChanged)
        assert (ike.tunnel, ike.what, ike.up, ike.ike.children) == (T1, "ike", True, ())
        assert (child.what, child.up, len(child.ike.children)) == ("child", True, 1)
        assert child.ike.version == version


def test_events_of_going_down() -> None:
    told = [(signal.what, signal.up) for signal in signals("ikev2-deleted") if isinstance(signal, SaChanged)]
    assert told == [("ike", True), ("child", True), ("child", False), ("ike", False)]


def test_a_rekey_tells_of_the_new_sa() -> None:
    child, new_child, ike, new_ike = signals("ikev2-rekey")
    assert child == SaRekeyed(T1, "child")
    assert ike == SaRekeyed(T1, "ike")
    assert isinstance(new_child, SaChanged)
    assert isinstance(new_ike, SaChanged)
    (fresh,) = new_child.ike.children
    assert (fresh.unique_id, fresh.established, fresh.pfs) == (2, True, "group14")
    assert (new_ike.what, new_ike.ike.unique_id, new_ike.up) == ("ike", 2, True)


@pytest.mark.parametrize("event", ["ike-updown", "child-updown", "ike-rekey", "child-rekey", "other"])
def test_events_about_others_are_nothing(event: str) -> None:
    content = next(iter(recorded("ikev2-good")["sas"][0].values()))
    assert codec.signals(event, {"up": "yes", "road-warriors": content}, NOW) == ()


def test_lines_of_the_log() -> None:
    message = {"group": "IKE", "ikesa-name": NAME, "ikesa-uniqueid": "7", "msg": "giving up"}
    assert codec.signals("log", message, NOW) == (Logged(T1, "IKE", "giving up", 7),)
    nobody = {"group": "NET", "msg": "x"}
    assert codec.signals("log", nobody, NOW) == ()
    assert codec.signals("log", nobody, NOW, T1) == (Logged(T1, "NET", "x", None),)
    (cut,) = codec.signals("log", {**message, "msg": "x" * 9000}, NOW)
    assert cut == Logged(T1, "IKE", "x" * codec.LONGEST_LINE, 7)


def test_lines_without_connection_are_ascribed_by_addresses() -> None:
    ascriber = Ascriber()
    ascriber.set_tunnels([tunnel(1), tunnel(2)])

    def asked(message: str, ike: str | None = "5", name: str | None = None) -> str | None:
        content = {"msg": message}
        if ike is not None:
            content["ikesa-uniqueid"] = ike
        if name is not None:
            content["ikesa-name"] = name
        return ascriber.tunnel_of(content)

    assert asked("received proposals unacceptable") is None
    arrives = "received packet: from 203.0.113.2[500] to 198.51.100.2[500] (464 bytes)"
    assert asked(arrives) == tunnel(2).id
    assert asked("received proposals unacceptable") == tunnel(2).id
    assert asked("received proposals unacceptable", "6") is None
    assert asked("anything", name=NAME) == T1
    assert asked("received packet: from 192.0.2.1[500] to 198.51.100.2[500] (1 bytes)", "9") is None
    ascriber.set_tunnels([tunnel(1)])
    assert asked("received proposals unacceptable") is None
