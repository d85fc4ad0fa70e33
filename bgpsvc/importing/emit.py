"""From found connections to our resources: a configuration file in the form of `bgpsvc apply -f`.

The document is given to the service's own loader, with all its rules, and printed by its own printer. What
the loader refuses is said with the place in the input that it came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import yaml

from bgpsvc.importing.model import Bgp, Choices, FoundConnection, FoundTunnel, Phase
from bgpsvc.importing.notes import Note, Notes, Refused, refused, shown
from bgpsvc.importing.select import check_used, chosen, local_addresses
from bgpsvc.resources import ConfigError, Intent, Problem, SecretReader, dump, load
from bgpsvc.resources.draft import IPNetwork

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_LONGEST_NAME = 55
"""Of a connection: its customer gateways' names are longer by a suffix, and 63 is the longest name."""
_NAME = re.compile(rf"[a-z][a-z0-9-]{{0,{_LONGEST_NAME - 1}}}")
_LONGEST_LIFETIME = 86400
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Imported:
    """The result: `text` is YAML, `intent` what it says, `warnings` in order. `in_clear`: it has keys."""

    intent: Intent
    text: str = field(repr=False)
    warnings: tuple[Note, ...]
    in_clear: bool


def emit(
    cloud: str,
    found: Sequence[FoundConnection],
    choices: Choices,
    notes: Notes,
    read_secret: SecretReader | None = None,
) -> Imported:
    """Resources for the connections that are chosen among those found. Raises Refused."""
    connections = chosen(found, choices, notes)
    check_used(connections, choices, notes)
    notes.stop_at_problems()
    document, places = _Document(cloud, connections, choices, notes).made()
    notes.stop_at_problems()
    intent = _judged(document, places, notes, read_secret)
    in_clear = any(_has_secret(tunnel) for connection in connections for tunnel in connection.tunnels)
    text = _header(cloud, connections, in_clear) + dump(intent, reveal=True)
    return Imported(intent, text, tuple(notes.warnings), in_clear)


def _has_secret(tunnel: FoundTunnel) -> bool:
    keys = (tunnel.key, tunnel.bgp and tunnel.bgp.password, tunnel.bfd and tunnel.bfd.key)
    return any(key is not None for key in keys)


def _header(cloud: str, connections: Sequence[FoundConnection], in_clear: bool) -> str:
    names = ", ".join(_safe(connection.name) for connection in connections)
    text = f"# From {cloud}: {names}.\n# This side is the VPN gateway, the cloud the customer gateways.\n"
    return f"{text}# Keys stand here in clear.\n" if in_clear else text


def _safe(text: str) -> str:
    return shown(text)[1:-1]


def _judged(
    document: Json, places: Mapping[str, str], notes: Notes, read_secret: SecretReader | None
) -> Intent:
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    try:
        loaded = load(text, "", read_secret)
    except ConfigError as error:
        raise Refused(dict.fromkeys(_placed(problem, places) for problem in error.problems)) from None
    for problem in loaded.warnings:
        note = _placed(problem, places)
        notes.warn(note.where, note.text)
    return loaded.intent


def _placed(problem: Problem, places: Mapping[str, str]) -> Note:
    """A problem of the document with the place in the input that the value came from."""
    longest = max((key for key in places if _begins(problem.path, key)), key=len, default=None)
    where = problem.path
    if longest is not None:
        where, inner = places[longest], problem.path[len(longest) :].lstrip(".")
        # Which of an option's values it is, the value itself says.
        where = f"{where} ({inner})" if inner and not where.startswith("--") else where
    said = problem.value is None or problem.message.startswith(repr(problem.value))
    return Note(where, problem.message if said else f"{problem.value!r} {problem.message}", problem.allowed)


def _begins(path: str, start: str) -> bool:
    return path == start or path.startswith((f"{start}.", f"{start}["))


