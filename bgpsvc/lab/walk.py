"""The walk through the reference scenario: every step does something and proves that it worked.

Proof is taken from outside the daemons wherever there is an outside: routes from the kernel's tables, the
tunnel in use from the packet counters of its interface, reachability and outages from echo requests that
cross the VPN every few milliseconds. What the API says must agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import httpx

from bgpsvc.lab.build import build_steps, propagation_step
from bgpsvc.lab.client import Rest
from bgpsvc.lab.daemons import Peer, served_gateways
from bgpsvc.lab.handle import CommandFailed, Lab
from bgpsvc.lab.looking import Look, StepFailed, look_until
from bgpsvc.lab.probes import SWITCHOVER_MARGIN_SECONDS, Probes, packet_passes, packets_over
from bgpsvc.lab.protection import Protection
from bgpsvc.lab.report import Report, StepResult, describe
from bgpsvc.lab.topology import (
    GATEWAYS,
    GW1,
    GW2,
    TUNNELS,
    Gateway,
    TunnelKind,
    extra_prefixes,
    other,
)

MAIN_TABLE = 254
REWRITTEN_ROUTES_PER_SECOND = 20_000
"""How many routes a second a peer must at least change, one by one."""
FAILBACK_LIMIT_SECONDS = 1.0

_ALL_ROUTES = "all prefixes of the other side in"

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the walk. `run` returns what it measured, or raises StepFailed."""

    name: str
    title: str
    run: Callable[[], Figures]


