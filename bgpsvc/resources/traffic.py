"""Interesting traffic: the pairs of networks that a connection in that mode carries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2s
from ipaddress import IPv4Network, IPv6Network

IPNetwork = IPv4Network | IPv6Network
AUTOMATIC_PRIORITY = 10
_AUTOMATIC = re.compile(r"-auto-[0-9]+")
_LONGEST_NAME = 63
_DIGEST_SIZE = 4


def pairs(local: Iterable[IPNetwork], remote: Iterable[IPNetwork]) -> Iterator[tuple[IPNetwork, IPNetwork]]:
    """Every local network with every remote one of its family."""
    others = tuple(remote)
    for source in local:
        for destination in others:
            if source.version == destination.version:
                yield source, destination


def automatic_name(connection: str, number: int) -> str:
    """`<connection>-auto-<number>`; the name of a connection that is too long is cut and gets a digest."""
    suffix = f"-auto-{number}"
    if len(connection) + len(suffix) > _LONGEST_NAME:
        suffix = f"-{blake2s(connection.encode(), digest_size=_DIGEST_SIZE).hexdigest()}{suffix}"
        connection = connection[: _LONGEST_NAME - len(suffix)]
    return connection + suffix


def is_automatic_name(name: str) -> bool:
    """True if a name looks as those of automatic routes do; no other route may have one."""
    return _AUTOMATIC.fullmatch(name[name.rfind("-auto-") :] if "-auto-" in name else "") is not None
