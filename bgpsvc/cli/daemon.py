"""The daemon: store, running gateway, answers, writes and REST, composed, started and stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from api.app import create_app, warm_up
from api.limits import Limits
from api.server import ApiServer, ApiServers, Listen
from api.tls import Tls
from bgpsvc import __version__
from bgpsvc.bmp.options import BmpOptions
from bgpsvc.bmp.stations import Stations
from bgpsvc.catalog import Catalog, of_intent
from bgpsvc.choices import Choices
from bgpsvc.cli.serving import MrtOptions
from bgpsvc.cli.watched import Watched
from bgpsvc.configfile import load_file
from bgpsvc.control import Scope, StoreUnavailable
from bgpsvc.controller import Controller
from bgpsvc.documents import catalog_of
from bgpsvc.effects import Log
from bgpsvc.exabgp.reloader import ReloadFailed
from bgpsvc.history import History
from bgpsvc.ipsec.choose import Wish
from bgpsvc.journal import KEPT, Journal
from bgpsvc.measuring.sampler import Sampler
from bgpsvc.model import SessionId
from bgpsvc.mrt.codec import Ends
from bgpsvc.mrt.files import Bounds, Directory
from bgpsvc.mrt.metrics import RecordingCollector
from bgpsvc.mrt.recorder import ends_of
from bgpsvc.mrt.recording import Recording
from bgpsvc.notify import READY, STOPPING
from bgpsvc.resources import ConfigError, Loaded
from bgpsvc.runtime import Runtime
from bgpsvc.service import BgpService
from bgpsvc.store.database import Store
from bgpsvc.tracing import NOT_TRACED, Tracer, trace_moves
from bgpsvc.tuning import tune
from bgpsvc.tunnelling import chosen

SOCKET = "api.sock"
"""Where REST always listens too, in the state directory."""

LAST_SECONDS = 1.0
"""How long the database may take with each of the last things."""

log = logging.getLogger("bgpsvc")


@dataclass(frozen=True, slots=True)
class Door:
    """Where REST listens: the main socket, bound already, its TLS, and the path of the other one."""

    listen: Listen
    sock: socket.socket
    tls: Tls | None
    path: Path

    def servers(self, app: FastAPI) -> ApiServers:
        """The servers on both. OSError if the certificate cannot be used or a socket is taken."""
        main = ApiServer(app, self.listen, self.sock, self.tls)
        if self.listen.path == str(self.path):
            return ApiServers([main])
        return ApiServers([main, ApiServer(app, Listen(path=str(self.path)))])


@dataclass(frozen=True, slots=True)
class TunnelOptions:
    """How tunnels are made: the driver that is wished for, and the socket of a charon that others run."""

    wish: Wish
    charon_socket: Path


class Daemon:
    """One run of `bgpsvc serve`. `loaded` is what `config` held when it was read first."""

    def __init__(
        self,
        config: Path | None,
        loaded: Loaded | None,
        state_dir: Path,
        database: str | None,
        door: Door,
        anonymous: Scope | None,
        limits: Limits,
        tunnels: TunnelOptions,
        keep: bool,
        watched: Watched,
        peer_config_dir: Path | None,
        tracer: Tracer = NOT_TRACED,
        log_requests: bool = False,
        mrt: MrtOptions | None = None,
        bmp: BmpOptions | None = None,
    ) -> None:
        self._bmp = bmp or BmpOptions()
        self._config = config
        self._loaded = loaded
        self._state_dir = state_dir
        self._database = database
        self._door = door
        self._anonymous = anonymous
        self._limits = limits
        self._tunnels = tunnels
        self._keep = keep
        self._watched = watched
        self._peer_config_dir = peer_config_dir
        self._tracer = tracer
        self._log_requests = log_requests
        self._mrt = mrt
        self._one_at_a_time = asyncio.Lock()
        """The start, and then one reload after the other."""
        self._reloads: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises what keeps it from starting, or what ended a part of it."""
        tune()
        stop = asyncio.Event()
        # From the first moment: a second SIGINT would break into what asyncio ends after the first.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._end_everything, stop)
        stopped = asyncio.create_task(stop.wait())
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._watched.notifier.beating())
            opening = asyncio.create_task(self._open(stack))
            await _first(opening, stopped)
            if not opening.done():
                await _cancel(opening)
                log.info("stopped; nothing was started yet")
                return
            self._service.start()
            stack.callback(self._service.stop)
            await self._run(stopped)

    def _end_everything(self, stop: asyncio.Event) -> None:
        """SIGINT: whoever stops it by hand, or stops its unit for good, leaves nothing to a next daemon."""
        self._keep = False
        stop.set()

    async def _open(self, stack: AsyncExitStack) -> None:
        store = await Store.open(self._database, self._state_dir)
        stack.push_async_callback(_in_time, "the database was left as it was", store.close)
        await self._compose(store)

    async def _compose(self, store: Store) -> None:
        rows = await store.load()
        if self._loaded is None:
            catalog = catalog_of(rows)
        else:
            for warning in self._loaded.warnings:
                log.warning("%s", warning)
            if rows:
                log.warning("%d resources of the database are not used: --config is given", len(rows))
            catalog = Catalog(self._loaded.intent, of_intent(self._loaded.intent, time.time()))
        former = await store.events(0, KEPT, latest=True)
        written = await store.last_event_id() or 0
        self._choices = Choices(store, await store.choices(), catalog.intent)
        # Ids go on over a restart, and over the loss of what was not written yet.
        journal = Journal(first_id=max(written + 1, int(time.time() * 1000)), former=former)
        self._history = History(journal, store, written)
        intent = catalog.intent if self._loaded is None else self._choices.apply(catalog.intent)
        driver = await chosen(self._tunnels.wish, self._tunnels.charon_socket)
        self._runtime = Runtime(
            *(intent, self._choices.modes(), self._state_dir, journal),
            *(driver, self._tunnels.charon_socket),
        )
        file = None if self._config is None else str(self._config)
        self._control = Controller(self._runtime, store, self._choices, catalog, file, tracer=self._tracer)
        self._sampler = Sampler(self._runtime.engine, self._runtime.wall)
        self._recording = None if self._mrt is None else await self._open_recording(self._mrt)
        runtime = self._runtime
        self._stations = Stations(self._bmp, runtime.engine, runtime.tap, runtime.wall, runtime.note)
        self._service = BgpService(runtime, self._choices, self._history, self._sampler, self._stations)

    async def _open_recording(self, mrt: MrtOptions) -> Recording:
        """CannotRecord if the directory is not for us."""
        directory = Directory(mrt.directory, Bounds(mrt.keep, mrt.max_bytes))
        await asyncio.to_thread(directory.open)
        sessions = self._runtime.engine.sessions

        def ends(session: SessionId) -> Ends | None:
            known = sessions.get(session)
            return None if known is None else ends_of(known.settings)

        return Recording(directory, mrt.interval, ends, self._runtime.note)

    def _start_recording(self) -> None:
        """Before the speakers, so that nothing that sessions say is missed."""
        if self._recording is not None:
            self._recording.start()
            self._runtime.tap.watch_sessions(self._recording, time.time())
            self._service.collectors.append(RecordingCollector(self._recording.figures))

    async def _stop_recording(self) -> None:
        if self._recording is not None:
            self._runtime.tap.forget(self._recording)
            await self._recording.stop(() if self._keep else self._runtime.engine.sessions)

    async def _run(self, stopped: asyncio.Task[Any]) -> None:
        app = create_app(
            self._service,
            self._control,
            version=__version__,
            anonymous=self._anonymous,
            limits=self._limits,
            peer_config_dir=self._peer_config_dir,
            tracer=self._tracer,
            log_requests=self._log_requests,
        )
        servers = self._servers = self._door.servers(app)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload_in_turn)
        if (restarted := self._watched.event()) is not None:
            self._runtime.note(restarted)
        self._start_recording()
        starting = asyncio.create_task(self._in_turn(self._runtime.start()))
        warming = asyncio.create_task(asyncio.to_thread(warm_up, app))
        history = asyncio.create_task(self._history.run())
        running = [history]
        try:
            # Adopting speakers may take longer than a stop may: whichever comes first.
            await _first(starting, stopped)
            if starting.done():
                await warming
                serving = asyncio.create_task(servers.serve())
                running += [serving, asyncio.create_task(self._runtime.failed())]
                running.append(asyncio.create_task(self._sampler.run()))
                running.append(asyncio.create_task(self._stations.run()))
                log.info("REST at %s", " and ".join(servers.addresses))
                if self._tracer.on:
                    running.append(asyncio.create_task(self._trace_moves()))
                running.append(asyncio.create_task(self._tell_ready()))
                await _first(*running, stopped)
        finally:
            self._watched.notifier.say(STOPPING)
            servers.stop()
            await _cancel(starting, warming, *self._reloads)
            stopping = asyncio.create_task(self._runtime.stop(self._keep))
            await asyncio.wait([stopping, *running[1:2]])
            await self._stop_recording()
            await _cancel(stopped, *running)
            await _in_time("the last events are not stored", self._history.flush)
            stopping.result()
        log.info("stopped; the routes stay in the kernel")

    async def _tell_ready(self) -> None:
        """As soon as REST answers. Goes on for ever then, as all that runs beside it."""
        await self._servers.until_started()
        self._watched.notifier.say(READY)
        await asyncio.Future()

    async def _trace_moves(self) -> None:
        runtime = self._runtime
        await trace_moves(runtime.journal, runtime.engine.switchboard, self._tracer)

    async def _in_turn(self, work: Coroutine[Any, Any, None]) -> None:
        async with self._one_at_a_time:
            await work

    def _reload_in_turn(self) -> None:
        task = asyncio.create_task(self._in_turn(self._reload()))
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        try:
            self._servers.reload_certificates()
        except OSError as error:
            log.error("the former certificate stays: %s", error)
        if self._config is None:
            log.info("SIGHUP: the resources are in the database, there is no file to read again")
            return
        try:
            loaded = load_file(self._config)
        except ConfigError as error:
            self._reject([str(problem) for problem in error.problems])
            return
        except OSError as error:
            self._reject([f"{error.filename}: {error.strerror}" if error.filename else str(error)])
            return
        for warning in loaded.warnings:
            log.warning("%s", warning)
        change = self._runtime.adopt(self._choices.apply(loaded.intent))
        self._control.file_read(loaded.intent, change)
        try:
            await self._runtime.until_settled(change)
        except (OSError, ReloadFailed) as error:
            text = f"the configuration is in force, but a part did not take it yet: {error}"
            self._runtime.note(
                Log("config.reloaded", "error", "configuration", text, {"problem": str(error)})
            )
            return
        text = "the configuration was reloaded"
        self._runtime.note(Log("config.reloaded", "info", "configuration", text))

    def _reject(self, problems: list[str]) -> None:
        text = f"the configuration was refused, the running one stays: {problems[0]}"
        self._runtime.note(Log("config.rejected", "error", "configuration", text, {"problems": problems}))


async def _in_time(otherwise: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """What is left to do with the database at the end: one that does not answer holds no stop up."""
    try:
        await asyncio.wait_for(work(), LAST_SECONDS)
    except (StoreUnavailable, TimeoutError) as error:
        log.error("%s: %s", otherwise, error if isinstance(error, StoreUnavailable) else "it does not answer")


async def _first(*tasks: asyncio.Task[Any]) -> None:
    """Until one of the tasks is done. A crash among them ends the daemon, with its traceback."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
