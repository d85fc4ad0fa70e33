"""What metrics say in situations that the lab of test_live is not in."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from bgpsvc.daemon_metrics import DaemonCollector, DaemonFigures, Usage, boot_time
from bgpsvc.events import OperatorSwitch
from bgpsvc.fib.ops import OpError
from bgpsvc.history import History
from bgpsvc.journal import Journal
from bgpsvc.measuring.histogram import Histogram
from bgpsvc.measuring.lag import LoopLag
from bgpsvc.measuring.rates import Counters
from bgpsvc.metrics import EngineCollector, FibCounters, exposed, exposition
from bgpsvc.model import SwitchMode, parse_prefix
from bgpsvc.tunnel_metrics import TunnelCollector
from tests.unit.core.harness import TABLE, Node
from tests.unit.support import T1, T2, engine, up

ONE = 'connection="conn1",role="active",session="conn1-tunnel1"'
TWO = 'connection="conn1",role="standby",session="conn1-tunnel2"'


def lines(collector: Collector) -> set[str]:
    return set(exposition(collector).decode().splitlines())


def two_up() -> Node:
    node = Node(engine())
    up(node.engine, T1, 10, "192.168.0.0/16", "192.168.1.0/24")
    up(node.engine, T2, 11, "192.168.0.0/16")
    node.settle()
    return node


def test_a_switch_by_an_operator_is_seen_with_its_time() -> None:
    node = two_up()
    collector = TunnelCollector(node.engine, {}, lambda name: None, 40, 1000)
    assert 'bgpsvc_connection_mode{connection="conn1",mode="auto"} 1.0' in lines(collector)
    assert not [line for line in lines(collector) if line.startswith("bgpsvc_connection_mode_timestamp")]
    node.engine.handle(OperatorSwitch("conn1", SwitchMode.STANDBY), 40)
    collector = TunnelCollector(node.engine, {}, {"conn1": 777.0}.get, 50, 1000)
    assert lines(collector) >= {
        'bgpsvc_connection_mode{connection="conn1",mode="auto"} 0.0',
        'bgpsvc_connection_mode{connection="conn1",mode="standby"} 1.0',
        'bgpsvc_connection_mode_timestamp_seconds{connection="conn1"} 777.0',
        'bgpsvc_connection_last_switchover_timestamp_seconds{connection="conn1"} 1040.0',
        'bgpsvc_connection_switchovers_total{connection="conn1"} 1.0',
        f"bgpsvc_tunnel_carried_seconds_total{{{ONE}}} 30.0",
        f"bgpsvc_tunnel_carried_seconds_total{{{TWO}}} 10.0",
    }


def test_traffic_is_told_of_tunnels_with_an_interface() -> None:
    found = lines(TunnelCollector(two_up().engine, {T1: Counters(1, 2, 3, 4)}, lambda name: None, 40, 0))
    labels = 'connection="conn1",direction="{}",role="active",session="conn1-tunnel1"'
    assert found >= {
        f"bgpsvc_tunnel_bytes_total{{{labels.format('in')}}} 1.0",
        f"bgpsvc_tunnel_bytes_total{{{labels.format('out')}}} 2.0",
        f"bgpsvc_tunnel_packets_total{{{labels.format('in')}}} 3.0",
        f"bgpsvc_tunnel_packets_total{{{labels.format('out')}}} 4.0",
    }
    assert not [line for line in found if line.startswith("bgpsvc_tunnel_bytes") and TWO[-15:] in line]


def test_what_the_kernel_refuses_now_is_told_apart_from_what_it_refused_ever() -> None:
    node = two_up()
    table = node.engine.fib.tables[TABLE]
    (prefix, *_) = table.primary
    ops = node.engine.fib.plan()
    assert not ops
    counters = FibCounters()
    counters.fail("set_route")
    table.failed[prefix, 100] = OpError(None, 12, "no memory", prefix)  # type: ignore[arg-type]
    found = lines(EngineCollector(node.engine, counters, {}, 40))
    assert found >= {
        'bgpsvc_vpc_routes_refused{vpc="vpc1"} 1.0',
        "bgpsvc_fib_nexthops_refused 0.0",
        'bgpsvc_fib_errors_total{kind="set_route"} 1.0',
        'bgpsvc_fib_errors_total{kind="set_group"} 0.0',
        'bgpsvc_gateway_routes{gateway="gw1"} 2.0',
    }


def test_sessions_tell_their_limit_and_state_by_the_numbers_of_the_mib() -> None:
    peer = 'connection="conn1",peer="169.254.10.2",role="active",session="conn1-tunnel1"'
    found = lines(EngineCollector(two_up().engine, FibCounters(), {}, 40))
    assert found >= {
        f"bgpsvc_session_state{{{peer}}} 6.0",
        f"bgpsvc_session_uptime_seconds{{{peer}}} 30.0",
        f"bgpsvc_session_prefixes_announced_total{{{peer}}} 2.0",
    }
    (limit,) = [line for line in found if line.startswith(f"bgpsvc_session_prefix_limit{{{peer}}}")]
    assert float(limit.split()[-1]) > 0


def test_a_histogram_counts_up_to_each_bound() -> None:
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(seconds)
    assert histogram.cumulative() == [("0.1", 2), ("1.0", 3), ("+Inf", 4)]
    assert histogram.total == 7.65


def test_the_loops_lag_is_what_somebody_else_kept_it_busy_for() -> None:
    async def story() -> Histogram:
        lag = LoopLag()
        lag.start()
        while dict(lag.histogram.cumulative())["+Inf"] < 2:
            await asyncio.sleep(0.2)
            time.sleep(0.3)  # noqa: ASYNC251  # is what is measured
        lag.stop()
        return lag.histogram

    assert asyncio.run(story()).total > 0.1


def figures(**more: object) -> DaemonFigures:
    plain: dict[str, object] = {
        "checks": {"kernel": True, "guard": True},
        "database_problem": None,
        "unsettled": None,
        "waiting": 0,
        "events": {"info": 1, "warning": 0, "error": 0},
        "lag": Histogram((1.0,)),
        "processes": {},
    }
    return DaemonFigures(**plain | more)  # type: ignore[arg-type]


def test_a_daemon_in_trouble_says_with_what() -> None:
    assert lines(DaemonCollector(figures())) >= {
        "bgpsvc_ready 1.0",
        "bgpsvc_database_up 1.0",
        "bgpsvc_configuration_settled 1.0",
    }
    trouble = figures(
        checks={"kernel": True, "guard": False}, database_problem="no answer", unsettled="refused", waiting=7
    )
    assert lines(DaemonCollector(trouble)) >= {
        "bgpsvc_ready 0.0",
        'bgpsvc_ready_check{check="guard"} 0.0',
        'bgpsvc_ready_check{check="kernel"} 1.0',
        "bgpsvc_database_up 0.0",
        "bgpsvc_configuration_settled 0.0",
        "bgpsvc_database_events_waiting 7.0",
    }


def test_processes_are_looked_up_and_one_that_ended_is_left_out() -> None:
    gone = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii")) + 1
    found = lines(DaemonCollector(figures(processes={"daemon": os.getpid(), "guard": gone})))
    told = {line.split("{")[0] for line in found if 'process="daemon"' in line}
    assert len(told) == 3
    assert not [line for line in found if 'process="guard"' in line]
    usage = Usage.of(os.getpid(), boot_time())
    assert usage is not None
    assert usage.memory > 1_000_000
    assert 0 < usage.cpu < time.process_time() + 1
    # btime has whole seconds.
    assert abs(usage.started - (time.time() - time.monotonic() + since_boot(os.getpid()))) < 2


def since_boot(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def test_events_wait_from_this_life_on() -> None:
    journal = Journal(first_id=5000)
    history = History(journal, store=None, written=12)  # type: ignore[arg-type]
    assert history.waiting == 0, "ids go on far above the last one that is stored"
    for severity in ("info", "error"):
        journal.add(0, "fib.error", severity, "fib", "")
    assert history.waiting == 2
    history.written = 5000
    assert history.waiting == 1
    assert journal.counts == {"info": 1, "warning": 0, "error": 1}


def test_ten_thousand_prefixes_are_counted_not_walked() -> None:
    class Counted(dict[bytes, int]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            raise AssertionError("walked")

    node = two_up()
    table = node.engine.fib.tables[TABLE]
    table.primary = Counted({parse_prefix(f"10.{i >> 8}.{i & 255}.0/24"): 1 for i in range(10_000)})  # type: ignore[assignment]
    found = lines(EngineCollector(node.engine, FibCounters(), {}, 40))
    assert 'bgpsvc_vpc_routes_installed{kind="primary",vpc="vpc1"} 10000.0' in found


def test_the_event_loop_goes_on_while_metrics_are_written() -> None:
    loops: list[str] = []
    writers: list[str] = []

    class Family(GaugeMetricFamily):
        @property
        def samples(self) -> list[Sample]:
            writers.append(threading.current_thread().name)
            return [Sample("of_many", {}, 1.0)]

        @samples.setter
        def samples(self, _: list[Sample]) -> None:
            return

    class Figures(Collector):
        def collect(self) -> Iterable[Metric]:
            loops.append(threading.current_thread().name)
            yield Family("of_many", "Tunnels")

    async def story() -> None:
        turns: list[int] = []

        def other() -> None:
            turns.append(len(loops))
            asyncio.get_running_loop().call_soon(other)

        other()
        text = await exposed(Figures() for _ in range(3))
        assert text.decode().count("of_many 1.0") == 3
        assert {1, 2, 3} <= set(turns), "somebody else had a turn behind each"

    asyncio.run(story())
    assert set(loops) == {threading.current_thread().name}
    assert threading.current_thread().name not in writers
    assert writers
