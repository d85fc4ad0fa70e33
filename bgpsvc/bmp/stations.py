"""All monitoring stations of a daemon: their tasks, and how they do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bgpsvc.bmp.options import BmpOptions
from bgpsvc.bmp.station import Station
from bgpsvc.effects import Log
from bgpsvc.engine import Engine
from bgpsvc.tap import Tap
from bgpsvc.views import BmpStationView


class Stations:
    """Runs in the daemon's loop. Without stations it does nothing, and nothing is observed."""

    def __init__(
        self, options: BmpOptions, engine: Engine, tap: Tap, wall: float, note: Callable[[Log], None]
    ) -> None:
        self._stations = [Station(where, options, engine, tap, wall, note) for where in options.stations]

    async def run(self) -> None:
        """For ever; raises what ended a station's task."""
        async with asyncio.TaskGroup() as group:
            for station in self._stations:
                group.create_task(station.run(), name=f"BMP station {station.name}")
            await asyncio.Future()

    def views(self) -> tuple[BmpStationView, ...]:
        """The stations in the order in which they were named."""
        return tuple(station.view() for station in self._stations)

    def collector(self) -> BmpCollector:
        """For metrics."""
        return BmpCollector(self.views())


class BmpCollector(Collector):
    """Metrics of the stations, as they are now."""

    def __init__(self, views: Iterable[BmpStationView]) -> None:
        self._views = list(views)

    def collect(self) -> Iterable[Metric]:
        """One sample of each for a station; none without stations."""
        if not self._views:
            return
        gauges: dict[str, tuple[str, Callable[[BmpStationView], float]]] = {
            "bgpsvc_bmp_up": ("1 if connected", lambda view: view.state == "connected"),
            "bgpsvc_bmp_peers": ("Peers that the station was told are up", lambda view: view.peers),
            "bgpsvc_bmp_pending": ("Prefixes that changed and are not told yet", lambda view: view.pending),
        }
        counters: dict[str, tuple[str, Callable[[BmpStationView], float]]] = {
            "bgpsvc_bmp_connections": ("Connections made to the station", lambda view: view.connections),
            "bgpsvc_bmp_messages": ("BMP messages written", lambda view: view.messages),
            "bgpsvc_bmp_bytes": ("Bytes of BMP written", lambda view: view.bytes),
        }
        for made, family in ((gauges, GaugeMetricFamily), (counters, CounterMetricFamily)):
            for name, (text, value) in made.items():
                metric = family(name, f"{text}, by BMP station", labels=["station"])
                for view in self._views:
                    metric.add_metric([view.station], float(value(view)))
                yield metric
