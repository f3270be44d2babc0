"""The private PostgreSQL of `operate`, with an empty schema for each test."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Final

from pilotage.central.operate.servers.postgresql import (
    READY_S,
    USER,
    Postgresql as Private,
    missing as missing,
)

from .folders import quick

# Leaves what a store makes in a schema, and takes away all that it has kept there.
EMPTIED: Final = """
DO $$ DECLARE one text; BEGIN
    SET session_replication_role = replica;
    FOR one IN SELECT relname FROM pg_class
                WHERE relnamespace = to_regnamespace('SCHEMA') AND relkind = 'r'
                  AND relname NOT IN ('migration', 'counter') AND pg_relation_size(oid) > 0 LOOP
        EXECUTE format('DELETE FROM SCHEMA.%I', one);
    END LOOP;
    FOR one IN SELECT sequencename FROM pg_sequences
                WHERE schemaname = 'SCHEMA' AND last_value IS NOT NULL LOOP
        PERFORM setval(format('SCHEMA.%I', one), 1, false);
    END LOOP;
    IF to_regclass('SCHEMA.counter') IS NOT NULL THEN UPDATE SCHEMA.counter SET next = 1; END IF;
END $$"""

FOLLOWS: Final = "SELECT sync_state FROM pg_stat_replication"


class Postgresql(Private):
    """One server; it can be stopped in each of its ways and started again on the same files.

    Its first files are a copy, because `initdb` takes a second of CPU. So all servers of a process
    of pytest have the same system identifier. They lie in memory, if there is room.
    """

    def __init__(self) -> None:
        usual, tempfile.tempdir = tempfile.tempdir, quick() or tempfile.tempdir
        try:
            super().__init__()
        finally:
            tempfile.tempdir = usual
        self._free: list[str] = []
        self._made = 0

    def run(self, program: str, *arguments: str) -> None:
        if program == "initdb":
            source = str(_first().folder / "data")
            subprocess.run(["cp", "-a", source, str(self.folder)], check=True)
        else:
            super().run(program, *arguments)

    @contextmanager
    def empty_schema(self) -> Generator[str]:
        """Yield the URL of an empty store; its tables may be there from one before."""
        if self._free:
            schema = self._free.pop()
            self.sql(EMPTIED.replace("SCHEMA", schema))
        else:
            self._made += 1
            schema = f"store_{self._made}"
            self.sql(f"CREATE SCHEMA {schema}")
        try:
            yield self.url(schema=schema)
        finally:
            self._free.append(schema)


@cache
def _first() -> Private:
    """Return a server that never runs, with the files that all others begin with."""
    return Private()


def end() -> None:
    """Leave nothing behind when all cases are over."""
    if _first.cache_info().currsize:
        _first().close()


class Standby(Postgresql):
    """A second server that follows another one synchronously, until it is promoted."""

    def __init__(self, primary: Private) -> None:
        super().__init__()
        shutil.rmtree(self.folder / "data")
        source = f"host={primary.folder} user={USER} application_name=standby"
        self.run("pg_basebackup", "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        primary.sql("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Let it take writes: the other one is dead."""
        self.run("pg_ctl", "promote", "-w")


@contextmanager
def standby_of(primary: Private, *settings: str) -> Generator[Standby]:
    """Run a server that has each commit of `primary` before it is acknowledged."""
    standby = Standby(primary)
    try:
        standby.start("shared_buffers=16MB", *settings)
        until = time.monotonic() + READY_S
        while primary.sql(FOLLOWS).strip() != "sync":
            assert time.monotonic() < until, standby.log()
            time.sleep(0.05)
        yield standby
    finally:
        standby.close()


@contextmanager
def started(*settings: str) -> Generator[Postgresql]:
    server = Postgresql()
    try:
        server.start(*settings)
        yield server
    finally:
        server.close()
