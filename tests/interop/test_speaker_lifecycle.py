"""Processes that end, stop and change under way: what must goes on, and what was missed is found out."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from socket import AF_INET6, inet_ntop

import pytest

from bgpsvc.events import (
    Advertisement,
    EndOfRib,
    MessagesLost,
    SessionDown,
    SessionResync,
    SessionUp,
    SpeakerDown,
    SpeakerUp,
)
from bgpsvc.exabgp import reloader
from bgpsvc.exabgp.process import Paths
from bgpsvc.exabgp.relay import PIPE_SIZE
from bgpsvc.exabgp.reloader import ReloadFailed
from bgpsvc.exabgp.speaker import Speakers, StateDirInUse
from bgpsvc.model import Role, SessionId, parse_prefix
from tests.fakes import bgp_wire as wire
from tests.fakes.bgp_peer import BgpPeer
from tests.interop.harness import ASKED, T1, T2, Recorder, Site, active_opens, inside, run, session, site
from tests.interop.owner import owner
from tests.netns.namespaces import wait_until

GOOD = wire.attributes([65500], "169.254.10.2")
MANY = 100_000
TABLE = [f"{20 + (i >> 16)}.{(i >> 8) & 255}.{i & 255}.0/24" for i in range(MANY)]
# A second session of the active role, so that one speaker carries two.
OTHER = session(T2, id=SessionId("c2-tunnel1"), role=Role.ACTIVE)
SPLICE_F_NONBLOCK = 2
OWN = {parse_prefix("10.0.0.0/16"): Advertisement(med=100)}


@pytest.fixture
def where(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "state") as made:
        yield made


def updates(peer: BgpPeer) -> list[wire.Received]:
    """UPDATEs with routes that the peer got."""
    return [m for m in peer.log.of(wire.UPDATE) if m.announced or m.withdrawn]


def test_without_sessions_nothing_runs(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([])
        assert not any(status.running for status in speakers.status().values())
        await speakers.apply([T1])
        await seen.until(lambda: SpeakerUp(Role.ACTIVE) in seen.events, "the active speaker")
        assert speakers.status()[Role.ACTIVE].running
        assert not speakers.status()[Role.STANDBY].running
        await speakers.apply([])
        await seen.until(lambda: any(isinstance(e, SpeakerDown) for e in seen.events), "its end")
        assert not speakers.status()[Role.ACTIVE].running
        assert speakers.status()[Role.ACTIVE].restarts == 0
        assert where.pids(Role.ACTIVE) == []

    run(where, scenario)


def test_both_speakers_take_connections_on_addresses_that_come_later(where: Site) -> None:
    for number in (10, 20):
        where.gateway.ip(f"addr del 169.254.{number}.1/30 dev t{number // 10}")

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([session(passive=True), session(T2, passive=True)])
        with where.peer(listen=False), where.peer(20, listen=False):
            await seen.until(lambda: speakers.status()[Role.STANDBY].connected, "both speakers run")
            for number in (10, 20):
                where.gateway.ip(f"addr add 169.254.{number}.1/30 dev t{number // 10}")
            await seen.until_up(T1.id, T2.id)

    run(where, scenario)


def test_a_change_resets_only_the_session_that_it_changes(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1, OTHER])
        speakers.advertise(T1.id, OWN)
        speakers.advertise(OTHER.id, OWN)
        with where.peer() as one, where.peer(20) as two:
            await seen.until_up(T1.id, OTHER.id)
            await seen.until(lambda: one.log.routes and two.log.routes, "our route at both")
            pid = where.pids(Role.ACTIVE)
            await speakers.apply([T1, session(OTHER, hold_time=12)])
            await seen.until(lambda: len(seen.of(SessionUp, OTHER.id)) == 2, "the changed session is back")
            assert seen.of(SessionUp, OTHER.id)[1].negotiated.hold_time == 12
            await seen.until(lambda: two.log.routes, "our route on the changed session")
            # Taken away and given back; the first session sees nothing of all that.
            await speakers.apply([T1])
            await seen.until(lambda: not two.established, "the removed session")
            await speakers.apply([T1, OTHER])
            speakers.advertise(OTHER.id, OWN)
            await seen.until(lambda: two.established and two.log.routes, "the session that came back")
            assert not seen.of(SessionDown, T1.id)
            assert len(updates(one)) == 1
            assert where.pids(Role.ACTIVE) == pid

    run(where, scenario)


def test_a_reload_is_not_held_up_by_a_session_that_is_down(where: Site) -> None:
    """ExaBGP by itself forgets the signal while a session has routes waiting, as one that is down has."""

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1, OTHER])
        speakers.advertise(T1.id, OWN)
        speakers.advertise(OTHER.id, OWN)
        with where.peer():
            await seen.until_up()
            await speakers.apply([session(hold_time=12), OTHER])
            await seen.until(lambda: len(seen.of(SessionUp)) == 2, "the reload")

    run(where, scenario)


def test_another_identity_keeps_announcing(where: Site) -> None:
    """A changed ASN makes another session of it for ExaBGP, with an empty Adj-RIB-Out."""

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        speakers.advertise(T1.id, OWN)
        with where.peer() as peer:
            await seen.until_up()
            await seen.until(lambda: peer.log.routes, "our route")
            await speakers.apply([session(local_asn=65531)])
            await seen.until(
                lambda: peer.established and any(b"\xff\xfb" in r[2] for r in list(peer.log.routes.values())),
                "our route with the new ASN",
            )

    run(where, scenario)


def test_ttl_security_can_be_taken_away(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([session(ttl_security=1, passive=True)])
        # Attempts before that are refused whatever their TTL. 00B3 is port 179, 0A the state LISTEN.
        sockets = Path("/proc/thread-self/net/tcp")
        await seen.until(lambda: ":00B3 00000000:0000 0A" in sockets.read_text(), "the speaker listens")
        with where.peer(listen=False, ttl=64) as peer:
            # Else nothing would be shown: the peer has not even tried.
            await seen.until(lambda: active_opens(where.peers) >= 2, "the peer has tried, and tries again")
            assert not peer.log.opens, "GTSM lets a TTL of 64 through"
            assert not seen.of(SessionUp)
            await speakers.apply([session(passive=True)])
            await seen.until_up()

    run(where, scenario)


def test_a_killed_speaker_comes_back_with_its_routes(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1, T2])
        speakers.advertise(T1.id, OWN)
        with where.peer() as peer, where.peer(20):
            await seen.until_up(T1.id, T2.id)
            await seen.until(lambda: peer.log.routes, "our route")
            (pid,) = where.pids(Role.ACTIVE)
            os.kill(pid, signal.SIGKILL)
            await seen.until(
                lambda: any(isinstance(e, SpeakerDown) for e in seen.events), "its end", seconds=3
            )
            (down,) = [event for event in seen.events if isinstance(event, SpeakerDown)]
            assert (down.role, down.reason) == (Role.ACTIVE, "killed by SIGKILL")
            await seen.until(lambda: len(seen.of(SessionUp)) == 2, "the session is back")
            await seen.until(lambda: peer.log.routes, "our route again")
            status = speakers.status()[Role.ACTIVE]
            assert (status.running, status.restarts, status.last_exit) == (True, 1, "killed by SIGKILL")
            # `SpeakerDown` said it for all its sessions; the other speaker's are untouched.
            assert not seen.of(SessionDown)
            assert not seen.of(SessionDown, T2.id)

    run(where, scenario)


def test_a_speaker_that_cannot_start_is_tried_again_slower_and_slower(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        # Not an address of ExaBGP's liking: it ends at once.
        await speakers.start([session(router_id="nonsense")])
        await seen.until(lambda: speakers.status()[Role.ACTIVE].restarts >= 2, "two attempts")
        started = time.monotonic()
        restarts = speakers.status()[Role.ACTIVE].restarts
        await seen.until(lambda: speakers.status()[Role.ACTIVE].restarts >= restarts + 2, "two more")
        assert time.monotonic() - started > 0.5
        assert "ended with status 1" in (speakers.status()[Role.ACTIVE].last_exit or "")
        await speakers.apply([T1])
        with where.peer():
            await seen.until_up()

    run(where, scenario)


def lines_waiting(relay: int) -> int:
    """Lines in the pipe from ExaBGP to a stopped relay; they stay there."""
    # The pipe must have no other reader than the relay when it dies: nothing stays open.
    with ExitStack() as opened:
        source = os.open(f"/proc/{relay}/fd/0", os.O_RDONLY | os.O_NONBLOCK)
        opened.callback(os.close, source)
        copy, target = os.pipe()
        opened.callback(os.close, copy)
        opened.callback(os.close, target)
        fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        length = ctypes.CDLL(None).tee(source, target, PIPE_SIZE, SPLICE_F_NONBLOCK)
        return os.read(copy, length).count(b"\n") if length > 0 else 0


def was_greeted(speakers: Speakers) -> bool:
    """Whether the active speaker has answered what every connection begins with."""
    speaker = speakers._speakers[Role.ACTIVE]
    return speaker._dialogue.synced and not speaker._announcer._doubtful


def test_a_killed_relay_is_noticed_and_the_session_stays(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        with where.peer(answer_refresh=wire.packed_updates(GOOD, TABLE[:500])) as peer:
            await seen.until_up()
            await seen.until(lambda: was_greeted(speakers), "nothing else is on its way in the pipe")
            relay = where.relay_pid()
            # With the relay stopped the lines stay in the pipe, and are lost with it.
            os.kill(relay, signal.SIGSTOP)
            # Each with attributes of its own, as neighbours with equal ones would share a line.
            for start in range(0, 500, 50):
                peer.send(
                    wire.update(
                        wire.attributes([65500], "169.254.10.2", med=start), TABLE[start : start + 50]
                    )
                )
            peer.send(wire.end_of_rib())
            await seen.until(lambda: lines_waiting(relay) == 11, "all lines are in the pipe")
            os.kill(relay, signal.SIGKILL)
            await seen.until(lambda: seen.of(MessagesLost), "the loss is noticed")
            assert sum(event.missing for event in seen.of(MessagesLost)) == 11
            assert not seen.prefixes()
            assert await speakers.refresh(T1.id) in ASKED
            await seen.until(lambda: seen.of(EndOfRib), "the refresh")
            assert seen.prefixes() == set(TABLE[:500])
            # Commands find their way to the new relay too.
            speakers.advertise(T1.id, OWN)
            await seen.until(lambda: peer.log.routes, "our route")
            assert not seen.of(SessionDown)
            assert len(seen.of(SessionUp)) == 1

    run(where, scenario)


def bytes_read(pid: int) -> int:
    """What a process has read so far."""
    return int(Path(f"/proc/{pid}/io").read_text().split()[1])


def test_memory_that_does_not_suffice_is_told(where: Site) -> None:
    """The relay's memory is full while we don't read: what is missing is noticed when we do again."""

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        with where.peer(answer_refresh=wire.packed_updates(GOOD, TABLE[:100])) as peer:
            await seen.until_up()
            for start in range(0, MANY, 10):
                peer.send(
                    wire.update(
                        wire.attributes([65500], "169.254.10.2", med=start), TABLE[start : start + 10]
                    )
                )
            peer.send(wire.end_of_rib())
            # This thread is the daemon's: while it waits nothing is read, and the relay takes in the rest.
            relay = where.relay_pid()
            wait_until(lambda: bytes_read(relay) > 1_000_000, "far more than there is room for", 30)
            await seen.until(lambda: seen.of(MessagesLost), "the loss is noticed")
            assert len(seen.prefixes()) < MANY
            assert not seen.of(SessionDown)
            # The peer's own End-of-RIB may have found room again; it tells nothing about a table with holes.
            assert not seen.of(EndOfRib)
            await speakers.refresh(T1.id)
            await seen.until(lambda: len(seen.of(EndOfRib)) == 2, "the refresh")

    run(where, scenario, relay_limit=200_000)


def test_a_stopped_daemon_costs_no_session_and_no_route(where: Site) -> None:
    """Stopped for longer than the hold time while 100,000 prefixes arrive."""
    sessions = [session(hold_time=3), session(T2, hold_time=3)]
    with (
        owner(where.gateway, where.state_dir, sessions) as daemon,
        where.peer(hold_time=3) as peer,
        where.peer(20, hold_time=3) as other,
    ):
        wait_until(lambda: daemon["SessionUp"] == 2, "both sessions", 20)
        daemon.process.send_signal(signal.SIGSTOP)
        peer.send(wire.packed_updates(GOOD, TABLE) + wire.end_of_rib())
        other.send(b"".join(wire.update(GOOD, [prefix]) for prefix in TABLE[:2000]))
        before = [len(each.log.of(wire.KEEPALIVE)) for each in (peer, other)]
        # One each second: for more than two hold times the speakers go on.
        wait_until(
            lambda: all(
                len(each.log.of(wire.KEEPALIVE)) >= count + 7
                for each, count in zip((peer, other), before, strict=True)
            ),
            "KEEPALIVEs of both speakers",
            30,
        )
        assert (peer.established, other.established) == (True, True)
        assert daemon["prefixes"] == 0
        daemon.process.send_signal(signal.SIGCONT)
        wait_until(lambda: daemon["prefixes"] == MANY + 2000, "nothing is missing", 30)
        assert (daemon["SessionDown"], daemon["MessagesLost"]) == (0, 0)
        assert (peer.log.lost, other.log.lost) == (0, 0)


def test_a_new_daemon_adopts_what_the_killed_one_left(where: Site) -> None:
    before = OWN | {parse_prefix("10.1.0.0/16"): Advertisement(med=1)}

    async def first(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        speakers.advertise(T1.id, before)
        await seen.until(lambda: len(peer.log.routes) == 2, "our routes")
        await speakers.stop(keep_running=True)
        speakers.release()

    async def second(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        await seen.until(lambda: seen.of(SessionResync), "the session as it is")
        assert seen.of(SessionResync)[0].negotiated.peer_asn == 65500
        assert not seen.of(SessionUp)
        assert await speakers.refresh(T1.id) in ASKED
        await seen.until(lambda: len(seen.of(EndOfRib)) == 2, "the refresh")
        assert seen.prefixes() == {"20.0.0.0/24"}
        # Nothing that was announced is touched until it is known what shall be: a second refresh would
        # come behind it.
        await speakers.refresh(T1.id)
        await seen.until(lambda: len(seen.of(EndOfRib)) == 4, "the second refresh")
        assert len(updates(peer)) == count
        speakers.advertise(T1.id, OWN)
        await seen.until(lambda: set(peer.log.routes) == {"10.0.0.0/16"}, "the one that is gone")
        news = updates(peer)[count:]
        assert [(m.announced, m.withdrawn) for m in news] == [([], ["10.1.0.0/16"])]

    with where.peer(answer_refresh=wire.update(GOOD, ["20.0.0.0/24"])) as peer:
        with owner(where.gateway, where.state_dir, [T1]) as daemon:
            wait_until(lambda: daemon["SessionUp"] == 1, "the session", 20)
        # The owner was killed. One that leaves in order, and then a third, take over one after the other.
        pid = where.pids(Role.ACTIVE)
        assert len(pid) == 1
        keep(where, first)
        count = len(updates(peer))
        assert where.pids(Role.ACTIVE) == pid
        run(where, second)
        assert (peer.log.established, len(where.pids(Role.ACTIVE))) == (1, 0)


def keep(where: Site, scenario: object) -> None:
    """As `run`, but the scenario stops the speakers itself."""

    async def main() -> None:
        recorder = Recorder()
        async with asyncio.timeout(60):
            await scenario(Speakers(where.state_dir, recorder), recorder)  # type: ignore[operator]

    inside(where.gateway, lambda: asyncio.run(main()))


def test_an_adopted_speaker_gets_the_new_configuration(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([session(hold_time=12)])
        await seen.until(lambda: seen.of(SessionUp), "the session with the new hold time")
        assert seen.of(SessionUp)[0].negotiated.hold_time == 12

    with where.peer():
        with owner(where.gateway, where.state_dir, [T1]) as daemon:
            wait_until(lambda: daemon["SessionUp"] == 1, "the session", 20)
        pid = where.pids(Role.ACTIVE)

        async def checked(speakers: Speakers, seen: Recorder) -> None:
            await scenario(speakers, seen)
            assert where.pids(Role.ACTIVE) == pid

        run(where, checked)


def test_another_process_with_the_pid_is_not_adopted(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        with where.peer():
            await seen.until_up()
        assert speakers.status()[Role.ACTIVE].pid != os.getpid()

    where.state_dir.mkdir(mode=0o700)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    record = f'{{"pid": {os.getpid()}, "start": 1, "boot": "{boot}", "relay": 1}}'
    Paths(where.state_dir, Role.ACTIVE).record.write_text(record)
    run(where, scenario)


def test_two_daemons_do_not_share_a_state_directory(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        other = Speakers(where.state_dir, seen)
        await speakers.start([])
        with pytest.raises(StateDirInUse):
            await other.start([])
        # The rest of a daemon may go on after its speakers have ended: its tunnels do.
        await speakers.stop(keep_running=False)
        with pytest.raises(StateDirInUse):
            other.claim()
        speakers.release()
        other.claim()
        other.release()

    run(where, scenario)


def test_stop_is_quick_and_complete(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1, T2])
        with where.peer() as peer:
            await seen.until_up()
            started = time.monotonic()
            await speakers.stop(keep_running=False)
            # Far less than a speaker's hold time; on a busy machine TERM alone takes a while.
            assert time.monotonic() - started < 10
            assert where.pids(Role.ACTIVE) + where.pids(Role.STANDBY) == []
            await seen.until(lambda: not peer.established, "the peer notices")

    run(where, scenario)


def test_the_password_is_in_private_files_alone(where: Site) -> None:
    password = "k3y-of-this-test"
    encoded = "azN5LW9mLXRoaXMtdGVzdA=="

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([session(password=password)])
        with where.peer(password=password):
            await seen.until_up()
            (pid,) = where.pids(Role.ACTIVE)
            check(pid, where.relay_pid())

    def check(*pids: int) -> None:
        for pid in pids:
            for name in ("cmdline", "environ"):
                content = Path(f"/proc/{pid}/{name}").read_bytes()
                assert encoded.encode() not in content
                assert password.encode() not in content
        for path in where.state_dir.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
            if path.is_file() and path.suffix != ".conf":
                assert encoded not in path.read_text()
        assert encoded in Paths(where.state_dir, Role.ACTIVE).configuration.read_text()

    run(where, scenario)


def test_a_session_that_was_forgotten_is_told_again_at_once(where: Site) -> None:
    """The daemon's record of it is new, the session is not."""

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1, OTHER])
        with (
            where.peer(answer_refresh=wire.update(GOOD, ["20.0.0.0/24"])) as peer,
            where.peer(20),
        ):
            await seen.until_up(T1.id, OTHER.id)
            await speakers.forget({T1.id, SessionId("nobody")})
            await seen.until(lambda: seen.of(SessionResync), "the session as it is", seconds=3)
            assert await speakers.refresh(T1.id) in ASKED
            await seen.until(lambda: len(seen.of(EndOfRib)) == 2, "the refresh")
            assert seen.prefixes() == {"20.0.0.0/24"}
            assert not seen.of(SessionResync, OTHER.id)
            assert (peer.log.established, peer.log.lost) == (1, 0)

    run(where, scenario)


