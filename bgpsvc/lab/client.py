"""What a gateway of the lab says over REST. The walk compares it with what the kernel and the packets say."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

TIMEOUT_SECONDS = 10.0
ALIVE_SECONDS = 0.5


class Refused(httpx.HTTPError):
    """The daemon answered with a problem document; the text has what it says of it."""


class Rest:
    """REST client of one gateway. Methods raise httpx.HTTPError if it cannot be reached, and Refused."""

    def __init__(self, url: str) -> None:
        self.url = url
        # trust_env off: a proxy of the user's environment has no business on loopback.
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def alive(self) -> bool:
        """True if it answers soon: while it starts, its socket takes connections that nobody serves."""
        try:
            return self._http.get("/healthz", timeout=ALIVE_SECONDS).status_code == 200
        except httpx.TransportError:
            return False

    def sessions(self) -> dict[str, dict[str, Any]]:
        """BGP sessions by id."""
        return {item["id"]: item for item in self._get("/v1/bgp-sessions")["items"]}

    def tunnels(self) -> list[dict[str, Any]]:
        """All tunnels, in the order of their ids."""
        return list(self._get("/v1/tunnels")["items"])

    def tunnel(self, name: str) -> dict[str, Any]:
        """A tunnel with its `ipsec`."""
        return self._get(f"/v1/tunnels/{name}")

    def connection(self, name: str) -> dict[str, Any]:
        """A VPN connection with its tunnels and `carrying`."""
        return self._get(f"/v1/vpn-connections/{name}")

    def gateway(self, name: str) -> dict[str, Any]:
        """A VPN gateway."""
        return self._get(f"/v1/vpn-gateways/{name}")

    def route_table(self, vpc: str) -> int:
        """Number of the kernel table of a VPC."""
        return int(self._get(f"/v1/vpcs/{vpc}")["route_table"])

    def route(self, gateway: str, prefix: str) -> dict[str, Any] | None:
        """A prefix of the Loc-RIB with its candidates, None if it is not there."""
        found = self._get(f"/v1/vpn-gateways/{gateway}/routes", prefix=prefix, match="exact")["items"]
        return dict(found[0]) if found else None

    def set_auto_propagate(self, gateway: str, on: bool) -> None:
        """Switches automatic propagation; the change takes effect after the answer."""
        self._told(self._http.patch(f"/v1/vpn-gateways/{gateway}", json={"auto_propagate": on}))

    def create(self, collection: str, document: dict[str, Any]) -> dict[str, Any]:
        """Makes a resource; it is on its way when this returns."""
        return self._told(self._http.post(f"/v1/{collection}", json=document))

    def change(self, collection: str, name: str, patch: dict[str, Any]) -> dict[str, Any]:
        """Changes a resource by a merge patch (RFC 7396); the change is on its way when this returns."""
        return self._told(self._http.patch(f"/v1/{collection}/{name}", json=patch))

    def resource(self, collection: str, name: str) -> dict[str, Any]:
        """A resource with its `config` and `status`."""
        return self._get(f"/v1/{collection}/{name}")

    def explain(self, gateway: str, prefix: str) -> dict[str, Any]:
        """The story of a prefix."""
        return self._get(f"/v1/vpn-gateways/{gateway}/routes/{quote(prefix, safe='')}/explain")

    def _get(self, path: str, **query: str) -> dict[str, Any]:
        return self._told(self._http.get(path, params=query))

    def _told(self, answer: httpx.Response) -> dict[str, Any]:
        """The JSON of an answer; Refused if it is a problem."""
        result: dict[str, Any] = answer.json()
        if answer.is_error:
            mistakes = [f"{error['pointer']}: {error['detail']}" for error in result.get("errors") or ()]
            request = answer.request
            raise Refused(
                f"{request.method} {request.url.path}: {'; '.join([str(result.get('detail')), *mistakes])}"
            )
        return result
