"""Where a broker is and who we are there."""

import ssl
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Address:
    """A broker and our login on it. The password stays out of every `repr`."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Return the address without the login, as pilots are told it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtt' if self.tls is None else 'mqtts'}://{host}:{self.port}"


@dataclass(frozen=True)
class BusTimeouts:
    """How long a connection waits, and how it spreads its attempts (full jitter)."""

    connect_s: float = 10.0
    send_s: float = 10.0
    keepalive_s: int = 30
    back_off_first_s: float = 0.5
    back_off_max_s: float = 5.0  # one central knocks at its broker, and all its wake-ups wait

    def longest_wait_s(self, failures: int) -> float:
        """Return the upper end of the wait after so many failures in a row."""
        return min(self.back_off_max_s, self.back_off_first_s * 2.0 ** min(failures - 1, 16))