def test_a_renamed_session_stays_up_and_goes_on_under_its_new_name(where: Site) -> None:
    renamed = session(id=SessionId("renamed-tunnel1"))

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        speakers.advertise(T1.id, OWN)
        with where.peer(answer_refresh=wire.update(GOOD, ["20.0.0.0/24"])) as peer:
            await seen.until_up()
            await seen.until(lambda: peer.log.routes, "our route")
            await speakers.apply([renamed])
            await seen.until(lambda: seen.of(SessionResync, renamed.id), "the new name", seconds=3)
            assert await speakers.refresh(renamed.id) == "requested"
            await seen.until(lambda: seen.prefixes(renamed.id) == {"20.0.0.0/24"}, "the refresh")
            # What was announced under the old name is replaced.
            speakers.advertise(renamed.id, {parse_prefix("10.2.0.0/16"): Advertisement()})
            await seen.until(lambda: set(peer.log.routes) == {"10.2.0.0/16"}, "what is announced now")
            assert (peer.log.established, peer.log.lost) == (1, 0)

    run(where, scenario)


def test_a_speaker_that_did_not_read_its_configuration_reads_it_later(
    where: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped, it answers no signal. The session is the new one soon after it goes on."""
    monkeypatch.setattr(reloader, "RELOAD_TIMEOUT", 1.0)

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        with where.peer():
            await seen.until_up()
            (pid,) = where.pids(Role.ACTIVE)
            os.kill(pid, signal.SIGSTOP)
            try:
                with pytest.raises(ReloadFailed):
                    await speakers.apply([session(hold_time=12)])
            finally:
                os.kill(pid, signal.SIGCONT)
            await seen.until(lambda: len(seen.of(SessionUp)) == 2, "the new configuration")
            assert seen.of(SessionUp)[1].negotiated.hold_time == 12
            assert where.pids(Role.ACTIVE) == [pid]

    run(where, scenario)


def test_a_new_daemon_notices_what_was_never_read(where: Site) -> None:
    """Killed between writing the file and ExaBGP's answer, the daemon leaves a file that looks right."""

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([session(hold_time=12)])
        await seen.until(lambda: seen.of(SessionUp), "the session with the new hold time")
        assert seen.of(SessionUp)[0].negotiated.hold_time == 12

    with where.peer():
        with owner(where.gateway, where.state_dir, [T1]) as daemon:
            wait_until(lambda: daemon["SessionUp"] == 1, "the session", 20)
        path = Paths(where.state_dir, Role.ACTIVE).configuration
        path.write_text(path.read_text().replace("hold-time 30;", "hold-time 12;"))
        run(where, scenario)


def test_another_next_hop_is_announced_without_a_reset(where: Site) -> None:
    route = parse_prefix("2001:db8::/32")

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        speakers.advertise(T1.id, {route: Advertisement()})
        with where.peer() as peer:
            await seen.until_up()
            await seen.until(lambda: len(updates(peer)) == 1, "our route")
            await speakers.apply([session(local_address_v6="fd00:10::3")])
            await seen.until(lambda: len(updates(peer)) == 2, "our route again")
            hops = [inet_ntop(AF_INET6, m.attributes[14][4:20]) for m in updates(peer)]
            assert hops == ["fd00:10::1", "fd00:10::3"]
            assert (peer.log.established, peer.log.lost) == (1, 0)

    run(where, scenario)
