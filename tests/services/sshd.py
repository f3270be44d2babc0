"""OpenSSH's server on loopback for the user that runs the tests, with keys of its own."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

READY_S = 10.0
_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/key.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
AllowUsers {user}
MaxStartups 100
MaxSessions 100
PerSourcePenalties no
"""


def missing() -> str:
    """Return what must be installed before it can start, or an empty string."""
    found = _program() is not None and shutil.which("ssh") is not None
    return "" if found else "OpenSSH with its server (apt: openssh-server openssh-client)"


def _program() -> str | None:
    return shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


class Sshd:
    """One server. `kill` cuts what it has open, as a login node that goes down would."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.user = folder, getpass.getuser()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def options(self) -> dict[str, object]:
        """Return what an element of kind `ssh` has to know of it."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "key_file": str(self.folder / "key"),
            "known_hosts": str(self.folder / "known_hosts"),
            "folder": str(self.folder / "pilots"),
        }

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        for name in ("key", "host_key"):
            if not (self.folder / name).exists():
                kind = ("-q", "-t", "ed25519", "-N", "")
                subprocess.run(["ssh-keygen", *kind, "-f", self.folder / name], check=True)
        public = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {public}")
        config = self.folder / "sshd_config"
        config.write_text(_CONFIG.format(port=self.port, folder=self.folder, user=self.user))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where it shuts itself in before a login
        program = _program()
        assert program is not None, missing()
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-D", "-e", "-f", config], stdout=log, stderr=log
            )
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"sshd does not answer: {(self.folder / 'sshd.log').read_text()}")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
