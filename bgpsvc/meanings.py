"""What the words mean that stand for something in events and views: for the reference, and for people."""

from __future__ import annotations

from collections.abc import Mapping

from bgpsvc.views import EventKind, TunnelState

EVENTS: Mapping[EventKind, str] = {
    "session.up": "A BGP session is established.",
    "session.down": "A BGP session ended. The message says why, as the speaker or the peer told it.",
    "session.error": "Something of the peer was refused, left out or dropped. The message says what.",
    "session.messages_lost": "Messages of the speaker were lost, so it is asked for everything again.",
    "session.prefix_limit": "The peer went over `max_prefixes`, or is below it again.",
    "tunnel.live": "A tunnel may carry traffic.",
    "tunnel.down": "A tunnel may carry no traffic any more.",
    "tunnel.warming": "A tunnel came back, and waits for the peer's routes or for the failback hold-down.",
    "tunnel.healthy": "The health check of a single tunnel is answered again.",
    "tunnel.unhealthy": "The health check of a single tunnel failed.",
    "tunnel.flapping": "A tunnel keeps failing, so its hold-down before failback grew.",
    "ipsec.up": "Both SAs of a tunnel are established.",
    "ipsec.down": "A tunnel lost its SAs. The message says why.",
    "ipsec.rekeyed": "An SA was replaced by a fresh one.",
    "ipsec.error": "A negotiation failed, or a tunnel could not be made.",
    "charon.up": "strongSwan's charon answers.",
    "charon.down": "strongSwan's charon ended or does not answer.",
    "connection.switchover": "Traffic of a connection moved to the standby tunnel.",
    "connection.failback": "Traffic of a connection is over the active tunnel again.",
    "connection.no_live_tunnel": "No tunnel of a connection can carry its traffic.",
    "connection.operator_switch": "An operator chose a tunnel, or gave the choice back.",
    "gateway.propagation": "Automatic propagation of a VPN gateway was switched on or off.",
    "speaker.up": "A BGP speaker is connected to the daemon.",
    "speaker.down": "A BGP speaker ended. It is started again.",
    "speaker.hung": "A BGP speaker gives no sign of life, so it is ended and started again.",
    "daemon.restarted": "The watchdog started the daemon again.",
    "bmp.connected": "A monitoring station is connected, and gets what it shall have (BMP, RFC 7854).",
    "bmp.disconnected": "A monitoring station cannot be reached any more. It is tried again.",
    "recording.failed": "Messages cannot be recorded (MRT, RFC 6396). A disk that refuses is tried again.",
    "recording.resumed": "Messages are recorded again.",
    "bfd.up": "BFD with the peer is up: a dead path is noticed by it.",
    "bfd.down": "BFD says that the path to the peer is dead.",
    "probe.up": "The peer answers probes.",
    "probe.down": "The peer has not answered several probes in a row.",
    "guard.up": "The guard runs and has its plan.",
    "guard.down": "The guard ended. It is started again; meanwhile nobody speaks BFD.",
    "guard.switched": "The guard moved nexthop groups away from a dead tunnel by itself.",
    "guard.error": "The guard could not be reached, or could not do something.",
    "fib.repair": "Routes, nexthops or rules that somebody else changed were put right.",
    "fib.error": "The kernel refused something, or could not be asked.",
    "fib.sweep": "Routes that an earlier daemon left and nobody announced since were removed.",
    "config.changed": "Resources were changed over REST or by `bgpsvc apply`.",
    "config.reloaded": "The configuration file was read again, by SIGHUP.",
    "config.rejected": "The configuration file has problems, so what ran goes on.",
    "config.incomplete": "A change is stored and not in effect yet. It is tried again.",
}
"""Kind of event to what happened."""

TUNNEL_STATES: Mapping[TunnelState, str] = {
    "live": "It may carry traffic.",
    "warming": "It is up, and waits for the peer's routes (End-of-RIB) or for the failback hold-down.",
    "down": "It may carry no traffic. The reason stands beside it.",
}
"""State of a tunnel to what it means for traffic."""
