"""Secrets, names and masks in the form that a platform's command line takes. Pure.

A key may have almost any character. A command line takes some of them for its own (`?` for help, `"` for an
end), cannot be given others at all, and mostly says nothing: what cannot be given is refused here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2s
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Literal

from bgpsvc.peerconfig.algorithms import refuse
from bgpsvc.peerconfig.facts import PeerFacts, TunnelFacts
from bgpsvc.peerconfig.words import Unsupported

_DIGEST_SIZE = 2
_WITHOUT = "or without secrets, to type it in at the device"


def _as_it_is(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class Secrets:
    """What secrets a platform takes: none of the `refused` characters, none of `words`, which it reads as
    options, none that begins with one of `not_first`, and so many characters. `quote` writes it down."""

    longest: int
    refused: str = ""
    shortest: int = 1
    words: tuple[str, ...] = ()
    not_first: str = ""
    quote: Callable[[str], str] = _as_it_is

    def write(self, secret: str, what: str, tunnel: TunnelFacts) -> str:
        """The secret as it stands in the configuration; `what` it is, as `pre-shared key`, is for the error.

        Unsupported, which does not tell the secret. A placeholder (it has spaces, no secret has) stays.
        """
        if " " not in secret and (problem := self._problem(secret)):
            where, allowed = problem
            raise refuse(f"the {what}'s {where}", tunnel, f"{allowed}; {_WITHOUT}")
        return self.quote(secret)

    def writing(self, what: str) -> Callable[[str, TunnelFacts], str]:
        """`write` for one kind of secret, as templates call it: with the secret and its tunnel."""
        return lambda secret, tunnel: self.write(secret, what, tunnel)

    def _problem(self, secret: str) -> tuple[str, str] | None:
        if not self.shortest <= len(secret) <= self.longest:
            return "length", f"{self.shortest} to {self.longest} characters"
        if set(secret) & set(self.refused):
            return "choice of characters", f"any but {' '.join(self.refused)}"
        if self.not_first and secret[0] in self.not_first:
            return "first character", f"any but {' '.join(self.not_first)}"
        if secret in self.words:
            return "text", f"any but the words {', '.join(self.words)}"
        return None


def escaped(characters: str) -> Callable[[str], str]:
    """Quoting in double quotes with a backslash before each of these characters."""

    def quote(text: str) -> str:
        return '"' + "".join("\\" + sign if sign in characters else sign for sign in text) + '"'

    return quote


def single_quoted(text: str) -> str:
    """Quoting in single quotes, for text that has none."""
    return f"'{text}'"


def hexadecimal(text: str) -> str:
    """The characters' codes, two digits each."""
    return text.encode("ascii").hex()


def short(name: str, longest: int) -> str:
    """A name within a platform's length: one that is too long is cut, and a digest keeps it apart."""
    if len(name) <= longest:
        return name
    digest = blake2s(name.encode(), digest_size=_DIGEST_SIZE).hexdigest()
    return f"{name[: longest - len(digest) - 1].rstrip('-')}-{digest}"


def id_kind(identity: str) -> Literal["ipv4", "ipv6", "fqdn"]:
    """What an IKE identity is."""
    try:
        return "ipv4" if isinstance(ip_address(identity), IPv4Address) else "ipv6"
    except ValueError:
        return "fqdn"


def mask_of(prefix_length: int) -> str:
    """`255.255.255.252` of 30."""
    return str(IPv4Network((0, prefix_length)).netmask)


def way(peer: PeerFacts, tunnel: TunnelFacts) -> int:
    """Which of the device's outer interfaces a tunnel leaves by: 1, or 2 if its address is not tunnel 1's."""
    return 1 if tunnel.device == peer.tunnels[0].device else 2


def reached(peer: PeerFacts, tunnel: TunnelFacts) -> bool:
    """The addresses inside the tunnel may be asked: it has some, and its selectors let them pass."""
    return tunnel.inside is not None and (peer.route_based or tunnel.bgp is not None)


def frr_has_bfd(tunnel: TunnelFacts) -> bool:
    """A device with FRR inside can have the BFD that the session asks for.

    FRR takes a neighbor with TTL security for one that may be far away, and has multihop BFD with it alone.
    """
    if tunnel.bgp is None or tunnel.bgp.bfd is None:
        return True
    return tunnel.bgp.bfd.multihop == (tunnel.bgp.ttl_security is not None)


def one_asn(peer: PeerFacts) -> int:
    """The device's ASN, for a platform that can have no other towards one of its neighbours.

    Unsupported if the tunnels' differ.
    """
    found = {tunnel.bgp.device_asn for tunnel in peer.tunnels if tunnel.bgp is not None}
    if len(found) > 1:
        raise Unsupported(
            "an ASN of its own for each tunnel",
            f"VPN connection {peer.connection}",
            "customer gateways that have the same ASN",
        )
    return found.pop()
