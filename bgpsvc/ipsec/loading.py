"""A tunnel's connection and key in a charon of its own, and what tells which ones it has.

charon tells nobody a key, but its id: that ends with a fingerprint of connection and key. As long as there
may be SAs of former settings a second key, of no use, says so, to whoever comes after us as well.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

from bgpsvc.ipsec import codec
from bgpsvc.ipsec.model import Cause, IpsecTunnel
from bgpsvc.ipsec.port import DriverError
from bgpsvc.ipsec.vici import Charon, CharonRefused
from bgpsvc.model import SessionId
from bgpsvc.processes import write_private

_SECRET_BYTES = 32


async def load(charon: Charon, tunnel: IpsecTunnel, placing: codec.Placing, secret: bytes) -> bool:
    """Give charon connection and key; whether there may be SAs of others. CharonError, DriverError."""
    key = codec.shared_key(tunnel)
    if key is None:
        text = f"tunnel {tunnel.id} has no pre-shared key: give it one"
        raise DriverError(Cause.NO_PRE_SHARED_KEY, text)
    wished, mark = f"{key.id}/{codec.fingerprint(tunnel, placing, secret)}", _outdated(tunnel.id)
    present = await charon.get_shared()
    if present == [wished] and await _has_connection(charon, tunnel.id):
        return False
    outdated = bool(set(present) - {wished})
    if outdated and mark not in present:
        await charon.load_shared(mark, secrets.token_hex(), [mark])
    await charon.load_conn(codec.connection_name(tunnel.id), codec.connection(tunnel, placing))
    # Its id says that connection and key are those, as soon as it is the only one.
    await charon.load_shared(wished, key.data, key.owners)
    for ident in set(present) - {wished, mark}:
        await charon.unload_shared(ident)
    return outdated


async def ended(charon: Charon, tunnel: SessionId) -> None:
    """All SAs were ended: there are none of former settings. CharonError."""
    with suppress(CharonRefused):  # another charon by now
        await charon.unload_shared(_outdated(tunnel))


async def is_loaded(charon: Charon, tunnel: SessionId) -> bool:
    """Whether charon still has a key and the connection. CharonError."""
    return bool(await charon.get_shared()) and await _has_connection(charon, tunnel)


def read_secret(path: Path) -> bytes:
    """What keys the fingerprints: they tell nothing of the keys to who reads charon's log. OSError."""
    try:
        found = bytes.fromhex(path.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        found = b""
    if len(found) != _SECRET_BYTES:
        found = secrets.token_bytes(_SECRET_BYTES)
        write_private(path, found.hex())
    return found


async def _has_connection(charon: Charon, tunnel: SessionId) -> bool:
    name = codec.connection_name(tunnel)
    return any(name in entry for entry in await charon.list_conns(name))


def _outdated(tunnel: SessionId) -> str:
    return f"{codec.connection_name(tunnel)}/outdated"
