"""What stands in for the control plane until the daemon passes one: resources can be read, that is all."""

from __future__ import annotations

from typing import Any, NoReturn, cast

from bgpsvc.control import Actor, Control, Listing, ReadOnly, ResourceView
from bgpsvc.views import NotFound, Service


class _WithoutControl:
    """The resources that a service shows by itself."""

    read_only = "the resources come from a file"

    def __init__(self, service: Service) -> None:
        self._service = service

    def resources(self, kind: str, after: str | None, limit: int) -> Listing:
        shown: dict[str, Any] = {
            "vpcs": self._service.vpcs,
            "vpn_gateways": self._service.gateways,
            "vpn_connections": self._service.connections,
        }
        names = sorted(view.name for view in shown.get(kind, tuple)())
        rest = [name for name in names if after is None or name > after]
        views = tuple(ResourceView(kind, name, {}, "active", None, "0", 0.0, 0.0) for name in rest[:limit])
        return Listing(views, views[-1].name if len(rest) > limit else None)

    def resource(self, kind: str, name: str) -> ResourceView:
        for view in self.resources(kind, None, 1_000_000).items:
            if view.name == name:
                return cast(ResourceView, view)
        raise NotFound(kind, name)

    async def authenticate(self, token: str, source: str) -> Actor | None:
        return None

    def __getattr__(self, name: str) -> NoReturn:
        raise ReadOnly("this daemon has no control plane")


def without_control(service: Service) -> Control:
    """A `Control` that can do nothing."""
    return cast(Control, _WithoutControl(service))
