"""IKE, ESP and BGP of the whole daemon with a data centre that was configured without it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from tests.e2e.vpn_gateway import FAR, NEAR, Probes, VpnGateway, configuration
from tests.interop.ipsec.data_centre import HOST, NETWORK, DataCentre
from tests.netns.namespaces import wait_until
from tests.netns.wan import Wan

HOLD_TIME = 30
KEY = "of-Peer_1&2=only"

IKEV2 = """
connections {
  cloud {
    version = 2
    local_addrs = %(device)s
    remote_addrs = %(cloud)s
    proposals = aes256-sha256-modp2048
    encap = yes
    dpd_delay = 5s
    rekey_time = 4h
    local { auth = psk }
    remote { auth = psk }
    children {
      net {
        local_ts = 0.0.0.0/0
        remote_ts = 0.0.0.0/0
        esp_proposals = aes256-sha256-modp2048
        rekey_time = 1h
      }
    }
  }
}
secrets {
  ike-cloud { secret = "%(key)s" }
}
"""
IKEV1_MAIN = """
connections {
  cloud {
    version = 1
    local_addrs = %(device)s
    remote_addrs = %(cloud)s
    proposals = aes128-sha1-modp1536
    encap = yes
    dpd_delay = 5s
    dpd_timeout = 20s
    rekey_time = 4h
    keyingtries = 0
    local { auth = psk
      id = dc%(number)s.example.com }
    remote { auth = psk
      id = cloud%(number)s.example.com }
    children {
      net {
        local_ts = 0.0.0.0/0
        remote_ts = 0.0.0.0/0
        esp_proposals = aes192-sha1-modp1536
        rekey_time = 1h
        start_action = start
        dpd_action = restart
        close_action = start
      }
    }
  }
}
secrets {
  ike-cloud {
    id = cloud%(number)s.example.com
    secret = "%(key)s"
  }
}
"""
IKEV1_AGGRESSIVE = """
connections {
  cloud {
    version = 1
    aggressive = yes
    local_addrs = %(device)s
    remote_addrs = %(cloud)s
    proposals = 3des-sha1-modp1024
    encap = yes
    local { auth = psk
      id = dc%(number)s.example.com }
    remote { auth = psk
      id = cloud%(number)s.example.com }
    children {
      net {
        local_ts = 0.0.0.0/0
        remote_ts = 0.0.0.0/0
        esp_proposals = 3des-sha1
      }
    }
  }
}
secrets {
  ike-cloud {
    id = cloud%(number)s.example.com
    secret = "%(key)s"
  }
}
"""


@dataclass(frozen=True)
class Case:
    """A peer, and our settings that go with it."""

    router: str
    swanctl: str
    ike: dict[str, Any]
    ipsec: dict[str, Any]
    named: bool = False
    """The identities are names, not addresses."""
    shown: dict[str, Any] = field(default_factory=dict)
    """What is shown of the IKE SA."""

    def tunnel(self, number: int, **more: Any) -> dict[str, Any]:
        """Our settings of a tunnel."""
        ids = {"local_id": f"cloud{number}.example.com", "remote_id": f"dc{number}.example.com"}
        ike = {**self.ike, **(ids if self.named else {}), "pre_shared_key": KEY}
        return {"ike": ike, "ipsec": self.ipsec, "dpd": {"timeout": 3}, **more}

    def device(self, number: int) -> str:
        """The swanctl.conf of a device."""
        addresses = {"device": FAR.public[number - 1], "cloud": NEAR.public[number - 1]}
        return self.swanctl % {**addresses, "number": number, "key": KEY}


# Our lifetimes are short and the peer's long: whatever is renewed by itself, we renew.
CASES = {
    "bird-ikev2": Case(
        "bird",
        IKEV2,
        {"version": "ikev2", "lifetime": 16},
        {"lifetime": 9},
        shown={"version": "ikev2", "encryption": "aes256", "authentication": "sha256", "group": "group14"},
    ),
    "frr-ikev1-main": Case(
        "frr",
        IKEV1_MAIN,
        {"version": "ikev1", "encryption": "aes", "authentication": "sha1", "pfs": "group5", "lifetime": 16},
        {"encryption": "aes192", "authentication": "sha1", "pfs": "group5", "lifetime": 9},
        named=True,
        shown={"version": "ikev1", "encryption": "aes128", "authentication": "sha1", "group": "group5"},
    ),
    "bird-ikev1-aggressive-legacy": Case(
        "bird",
        IKEV1_AGGRESSIVE,
        {
            "version": "ikev1",
            "mode": "aggressive",
            "encryption": "3des",
            "authentication": "sha1",
            "pfs": "group2",
            "lifetime": 16,
        },
        {"encryption": "3des", "authentication": "sha1", "pfs": "disabled", "lifetime": 9},
        named=True,
        shown={"version": "ikev1", "encryption": "3des", "authentication": "sha1", "group": "group2"},
    ),
}


class Both:
    """Our gateway and the data centre, with both tunnels up."""

    def __init__(self, case: Case, ours: VpnGateway, theirs: DataCentre) -> None:
        self.case, self.ours, self.theirs = case, ours, theirs

    def until_whole(self) -> None:
        """Until both tunnels are live, have routes, and traffic takes the first, both ways."""
        self.ours.until_up()
        wait_until(lambda: self.paths() == ["conn1-tunnel1", "conn1-tunnel2"], "routes over both", 120)
        self.ours.until_carrying(1)
        self.theirs.until_uses(NEAR.network, 1)

    def paths(self) -> list[str]:
        """Sessions that announce the data centre's network, best first."""
        found = self.ours.rest.get("/v1/vpn-gateways/gw/routes", prefix=NETWORK)["items"]
        return [path["session"] for route in found for path in route["candidates"]]

    def sa(self, what: str) -> int:
        """The number in charon of the SA (`ike`, `child`) of tunnel 1 that is in use."""
        ike = self.ours.ipsec(1)["ike"]
        return int(ike["unique_id"] if what == "ike" else ike["children"][-1]["unique_id"])

    def until_renewed(self, what: str, former: int) -> None:
        """Until another SA is in use."""

        def renewed() -> bool:
            ike = self.ours.ipsec(1)["ike"]
            return bool(ike and ike["children"]) and self.sa(what) != former

        wait_until(renewed, f"the {what} SA is replaced", 120)

    def rekey(self, what: str) -> None:
        """Have the peer renew it."""
        peer = self.theirs.devices[0].strongswan
        pattern = r"net: #(\d+),.* INSTALLED" if what == "child" else r"cloud: #(\d+), ESTABLISHED"

        def done() -> bool:
            found = re.findall(pattern, peer.sas())  # none is, as long as a renewal of ours is under way
            # One that we have replaced meanwhile is not there: then the next one.
            words = ("--rekey", f"--{what}-id", *found[:1])
            return bool(found) and "rekey completed" in peer.swanctl(*words, check=False)

        wait_until(done, peer.sas)


