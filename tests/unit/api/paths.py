"""Operations of the OpenAPI document, and paths for them that lead to what the fakes have."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bgpsvc.control import Scope
from tests.fakes.control import FakeControl
from tests.unit.api.contract import Json

HTTP_METHODS = ("get", "post", "put", "patch", "delete")
NAMES = {
    "bgp-sessions": "conn1-tunnel1",
    "tunnels": "conn1-tunnel1",
    "vpn-connections": "conn1",
    "vpn-gateways": "gw1",
    "vpcs": "vpc1",
    "customer-gateways": "cgw1",
}


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Path, method and operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert method in HTTP_METHODS
            yield path, method, operation


def filled(path: str, control: FakeControl) -> str:
    """The path of something that is there (of kinds that have nothing: that could be)."""
    collection = path.split("/")[2] if path.startswith("/v1/") else ""
    name = NAMES.get(collection, "name1")
    if collection == "tokens" and "{id}" in path:
        name = control.add_token("for a path", Scope.READ).view.id
    return re.sub(r"\{(name|id)\}", name, path).replace("{prefix}", "192.168.0.0/16")
