"""What a gateway of the lab says over REST. The walk compares it with what the kernel and the packets say."""

from __future__ import annotations

from typing import Any

import httpx

TIMEOUT_SECONDS = 10.0
ALIVE_SECONDS = 0.5


class Rest:
    """REST client of one gateway. Methods raise httpx.HTTPError if it cannot be reached or refuses."""

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
        self._http.patch(f"/v1/vpn-gateways/{gateway}", json={"auto_propagate": on}).raise_for_status()

    def _get(self, path: str, **query: str) -> dict[str, Any]:
        answer = self._http.get(path, params=query)
        answer.raise_for_status()
        result: dict[str, Any] = answer.json()
        return result
