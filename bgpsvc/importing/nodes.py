"""A value of a JSON, YAML or XML document with its place in it; asked for what it must be, or refused.

Numbers and flags may come as text: XML and YAML (as it is read here) have nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)

from bgpsvc.importing.notes import Refused, refused, shown
from bgpsvc.resources.draft import IPNetwork

_FLAGS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its place. Every question raises `Refused` with the place if the answer is not there."""

    value: object
    where: str

    def __repr__(self) -> str:
        return f"Node({self.where})"  # the value may be a secret

    # What is inside

    def get(self, *keys: str) -> Node | None:
        """What is under a key, or under keys inside each other; None if it is not there, null or empty."""
        node: Node | None = self
        for key in keys:
            if node is None:
                return None
            node = node._child(key)
        return node

    def need(self, *keys: str) -> Node:
        """The same, but refused if it is not there."""
        found = self.get(*keys)
        if found is None:
            raise refused(self._inside(".".join(keys)), "is missing")
        return found

    def items(self, *keys: str) -> list[Node]:
        """The items of a list under keys; none if it is not there."""
        found = self.get(*keys)
        return [] if found is None else found.elements()

    def elements(self) -> list[Node]:
        """The items of this list."""
        if not isinstance(self.value, list):
            raise refused(self.where, "is not a list")
        return [Node(item, f"{self.where}[{index}]") for index, item in enumerate(self.value)]

    def has(self, *keys: str) -> bool:
        """True if this is a mapping that has all these keys, whatever is under them."""
        return isinstance(self.value, Mapping) and all(key in self.value for key in keys)

    def names(self) -> Iterator[str]:
        """The keys of a mapping."""
        return iter(str(key) for key in self._mapping())

    def _mapping(self) -> Mapping[object, object]:
        if not isinstance(self.value, Mapping):
            raise refused(self.where, "is not an object")
        return self.value

    def _child(self, key: str) -> Node | None:
        value = self._mapping().get(key)
        return None if value is None or value == "" else Node(value, self._inside(key))

    def _inside(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    # What it is

    def text(self) -> str:
        """A single value as text, without white space around it."""
        value = self.value
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int | float):
            return str(value)
        if not isinstance(value, str):
            raise refused(self.where, "is not a single value")
        return value.strip()

    def whole(self) -> int:
        """A whole number that is not negative."""
        text = self.text()
        if not re.fullmatch(r"[0-9]{1,12}", text):
            raise self._wrong("is not a whole number")
        return int(text)

    def flag(self) -> bool:
        """True or false."""
        found = _FLAGS.get(self.text().lower())
        if found is None:
            raise self._wrong("is neither true nor false")
        return found

    def address(self) -> IPv4Address:
        """An IPv4 address."""
        try:
            return IPv4Address(self.text())
        except AddressValueError:
            raise self._wrong("is not an IPv4 address") from None

    def address6(self) -> IPv6Address:
        """An IPv6 address."""
        try:
            return IPv6Address(self.text())
        except AddressValueError:
            raise self._wrong("is not an IPv6 address") from None

    def network6(self) -> IPv6Network:
        """An IPv6 network."""
        found = self.network()
        if not isinstance(found, IPv6Network):
            raise self._wrong("is not an IPv6 network")
        return found

    def interface(self) -> IPv4Interface:
        """An IPv4 address with its network's length."""
        text = self.text()
        try:
            found = IPv4Interface(text)
        except ValueError:
            raise self._wrong("is not an IPv4 address with a length") from None
        if "/" not in text:
            raise self._wrong("has no length")
        return found

    def network4(self) -> IPv4Network:
        """An IPv4 network; an address inside it stands for it."""
        return self.interface().network

    def network(self) -> IPNetwork:
        """A network."""
        try:
            return ip_network(self.text())
        except ValueError:
            raise self._wrong("is not a network") from None

    def _wrong(self, message: str) -> Refused:
        return refused(self.where, f"{shown(self.text())} {message}")
