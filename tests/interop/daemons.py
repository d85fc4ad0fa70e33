"""BIRD and FRR as peers, started by hand in a namespace with their files in a directory of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.netns.namespaces import Namespace, wait_until

BIRD = "/usr/sbin/bird"
BIRDC = "/usr/sbin/birdc"
BGPD = "/usr/lib/frr/bgpd"
VTYSH = "/usr/bin/vtysh"
STATICS = ("20.0.0.0/24", "20.0.1.0/24", "30.0.0.0/8")


class Bird:
    """A running BIRD; `command` is birdc's."""

    def __init__(self, home: Path) -> None:
        self._home = home

    @property
    def pid(self) -> int:
        """Of its process."""
        return int((self._home / "pid").read_text())

    def command(self, text: str) -> str:
        done = subprocess.run(
            [
                BIRDC,
                "-r" if text.startswith("show") else "-v",
                "-s",
                str(self._home / "bird.ctl"),
                *text.split(),
            ],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        return done.stdout

    def routes(self) -> str:
        """Everything learned over BGP, with all attributes."""
        return self.command("show route all protocol gw4") + self.command("show route all protocol gw6")


class Frr:
    """A running bgpd without zebra; `show` returns JSON, `configure` takes lines."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def _vtysh(self, *commands: str) -> str:
        arguments = [part for command in commands for part in ("-c", command)]
        done = subprocess.run(
            [VTYSH, "--vty_socket", str(self._home), "-d", "bgpd", *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        return done.stdout

    def show(self, text: str) -> Any:
        output = self._vtysh(f"show {text} json")
        return json.loads(output) if output.strip() else {}

    def configure(self, *lines: str) -> None:
        self._vtysh("configure terminal", *lines)

    def routes(self) -> dict[str, Any]:
        """Prefixes learned from us over IPv4 and IPv6, with their attributes."""
        found: dict[str, Any] = {}
        for family in ("ipv4", "ipv6"):
            for prefix, paths in self.show(f"bgp {family} unicast").get("routes", {}).items():
                learned = [path for path in paths if path.get("peerId", "(unspec)") != "(unspec)"]
                if learned:
                    found[prefix] = learned[0]
        return found


@contextmanager
def daemon_process(
    namespace: Namespace, argv: Sequence[str], home: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with (home / "output").open("wb") as output:
        process = subprocess.Popen(namespace.command(*argv), stdout=output, stderr=output, cwd=home)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def daemon_home(owner: str | None = None) -> Iterator[Path]:
    # Not pytest's tmp_path: FRR drops its privileges and couldn't enter it.
    home = Path(tempfile.mkdtemp(prefix="bgpsvc-peer-"))
    try:
        home.chmod(0o755)
        if owner is not None:
            shutil.chown(home, owner, owner)
        yield home
    finally:
        shutil.rmtree(home)


@contextmanager
def bird(
    namespace: Namespace,
    local: str = "169.254.10.2",
    remote: str = "169.254.10.1",
    asn: int = 65500,
    remote_asn: int = 65530,
    options: str = "",
    channel: str = "",
    ipv6: bool = False,
    protocols: str = "",
) -> Iterator[Bird]:
    """BIRD 2 with three static IPv4 routes (and one of IPv6), announced with communities and MED.

    `protocols`: more of them.
    """
    export = "export filter { if source != RTS_STATIC then reject; bgp_med = 7; " + (
        "bgp_community.add((65500, 42)); bgp_large_community.add((65500, 1, 2)); accept; };"
    )
    static = " ".join(f"route {prefix} blackhole;" for prefix in STATICS)
    six = f"ipv6 {{ import all; next hop self; {export} {channel} }};" if ipv6 else ""
    text = f"""
log stderr all;
router id 10.9.9.9;
protocol device {{}}
protocol static s4 {{ ipv4; {static} }}
protocol static s6 {{ ipv6; route 2001:db8:20::/48 blackhole; }}
protocol bgp gw4 {{
  local {local} as {asn};
  neighbor {remote} as {remote_asn};
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  {options}
  ipv4 {{ import all; next hop self; {export} {channel} }};
  {six}
}}
{protocols}
"""
    with daemon_home() as home:
        (home / "bird.conf").write_text(text)
        argv = [
            BIRD,
            "-f",
            "-c",
            str(home / "bird.conf"),
            "-s",
            str(home / "bird.ctl"),
            "-P",
            str(home / "pid"),
        ]
        with daemon_process(namespace, argv, home):
            wait_until((home / "bird.ctl").exists, "BIRD is up")
            yield Bird(home)


@contextmanager
def frr(
    namespace: Namespace,
    local: str = "169.254.10.2",
    remote: str = "169.254.10.1",
    asn: int = 65500,
    remote_asn: int = 65530,
    options: Sequence[str] = (),
    ipv6: bool = False,
) -> Iterator[Frr]:
    """bgpd with three IPv4 networks (and one of IPv6). Lines of `options` belong to the neighbor."""
    lines = [
        f"router bgp {asn}",
        " bgp router-id 10.9.9.9",
        " no bgp ebgp-requires-policy",
        " no bgp network import-check",
        f" neighbor {remote} remote-as {remote_asn}",
        f" neighbor {remote} timers connect 1",
        # Without zebra bgpd knows no interfaces.
        f" neighbor {remote} disable-connected-check",
        *(f" neighbor {remote} {option}" for option in options),
        " address-family ipv4 unicast",
        f"  neighbor {remote} route-map out out",
        f"  neighbor {remote} soft-reconfiguration inbound",
        *(f"  network {prefix}" for prefix in STATICS),
        " exit-address-family",
    ]
    if ipv6:
        lines += [
            " address-family ipv6 unicast",
            f"  neighbor {remote} activate",
            f"  neighbor {remote} route-map out6 out",
            "  network 2001:db8:20::/48",
            " exit-address-family",
        ]
    lines += [
        "route-map out permit 10",
        " set metric 7",
        " set community 65500:42",
        " set large-community 65500:1:2",
        "route-map out6 permit 10",
        " set metric 7",
        " set ipv6 next-hop global fd00:10::2",
    ]
    with daemon_home("frr") as home:
        (home / "bgpd.conf").write_text("\n".join(lines) + "\n")
        argv = [BGPD, "-Z", "-f", str(home / "bgpd.conf"), "-i", str(home / "pid"), "--vty_socket", str(home)]
        argv += [
            "-u",
            "frr",
            "-g",
            "frr",
            "-P",
            "0",
            "-l",
            local,
            "--log",
            "stdout",
            "--log-level",
            "informational",
        ]
        with daemon_process(namespace, argv, home):
            wait_until((home / "bgpd.vty").exists, "bgpd is up")
            yield Frr(home)
