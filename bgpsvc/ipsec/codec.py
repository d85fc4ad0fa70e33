"""What is said to charon and what it says, as messages of vici: nested dictionaries of text.

Out: a tunnel's connection (`load-conn`) and its key (`load-shared`), both named `bgpsvc-<tunnel id>`.
In: IKE SAs (`list-sas`) and the events `log`, `ike-updown`, `child-updown`, `ike-rekey`, `child-rekey`.
charon tells ages and times to come in seconds relative to when it speaks, so `now` is an argument.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, Literal

from bgpsvc.ipsec import proposals
from bgpsvc.ipsec.model import ChildSa, IkeSa, IpsecTunnel
from bgpsvc.ipsec.port import Logged, SaChanged, SaRekeyed, Signal
from bgpsvc.model import SessionId

Message = Mapping[str, Any]

PREFIX = "bgpsvc-"
"""Begins the name of everything that is ours in a charon that others use too."""
_FINGERPRINT_BYTES = 16
LONGEST_LINE = 2000
"""Characters of a line of charon's log that are read: peers choose what is in it, up to some KiB of an id."""


def connection_name(tunnel: SessionId) -> str:
    """Name of a tunnel's connection, of its child and of its key in charon."""
    return PREFIX + tunnel


def tunnel_of(name: object) -> SessionId | None:
    """The tunnel of a name in charon, None if it is none of ours."""
    if not isinstance(name, str) or not name.startswith(PREFIX):
        return None
    return SessionId(name.removeprefix(PREFIX))


# To charon -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Placing:
    """How a driver places a connection in its charon.

    `encap`: UDP encapsulation also where no NAT is (a charon without kernel ESP knows no other); without it
    charon encapsulates when it detects a NAT. `any_local`: take whatever local address there is.
    """

    local_port: int | None = None
    remote_port: int | None = None
    if_id: int | None = None
    encap: bool = False
    trap: bool = False
    """Negotiate when the kernel sees a packet (for a tunnel that waits for traffic)."""
    any_local: bool = False


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A pre-shared key for charon. `owners`: ids and addresses of both sides."""

    id: str
    data: str = field(repr=False)
    owners: tuple[str, ...]


def connection(tunnel: IpsecTunnel, placing: Placing) -> dict[str, Any]:
    """The connection of a tunnel, as `load-conn` wants it below its name.

    charon begins nothing by itself, and tries once: when to negotiate is decided in one place, `keeper`.
    """
    v1 = tunnel.ike.version == "ikev1"
    made: dict[str, Any] = {
        "version": "1" if v1 else "2",
        "local_addrs": ["%any" if placing.any_local else str(tunnel.local)],
        "remote_addrs": [str(tunnel.remote)],
        "proposals": [proposals.ike_proposal(tunnel.ike)],
        "encap": _yes(placing.encap),
        "mobike": "no",
        "fragmentation": "yes",
        "unique": "replace",
        "keyingtries": "1",
        **proposals.ike_lifetime(tunnel.ike.lifetime),
        **_dead_peer_detection(tunnel),
        "local": {"auth": "psk", "id": identity(tunnel.local_id)},
        "remote": {"auth": "psk", "id": identity(tunnel.remote_id)},
        "children": {connection_name(tunnel.id): _child(tunnel, placing)},
    }
    if v1:
        made["aggressive"] = _yes(tunnel.ike.mode == "aggressive")
    for name, port in (("local_port", placing.local_port), ("remote_port", placing.remote_port)):
        if port is not None:
            made[name] = str(port)
    if placing.if_id is not None:
        made |= {"if_id_in": str(placing.if_id), "if_id_out": str(placing.if_id)}
    return made


def _child(tunnel: IpsecTunnel, placing: Placing) -> dict[str, Any]:
    return {
        "mode": "tunnel",
        "esp_proposals": [proposals.esp_proposal(tunnel.ipsec)],
        # A selector is on a list once, however many pairs it belongs to.
        "local_ts": list(dict.fromkeys(str(local) for local, _ in tunnel.pairs)),
        "remote_ts": list(dict.fromkeys(str(remote) for _, remote in tunnel.pairs)),
        **proposals.child_lifetime(tunnel.ipsec.lifetime),
        "start_action": "trap" if placing.trap else "none",
        "close_action": "none",
        "dpd_action": "none",
    }


def _dead_peer_detection(tunnel: IpsecTunnel) -> dict[str, str]:
    if not tunnel.dpd.enabled:
        return {"dpd_delay": "0s"}
    # Asked after a third of the time: one answer may be lost before the peer counts as dead.
    delay = max(tunnel.dpd.timeout // 3, 1)
    return {"dpd_delay": f"{delay}s", "dpd_timeout": f"{tunnel.dpd.timeout}s"}


def identity(name: str) -> str:
    """An id as charon takes it for what it is: an address, else a domain name, whatever it looks like."""
    try:
        return str(ip_address(name))
    except ValueError:
        return f"fqdn:{name}"


def shared_key(tunnel: IpsecTunnel) -> SharedKey | None:
    """The key of a tunnel, None if it has none.

    It belongs to the addresses too: a responder in IKEv1 main mode must choose the key before it is told
    the peer's id (RFC 2409 5.4).
    """
    secret = tunnel.ike.pre_shared_key
    if secret is None:
        return None
    owners = (
        identity(tunnel.local_id),
        identity(tunnel.remote_id),
        str(tunnel.local),
        str(tunnel.remote),
    )
    return SharedKey(connection_name(tunnel.id), secret.get_secret_value(), tuple(dict.fromkeys(owners)))


def fingerprint(tunnel: IpsecTunnel, placing: Placing, secret: bytes) -> str:
    """Tells whether connection and key are those that were loaded before: 32 hexadecimal digits.

    `secret` (16 to 64 random bytes, kept as privately as a key) makes it useless for guessing the key.
    """
    key = shared_key(tunnel)
    content = json.dumps(
        [
            connection_name(tunnel.id),
            connection(tunnel, placing),
            None if key is None else [key.data, key.owners],
        ],
        sort_keys=True,
    )
    return hashlib.blake2b(content.encode(), digest_size=_FINGERPRINT_BYTES, key=secret).hexdigest()


def _yes(value: bool) -> str:
    return "yes" if value else "no"


# SAs from charon -------------------------------------------------------------------------------


def sas(entries: Iterable[Message], now: float) -> dict[SessionId, tuple[IkeSa, ...]]:
    """The entries of `list-sas`, each `{connection: SA}`, by tunnel and newest last; others' are left out."""
    found: dict[SessionId, list[IkeSa]] = {}
    for entry in entries:
        for name, content in entry.items():
            tunnel = tunnel_of(name)
            if tunnel is not None and isinstance(content, Mapping):
                found.setdefault(tunnel, []).append(ike_sa(content, now))
    return {
        tunnel: tuple(sorted(several, key=lambda ike: ike.unique_id)) for tunnel, several in found.items()
    }


