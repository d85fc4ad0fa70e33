"""What happens to packets when something happens to a tunnel: two whole daemons, tunnels of their own making.

    host ── gateway 1 ══ provider ══ gateway 2 ── host

Pings go from host to host all the time. Each test breaks tunnel 1, in its own way, waits until traffic flows
over tunnel 2, repairs it and waits until everything is as before. BGP alone would notice after the hold time,
so every outage is compared with that. What was measured is printed when the last test is done.
"""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bgpsvc.lab.pings import Outage
from tests.e2e.vpn_gateway import FAR, NEAR, Probes, Side, VpnGateway, configuration
from tests.netns.namespaces import wait_until
from tests.netns.wan import Wan

HOLD_TIME = 90
DPD_TIMEOUT = 4
INTERVAL = 0.01
KEY = "k3y-of-both-sides"
REKEYINGS = 4
SHORT: dict[str, Any] = {"ike": {"lifetime": 20}, "ipsec": {"lifetime": 10}}


class Pair:
    """Both gateways, pings between their hosts, and the table of what was measured."""

    def __init__(self, wan: Wan, near: VpnGateway, far: VpnGateway, probes: Probes) -> None:
        self.wan, self.near, self.far, self.probes = wan, near, far, probes
        self.rows: list[tuple[str, Outage]] = []
        self._tunnels = [tunnel(), tunnel()]

    def until_whole(self) -> None:
        """Until both tunnels are live at both ends, traffic takes the first, and every ping is answered."""
        for gateway in (self.near, self.far):
            gateway.until_up()
            gateway.until_carrying(1)
        self.probes.until_flowing()

    def until_moved(self) -> None:
        """Until traffic takes tunnel 2 and flows."""
        for gateway in (self.near, self.far):
            gateway.until_carrying(2)
        self.probes.until_flowing()

    def measured(self, what: str, since: float, probes: Probes | None = None) -> Outage:
        """The loss since then, which goes into the table."""
        outage = (probes or self.probes).outage(since)
        self.rows.append((what, outage))
        return outage

    def change(self, gateway: VpnGateway, number: int, settings: dict[str, Any]) -> None:
        """PATCH a connection: one tunnel with these settings, the other as it is."""
        side, other = (NEAR, FAR) if gateway is self.near else (FAR, NEAR)
        tunnels = copy.deepcopy(self._tunnels)
        tunnels[number - 1] = settings
        wanted = configuration(side, other, *tunnels, hold_time=HOLD_TIME)["vpn_connections"][0]["tunnels"]
        path = f"/v1/vpn-connections/{side.connection}"
        gateway.rest.write("PATCH", path, {"tunnels": wanted})
        gateway.rest.until_active(path)

    def keep(self, number: int, settings: dict[str, Any]) -> None:
        """What `change` leaves alone from now on."""
        self._tunnels[number - 1] = settings


def tunnel(*changes: dict[str, Any]) -> dict[str, Any]:
    """Settings of a tunnel, with changes to its sections."""
    made: dict[str, Any] = {"ike": {"pre_shared_key": KEY}, "ipsec": {}, "dpd": {"timeout": DPD_TIMEOUT}}
    for change in changes:
        for section, values in change.items():
            made[section] = {**made[section], **values}
    return made


def started(gateway: VpnGateway, other: Side) -> None:
    """Its daemon, with resources that can be changed over REST."""
    gateway.start()
    gateway.apply(configuration(gateway.side, other, tunnel(), tunnel(), hold_time=HOLD_TIME))


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        wan = stack.enter_context(Wan())
        near = stack.enter_context(VpnGateway(wan, NEAR, FAR))
        far = stack.enter_context(VpnGateway(wan, FAR, NEAR))
        with ThreadPoolExecutor() as pool:
            list(pool.map(started, (near, far), (FAR, NEAR)))
        probes = stack.enter_context(Probes(near.host, FAR.host, INTERVAL))
        pair = Pair(wan, near, far, probes)
        pair.until_whole()
        yield pair
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{'fault (hold time ' + str(HOLD_TIME) + ' s)':50} {'pings':>6} {'lost':>6} {'outage':>8}")
        for what, outage in pair.rows:
            print(f"{what:50} {outage.sent:6} {outage.lost:6} {outage.seconds:6.2f} s")


@pytest.fixture
def pair(running: Pair) -> Pair:
    """As every test finds it."""
    running.until_whole()
    return running


def text(outage: Outage) -> str:
    return f"{outage.lost} of {outage.sent} pings lost, {outage.seconds:.2f} s; hold time {HOLD_TIME} s"


