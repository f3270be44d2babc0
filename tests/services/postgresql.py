"""A private PostgreSQL: own folder, a socket in it and no port, synced as the product demands.

PostgreSQL refuses root, so root starts it as a user without rights.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

USER: Final = "pilotage"  # of the database
READY_S: Final = 30.0
# Leaves what a store makes in a schema, and takes away all that it has kept there.
EMPTIED: Final = """
DO $$ DECLARE one text; BEGIN
    SET session_replication_role = replica;
    FOR one IN SELECT tablename FROM pg_tables
                WHERE schemaname = 'SCHEMA' AND tablename NOT IN ('migration', 'counter') LOOP
        EXECUTE format('DELETE FROM SCHEMA.%I', one);
    END LOOP;
    FOR one IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'SCHEMA' LOOP
        PERFORM setval(format('SCHEMA.%I', one), 1, false);
    END LOOP;
    IF to_regclass('SCHEMA.counter') IS NOT NULL THEN UPDATE SCHEMA.counter SET next = 1; END IF;
END $$"""


def programs() -> Path | None:
    """Return the folder of the newest installed server, or None."""
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(found, key=lambda path: int(path.parts[-3]), default=None)
    if newest is None and (path := shutil.which("initdb")) is not None:
        newest = Path(path)
    return None if newest is None else newest.parent


def missing() -> str:
    """Return what must be installed before a server can start, or an empty string."""
    return "" if programs() is not None else "PostgreSQL (apt: postgresql)"


class Postgresql:
    """One server; it can be stopped in each of its ways and started again on the same files."""

    def __init__(self) -> None:
        found = programs()
        assert found is not None, "`missing` says so before"
        self._programs = found
        # Not pytest's own: what lies below a folder of root's alone, nobody else can reach.
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._uid: int | None = None
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
            self._uid = nobody.pw_uid
        self._process: subprocess.Popen[bytes] | None = None
        self._free: list[str] = []
        self._made = 0
        self._run("initdb", "-A", "trust", "-U", USER, "--locale=C", "-E", "UTF8", "--no-sync")

    def url(self, database: str = "postgres", schema: str = "public") -> str:
        return f"postgresql://{USER}@/{database}?host={self._folder}&search_path={schema}"

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

    def start(self, *settings: str) -> None:
        options = ["listen_addresses=", f"unix_socket_directories={self._folder}", *settings]
        arguments = [text for option in options for text in ("-c", option)]
        with (self._folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self._folder / "data"), *arguments],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                user=self._uid,
                extra_groups=None if self._uid is None else [],
            )
        self._process = process
        deadline = time.monotonic() + READY_S
        while not self._answers():
            assert process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def _answers(self) -> bool:
        command = [str(self._programs / "pg_isready"), "-q", "-h", str(self._folder)]
        return subprocess.run(command, check=False).returncode == 0

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: a fast shutdown. SIGQUIT: an immediate one, as after a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(READY_S)
            self._process = None

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def sql(self, *commands: str, database: str = "postgres") -> str:
        """Run commands as psql does; return what it prints."""
        options = [text for command in commands for text in ("-c", command)]
        program, folder = str(self._programs / "psql"), str(self._folder)
        command = [program, "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-h", folder]
        command += ["-U", USER, "-d", database, *options]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), "-D", str(self._folder / "data"), *arguments],
            check=True,
            capture_output=True,
            cwd=self._folder,
            user=self._uid,
            extra_groups=None if self._uid is None else [],
        )

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder)


@contextmanager
def started(*settings: str) -> Generator[Postgresql]:
    server = Postgresql()
    try:
        server.start(*settings)
        yield server
    finally:
        server.close()