def ike_sa(content: Message, now: float) -> IkeSa:
    """An IKE SA with the children that the message has. KeyError or ValueError if it isn't one."""
    age = _number(content, "established")
    rekey = _number(content, "rekey-time")
    return IkeSa(
        unique_id=int(content["uniqueid"]),
        version="ikev1" if content["version"] == "1" else "ikev2",
        state=content["state"],
        initiator=content.get("initiator") == "yes",
        local_address=content["local-host"],
        local_port=_number(content, "local-port") or 0,
        local_id=content["local-id"],
        remote_address=content["remote-host"],
        remote_port=_number(content, "remote-port") or 0,
        remote_id=content["remote-id"],
        spi_initiator=content["initiator-spi"],
        spi_responder=content["responder-spi"],
        nat_local=content.get("nat-local") == "yes",
        nat_remote=content.get("nat-remote") == "yes",
        encryption=_cipher(content),
        authentication=_named(content, "integ-alg", proposals.integrity_name),
        group=_named(content, "dh-group", proposals.group_name),
        established_at=None if age is None else now - age,
        rekey_at=None if rekey is None else now + rekey,
        children=tuple(
            child_sa(child, now)
            for child in content.get("child-sas", {}).values()
            if tunnel_of(child["name"]) is not None
        ),
    )


def child_sa(content: Message, now: float) -> ChildSa:
    """A child SA. One that is not installed yet has no SPIs and no algorithms: these are empty then."""
    rekey, life = _number(content, "rekey-time"), _number(content, "life-time")
    return ChildSa(
        unique_id=int(content["uniqueid"]),
        state=content["state"],
        encapsulated=content.get("encap") == "yes",
        spi_in=content.get("spi-in", ""),
        spi_out=content.get("spi-out", ""),
        encryption=_cipher(content) or "",
        authentication=_named(content, "integ-alg", proposals.integrity_name),
        pfs=_named(content, "dh-group", proposals.group_name),
        bytes_in=_number(content, "bytes-in") or 0,
        bytes_out=_number(content, "bytes-out") or 0,
        packets_in=_number(content, "packets-in") or 0,
        packets_out=_number(content, "packets-out") or 0,
        installed_at=now - (_number(content, "install-time") or 0),
        rekey_at=None if rekey is None else now + rekey,
        expires_at=None if life is None else now + life,
        local_selectors=tuple(content.get("local-ts", ())),
        remote_selectors=tuple(content.get("remote-ts", ())),
    )