def kinds_since(gateway: VpnGateway, event: int, kind: str) -> list[dict[str, Any]]:
    """Events of a kind behind another one."""
    found = gateway.rest.get("/v1/events", after=event, limit=1000, kind=kind)["items"]
    return [item for item in found if item["subject"].endswith("tunnel1")]


def causes_since(gateway: VpnGateway, event: int) -> set[str]:
    """What went wrong with tunnel 1 behind an event."""
    return {item["data"]["cause"] for item in kinds_since(gateway, event, "ipsec.error")}


def last_event(gateway: VpnGateway) -> int:
    """The number of the latest event."""
    return int(gateway.rest.get("/v1/events", limit=1)["items"][-1]["id"])


def sessions_were_kept(pair: Pair) -> dict[str, int]:
    """How often each session was established."""
    return {
        f"{gateway.side.connection}-tunnel{n}": gateway.rest.get(
            f"/v1/bgp-sessions/{gateway.side.connection}-tunnel{n}"
        )["established_count"]
        for gateway in (pair.near, pair.far)
        for n in (1, 2)
    }


@pytest.mark.parametrize("side", [NEAR, FAR], ids=["near", "far"])
def test_a_public_address_is_lost(pair: Pair, side: Side) -> None:
    """Dead peer detection notices, long before BGP's hold time."""
    seen = [last_event(gateway) for gateway in (pair.near, pair.far)]
    began = time.monotonic()
    with pair.wan.losing(side.public[0]):
        pair.until_moved()
        outage = pair.measured(f"UDP of {side.public[0]} dropped, DPD {DPD_TIMEOUT} s", began)
        for gateway, event in zip((pair.near, pair.far), seen, strict=True):
            assert len(kinds_since(gateway, event, "ipsec.down")) == 1
            assert "dpd_timeout" in causes_since(gateway, event)
    assert 0 < outage.seconds < HOLD_TIME / 4, text(outage)
    returned = time.monotonic()
    pair.until_whole()
    back = pair.measured("  and its return", returned)
    assert not back.lost, text(back)


def test_the_charon_of_the_active_tunnel_is_killed(pair: Pair) -> None:
    """We know at once, the peer as soon as the new charon says that it begins anew."""
    seen = last_event(pair.near)
    standby = pair.near.charon(2)
    killed = pair.near.charon(1)
    began = time.monotonic()
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: kinds_since(pair.near, seen, "charon.down"), "its end is told", 30)
    pair.until_whole()
    outage = pair.measured("charon of tunnel 1 killed", began)
    assert 0 < outage.seconds < HOLD_TIME / 4, text(outage)
    assert kinds_since(pair.near, seen, "charon.up")
    assert pair.near.charon(1) != killed
    assert pair.near.charon(2) == standby


def test_a_charon_that_hangs(pair: Pair) -> None:
    """The peer's stands still: we notice as it no longer answers us, its own daemon as it answers nothing."""
    seen = [last_event(gateway) for gateway in (pair.near, pair.far)]
    began = time.monotonic()
    pid = pair.far.charon(1)
    os.kill(pid, signal.SIGSTOP)
    try:
        pair.near.until_carrying(2)
        noticed = time.monotonic() - began
        wait_until(lambda: kinds_since(pair.far, seen[1], "charon.down"), "the peer notices", HOLD_TIME)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    pair.until_whole()
    outage = pair.measured(f"peer's charon hangs, DPD {DPD_TIMEOUT} s", began)
    assert "dpd_timeout" in causes_since(pair.near, seen[0])
    assert noticed < HOLD_TIME / 4, f"noticed after {noticed:.1f} s"
    assert 0 < outage.seconds < HOLD_TIME / 2, text(outage)
    assert pair.far.charon(1) != pid


def test_the_peer_deletes_the_sas(pair: Pair) -> None:
    """Traffic moves at once, not when BGP's hold time is over, and it returns."""
    before = pair.near.rest.get("/v1/vpn-connections/conn1")["switchovers"]
    seen = last_event(pair.near)
    began = time.monotonic()
    terminate(pair.far, 1)
    wait_until(lambda: kinds_since(pair.near, seen, "ipsec.down"), "the end of the SAs is told", 30)
    pair.until_whole()
    outage = pair.measured("peer deletes the IKE SA", began)
    assert outage.seconds < HOLD_TIME / 4, text(outage)
    (down,) = kinds_since(pair.near, seen, "ipsec.down")
    assert "the peer ended" in down["message"], down
    assert pair.near.ipsec(1)["last_error"]["cause"] == "deleted_by_peer"
    assert pair.near.rest.get("/v1/vpn-connections/conn1")["switchovers"] == before + 2