def shows(sas: Callable[[], str], pattern: str) -> bool:
    """Whether the list of SAs has it."""
    return re.search(pattern, sas()) is not None


@pytest.fixture(scope="module", params=CASES)
def both(request: pytest.FixtureRequest) -> Iterator[Both]:
    case = CASES[request.param]
    swanctl = (case.device(1), case.device(2))
    with Wan() as wan, DataCentre(wan, case.router, swanctl) as theirs, VpnGateway(wan, NEAR, FAR) as ours:
        ours.start(configuration(NEAR, FAR, case.tunnel(1), case.tunnel(2), hold_time=HOLD_TIME))
        made = Both(case, ours, theirs)
        made.until_whole()
        yield made


def test_tunnels_sessions_routes_and_packets(both: Both) -> None:
    for number in (1, 2):
        ipsec = both.ours.ipsec(number)
        assert (ipsec["driver"], ipsec["status"]) == ("userspace", "ipsec_sa_established")
        assert {key: ipsec["ike"][key] for key in both.case.shown} == both.case.shown
        session = both.ours.rest.get(f"/v1/bgp-sessions/conn1-tunnel{number}")
        assert (session["state"], session["peer_asn"]) == ("established", FAR.asn)
        sas = both.theirs.devices[number - 1].strongswan.sas
        for pattern in (r"cloud: #\d+, ESTABLISHED", r"net: #\d+, reqid \d+, INSTALLED, TUNNEL-in-UDP"):
            # Ours renew themselves all the time: meanwhile neither is listed so.
            wait_until(partial(shows, sas, pattern), sas)
        assert both.ours.side.network in both.theirs.devices[number - 1].namespace.ip("route")
    both.ours.host.run("ping", "-c3", "-i0.1", "-W2", HOST)
    both.theirs.host.run("ping", "-c3", "-i0.1", "-W2", NEAR.host)


def test_packets_as_long_as_the_tunnel_pass(both: Both) -> None:
    mtu = both.ours.ipsec(1)["mtu"]
    both.ours.host.run("ping", "-c3", "-W10", "-Mdo", f"-s{mtu - 28}", HOST)


@pytest.mark.parametrize("by", ["us", "the peer"])
def test_rekeying_loses_no_packet(both: Both, by: str) -> None:
    """Of either SA. Ours have lifetimes of seconds, the peer is told to.

    In IKEv1 the responder of a quick mode has its new SA after the initiator uses it (RFC 2409 5.5): what is
    on its way in these milliseconds is lost whatever we do. A busy machine may make a tenth of a second of
    them, ten pings each.
    """
    with Probes(both.ours.host, HOST) as probes:
        probes.until_flowing()
        began, before = time.monotonic(), both.ours.ipsec(1)["rekey_count"]
        for what in ("child", "ike"):
            former = both.sa(what)
            if by == "the peer":
                both.rekey(what)
            both.until_renewed(what, former)
        probes.until_flowing()
        outage = probes.outage(began)
        rekeyings = both.ours.ipsec(1)["rekey_count"] - before
    told = f"{outage.lost} of {outage.sent} pings were lost in {rekeyings} rekeyings"
    assert outage.lost <= (10 * rekeyings if both.case.ike["version"] == "ikev1" else 0), told


def test_the_peers_active_device_dies(both: Both) -> None:
    """The core moves when its cable goes dark, we when nobody answers: long before BGP would notice."""
    with Probes(both.ours.host, HOST) as probes:
        probes.until_flowing()
        began = time.monotonic()
        both.theirs.die(1)
        both.ours.until_carrying(2)
        both.theirs.until_uses(NEAR.network, 2)
        probes.until_flowing()
        outage = probes.outage(began)
        both.theirs.revive(1)
        both.until_whole()
        probes.until_flowing()
    text = (
        f"{outage.lost} of {outage.sent} pings were lost, {outage.seconds:.2f} s of {HOLD_TIME} s hold time"
    )
    assert 0 < outage.seconds < HOLD_TIME / 2, text
