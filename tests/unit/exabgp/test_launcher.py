"""Changes to ExaBGP that are seen best without a session. Each program runs in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAD = """
import os
os.environ["exabgp_log_level"] = "CRITICAL"
from bgpsvc.exabgp import launcher
launcher.install()
from exabgp.environment import getenv
from exabgp.logger import log
log.init(getenv())
"""
QUEUE = """
from exabgp.bgp.message import Action
from exabgp.bgp.message.update.attribute import MED, Attributes
from exabgp.bgp.message.update.nlri import CIDR, INET
from exabgp.protocol.family import AFI, SAFI
from exabgp.protocol.ip import IP
from exabgp.rib.change import Change
from exabgp.rib.outgoing import OutgoingRIB

rib = OutgoingRIB(True, {(AFI.ipv4, SAFI.unicast)})

def put(prefix, med, action=Action.ANNOUNCE):
    nlri = INET(AFI.ipv4, SAFI.unicast, action)
    nlri.cidr = CIDR(bytes((10, prefix, 0, 0)), 16)
    nlri.nexthop = IP.create("169.254.10.1")
    attributes = Attributes()
    if med is not None:
        attributes.add(MED(med))
    rib.add_to_rib(Change(nlri, attributes))

def received():
    table = {}
    for update in rib.updates(True):
        for nlri in update.nlris:
            if nlri.action == Action.ANNOUNCE:
                table[str(nlri.cidr)] = str(update.attributes).strip()
            else:
                table.pop(str(nlri.cidr), None)
    return table
"""


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("put(1, 5); put(2, 6); put(1, 6); put(1, 5)", {"10.1.0.0/16": "med 5", "10.2.0.0/16": "med 6"}),
        ("put(2, None, W); put(1, 5); put(1, None, W)", {}),
        ("put(1, 5); put(1, None, W); put(1, 5)", {"10.1.0.0/16": "med 5"}),
    ],
)
def test_what_a_peer_ends_up_with_is_the_latest(changes: str, expected: dict[str, str]) -> None:
    """ExaBGP sends what waits by attributes, not in the order of the commands."""
    assert run(f"{HEAD}{QUEUE}\nW = Action.WITHDRAW\n{changes}\nprint(received())") == str(expected)


def test_another_release_is_refused() -> None:
    program = """
from exabgp import version
version.release = "5.1.0"
from bgpsvc.exabgp import launcher
try:
    launcher.install()
except RuntimeError as error:
    print(error)
"""
    assert run(program) == "ExaBGP 5.1.0 is installed, the speakers need 5.0.15"


def test_a_reload_makes_new_neighbors_of_the_same_session() -> None:
    """What the counter patch relies on, and what would hide losses without it."""
    program = f"""{HEAD}
from exabgp.bgp.neighbor import Neighbor
print(Neighbor().uid != Neighbor().uid)
"""
    assert run(program) == "True"


def test_a_reload_loses_no_refresh_that_was_asked_for(tmp_path: Path) -> None:
    """It waits in the configuration of its neighbor, of which a reload makes another one."""
    (tmp_path / "conf").write_text("")
    program = f"""
from types import SimpleNamespace as Made
from exabgp.reactor.loop import Reactor
from bgpsvc.exabgp import launcher

kept, made_anew = Made(refresh=["a"]), Made(refresh=["b", "c"])
peers = {{"1": Made(neighbor=kept), "2": Made(neighbor=made_anew), "3": Made(neighbor=Made(refresh=["d"]))}}

def reload(self):
    peers["2"].neighbor = Made(refresh=[])
    del peers["3"]
    return True

Reactor.reload = reload
launcher.reload_at_once()
configuration = Made(_configurations=["{tmp_path}/conf"])
Reactor.reload(Made(_peers=peers, configuration=configuration, processes=Made(_process=())))
print({{key: peer.neighbor.refresh for key, peer in peers.items()}})
"""
    assert run(program) == str({"1": ["a"], "2": ["b", "c"]})


def test_a_relay_that_is_gone_ends_no_session() -> None:
    """Whatever is written: what fits into the buffer fails later than what does not."""
    program = f"""{HEAD}
import subprocess
from exabgp.reactor.api.processes import Processes
processes = Processes()
helper = subprocess.Popen(["true"], stdin=subprocess.PIPE)
helper.wait()
processes._process["relay"] = helper
processes._configuration = {{"relay": {{}}}}
for line in ("short", "long " * 100_000, "short"):
    processes.write("relay", line)
print(processes.broken(None))
helper.stdin.raw.close()
"""
    assert run(program) == "False"


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_clock_that_is_set_ends_no_session(jump: int) -> None:
    program = f"""{HEAD}
import time
from exabgp.bgp.message.open.holdtime import HoldTime
from exabgp.bgp.timer import ReceiveTimer, SendTimer
from exabgp.reactor.delay import Delay
received, sent, delay = ReceiveTimer(str, 9, 4, 0), SendTimer(str, HoldTime(9)), Delay()
delay.increase()
now = time.time()
time.time = lambda: now + {jump}
received.check_ka()
needed = [sent.need_ka()]
sent.last_sent -= 4
needed.append(sent.need_ka())
print(needed, delay.backoff())
"""
    assert run(program) == "[False, True] False"


def test_the_own_release_is_the_pinned_one() -> None:
    from exabgp.version import release

    from bgpsvc.exabgp.launcher import SUPPORTED

    assert release == SUPPORTED