def terminate(gateway: VpnGateway, number: int) -> None:
    """End the IKE SA of a tunnel behind the daemon's back, over the socket of its charon."""
    socket = f"unix:///proc/{gateway.charon(number)}/cwd/charon.vici"
    name = f"bgpsvc-{gateway.side.connection}-tunnel{number}"
    gateway.namespace.run("swanctl", "--terminate", "--ike", name, "--uri", socket)


def test_proposals_that_do_not_match(pair: Pair) -> None:
    """Both values are shown side by side, while traffic takes the standby."""
    began = time.monotonic()
    pair.change(pair.far, 1, tunnel({"ike": {"encryption": "aes192"}}))
    pair.until_moved()
    outage = pair.measured("PATCH: other IKE encryption at one side", began)

    def told() -> bool:
        errors = [gateway.ipsec(1)["last_error"] for gateway in (pair.near, pair.far)]
        return all(
            error
            and error["cause"] == "ike_proposal_mismatch"
            and ours in (error["local"] or "")
            and theirs in (error["remote"] or "")
            for error, ours, theirs in zip(errors, ("aes256", "aes192"), ("aes192", "aes256"), strict=True)
        )

    try:
        wait_until(told, "both name what does not match", 120)
    except AssertionError:
        raise AssertionError([gateway.ipsec(1) for gateway in (pair.near, pair.far)]) from None
    assert pair.near.ipsec(1)["status"] == "ike_sa_not_established"
    assert outage.seconds < HOLD_TIME / 4, text(outage)
    returned = time.monotonic()
    pair.change(pair.far, 1, tunnel())
    pair.until_whole()
    back = pair.measured("  and back", returned)
    assert not back.lost, text(back)


def test_other_settings_of_one_tunnel_cost_the_other_no_packet(pair: Pair) -> None:
    """And the session of the other stays up."""
    before = sessions_were_kept(pair)
    began = time.monotonic()
    ikev1 = {"ike": {"version": "ikev1"}}
    for gateway in (pair.near, pair.far):
        pair.change(gateway, 2, tunnel(ikev1))
    pair.keep(2, tunnel(ikev1))
    pair.until_whole()
    first = pair.measured("tunnel 1 while the settings of tunnel 2 change", began)
    assert not first.lost, text(first)
    with Probes(pair.near.namespace, FAR.inside[1], INTERVAL) as second:
        second.until_flowing()
        began = time.monotonic()
        for gateway in (pair.near, pair.far):
            pair.change(gateway, 1, tunnel(SHORT))
        pair.keep(1, tunnel(SHORT))
        pair.until_whole()
        other = pair.measured("tunnel 2 while the settings of tunnel 1 change", began, second)
    assert not other.lost, text(other)
    assert sessions_were_kept(pair) == before
    # Only now: with lifetimes of seconds IKEv1 renews its SAs all the time, which may cost packets.
    for gateway in (pair.near, pair.far):
        pair.change(gateway, 2, tunnel(SHORT, ikev1))
    pair.keep(2, tunnel(SHORT, ikev1))
    pair.until_whole()


def test_rekeying_loses_no_packet(pair: Pair) -> None:
    """Tunnel 1 has IKEv2, tunnel 2 IKEv1; both with lifetimes of seconds since the test before.

    In IKEv1 the responder of a quick mode has its new SA after the initiator uses it (RFC 2409 5.5): what is
    on its way in these milliseconds is lost whatever we do. A busy machine may make a tenth of a second of
    them, ten pings each.
    """
    for gateway in (pair.near, pair.far):
        for number in (1, 2):
            assert gateway.ipsec(number)["ike"]["rekey_at"] is not None, "the test before has to run"
    with Probes(pair.near.namespace, FAR.inside[1], INTERVAL) as second:
        second.until_flowing()
        began = time.monotonic()
        before = [pair.near.ipsec(number)["rekey_count"] for number in (1, 2)]

        def enough() -> bool:
            counts = [pair.near.ipsec(number)["rekey_count"] for number in (1, 2)]
            return all(now - then >= REKEYINGS for now, then in zip(counts, before, strict=True))

        wait_until(enough, f"{REKEYINGS} rekeyings of each tunnel", 120)
        pair.probes.until_flowing()
        rekeyed = pair.near.ipsec(2)["rekey_count"] - before[1]
        ikev2 = pair.measured("rekeying, IKEv2", began)
        ikev1 = pair.measured("rekeying, IKEv1", began, second)
    assert not ikev2.lost, text(ikev2)
    assert ikev1.lost <= 10 * rekeyed, f"{rekeyed} rekeyings: {text(ikev1)}"
    for gateway in (pair.near, pair.far):
        assert gateway.carrying() == 1
