"""A Linux machine at the other side: uplinks, a host behind it, a charon of the system. See LinuxDevice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.interop.linux_device import LinuxDevice
from tests.netns.namespaces import Namespace
from tests.netns.wan import Wan
from tests.vm.guest.charon import SystemCharon
from tests.vm.guest.site import Side


class Device:
    """Its namespace and its host's, for as long as `stack` is open."""

    def __init__(self, stack: ExitStack, side: Side, wan: Wan, other: Side, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.namespace = stack.enter_context(Namespace())
        self.host = stack.enter_context(Namespace())
        self.charon = SystemCharon(self.namespace, directory / "charon")
        stack.callback(self.charon.stop)
        self.namespace.veth("lan", self.host, "eth0", [f"{side.inner}/16"])
        self.host.ip(f"address add {side.host}/16 dev eth0")
        self.host.ip(f"route add default via {side.inner}")
        for number, (public, remote) in enumerate(zip(side.public, other.public, strict=True), 1):
            wan.attach(self.namespace, f"wan{number}", public, [remote])

    @contextmanager
    def set_up(self, files: Path) -> Iterator[LinuxDevice]:
        """What the text says is to be done: the script, charon, and FRR or BIRD. Taken back afterwards."""
        with LinuxDevice(self.namespace, files, self.directory) as linux:
            linux.tunnels("up")
            try:
                self.charon.start()
                linux.load_into_charon(self.charon.socket)
                linux.start_bgp()
                yield linux
            finally:
                self.charon.stop()
                linux.tunnels("down")
