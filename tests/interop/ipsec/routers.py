"""BIRD and FRR (zebra and bgpd) as the routers of a data centre: BGP in, kernel routes out."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.netns.namespaces import Namespace, wait_until

BIRD = "/usr/sbin/bird"
FRR = "/usr/lib/frr"


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A BGP session; inside the data centre if its ASN is ours."""

    local: str
    remote: str
    asn: int


class Router(Protocol):
    """A running router. `stop` ends it without a goodbye to its neighbours if asked for."""

    def start(self) -> None: ...

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None: ...

    def close(self) -> None: ...

    def log(self) -> str: ...


class _Daemons:
    """Processes of a router in a directory of their own (not pytest's: FRR drops its privileges)."""

    def __init__(self, namespace: Namespace, name: str) -> None:
        self._namespace = namespace
        self._home = Path(tempfile.mkdtemp(prefix=f"bgpsvc-{name}-"))
        self._home.chmod(0o755)
        self._processes: list[subprocess.Popen[bytes]] = []

    def _spawn(self, *words: str) -> None:
        with (self._home / "output").open("ab") as output:
            self._processes.append(
                subprocess.Popen(
                    self._namespace.command(*words),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=self._home,
                )
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the processes, last first."""
        for process in reversed(self._processes):
            process.send_signal(number)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def close(self) -> None:
        """End it and forget its files."""
        self.stop()
        shutil.rmtree(self._home)

    def log(self) -> str:
        """The end of its output."""
        path = self._home / "output"
        return "\n".join(path.read_text(errors="replace").splitlines()[-20:]) if path.exists() else ""


class Bird(_Daemons):
    """BIRD 2."""

    def __init__(
        self, namespace: Namespace, asn: int, router_id: str, neighbors: Sequence[Neighbor], network: str
    ) -> None:
        super().__init__(namespace, "bird")
        export = "source = RTS_BGP" + (f" || net = {network}" if network else "")
        sessions = "\n".join(self._session(asn, number, n, export) for number, n in enumerate(neighbors))
        (self._home / "bird.conf").write_text(f"""
log stderr all;
router id {router_id};
protocol device {{ scan time 2; }}
protocol direct {{ ipv4; check link yes; }}
protocol kernel {{ ipv4 {{ import none; export where source = RTS_BGP; }}; }}
{sessions}
""")

    @staticmethod
    def _session(asn: int, number: int, neighbor: Neighbor, export: str) -> str:
        hop = "next hop self;" if neighbor.asn == asn else ""
        return f"""
protocol bgp s{number} {{
  local {neighbor.local} as {asn};
  neighbor {neighbor.remote} as {neighbor.asn};
  direct; check link yes;
  hold time 30; connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 {{ import all; {hop} export where {export}; }};
}}"""

    def start(self) -> None:
        """Until it has read its configuration."""
        control = self._home / "bird.ctl"
        control.unlink(missing_ok=True)
        self._spawn(
            BIRD, "-f", "-c", str(self._home / "bird.conf"), "-s", str(control), "-P", f"{self._home}/pid"
        )
        wait_until(control.exists, "BIRD is up")


class Frr(_Daemons):
    """FRR's zebra and bgpd."""

    def __init__(
        self, namespace: Namespace, asn: int, router_id: str, neighbors: Sequence[Neighbor], network: str
    ) -> None:
        super().__init__(namespace, "frr")
        shutil.chown(self._home, "frr", "frr")
        lines = [
            f"router bgp {asn}",
            f" bgp router-id {router_id}",
            " no bgp ebgp-requires-policy",
            " no bgp network import-check",
            " bgp bestpath med missing-as-worst",
        ]
        for neighbor in neighbors:
            lines += [
                f" neighbor {neighbor.remote} remote-as {neighbor.asn}",
                f" neighbor {neighbor.remote} timers 10 30",
                f" neighbor {neighbor.remote} timers connect 1",
            ]
        lines.append(" address-family ipv4 unicast")
        lines += [f"  neighbor {n.remote} next-hop-self" for n in neighbors if n.asn == asn]
        lines += [f"  network {network}"] if network else []
        lines.append(" exit-address-family")
        (self._home / "bgpd.conf").write_text("\n".join(lines) + "\n")
        (self._home / "zebra.conf").write_text(f"router-id {router_id}\n")

    def start(self) -> None:
        """Until both run."""
        for daemon in ("zebra", "bgpd"):
            for leftover in (f"{daemon}.vty", f"{daemon}.pid"):
                (self._home / leftover).unlink(missing_ok=True)
            self._spawn(
                f"{FRR}/{daemon}",
                *("-f", f"{self._home}/{daemon}.conf", "-i", f"{self._home}/{daemon}.pid"),
                *("-z", f"{self._home}/zserv.api", "--vty_socket", str(self._home), "-P", "0"),
                *("--log", "stdout", "--log-level", "informational"),
            )
            wait_until((self._home / f"{daemon}.vty").exists, f"{daemon} is up: {self.log()}")


KINDS: dict[str, type[Bird] | type[Frr]] = {"bird": Bird, "frr": Frr}
