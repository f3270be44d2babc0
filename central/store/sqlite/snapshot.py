"""Copy a store at one moment while it is written, and renew a restored copy."""

import sqlite3
from pathlib import Path
from typing import Final

import aiosqlite

from ..errors import StoreBroken
from ..queries import load
from .durable import prepare
from .errors import translated

BUSY_S: Final = 5.0  # wait for a process that opens the store
IDS_SKIPPED: Final = 10_000_000  # more than any installation uses between two backups


async def snapshot(source: Path, target: Path) -> None:
    """Copy the store at `source` to a new file. Raises StoreBroken, StoreFull.

    One step copies all pages: the copy has no later writes, and delays none.
    """
    try:
        async with (
            aiosqlite.connect(
                _to_read(source), uri=True, isolation_level=None, timeout=BUSY_S
            ) as store,
            aiosqlite.connect(target, isolation_level=None) as copy,
        ):
            await store.backup(copy, pages=-1)
            await copy.execute_fetchall(load("sqlite")["set_no_log"])
    except sqlite3.Error as why:
        raise translated(why) from why


def _to_read(source: Path) -> str:
    if not source.is_file():
        raise StoreBroken(f"{source} does not exist")
    return f"{source.absolute().as_uri()}?mode=ro"


def renew(path: Path, at: float) -> str:
    """Give a restored store a new generation and unused ids. Return the generation.

    Attempts after the backup then never count, and no id belongs to two jobs. Open sweeps are ended
    and their remnants wait again, because users may have registered these files since the backup.
    """
    sql = load("sqlite")
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            prepare(connection)
            connection.execute(sql["begin"])
            there = {name for (name,) in connection.execute(sql["table_names"])}
            if "earlier" in there:  # missing in the backup of an older release
                connection.execute(sql["keep_generation"])
            (generation,) = connection.execute(sql["new_generation"], {"at": at}).fetchone()
            if "sweep" in there:
                connection.execute(sql["end_restored_sweeps"])
                connection.execute(sql["remove_restored_sweeps"])
            connection.execute(sql["skip_ids"], {"skipped": IDS_SKIPPED})
            connection.execute(sql["commit"])
        finally:
            connection.close()
    except sqlite3.Error as why:
        raise translated(why) from why
    return str(generation)
