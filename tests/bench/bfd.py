"""BFD beside the measured daemon: the far ends' sessions, and when the daemon declared one down.

The far end is BIRD with BFD alone, one single-hop session for each tunnel (RFC 5881). A daemon that detects
that a tunnel is dead says so in its next packet to it (RFC 5880 6.8.4, State Down), which nobody receives,
but which a capture on its own interface sees.
"""

from __future__ import annotations

import socket

from tests.bench.configurations import BFD_INTERVAL_MS, BFD_MULTIPLIER, Neighbor
from tests.bench.devices import Bird
from tests.bench.monitor import attach
from tests.bench.namespace import Namespace, wait_for
from tests.bench.probes import ETH_P_ALL, PACKET_OUTGOING, SO_TIMESTAMPNS, TIMESPEC

CONTROL_PORT = 3784
_LD_H, _LD_B, _JEQ, _RET = 0x28, 0x30, 0x15, 0x06
_IP_PROTOCOL, _UDP_DESTINATION, _BFD = 9, 22, 28
_DOWN = 1


def far_configuration(sessions: tuple[Neighbor, ...]) -> str:
    """bird.conf of the far ends of tunnels: BFD, no routing."""
    timers = f"interval {BFD_INTERVAL_MS} ms; multiplier {BFD_MULTIPLIER};"
    lines = ["router id 198.51.100.99;", "protocol device { }", "protocol bfd {"]
    lines.append(f'  interface "*" {{ {timers} }};')
    lines += [f'  neighbor {each.local} dev "{each.link}" local {each.peer};' for each in sessions]
    return "\n".join([*lines, "}"]) + "\n"


class Responder(Bird):
    """The far ends' BFD."""

    name = "far end"

    def start(self) -> None:
        """Starts it and returns when it answers."""
        config = self.directory / "bird.conf"
        config.write_text(far_configuration(self.setup.neighbors))
        self._control = self.directory / "bird.ctl"
        self.spawn("bird", "-f", "-c", str(config), "-s", str(self._control))
        wait_for(self._control.exists, "the far end answers", 30)

    def up(self) -> bool:
        """Whether the sessions to all tunnels are up."""
        shown = self.namespace.run("birdc", "-s", str(self._control), "show", "bfd", "sessions")
        return shown.count(" Up ") == len(self.setup.neighbors)


class DownWatch:
    """Hears the BFD packets that a namespace sends out of one interface."""

    def __init__(self, namespace: Namespace, interface: str) -> None:
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        attach(
            self._socket,
            [
                (_LD_B, 0, 0, _IP_PROTOCOL),
                (_JEQ, 0, 3, socket.IPPROTO_UDP),
                (_LD_H, 0, 0, _UDP_DESTINATION),
                (_JEQ, 0, 1, CONTROL_PORT),
                (_RET, 0, 0, 0xFFFFFFFF),
                (_RET, 0, 0, 0),
            ],
        )
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind((interface, ETH_P_ALL))
        self._socket.setblocking(False)

    def read(self) -> float | None:
        """When the first packet with State Down went out since the last call, by the kernel's clock."""
        first = None
        while True:
            try:
                data, control, _, address = self._socket.recvmsg(128, 64)
            except BlockingIOError:
                return first
            if address[2] == PACKET_OUTGOING and data[_BFD + 1] >> 6 == _DOWN and first is None:
                seconds, nanoseconds = TIMESPEC.unpack_from(control[0][2])
                first = seconds + nanoseconds / 1e9

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()