class Walk:
    """Walks through a running lab. `say` gets one line of progress at a time."""

    def __init__(self, lab: Lab, say: Callable[[str], None]) -> None:
        self._lab = lab
        self._say = say
        self._rest = {gateway.name: Rest(lab.url(gateway.name)) for gateway in served_gateways(lab.spec.peer)}
        self._hold_time = lab.spec.hold_time
        # A hundred thousand prefixes take seconds, a million minutes.
        self._patience = 30.0 + lab.spec.prefixes / 2000
        self._established = 0.0
        self._protection = Protection(lab, self._rest, self._until, self._carries)

    def run(self, topology_seconds: float) -> Report:
        """Runs the steps in order; after the first that does not hold, the rest is not run."""
        made = "hosts and links" if self._lab.spec.tunnels is TunnelKind.IPSEC else "hosts, links and tunnels"
        topology = StepResult("topology", f"{made} made", "held", topology_seconds)
        report = Report(
            peer=str(self._lab.spec.peer),
            tunnels=str(self._lab.spec.tunnels),
            hold_time=self._hold_time,
            prefixes=self._lab.spec.prefixes,
            rootless=self._lab.rootless,
            steps=[topology],
        )
        self._say(f"ok    {topology.title} ({topology_seconds:.1f} s)")
        with Probes(self._lab, GW1.host, GW2.host_address) as probes:
            steps = self._steps(probes)
            results = [StepResult(step.name, step.title) for step in steps]
            report.steps += results
            for step, result in zip(steps, results, strict=True):
                if not self._take(step, result):
                    report.logs = {name: self._lab.log_tail(name) for name in self._lab.daemons()}
                    break
        for rest in self._rest.values():
            rest.close()
        return report

    def _steps(self, probes: Probes) -> list[Step]:
        built, propagated = self._building()
        established, protected, key = self._protecting(probes)
        return [
            Step("daemons", "daemons answer", self._daemons),
            *built,
            *established,
            Step("sessions", "BGP sessions Established on both tunnels", self._sessions),
            *propagated,
            Step("learned", "prefixes learned over both tunnels", self._learned),
            Step("propagated", "prefixes propagated into the kernel tables", self._propagated),
            Step("ping", f"ping {GW1.host} to {GW2.host}", lambda: self._ping(probes)),
            *protected,
            Step("active", "the active tunnel carries", lambda: self._carries(1)),
            Step("explained", "explain tells why it does", self._explained),
            *key,
            Step("switchover", "active tunnel broken: switchover", lambda: self._switchover(probes)),
            Step("failback", "tunnel healed: failback", lambda: self._failback(probes)),
            Step("propagation_off", "automatic propagation off", lambda: self._propagation_off(probes)),
            Step("propagation_on", "automatic propagation on again", lambda: self._propagation_on(probes)),
        ]

    def _protecting(self, probes: Probes) -> tuple[list[Step], list[Step], list[Step]]:
        """Steps of IPsec tunnels: when they are made, when packets cross, when a key is changed."""
        if self._lab.spec.tunnels is not TunnelKind.IPSEC:
            return [], [], []
        steps, key = self._protection, f"key of the active tunnel %s at {GW1.name}"
        return (
            [Step("ipsec", "IKE and IPsec SAs of both tunnels established", steps.established)],
            [Step("protected", "only ESP between the gateways", partial(steps.on_the_wire, probes))],
            [
                Step("key_changed", f"{key % 'changed'}: switchover", partial(steps.key_changed, probes)),
                Step("key_restored", f"{key % 'restored'}: failback", partial(steps.key_restored, probes)),
            ],
        )

    def _building(self) -> tuple[list[Step], list[Step]]:
        """Steps that make everything over REST: before the sessions can be up, and after."""
        if not self._lab.spec.via_api:
            return [], []
        spec, rest = self._lab.spec, self._rest
        built = [
            Step(step.name, step.title, partial(_without_figures, step.run))
            for step in build_steps(spec, self._lab.keys, rest, self._until)
        ]
        last = propagation_step(spec, rest, self._until)
        return built, [Step(last.name, last.title, partial(self._propagate, last.run))]

    def _propagate(self, switch: Callable[[], None]) -> Figures:
        for gateway in GATEWAYS:
            if other(gateway).vpc_cidr in self._routes(gateway):
                raise StepFailed(f"{gateway.name} has no route before propagation is on", "it has one")
        switch()
        return {}

    def _take(self, step: Step, result: StepResult) -> bool:
        began = time.monotonic()
        try:
            result.figures = step.run()
            result.outcome = "held"
        except StepFailed as failure:
            result.outcome, result.expected, result.seen = "failed", failure.expected, failure.seen
        except (httpx.HTTPError, CommandFailed, OSError) as error:
            result.outcome, result.expected, result.seen = (
                "failed",
                step.title,
                f"{type(error).__name__}: {error}",
            )
        result.seconds = time.monotonic() - began
        measured = describe(result.figures)
        self._say(
            f"{'ok  ' if result.outcome == 'held' else 'FAIL'}  {step.title} ({result.seconds:.1f} s)"
            + (f": {measured}" if measured else "")
        )
        return result.outcome == "held"

    # Steps

    def _daemons(self) -> Figures:
        for name, rest in self._rest.items():
            self._until(f"{name} answers on {rest.url}", partial(_unanswering, rest))
        return {}

    def _sessions(self) -> Figures:
        for rest in self._rest.values():
            self._until("2 sessions established", partial(_unestablished, rest))
        self._established = time.monotonic()
        return {}

    def _learned(self) -> Figures:
        for gateway in served_gateways(self._lab.spec.peer):
            expected = f"{gateway.name} has {other(gateway).vpc_cidr} and extra prefixes from both sessions"
            self._until(expected, partial(self._unlearned, gateway))
        return {
            "prefixes_per_side": len(self._announced(GW1)),
            "after_sessions_seconds": self._since_sessions(),
        }

    def _propagated(self) -> Figures:
        return self._tables("after_sessions", self._established, _ALL_ROUTES, self._missing_routes)

    def _ping(self, probes: Probes) -> Figures:
        self._until("every echo request answered", lambda: probes.flows() or "requests without answer")
        size = self._lab.mtu(1)
        if not packet_passes(self._lab, GW1.host, GW2.host_address, size):
            raise StepFailed(f"a packet of {size} bytes with DF passes", "no answer")
        self._ping6(1)
        return {"largest_packet_bytes": size}

    def _ping6(self, tunnel: int) -> None:
        """IPv6 may come later than IPv4: a peer that rewrites route after route does so family by family."""
        size = self._lab.mtu(tunnel)
        passes = partial(packet_passes, self._lab, GW1.host, GW2.host_address6, size)
        self._until(f"an IPv6 packet of {size} bytes passes", lambda: passes() or "no answer")

    def _carries(self, tunnel: int) -> Figures:
        """The API says so, and the counters of both gateways show it in both directions."""
        for gateway in served_gateways(self._lab.spec.peer):
            wanted = f"{gateway.connection}-tunnel{tunnel}"
            self._until(
                f"{gateway.name} says that {wanted} carries",
                partial(self._carrying, gateway, wanted),
            )
        figures: Figures = {}
        expected = f"the packets cross tunnel {tunnel} in both directions, the other tunnel has BGP only"
        self._until(expected, lambda: self._counted(tunnel, figures))
        return figures

    def _explained(self) -> Figures:
        """Both announcements, a decision for tunnel 1, and the VPC table as the place where lookups end."""
        for gateway in served_gateways(self._lab.spec.peer):
            self._until(
                f"{gateway.name} explains why {other(gateway).vpc_cidr} is reached over tunnel 1",
                partial(self._story, gateway),
            )
        return {}

    def _switchover(self, probes: Probes) -> Figures:
        limit = self._lab.spec.detection + SWITCHOVER_MARGIN_SECONDS
        if self._lab.spec.peer is not Peer.BGPSVC:
            # The return traffic waits for a peer that changes every route, where bgpsvc changes one group.
            limit += self._lab.spec.prefixes / REWRITTEN_ROUTES_PER_SECOND
        began = time.monotonic()
        self._lab.fail(1)
        # The gap must have begun before its end can be looked for.
        self._until("the broken tunnel loses packets", lambda: probes.outage(began).lost > 0 or "none lost")
        self._until("traffic flows again", lambda: probes.flows(began) or "no answers", limit + 5)
        outage = probes.outage(began)
        if outage.seconds > limit:
            raise StepFailed(
                f"an outage of at most {limit:.1f} s", f"{outage.seconds:.3f} s, {outage.lost} lost"
            )
        self._ping6(2)
        self._carries(2)
        return {"lost_packets": outage.lost, "outage_seconds": outage.seconds}

    def _failback(self, probes: Probes) -> Figures:
        began = time.monotonic()
        self._lab.heal(1)
        self._carries(1)
        took = time.monotonic() - began
        self._until("traffic flows", lambda: probes.flows() or "requests without answer")
        outage = probes.outage(began)
        if outage.seconds > FAILBACK_LIMIT_SECONDS:
            raise StepFailed(
                f"a failback that stops traffic for less than {FAILBACK_LIMIT_SECONDS} s",
                f"{outage.seconds:.3f} s, {outage.lost} lost",
            )
        return {"lost_packets": outage.lost, "outage_seconds": outage.seconds, "back_after_seconds": took}

    def _propagation_off(self, probes: Probes) -> Figures:
        self._flaps = self._flap_counts()
        began = time.monotonic()
        self._rest["gw1"].set_auto_propagate("gw1", False)
        figures = self._tables("clear_after", began, "no prefix of the other side in", self._left_routes)
        self._until("no echo request answered", lambda: probes.stopped() or "requests are answered")
        return figures

    def _propagation_on(self, probes: Probes) -> Figures:
        began = time.monotonic()
        self._rest["gw1"].set_auto_propagate("gw1", True)
        figures = self._tables("back_after", began, _ALL_ROUTES, self._missing_routes)
        self._until("traffic flows again", lambda: probes.flows(began) or "no answers")
        if (now := self._flap_counts()) != self._flaps:
            raise StepFailed(f"no session reset ({self._flaps} flaps before)", f"{now} flaps after")
        return figures

    # What is looked at. Each returns True, or what was seen instead.

    def _unlearned(self, gateway: Gateway) -> bool | str:
        rest, prefix = self._rest[gateway.name], other(gateway).vpc_cidr
        route = rest.route(gateway.name, prefix)
        paths = [candidate["session"] for candidate in route["candidates"]] if route else []
        if len(paths) != len(TUNNELS):
            return f"{prefix} learned from {paths or 'no session'}"
        wanted = len(self._announced(other(gateway)))
        counts = {name: session["prefixes"]["accepted"] for name, session in rest.sessions().items()}
        return (
            all(count == wanted for count in counts.values()) or f"accepted {counts}, {wanted} each are sent"
        )

    def _missing_routes(self, gateway: Gateway) -> bool | str:
        wanted = self._announced(other(gateway))
        missing = wanted - self._routes(gateway).keys()
        return not missing or f"{len(missing)} of {len(wanted)} are missing, as {min(missing)}"

    def _left_routes(self, gateway: Gateway) -> bool | str:
        left = self._announced(other(gateway)) & self._routes(gateway).keys()
        return not left or f"{len(left)} are left, as {min(left)}"

    def _carrying(self, gateway: Gateway, wanted: str) -> bool | str:
        said = self._rest[gateway.name].connection(gateway.connection)["carrying"]
        return said == wanted or f"it says {said}"

    def _story(self, gateway: Gateway) -> bool | str:
        told = self._rest[gateway.name].explain(gateway.name, other(gateway).vpc_cidr)
        tunnels = [f"{gateway.connection}-tunnel{tunnel}" for tunnel in TUNNELS]
        seen = {
            "announced by": sorted(path["session"] for path in told["paths"]),
            "left by the decision": told["decision"][-1]["remaining"] if told["decision"] else [],
            "used": [hop["session"] for hop in told["hops"] if hop["chosen"]],
            "interface": told["interface"],
            "lookup ends in": [step["stage"] for step in told["lookup"] if step["wins"]],
        }
        wanted = {
            "announced by": tunnels,
            "left by the decision": tunnels[:1],
            "used": tunnels[:1],
            "interface": self._lab.spec.interface(gateway, 1),
            "lookup ends in": ["vpc_table"],
        }
        return seen == wanted or ", ".join(f"{key} {seen[key]}" for key in seen if seen[key] != wanted[key])

    def _counted(self, tunnel: int, figures: Figures) -> bool | str:
        found = packets_over(self._lab, tunnel)
        if isinstance(found, str):
            return found
        figures["packets_each_way"] = found
        return True

    # Helpers

    def _tables(
        self, figure: str, began: float, expected: str, look: Callable[[Gateway], bool | str]
    ) -> Figures:
        """Waits until both kernel tables look as expected, and says when each one did."""
        figures: Figures = {}
        waiting = list(GATEWAYS)

        def both() -> bool | str:
            seen = {}
            for gateway in tuple(waiting):
                if (found := look(gateway)) is True:
                    figures[f"{gateway.name}_{figure}_seconds"] = time.monotonic() - began
                    waiting.remove(gateway)
                else:
                    seen[gateway.name] = found
            return not seen or ", ".join(f"{name}: {found}" for name, found in seen.items())

        self._until(f"{expected} the kernel tables of both gateways", both)
        return figures

    def _routes(self, gateway: Gateway) -> dict[str, str]:
        rest = self._rest.get(gateway.name)
        table = rest.route_table(gateway.vpc) if rest else MAIN_TABLE
        return self._lab.routes(gateway.name, table)

    def _announced(self, gateway: Gateway) -> set[str]:
        return {gateway.vpc_cidr, gateway.vpc_cidr6, *extra_prefixes(gateway, self._lab.spec.prefixes)}

    def _flap_counts(self) -> dict[str, int]:
        return {i: s["flap_count"] for rest in self._rest.values() for i, s in rest.sessions().items()}

    def _since_sessions(self) -> float:
        return time.monotonic() - self._established

    def _until(self, expected: str, look: Look, limit: float | None = None) -> None:
        look_until(expected, look, self._patience if limit is None else limit, self._check_daemons)

    def _check_daemons(self) -> None:
        for name, daemon in self._lab.daemons().items():
            if daemon["exit"] is not None:
                raise StepFailed("all daemons keep running", f"{name} ended with status {daemon['exit']}")


def _without_figures(run: Callable[[], None]) -> Figures:
    run()
    return {}


def _unestablished(rest: Rest) -> bool | str:
    states = {name: session["state"] for name, session in rest.sessions().items()}
    return list(states.values()) == ["established"] * len(TUNNELS) or f"{states}"


def _unanswering(rest: Rest) -> bool | str:
    return rest.alive() or "no answer"
