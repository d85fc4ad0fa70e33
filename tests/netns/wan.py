"""The provider between VPN gateways: a namespace that forwards between public addresses, and can stop to.

Every uplink is a cable of its own with a /32 at either end, as in the lab.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.netns.namespaces import Namespace

_DROPPING = 100
"""Priority of the rules that drop."""


class Wan:
    """Use as a context manager. Namespaces are attached by their public addresses."""

    def __init__(self) -> None:
        self.inet = Namespace()
        self._providers: dict[str, str] = {}
        try:
            self.inet.sysctl("net/ipv4/ip_forward", 1)
        except BaseException:
            self.inet.close()
            raise

    def __enter__(self) -> Wan:
        return self

    def __exit__(self, *_: object) -> None:
        self.inet.close()

    def attach(self, namespace: Namespace, interface: str, public: str, remotes: Sequence[str]) -> None:
        """An uplink with a public address; these remote ones are reached over it."""
        number = len(self._providers) + 1
        provider = self._providers[public] = f"203.0.113.{number}"
        self.inet.veth(f"up{number}", namespace, interface)
        self.inet.ip(f"address add {provider} peer {public} dev up{number}")
        namespace.ip(f"address add {public} peer {provider} dev {interface}")
        self.route(namespace, interface, public, remotes)

    def route(self, namespace: Namespace, interface: str, public: str, remotes: Sequence[str]) -> None:
        """The routes of an uplink, which are lost when its interface goes down."""
        for remote in remotes:
            via = self._providers[public]
            namespace.ip(f"route replace {remote} via {via} dev {interface} src {public}")

    @contextmanager
    def losing(self, address: str) -> Iterator[None]:
        """Drop all UDP from and to an address, and tell nobody."""
        selectors = [f"pref {_DROPPING} {word} {address} ipproto udp blackhole" for word in ("from", "to")]
        for selector in selectors:
            self.inet.ip(f"rule add {selector}")
        try:
            yield
        finally:
            for selector in selectors:
                self.inet.ip(f"rule del {selector}")
