"""All layers of a tunnel in order, and the connection in one sentence. Pure.

A layer that stands on one that failed is not examined: its faults would be consequences. What does not stand
on it is, so one diagnosis may show several faults; the first one names the cause.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bgpsvc.diagnosing.codes import BELOW_FAILED, EXTERNAL, WAITS, check
from bgpsvc.diagnosing.detection import detection
from bgpsvc.diagnosing.evidence import Evidence
from bgpsvc.diagnosing.inside import data_path, interface, mtu
from bgpsvc.diagnosing.negotiation import phase1, phase2
from bgpsvc.diagnosing.reach import address, udp
from bgpsvc.diagnosing.routing import routes
from bgpsvc.diagnosing.session import bgp
from bgpsvc.diagnosis import LAYERS, Check, Layer, TunnelDiagnosis

OUTSIDE: frozenset[Layer] = frozenset({"address", "udp", "phase1", "phase2"})
"""Layers of tunnels that the service makes itself."""
NEEDS_SA: frozenset[Layer] = frozenset({"data_path", "mtu", "detection"})
NEEDS_SA_AND_BGP: frozenset[Layer] = NEEDS_SA | {"bgp", "routes"}
"""Nothing can be said of these layers while the tunnel waits for traffic."""
EXAMINATIONS: Mapping[Layer, Callable[[Evidence], Check]] = {
    "address": address,
    "udp": udp,
    "phase1": phase1,
    "phase2": phase2,
    "interface": interface,
    "bgp": bgp,
    "routes": routes,
    "data_path": data_path,
    "mtu": mtu,
    "detection": detection,
}
STANDS_ON: Mapping[Layer, tuple[Layer, ...]] = {
    "address": (),
    "udp": ("address",),
    "phase1": ("address", "udp"),
    "phase2": ("phase1",),
    "interface": (),
    "bgp": ("phase2", "interface"),
    "routes": ("bgp",),
    "data_path": ("phase2", "interface"),
    "mtu": ("data_path",),
    "detection": ("data_path",),
}
NAMES: Mapping[Layer, str] = {
    "address": "address",
    "udp": "UDP",
    "phase1": "phase 1",
    "phase2": "phase 2",
    "interface": "interface",
    "bgp": "BGP",
    "routes": "routes",
    "data_path": "data path",
    "mtu": "MTU",
    "detection": "detection",
}


def examine(e: Evidence) -> TunnelDiagnosis:
    """The checks of a tunnel, one for each layer."""
    done: dict[Layer, Check] = {}
    for layer in LAYERS:
        done[layer] = _examine(layer, e, done)
    return TunnelDiagnosis(e.tunnel, e.role, tuple(done.values()))


def _examine(layer: Layer, e: Evidence, done: Mapping[Layer, Check]) -> Check:
    if layer in OUTSIDE and not e.made:
        text = f"{e.interface} is somebody else's: this layer is not ours"
        return check(layer, "skipped", EXTERNAL, text)
    for below in STANDS_ON[layer]:
        found = done[below]
        if found.outcome == "failed" or found.code == BELOW_FAILED:
            cause = next(d for d in done.values() if d.outcome == "failed")
            text = f"not examined: {NAMES[cause.layer]} failed"
            return check(layer, "skipped", BELOW_FAILED, text)
    if e.waiting and layer in (NEEDS_SA if e.bgp is None else NEEDS_SA_AND_BGP):
        return check(layer, "skipped", WAITS, "not examined: the tunnel waits for traffic")
    return EXAMINATIONS[layer](e)


def summarize(tunnels: Sequence[tuple[Evidence, TunnelDiagnosis]]) -> str:
    """The connection in one sentence: `tunnel 1 (active): …; tunnel 2 (standby) works and carries
    traffic`."""
    return "; ".join(_sentence(evidence, diagnosis) for evidence, diagnosis in tunnels)


def _sentence(e: Evidence, diagnosis: TunnelDiagnosis) -> str:
    name = f"tunnel {e.number} ({e.role})"
    fault = diagnosis.fault
    if fault is not None:
        return f"{name}: {fault.summary}"
    carries = " and carries traffic" if e.carrying else ""
    warning = next((check for check in diagnosis.checks if check.outcome == "warning"), None)
    works = f"{name} works{carries}"
    return works if warning is None else f"{works}, but {warning.summary}"
