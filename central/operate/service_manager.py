"""Messages to the service manager: ready, alive, stopping (sd_notify, without its library).

Without `NOTIFY_SOCKET`, no message is sent.
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from typing import Final

USECONDS: Final = 1_000_000


class ServiceManager:
    """Sends messages to systemd over its socket."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # Linux's abstract name space
            self._address = "\0" + self._address[1:]
        self._watchdog_s = _watchdog_s(environment, pid)

    def tell(self, *words: str) -> None:
        """Send a message; a missing manager is ignored."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
                link.setblocking(False)
                link.sendto("\n".join(words).encode(), self._address)
        except OSError:
            pass

    def ready(self, url: str) -> None:
        self.tell("READY=1", f"STATUS=answers at {url}")

    def waits(self, pause_s: float) -> None:
        """Report that the start takes longer because the disk is full."""
        more = int(2 * pause_s * USECONDS)
        self.tell(f"EXTEND_TIMEOUT_USEC={more}", "STATUS=the disk is full; waiting for space")

    def stopping(self) -> None:
        self.tell("STOPPING=1", "STATUS=finishing open requests")

    async def watchdog(self) -> None:
        """Report that the event loop runs, twice a watchdog interval. Ends by cancellation."""
        if not self._watchdog_s:
            return
        while True:
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_s / 2)


def service_manager() -> ServiceManager:
    """Return the manager that started this process."""
    return ServiceManager(os.environ, os.getpid())


def _watchdog_s(environment: Mapping[str, str], pid: int) -> float:
    try:
        meant = int(environment.get("WATCHDOG_PID", pid))
        return int(environment.get("WATCHDOG_USEC", 0)) / USECONDS if meant == pid else 0.0
    except ValueError:
        return 0.0
