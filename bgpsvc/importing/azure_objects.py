"""The objects of Azure's files: found wherever they stand, in whatever form, and what they refer to.

`az` prints an object's properties beside its name, REST and templates put them under `properties`. References
are ids (`/subscriptions/.../virtualNetworkGateways/gw1`); in a template expressions, of which parameters with
a default and `resourceId` are understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address

from bgpsvc.importing.nodes import Node
from bgpsvc.importing.notes import refused, shown
from bgpsvc.resources.draft import IPNetwork

CONNECTIONS, GATEWAYS, LOCAL = "connections", "virtualnetworkgateways", "localnetworkgateways"
_PUBLIC, _NETWORKS = "publicipaddresses", "virtualnetworks"
_DEEPEST = 8
_PARAMETER = re.compile(r"parameters\('([^']+)'\)")
_QUOTED = re.compile(r"'([^']*)'")
# What tells an object that has no type: `az` shows it, `--query` may have left it out.
_TELLING = (
    (CONNECTIONS, "virtualNetworkGateway1"),
    (GATEWAYS, "gatewayType"),
    (LOCAL, "localNetworkAddressSpace"),
    (LOCAL, "gatewayIpAddress"),
    (_PUBLIC, "publicIPAllocationMethod"),
    (_NETWORKS, "addressSpace"),
)


class Objects:
    """The objects of a file by kind and name."""

    def __init__(self, documents: Iterable[Node]) -> None:
        self._of: dict[str, dict[str, Node]] = {}
        self._keys: list[Node] = []
        for document in documents:
            for node in self._found(document, {}, 0):
                self._add(node)

    # Reading

    def _found(self, node: Node, parameters: Mapping[str, object], depth: int) -> Iterator[Node]:
        if depth > _DEEPEST:
            raise refused(node.where, "is nested too deeply", f"resources up to {_DEEPEST} levels deep")
        if isinstance(node.value, list):
            for item in node.elements():
                yield from self._found(item, parameters, depth + 1)
        elif node.has("resources") and not node.has("type"):
            known = _defaults(node.get("parameters"))
            for item in node.items("resources"):
                yield from self._found(item, known, depth + 1)
        elif node.has("value") and isinstance(node.need("value").value, list):
            yield from self._found(node.need("value"), parameters, depth + 1)
        elif isinstance(node.value, Mapping):
            yield Node(_flat(node.value, parameters, 0), node.where)

    def _add(self, node: Node) -> None:
        kind = _kind(node)
        if kind is not None:
            name = node.need("name").text()
            # From here on it is called by its name: its place among the documents says little.
            named = Node(node.value, f"{kind}/{shown(name)[1:-1]}")
            self._of.setdefault(kind, {})[name.lower()] = named
        elif node.has("value"):
            self._keys.append(node)

    # Asking

    def all(self, kind: str) -> Iterator[Node]:
        """All objects of a kind, in the order of the file."""
        return iter(self._of.get(kind, {}).values())

    def name_of(self, reference: Node) -> str:
        """The name that a reference ends in."""
        ident = reference.get("id") if isinstance(reference.value, Mapping) else reference
        named = reference.get("name") if ident is None else None
        if ident is None and named is None:
            raise refused(reference.where, "refers to nothing: it has no id")
        text = (named or ident or reference).text()
        return _last(text)

    def find(self, kind: str, reference: Node | None) -> Node | None:
        """What a reference means; an object that stands inside it counts."""
        if reference is None:
            return None
        found = self._of.get(kind, {}).get(self.name_of(reference).lower())
        if found is None and isinstance(reference.value, Mapping) and _kind(reference) == kind:
            return reference
        return found

    def need(self, kind: str, reference: Node, command: str) -> Node:
        """The same, refused if it is not in the file."""
        found = self.find(kind, reference)
        if found is None:
            text = f"names {shown(self.name_of(reference))}, which is not in the file"
            raise refused(reference.where, text, f"`az network {command} show` besides, in the same file")
        return found

    def public_address(self, configuration: Node) -> IPv4Address | None:
        """The address of an IP configuration's public IP, where the file has it."""
        reference = configuration.get("publicIPAddress") or configuration.get("publicIpAddress")
        found = self.find(_PUBLIC, reference)
        address = None if found is None else found.get("ipAddress")
        return None if address is None else address.address()

    def networks_of(self, gateway: str) -> Iterator[IPNetwork]:
        """The address space of the virtual network that a gateway is in, where the file has it."""
        node = self._of.get(GATEWAYS, {}).get(gateway.lower())
        for configuration in [] if node is None else node.items("ipConfigurations"):
            subnet = configuration.get("subnet", "id")
            if subnet is None:
                continue
            name = _last(re.sub(r"/subnets/[^/]*$", "", subnet.text()))
            network = self._of.get(_NETWORKS, {}).get(name.lower())
            space = [] if network is None else network.items("addressSpace", "addressPrefixes")
            yield from (item.network() for item in space)
            return

    def key_of(self, connection: Node) -> str | None:
        """The pre-shared key of a connection: its own, or the answer of `shared-key show` beside it."""
        own = connection.get("sharedKey")
        if own is not None:
            return own.text()
        name = connection.need("name").text().lower()
        several = len(self._of.get(CONNECTIONS, {})) > 1
        for node in self._keys:
            ident = node.get("id")
            # Some releases of `az` say whose key it is; otherwise it is that of the only connection.
            if ident is not None and f"/connections/{name}/" in f"{ident.text().lower()}/":
                return node.need("value").text()
            if ident is None and len(self._keys) == 1 and not several:
                return node.need("value").text()
        return None


def _kind(node: Node) -> str | None:
    kind = node.get("type")
    if kind is not None:
        text = kind.text().lower()
        return text.rpartition("/")[2] if text.startswith("microsoft.network/") else None
    return next((kind for kind, key in _TELLING if node.has(key)), None)


def _last(reference: str) -> str:
    """The last part of an id, or the last text of an expression."""
    if reference.startswith("["):
        quoted = _QUOTED.findall(reference)
        if not quoted:
            raise refused(
                "", f"the expression {shown(reference)} is not understood", "an id, or resourceId()"
            )
        return str(quoted[-1])
    return reference.rstrip("/").rpartition("/")[2]


def _defaults(parameters: Node | None) -> dict[str, object]:
    """Parameters of a template with their defaults."""
    if parameters is None:
        return {}
    return {
        name: default.value
        for name in parameters.names()
        if (default := parameters.get(name, "defaultValue")) is not None
    }


def _flat(value: object, parameters: Mapping[str, object], depth: int) -> object:
    """With the properties beside the name, and parameters as what they stand for."""
    if isinstance(value, str):
        return _resolved(value, parameters)
    if isinstance(value, list):
        return [_flat(item, parameters, depth + 1) for item in value]
    if not isinstance(value, Mapping):
        return value
    inner = value.get("properties")
    merged = {**value, **inner} if isinstance(inner, Mapping) else dict(value)
    return {key: _flat(item, parameters, depth + 1) for key, item in merged.items() if key != "properties"}


def _resolved(text: str, parameters: Mapping[str, object]) -> object:
    if not (text.startswith("[") and text.endswith("]")) or text.startswith("[["):
        return text
    whole = _PARAMETER.fullmatch(text[1:-1])
    if whole is not None:
        if whole[1] not in parameters:
            raise refused(
                "", f"the parameter {shown(whole[1])} of the template has no default", "a defaultValue"
            )
        return parameters[whole[1]]

    def text_of(match: re.Match[str]) -> str:
        return f"'{parameters.get(match[1], match[1])}'"

    return _PARAMETER.sub(text_of, text)
