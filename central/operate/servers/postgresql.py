"""A private PostgreSQL with its own folder, a socket instead of a port, and full syncs.

PostgreSQL refuses to run as root, so root starts it as a user without rights. It ends with its
owner, also if the owner is killed.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from . import postgresql_cleanup as keeper

USER: Final = "pilotage"  # user of the database
READY_S: Final = 30.0
END_S: Final = 120.0  # a fast shutdown writes its cached data


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
    """One server, which can be stopped in several ways and started again on the same files."""

    def __init__(self) -> None:
        found = programs()
        assert found is not None, "call `missing` first"
        self._programs = found
        # Not below the caller's folder: other users cannot reach folders below one of root's.
        self.folder = Path(tempfile.mkdtemp(prefix=keeper.NAME))
        keeper.sweep(self.folder.parent, time.time())
        self._lock = keeper.owned(self.folder)
        self._keeper = _kept(self.folder)
        self._uid: int | None = None
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._uid = nobody.pw_uid
        self._process: subprocess.Popen[bytes] | None = None
        self.run("initdb", "-A", "trust", "-U", USER, "--locale=C", "-E", "UTF8", "--no-sync")

    @property
    def pid(self) -> int:
        """The parent process of all server processes."""
        assert self._process is not None, "not running"
        return self._process.pid

    @property
    def keeper(self) -> int:
        """The process that removes the server if this one does not."""
        return self._keeper.pid

    def url(self, database: str = "postgres", schema: str = "public") -> str:
        return f"postgresql://{USER}@/{database}?host={self.folder}&search_path={schema}"

    def start(self, *settings: str) -> None:
        """Start the server with settings `name=value`, and wait until it answers."""
        options = ["listen_addresses=", f"unix_socket_directories={self.folder}", *settings]
        arguments = [text for option in options for text in ("-c", option)]
        with (self.folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *arguments],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=self._uid,
                extra_groups=None if self._uid is None else [],
            )
        self._process = process
        deadline = time.monotonic() + READY_S
        while not self._answers():
            assert process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def _answers(self) -> bool:
        command = [str(self._programs / "pg_isready"), "-q", "-h", str(self.folder)]
        return subprocess.run(command, check=False).returncode == 0

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server. SIGINT: a fast shutdown. SIGQUIT: an immediate one, as after a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(END_S)
            self._process = None

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def sql(self, *commands: str, database: str = "postgres") -> str:
        """Run commands with psql; return its output."""
        options = [text for command in commands for text in ("-c", command)]
        program, folder = str(self._programs / "psql"), str(self.folder)
        command = [program, "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-h", folder]
        command += ["-U", USER, "-d", database, *options]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs on its files, as the user that owns them."""
        subprocess.run(
            [str(self._programs / program), "-D", str(self.folder / "data"), *arguments],
            check=True,
            capture_output=True,
            cwd=self.folder,
            user=self._uid,
            extra_groups=None if self._uid is None else [],
        )

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)
        os.close(self._lock)
        self._keeper.communicate(b"\n")  # it finds nothing to do


def _kept(folder: Path) -> subprocess.Popen[bytes]:
    """Start the process that removes the server if this one does not.

    It is in another process group, and holds no inherited files open.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-S", keeper.__file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextmanager
def started(*settings: str) -> Generator[Postgresql]:
    """Run a private server inside the block; remove it afterwards."""
    server = Postgresql()
    try:
        server.start(*settings)
        yield server
    finally:
        server.close()
