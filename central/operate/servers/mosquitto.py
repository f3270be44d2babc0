"""A private mosquitto with the shipped configuration: free port, own folder, local only."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pilotage

from ..process import tied

CONFIG_NAME = "mosquitto.conf"
READY_S = 60.0  # with 100 000 pilots, reading the logins takes long


class BrokerNotStarted(Exception):
    """The broker did not start; the message has its log."""


def configuration() -> Path | None:
    """Return the shipped configuration, from the wheel or the checkout, or None."""
    package = Path(pilotage.__file__).resolve().parent
    places = (package / CONFIG_NAME, package.parent / "deploy" / "mosquitto" / CONFIG_NAME)
    return next((place for place in places if place.is_file()), None)


def plugin() -> Path | None:
    """Return Debian's path of the dynamic-security plug-in, or None."""
    found: Iterator[Path] = Path("/usr/lib").glob("*/mosquitto_dynamic_security.so")
    return next(found, None)


def missing() -> str:
    """Return what must be installed before a broker can start, or an empty string."""
    if configuration() is None:
        return "mosquitto.conf of this pilotage"
    if _program() is None or shutil.which("mosquitto_ctrl") is None or plugin() is None:
        return "mosquitto with mosquitto_ctrl and its dynamic-security plug-in (apt: mosquitto)"
    return ""


def _program() -> str | None:
    return shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Mosquitto:
    """One broker, which can be killed and started again on the same port and files."""

    user = "central"

    def __init__(self, folder: Path, password: str, *, certificate: Path | None = None) -> None:
        self.port = _free_port()
        self.tls_port = _free_port()
        self._certificate = certificate  # PEM with its key; turns on the TLS listener
        self.password = password
        self._folder = folder
        self.logins = folder / "dynamic-security.json"
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "mosquitto.conf").write_text(self._configuration())
        self.forget_logins()

    def _configuration(self) -> str:
        """Return the shipped configuration with other ports and paths."""
        shipped = configuration()
        assert shipped is not None, "call `missing` first"
        text = shipped.read_text()
        changes = {
            r"^listener 1883 .*$": f"listener {self.port} 127.0.0.1",
            r"^plugin .*$": f"plugin {plugin()}",
            r"^plugin_opt_config_file .*$": f"plugin_opt_config_file {self.logins}",
        }
        if self._certificate is not None:
            changes |= {
                r"^# listener 8883$": f"listener {self.tls_port} 127.0.0.1",
                r"^# certfile .*$": f"certfile {self._certificate}",
                r"^# keyfile .*$": f"keyfile {self._certificate}",
                r"^# tls_version (.*)$": r"tls_version \1",
            }
        for line, ours in changes.items():
            text, count = re.subn(line, ours, text, flags=re.MULTILINE)
            assert count == 1, f"the shipped configuration has {count} lines like {line}"
        return text + ("user root\n" if os.geteuid() == 0 else "")

    def forget_logins(self) -> None:
        """Write a file of logins with the central's login only, as in the README."""
        self.logins.unlink(missing_ok=True)
        twice = f"{self.password}\n{self.password}\n".encode()
        subprocess.run(
            ["mosquitto_ctrl", "dynsec", "init", str(self.logins), self.user],
            input=twice,
            capture_output=True,
            check=True,
            timeout=READY_S,
        )
        self.logins.chmod(0o600)

    def start(self) -> None:
        """Start the broker and wait until it accepts connections. Raises BrokerNotStarted."""
        self._launch()
        until = time.monotonic() + READY_S
        while not self._accepts():
            if not self.running or time.monotonic() > until:
                self.stop()
                raise BrokerNotStarted(f"mosquitto did not start:\n{self.log()}")
            time.sleep(0.02)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _launch(self) -> None:
        program = _program()
        assert program is not None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*tied(), program, "-c", str(self._folder / "mosquitto.conf")],
                stdout=log,
                stderr=log,
            )

    def _accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
        except OSError:
            return False
        return True

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=READY_S)
            self._process = None
