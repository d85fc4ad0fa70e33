"""Linux with FRR or BIRD gets what `bgpsvc peer-config` wrote, and is the other side of our daemon.

The script makes XFRM interfaces where there are none of their names. Here there are: plain cables, for a
kernel without ESP. All else is as it was written; with ESP it is tried in `tests/vm`.

host ── gateway ══ t1, t2: cables ══ conn1-tunnel1, conn1-tunnel2 ── device ── host
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import REPOSITORY
from tests.e2e.vpn_gateway import FAR, NEAR, PATIENCE, VpnGateway, configuration
from tests.interop.linux_device import LinuxDevice
from tests.netns.namespaces import Namespace, wait_until
from tests.netns.wan import Wan

Json = dict[str, Any]
GUARDED: Json = {"password": "p!#&'x", "ttl_security": 1}
BGP: dict[str, tuple[Json, Json]] = {
    "strongswan-frr": (GUARDED | {"bfd": {"multihop": True}}, {"bfd": {"interval_ms": 400}}),
    "strongswan-bird": (GUARDED | {"bfd": {}}, {"bfd": {"key_id": 3, "key": "of:BFD"}}),
}
"""Settings of the sessions, as each platform can have them."""
CONNECTION = f"/v1/vpn-connections/{NEAR.connection}"


class Scene:
    """Our gateway, which runs for all platforms, and the cables that stand for its tunnels."""

    def __init__(self, stack: ExitStack) -> None:
        self.ours = stack.enter_context(VpnGateway(stack.enter_context(Wan()), NEAR, FAR))
        self.device, self.host = (stack.enter_context(Namespace()) for _ in range(2))
        for number in (1, 2):
            cable = (f"t{number}", self.device, f"{NEAR.connection}-tunnel{number}")
            self.ours.namespace.veth(*cable, [f"169.254.{number}0.1/30"])
        self.device.veth("lan", self.host, "eth0", [f"{FAR.address}/16"])
        self.host.ip(f"address add {FAR.host}/16 dev eth0")
        self.host.ip(f"route add default via {FAR.address}")
        self.ours.driver = ["--ipsec", "external"]
        self.ours.start()

    def write(self, platform: str, folder: Path) -> None:
        """Have our connection as the platform can have it, and the command line write its other side."""
        wanted = configuration(NEAR, FAR, {"interface": "t1"}, {"interface": "t2"})
        for tunnel, more in zip(wanted["vpn_connections"][0]["tunnels"], BGP[platform], strict=True):
            tunnel["bgp"] |= more
        self.ours.apply(wanted)
        command = [sys.executable, "-m", "bgpsvc", "--server", f"unix:{self.ours.directory}/api.sock"]
        command += ["peer-config", NEAR.connection, "--platform", platform, "--secrets"]
        command += ["--network", FAR.network, "--output-dir", str(folder)]
        subprocess.run(command, cwd=REPOSITORY, check=True)

    def until(self, device: LinuxDevice, condition: Callable[[], object], what: str) -> None:
        """Until a condition holds; AssertionError with what both sides said if it never does."""
        try:
            wait_until(condition, what, PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{device.said()}\n{self.ours.log()}") from None

    def sessions(self) -> list[tuple[str, str]]:
        """State of BGP and BFD of both tunnels."""
        states = []
        for number in (1, 2):
            bfd = self.ours.tunnel(number)["bfd"] or {"state": "none"}
            states.append((self.ours.rest.session(number)["state"], bfd["state"]))
        return states


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(stack)


@pytest.mark.parametrize("platform", BGP)
def test_a_linux_at_the_other_side(scene: Scene, platform: str) -> None:
    ours = scene.ours
    with tempfile.TemporaryDirectory(prefix="bgpsvc-test-") as made:
        files = Path(made) / "files"
        scene.write(platform, files)
        with LinuxDevice(scene.device, files, Path(made)) as device:
            device.tunnels("up")
            device.start_bgp()
            scene.until(device, lambda: scene.sessions() == [("established", "up")] * 2, "BGP and BFD are up")
            ours.until_carrying(1)
            for mode, number in (("standby", 2), ("auto", 1)):
                ours.rest.write("POST", f"{CONNECTION}/switch", {"mode": mode})
                name = f"{NEAR.connection}-tunnel{number}"
                scene.until(
                    device,
                    lambda n=name: device.sends_through(NEAR.host) == n,  # type: ignore[misc]
                    f"{name} is used where the switch is {mode}",
                )
            ours.host.run("ping", "-c3", "-i0.1", "-W5", FAR.host)
            scene.host.run("ping", "-c3", "-i0.1", "-W5", NEAR.host)
            assert "maxseg size set 1382" in scene.device.run("nft", "list", "ruleset")
            device.tunnels("up")  # again: nothing is there twice, and nobody minds
            assert scene.sessions() == [("established", "up")] * 2
        scene.device.run("nft", "flush", "ruleset")
