"""What of a charon that others use too is ours: connections, keys and SAs whose names have our prefix."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from bgpsvc.ipsec import codec
from bgpsvc.ipsec.model import IpsecTunnel
from bgpsvc.ipsec.vici import Charon, CharonRefused
from bgpsvc.model import SessionId
from bgpsvc.processes import write_private

GOODBYE_S = 2.0
"""How long a peer may take to confirm that its SAs were deleted, before they are deleted without that."""
_SECRET_BYTES = 32
log = logging.getLogger(__name__)


class SharedCharon:
    """Loads and removes. Remembers fingerprints of what was loaded, in a file, beyond the daemon's end.

    The file's secret makes them worthless for guessing a key, and charon is asked what it has: one that was
    restarted has nothing, whatever the file says, and others may tell it to unload what is in none of theirs
    (`swanctl --load-all`). SAs that stand go on then, and are still of the settings that the file tells.
    """

    def __init__(self, charon_socket: Path, record: Path) -> None:
        """ValueError if the socket's path is too long."""
        self.vici = Charon(charon_socket)
        self._record = record
        self._secret, self._loaded = _read(record)
        self._outdated: set[SessionId] = set()
        """Tunnels that may have SAs of former settings: in the file they count as unknown until those end."""
        self._owners: dict[SessionId, tuple[str, ...]] = {}
        self._keys = asyncio.Lock()
        self._saving = asyncio.Lock()

    @property
    def holds(self) -> bool:
        """charon has tunnels of ours, as far as is known."""
        return bool(self._loaded)

    async def survey(self, wanted: Collection[SessionId]) -> None:
        """Find out what charon has of ours; end and remove what is of no wanted tunnel. CharonError."""
        held = {name for entry in await self.vici.list_conns() for name in entry}
        keys = set(await self.vici.get_shared())
        running = {name for entry in await self.vici.list_sas() for name in entry}
        ours = {tunnel for name in held | keys | running if (tunnel := codec.tunnel_of(name)) is not None}
        self._owners = {}
        names = {tunnel: codec.connection_name(tunnel) for tunnel in ours}
        # "": it has a connection or SAs, of which it is not known what they say.
        self._loaded = {
            tunnel: self._loaded.get(tunnel, "") for tunnel in ours if names[tunnel] in held | running
        }
        self._outdated &= self._loaded.keys()
        for tunnel in ours.difference(wanted):
            log.info("removing what charon has of %s, which is no tunnel of ours any more", tunnel)
            try:
                await self.remove(tunnel)
            except CharonRefused as error:
                log.warning("what charon has of %s stays: %s", tunnel, error)  # the others need not wait

    async def load(
        self, tunnel: IpsecTunnel, placing: codec.Placing, all_tunnels: Collection[IpsecTunnel]
    ) -> bool:
        """Give charon a tunnel's key and connection; True if there was one that said something else.

        That is so until all its SAs were ended, whatever happens before that is done.
        """
        fingerprint = codec.fingerprint(tunnel, placing, self._secret)
        known = self._loaded.get(tunnel.id)
        unloaded = known == fingerprint and bool(await self.missing([tunnel.id]))
        if unloaded:
            log.warning("others had charon unload the connection or key of %s: loading it again", tunnel.id)
        if known != fingerprint or unloaded:
            self._owners.pop(tunnel.id, None)
            await self.share_keys(all_tunnels)
            name = codec.connection_name(tunnel.id)
            await self.vici.load_conn(name, codec.connection(tunnel, placing))
            self._loaded[tunnel.id] = fingerprint
            if known not in (None, fingerprint):
                self._outdated.add(tunnel.id)
            await self._save()
        return tunnel.id in self._outdated

    async def missing(self, tunnels: Collection[SessionId]) -> list[SessionId]:
        """Of which of these charon lacks the connection or the key. CharonError."""
        only = codec.connection_name(next(iter(tunnels))) if len(tunnels) == 1 else None
        held = {name for entry in await self.vici.list_conns(only) for name in entry}
        held &= set(await self.vici.get_shared())
        return [tunnel for tunnel in tunnels if codec.connection_name(tunnel) not in held]

    async def share_keys(self, tunnels: Iterable[IpsecTunnel]) -> None:
        """Give charon the keys that it does not have, and those whose owners are others now. CharonError."""
        async with self._keys:
            for tunnel, owners in key_owners(tunnels):
                key = codec.shared_key(tunnel)
                if key is not None and self._owners.get(tunnel.id) != owners:
                    await self.vici.load_shared(key.id, key.data, owners)
                    self._owners[tunnel.id] = owners

    async def remove(self, tunnel: SessionId) -> None:
        """Remove connection and key, end the SAs and tell the peer. Unknown ones are ignored. CharonError."""
        name = codec.connection_name(tunnel)
        # The connection first: with it goes what makes charon negotiate anew when there is traffic.
        with suppress(CharonRefused):
            await self.vici.unload_conn(name)
        try:
            await self.end(tunnel, wait=True)
        finally:
            with suppress(CharonRefused):
                await self.vici.unload_shared(name)
            self._owners.pop(tunnel, None)
            self._outdated.discard(tunnel)
            if self._loaded.pop(tunnel, None) is not None:
                await self._save()

    async def end(self, tunnel: SessionId, *, wait: bool, ike_id: int | None = None) -> None:
        """End a tunnel's IKE SAs, or one. `wait`: give the peer time to confirm. CharonError."""
        name = codec.connection_name(tunnel)
        patience = GOODBYE_S if wait else 0
        await self.vici.terminate(ike=name, ike_id=ike_id, force=True, wait=patience)
        if ike_id is None and tunnel in self._outdated:
            self._outdated.discard(tunnel)
            await self._save()

    async def _save(self) -> None:
        # One after the other: each writes the same file, by way of the same other one.
        async with self._saving:
            loaded = {ident: "" if ident in self._outdated else it for ident, it in self._loaded.items()}
            content = {"secret": self._secret.hex(), "loaded": loaded}
            await asyncio.to_thread(write_private, self._record, json.dumps(content, sort_keys=True))


def _read(record: Path) -> tuple[bytes, dict[SessionId, str]]:
    """Secret and fingerprints of a former daemon. OSError; a file that is none of ours counts as none."""
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        loaded = {SessionId(ident): str(value) for ident, value in content["loaded"].items()}
        secret = bytes.fromhex(content["secret"])
        if len(secret) != _SECRET_BYTES:
            raise ValueError(f"the secret has {len(secret)} bytes")
    except FileNotFoundError:
        return secrets.token_bytes(_SECRET_BYTES), {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s is not readable and begun anew (%s): tunnels will be negotiated again", record, error)
        return secrets.token_bytes(_SECRET_BYTES), {}
    return secret, loaded


def key_owners(tunnels: Iterable[IpsecTunnel]) -> list[tuple[IpsecTunnel, tuple[str, ...]]]:
    """Whom the key of each tunnel is for: the peer alone, where that is enough to tell the keys apart.

    charon takes any key of which either end is an owner when it checks who a peer is. With our own identity,
    which all tunnels of a gateway may share, as an owner, each peer's key would do for every other peer.
    """
    remotes = [(tunnel, (codec.identity(tunnel.remote_id), str(tunnel.remote))) for tunnel in tunnels]
    users = Counter(name for _, names in remotes for name in set(names))
    owners = []
    for tunnel, names in remotes:
        shared = any(users[name] > 1 for name in names)
        local = (codec.identity(tunnel.local_id), str(tunnel.local)) if shared else ()
        owners.append((tunnel, tuple(dict.fromkeys((*names, *local)))))
    return owners