class _Document:
    """Builds the document; `places` remembers where in the input each part came from."""

    def __init__(
        self, cloud: str, connections: Sequence[FoundConnection], choices: Choices, notes: Notes
    ) -> None:
        self._cloud = cloud
        self._connections = connections
        self._choices = choices
        self._notes = notes
        self._places: dict[str, str] = {}
        self._customers: list[Json] = []
        self._routes: list[Json] = []

    def made(self) -> tuple[Json, Mapping[str, str]]:
        """The document, and the place in the input for paths of the document."""
        addresses = local_addresses(self._connections, self._choices, self._notes)
        made = [self._connection(index, item, addresses) for index, item in enumerate(self._connections)]
        gateway: Json = {
            "name": self._choices.gateway,
            "vpc": self._choices.vpc,
            "addresses": addresses,
            # Without BGP it means nothing here, and must not switch it off for what another import made.
            "auto_propagate": True,
        }
        document: Json = {
            "vpcs": [{"name": self._choices.vpc, "cidrs": self._cidrs()}],
            "vpn_gateways": [gateway],
            "customer_gateways": self._customers,
            "vpn_connections": made,
        }
        if self._routes:
            document["destination_routes"] = self._routes
        networks = "--vpc-cidr" if self._choices.vpc_cidrs else "networks of this side"
        ends = "--local-address" if self._choices.local_addresses else "addresses of this side"
        self._places |= {"vpcs[0].name": "--vpc", "vpn_gateways[0].name": "--gateway"}
        self._places |= {"vpcs[0].cidrs": networks, "vpn_gateways[0].addresses": ends}
        return document, self._places

    def _cidrs(self) -> list[str]:
        if self._choices.vpc_cidrs:
            return list(self._choices.vpc_cidrs)
        known = dict.fromkeys(network for item in self._connections for network in item.device_networks)
        if not known:
            text = f"{self._cloud} does not say which networks are on this side: give them"
            self._notes.refuse("--vpc-cidr", text, "one or more, as --vpc-cidr 192.168.0.0/16")
        return [str(network) for network in known if not self._is_inside_another(network, known)]

    def _is_inside_another(self, network: IPNetwork, others: Iterable[IPNetwork]) -> bool:
        """The networks of a VPC do not overlap, those that a cloud routes may."""
        for other in others:
            if network != other and network.version == other.version and network.overlaps(other):
                if network.prefixlen < other.prefixlen:
                    continue
                text = f"{network} is inside {other}, which alone becomes a network of the VPC"
                self._notes.warn("networks of this side", text)
                return True
        return False

    # Connections

    def _connection(self, index: int, found: FoundConnection, addresses: Sequence[str]) -> Json:
        name = self._name(found)
        path = f"vpn_connections[{index}]"
        self._places[path] = found.where or found.name
        made: Json = {
            "name": name,
            "vpn_gateway": self._choices.gateway,
            "enable_bgp": found.bgp,
        }
        asn = self._asn(found)
        if asn is not None:
            made["local_asn"] = asn
        if found.selectors:
            made["routing_mode"] = "interesting_traffic"
            made["local_cidrs"] = [str(network) for network in found.device_networks]
            made["remote_cidrs"] = [str(network) for network in found.gateway_networks]
        made["tunnels"] = []
        for number, tunnel in enumerate(found.tunnels):
            self._places[f"{path}.tunnels[{number}]"] = tunnel.where or tunnel.name
            made["tunnels"].append(self._tunnel(name, number, tunnel, addresses))
        if not found.bgp and not found.selectors:
            self._static_routes(found, name)
        return made

    def _name(self, found: FoundConnection) -> str:
        if self._choices.name is not None:
            if len(self._connections) > 1:
                raise refused(
                    "--name", f"there are {len(self._connections)} connections", "one, by --connection"
                )
            if not _NAME.fullmatch(self._choices.name):
                allowed = f"1 to {_LONGEST_NAME} of a-z, 0-9 and -, beginning with a letter"
                raise refused("--name", f"{shown(self._choices.name)} is not a name", allowed)
            return self._choices.name
        plain = re.sub(r"[^a-z0-9]+", "-", found.name.lower()).strip("-")
        if not plain[:1].isalpha():
            plain = f"vpn-{plain}".rstrip("-")
        return plain[:_LONGEST_NAME].rstrip("-")

    def _asn(self, found: FoundConnection) -> int | None:
        asns = {tunnel.bgp.device_asn for tunnel in found.tunnels if tunnel.bgp is not None}
        if len(asns) > 1:
            listed = ", ".join(map(str, sorted(asns)))
            self._notes.refuse(
                found.where, f"this side has several ASNs there: {listed}", "one for both tunnels"
            )
        return next(iter(asns), None)

    def _static_routes(self, found: FoundConnection, name: str) -> None:
        networks = self._choices.remote_cidrs or tuple(map(str, found.gateway_networks))
        if not networks:
            text = "has no BGP, and no route leads to the cloud's networks, which the file does not name"
            self._notes.warn(found.where or found.name, f"{text}: give --remote-cidr")
        for number, network in enumerate(networks, 1):
            given = "--remote-cidr" if self._choices.remote_cidrs else found.where or found.name
            self._places[f"destination_routes[{len(self._routes)}]"] = given
            route = {"name": f"{name}-{number}", "vpn_gateway": self._choices.gateway, "destination": network}
            self._routes.append({**route, "vpn_connection": name, "publish": True})

    # Tunnels

    def _tunnel(self, connection: str, number: int, found: FoundTunnel, addresses: Sequence[str]) -> Json:
        customer: Json = {"name": f"{connection}-{number + 1}", "address": str(found.gateway)}
        if found.bgp is not None:
            customer["asn"] = found.bgp.gateway_asn
        self._places[f"customer_gateways[{len(self._customers)}]"] = found.where or found.name
        self._customers.append(customer)
        made: Json = {
            "customer_gateway": customer["name"],
            "bgp": self._bgp(number, found),
            "ike": self._ike(number, found, addresses),
            "ipsec": self._phase(found.ipsec, f"{found.where}, phase 2"),
            "dpd": self._dpd(found),
            "nat_traversal": found.nat_traversal,
            "mtu": found.mtu,
        }
        return _given(made)

    def _ike(self, number: int, found: FoundTunnel, addresses: Sequence[str]) -> Json:
        made: Json = {"version": found.version, "mode": found.mode if found.version == "ikev1" else "main"}
        made |= self._phase(found.ike, f"{found.where}, phase 1")
        local = addresses[number] if number < len(addresses) else None
        ident = found.device_id or (None if found.device is None else str(found.device))
        if ident is not None and ident != local:
            made["local_id"] = ident
        if found.gateway_id is not None and found.gateway_id != str(found.gateway):
            made["remote_id"] = found.gateway_id
        return made | self._key(number, found)

    def _key(self, number: int, found: FoundTunnel) -> Json:
        if found.key is not None:
            return {"pre_shared_key": found.key}
        file = _of_tunnel(self._choices.key_files, number)
        if file is None:
            text = "no pre-shared key: the cloud does not show it, or the tunnel uses certificates"
            allowed = "--key-file FILE with the key, once for both tunnels or for each; no certificates"
            self._notes.refuse(found.where or found.name, text, allowed)
            return {}
        return {"pre_shared_key_file": file}

    def _phase(self, phase: Phase, where: str) -> Json:
        made: Json = {
            "encryption": phase.encryption,
            "authentication": phase.authentication,
            "pfs": phase.group,
        }
        if phase.lifetime is None:
            return made
        if phase.lifetime > _LONGEST_LIFETIME:
            text = f"a lifetime of {phase.lifetime} s is longer than possible here"
            self._notes.warn(where, f"{text}: {_LONGEST_LIFETIME} s are taken, so this side renews first")
        return made | {"lifetime": min(phase.lifetime, _LONGEST_LIFETIME)}

    def _dpd(self, found: FoundTunnel) -> Json | None:
        if found.dpd is None:
            return None
        return {"enabled": False} if found.dpd == 0 else {"enabled": True, "timeout": found.dpd}

    def _bgp(self, number: int, found: FoundTunnel) -> Json | None:
        if found.inside is None:
            return None
        made: Json = {"tunnel_cidr": str(found.inside.cidr), "local_ip": str(found.inside.device)}
        if not found.inside.is_pair:
            ends = f"{found.inside.device} and {found.inside.gateway}"
            text = f"{ends} are not the two hosts of {found.inside.cidr}"
            self._notes.refuse(found.where, text, "a /30 with one host at each side")
        if found.bgp is not None:
            made |= self._session(number, found, found.bgp)
        if found.bfd is not None:
            made["bfd"] = _given(asdict(found.bfd))
        if found.ipv6 is not None:
            made["ipv6"] = {"tunnel_cidr": str(found.ipv6.cidr), "local_ip": str(found.ipv6.device)}
        return made

    def _session(self, number: int, found: FoundTunnel, bgp: Bgp) -> Json:
        keys = ("hold_time", "ttl_security", "graceful_restart")
        return _given({key: getattr(bgp, key) for key in keys}) | self._password(number, found, bgp)

    def _password(self, number: int, found: FoundTunnel, bgp: Bgp) -> Json:
        if bgp.password is not None:
            return {"password": bgp.password}
        if not bgp.keyed:
            return {}
        file = _of_tunnel(self._choices.password_files, number)
        if file is None:
            text = "the session has a TCP MD5 key, which is not in the file"
            self._notes.refuse(found.where, text, "--password-file FILE with the key")
            return {}
        return {"password_file": file}


def _given(values: Json) -> Json:
    """What there is a value for."""
    return {key: value for key, value in values.items() if value is not None}


def _of_tunnel(files: Sequence[str], number: int) -> str | None:
    """One file for all tunnels, or one for each."""
    if len(files) == 1:
        return files[0]
    return files[number] if number < len(files) else None