def _number(content: Message, name: str) -> int | None:
    value = content.get(name)
    return None if value is None else int(value)


def _named(content: Message, name: str, word: Any) -> str | None:
    value = content.get(name)
    return None if value is None else word(value)


def _cipher(content: Message) -> str | None:
    name = content.get("encr-alg")
    return None if name is None else proposals.cipher_name(name, _number(content, "encr-keysize"))


# Events from charon ----------------------------------------------------------------------------


def signals(event: str, message: Message, now: float, tunnel: SessionId | None = None) -> tuple[Signal, ...]:
    """What an event tells of tunnels of ours; nothing if it is about others.

    `tunnel`: whose charon it is, where each has its own: then lines of the log that charon ascribes to no
    connection (yet) are that tunnel's. A rekey tells of the new SA as well, before the old one goes.
    """
    if event == "log":
        line = logged(message, tunnel)
        return () if line is None else (line,)
    what: Literal["ike", "child"] = "ike" if event.startswith("ike-") else "child"
    if event in ("ike-updown", "child-updown"):
        up = message.get("up") == "yes"
        return tuple(
            SaChanged(mine, what, up, ike_sa(content, now))
            for name, content in message.items()
            if isinstance(content, Mapping) and (mine := tunnel_of(name)) is not None
        )
    if event in ("ike-rekey", "child-rekey"):
        return tuple(
            signal
            for name, content in message.items()
            if isinstance(content, Mapping) and (mine := tunnel_of(name)) is not None
            for signal in (SaRekeyed(mine, what), SaChanged(mine, what, True, _fresh(content, what, now)))
        )
    return ()


def _fresh(content: Message, what: str, now: float) -> IkeSa:
    """The SA that replaces another. What it takes over (an IKE SA its children) is told by nobody."""
    if what == "ike":
        return ike_sa(content["new"], now)
    children = {name: pair["new"] for name, pair in content["child-sas"].items()}
    return ike_sa({**content, "child-sas": children}, now)


def logged(message: Message, tunnel: SessionId | None = None) -> Logged | None:
    """A line of charon's log, cut to `LONGEST_LINE`; None if it is about no tunnel of ours."""
    mine = tunnel_of(message.get("ikesa-name")) or tunnel
    if mine is None:
        return None
    ike = message.get("ikesa-uniqueid")
    text = message.get("msg", "")[:LONGEST_LINE]
    return Logged(mine, message.get("group", ""), text, None if ike is None else int(ike))


_ADDRESS = r"(\d{1,3}(?:\.\d{1,3}){3})\[\d{1,5}\]"
_ADDRESSES = re.compile(f"{_ADDRESS} to {_ADDRESS}")
_REMEMBERED = 256


class Ascriber:
    """Finds out which tunnel a line is about that charon ascribes to no connection.

    In a charon of many connections the SA of a negotiation that the peer began has no connection until
    one is found for it, and the faults that keep it from being found are what one wants to hear of. Its
    first line tells the addresses.
    """

    def __init__(self) -> None:
        self._tunnels: Mapping[tuple[str, str], SessionId] = MappingProxyType({})
        self._peers: Mapping[str, SessionId] = MappingProxyType({})
        self._sas: dict[str, SessionId] = {}

    def set_tunnels(self, tunnels: Collection[IpsecTunnel], any_local: Collection[SessionId] = ()) -> None:
        """These are ours. Of several between the same addresses lines are ascribed to the first.

        `any_local`: of these the peer's address alone counts, as ours is another one than is configured.
        """
        found: dict[tuple[str, str], SessionId] = {}
        for tunnel in tunnels:
            found.setdefault((str(tunnel.local), str(tunnel.remote)), tunnel.id)
        self._tunnels = MappingProxyType(found)
        self._peers = MappingProxyType({str(one.remote): one.id for one in tunnels if one.id in any_local})
        known = {tunnel.id for tunnel in tunnels}
        self._sas = {ike: ident for ike, ident in self._sas.items() if ident in known}

    def tunnel_of(self, message: Message) -> SessionId | None:
        """The tunnel that a `log` event is about."""
        named = tunnel_of(message.get("ikesa-name"))
        if named is not None:
            return named
        ike = message.get("ikesa-uniqueid")
        matched = _ADDRESSES.search(message.get("msg", "")[:LONGEST_LINE])
        if matched is not None:
            source, destination = matched.groups()
            mine = self._tunnels.get((destination, source)) or self._tunnels.get((source, destination))
            mine = mine or self._peers.get(source) or self._peers.get(destination)
            if mine is not None and ike is not None:
                self._sas.pop(ike, None)
                self._sas[ike] = mine
                while len(self._sas) > _REMEMBERED:
                    del self._sas[next(iter(self._sas))]
            return mine
        return None if ike is None else self._sas.get(ike)
