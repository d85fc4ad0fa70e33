"""A Linux machine that gets the text of `bgpsvc peer-config`, and nothing else, is the other side.

What its BGP daemon makes of it in detail is tried without ESP (`tests/e2e/test_peer_config_linux.py`).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.netns.namespaces import wait_until
from tests.netns.wan import Wan
from tests.vm.guest.device import Device
from tests.vm.guest.site import LEFT, LONG, REPOSITORY, RIGHT, Gateway, document

KEYS = ("0xAb\\c;d'e{f}#$%/?", "c;d'e{f}#$%/?=2")
"""Of characters that mean something in a configuration."""


class Scene:
    """Our gateway, which runs for all checks, and the way to a device."""

    def __init__(self, stack: ExitStack) -> None:
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vm-")))
        self.wan = stack.enter_context(Wan())
        self.gateway = Gateway(LEFT, self.wan, RIGHT, self.directory / "gw1", stack)
        stack.callback(self.gateway.charon.stop)
        stack.callback(self.gateway.stop)
        self.gateway.start()
        self.gateway.charon.start()
        self.gateway.until_alive()
        wanted = document(LEFT, RIGHT)
        for tunnel, key in zip(wanted["vpn_connections"][0]["tunnels"], KEYS, strict=True):
            tunnel["ike"]["pre_shared_key"] = key
            tunnel["bgp"]["password"] = "p!#&'x"
        self.gateway.rest.write("POST", "/v1/configuration/apply", wanted)
        self.device = Device(stack, RIGHT, self.wan, LEFT, self.directory / "device")

    def write(self, platform: str) -> Path:
        """What the command line writes."""
        files = self.directory / platform
        command = [sys.executable, "-m", "bgpsvc", "peer-config", "conn", "--platform", platform]
        command += ["--secrets", "--network", RIGHT.vpc, "--output-dir", str(files)]
        socket = f"unix:{self.gateway.directory}/state/api.sock"
        subprocess.run([*command, "--server", socket], cwd=REPOSITORY, check=True)
        return files

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Until a condition holds; AssertionError with what both sides said if it never does."""
        try:
            wait_until(condition, what, LONG)
        except AssertionError as error:
            sas = self.gateway.charon.swanctl("--list-sas", check=False)
            ours = f"{self.gateway.log()}\n{self.gateway.charon.log()}\n{sas}"
            sas = self.device.charon.swanctl("--list-sas", check=False)
            theirs = f"{self.device.charon.log()}\n{sas}\n{self.device.namespace.ip('route')}"
            raise AssertionError(f"{error}\n--- device\n{theirs}\n--- gateway\n{ours}") from None


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(stack)


def check(scene: Scene, platform: str) -> None:
    """Tunnels, sessions, packets both ways, and nothing left when the script has taken them down."""
    ours, device = scene.gateway, scene.device
    with device.set_up(scene.write(platform)) as linux:
        for number in (1, 2):
            scene.until(lambda n=number: ours.established(n), f"IPsec {number} is up")  # type: ignore[misc]
            scene.until(
                lambda n=number: ours.session(n)["state"] == "established",  # type: ignore[misc]
                f"session {number} is up",
            )
        scene.until(lambda: ours.carrying() == "conn-tunnel1", "tunnel 1 carries")
        scene.until(lambda: linux.sends_through(LEFT.host) == "conn-tunnel1", "both ways")
        reached = ("ping", "-c1", "-W1", RIGHT.host)
        scene.until(
            lambda: "1 received" in ours.host.run(*reached, check=False), "the hosts reach each other"
        )
        largest = str(ours.ipsec(1)["mtu"] - 28)
        for here, there in ((ours.host, RIGHT.host), (device.host, LEFT.host)):
            for _ in range(3):
                # One by one: of several, the last is waited for no longer than the others took.
                here.run("ping", "-c1", "-W20", "-Mdo", "-s", largest, there)
        linux.tunnels("up")  # again: nothing is there twice, and nobody minds
    assert "conn-tunnel" not in device.namespace.ip("-br link")
    assert device.namespace.run("nft", "list", "ruleset") == ""
    # The next device has the same addresses: nothing may be left of this one.
    for number in (1, 2):
        scene.until(lambda n=number: not ours.established(n), f"the SAs {number} are gone")  # type: ignore[misc]
        scene.until(
            lambda n=number: ours.session(n)["state"] != "established",  # type: ignore[misc]
            f"session {number} is down",
        )


def test_strongswan_and_frr_with_the_generated_text(scene: Scene) -> None:
    check(scene, "strongswan-frr")


def test_strongswan_and_bird_with_the_generated_text(scene: Scene) -> None:
    check(scene, "strongswan-bird")
