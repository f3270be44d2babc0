"""The address of a broker, and the central's login there."""

import ssl
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Address:
    """A broker, and the central's login there. `repr` never shows the password."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Return the address without the login, as pilots receive it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtt' if self.tls is None else 'mqtts'}://{host}:{self.port}"


@dataclass(frozen=True)
class BusTimeouts:
    """Timeouts of a connection, and the random waits between its attempts (full jitter)."""

    connect_s: float = 10.0
    send_s: float = 10.0
    keepalive_s: int = 30
    back_off_first_s: float = 0.5
    back_off_max_s: float = 5.0  # short: one central reconnects, and all its wake-ups wait

    def longest_wait_s(self, failures: int) -> float:
        """Return the longest wait after this number of failures in a row."""
        return min(self.back_off_max_s, self.back_off_first_s * 2.0 ** min(failures - 1, 16))
