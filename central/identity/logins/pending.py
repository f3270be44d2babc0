"""Logins that have begun and are not complete. The leader keeps them in its memory.

A login that a restart interrupts is begun again. Their number is bounded, because anybody may begin
one.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from pilotage.proto.api.logins import LoginTokens
from pilotage.proto.problems import Code

from ...errors import Refused
from ...ports import Clock, Randomness
from ..providers.people import ProvidedPerson
from ..sessions.rows import SessionKind

LOGIN_S: Final = 600.0  # for a person to confirm; a provider may allow less
PENDING_MAX: Final = 10_000
OF_ONE_ADDRESS_MAX: Final = 2_000  # a proxy has one address for everybody


class NoSuchLogin(Refused):
    """The login is unknown, or has expired."""

    def __init__(self) -> None:
        why = "this login does not exist or has expired: begin again"
        super().__init__(Code.NOT_FOUND, why, field="login")


@dataclass(kw_only=True)
class PendingLogin:
    """One login. `handle` is a secret of the client that began it."""

    handle: str
    provider: str
    kind: SessionKind
    address: str
    host: str
    ends_at: float  # monotonic
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    person: ProvidedPerson | None = None  # as soon as the provider has confirmed the login
    failed: Refused | None = None
    tokens: LoginTokens | None = None  # kept, so that a repeated claim gets the same answer

    # of the device flow
    is_device: bool = False
    device_code: str = ""
    interval_s: float = 0.0
    poll_at: float = 0.0  # monotonic: not before, at the provider

    # of the browser flow
    state: str = ""  # between the central and the provider
    nonce: str = ""
    verifier: str = ""
    browser: str = ""  # hash of the cookie of the browser that began it
    challenge: str = ""  # of the command that waits at the loopback address
    redirect: str = ""  # loopback address of a command, or a path of the portal
    reply_state: str = ""  # which the command expects back
    community: str = ""
    role: str = ""


class PendingLogins:
    """Finds pending logins by their handle, or by the state of a browser login."""

    def __init__(self, clock: Clock, randomness: Randomness) -> None:
        self._clock, self._randomness = clock, randomness
        self._logins: dict[str, PendingLogin] = {}
        self._states: dict[str, PendingLogin] = {}

    def add(
        self, provider: str, kind: SessionKind, *, address: str, host: str = ""
    ) -> PendingLogin:
        """Return a new login. Raises Refused, TOO_MANY."""
        self._sweep()
        of_addresses = Counter(one.address for one in self._logins.values())
        if len(self._logins) >= PENDING_MAX or of_addresses[address] >= OF_ONE_ADDRESS_MAX:
            raise Refused(Code.TOO_MANY, "too many logins are waiting: try again in some minutes")
        login = PendingLogin(
            handle=self._randomness.token(),
            provider=provider,
            kind=kind,
            address=address,
            host=host,
            ends_at=self._clock.monotonic() + LOGIN_S,
        )
        self._logins[login.handle] = login
        return login

    def expect(self, login: PendingLogin) -> None:
        """Draw the state and nonce of a browser login, by which its answer will be found."""
        login.state, login.nonce = self._randomness.token(), self._randomness.token()
        login.verifier = self._randomness.token(48)
        self._states[login.state] = login

    def find(self, handle: str) -> PendingLogin:
        """Return a login by its handle. Raises Refused, NOT_FOUND."""
        found = self._logins.get(handle)
        if found is None or self._clock.monotonic() >= found.ends_at:
            raise NoSuchLogin
        return found

    def arrived(self, state: str) -> PendingLogin | None:
        """Take the browser login of a state. Each state is found only once."""
        found = self._states.pop(state, None)
        if found is None or self._clock.monotonic() >= found.ends_at:
            return None
        return found

    def rename(self, login: PendingLogin) -> None:
        """Give a confirmed browser login a new handle, the code that its command receives."""
        self._logins.pop(login.handle, None)
        login.handle = self._randomness.token()
        self._logins[login.handle] = login

    def drop(self, login: PendingLogin) -> None:
        """Forget a login."""
        self._logins.pop(login.handle, None)
        self._states.pop(login.state, None)

    def _sweep(self) -> None:
        now = self._clock.monotonic()
        for login in [one for one in self._logins.values() if now >= one.ends_at]:
            self.drop(login)
