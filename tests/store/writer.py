"""A process that writes until it is killed, and says what was acknowledged: `NAME VERSION` per line.

Arguments: URL (empty for SQLite), state directory, number of the first resource.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from pathlib import Path

from bgpsvc.store.database import Store
from bgpsvc.store.records import Batch, Remembered
from tests.store.support import entry, resource


def batch(number: int) -> Batch:
    """A new resource with a secret and its audit entry; every third one changes the one before, too."""
    name = f"n{number:05}"
    puts = [resource(name, secrets={"/s": f"secret of {name} version 1"}, pad="x" * 2000)]
    if number % 3 == 2:
        before = f"n{number - 1:05}"
        puts.append(resource(before, 2, secrets={"/s": f"secret of {before} version 2"}, pad="y" * 2000))
    audit = tuple(entry("put", put.name, new={"version": put.version}) for put in puts)
    return Batch(tuple(puts), audit=audit, remember=Remembered("writer", name, "", {"name": name}, 1e12))


async def main(url: str | None, state_dir: Path, first: int) -> None:
    """Write for ever."""
    store = await Store.open(url, state_dir)
    for number in count(first):
        whole = batch(number)
        await store.write(whole)
        # One line in one write: it is there whole or not at all.
        sys.stdout.write("".join(f"{put.name} {put.version}\n" for put in whole.puts))
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] or None, Path(sys.argv[2]), int(sys.argv[3])))
