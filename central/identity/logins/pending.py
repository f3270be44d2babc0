"""Unfinished logins, in the memory of the leader.

After a restart of the leader, people begin them again. Their number is bounded, because beginning
one needs no token. The two flows have bounds of their own, so that one cannot block the other.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pilotage.proto.api.logins import LoginTokens
from pilotage.proto.problems import Code

from ...anonymous_connections import network_of
from ...errors import Refused
from ...ports import Clock, Randomness
from ..providers.people import ProvidedPerson
from ..sessions.rows import SessionKind

LOGIN_S: Final = 600.0  # for a person to confirm; a provider may allow less
PENDING_MAX: Final = 10_000  # of each flow
OF_ONE_ADDRESS_MAX: Final = 2_000  # a proxy has one address for everybody


class NoSuchLogin(Refused):
    """The login is unknown, or has expired."""

    def __init__(self) -> None:
        why = "this login does not exist or has expired: begin again"
        super().__init__(Code.NOT_FOUND, why, field="login")


@dataclass(kw_only=True)
class PendingLogin:
    """One login. `handle` is a secret that only the client that began it knows."""

    handle: str
    provider: str
    kind: SessionKind
    address: str
    host: str
    is_device: bool = False  # of the device flow; else of the browser flow
    ends_at: float  # monotonic
    person: ProvidedPerson | None = None  # as soon as the provider has confirmed the login
    refresh: str = ""  # a refresh token that no session keeps yet
    failed: Refused | None = None
    refused: str = ""  # why the person gets no access; already logged
    tokens: LoginTokens | None = None  # for a repeated claim, which gets the same answer

    # of the device flow
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
    reply_state: str = ""  # the state that the command expects
    community: str = ""
    role: str = ""


class _Flow:
    """The logins of one flow, oldest first, and their number for each network."""

    def __init__(self) -> None:
        self.logins: dict[int, PendingLogin] = {}  # by the id of the object: handles change
        self.of_network: Counter[str] = Counter()

    def is_full(self, address: str) -> bool:
        is_full = len(self.logins) >= PENDING_MAX
        return is_full or self.of_network[network_of(address)] >= OF_ONE_ADDRESS_MAX

    def add(self, login: PendingLogin) -> None:
        self.logins[id(login)] = login
        self.of_network[network_of(login.address)] += 1

    def drop(self, login: PendingLogin) -> None:
        if self.logins.pop(id(login), None) is None:
            return
        network = network_of(login.address)
        self.of_network[network] -= 1
        if not self.of_network[network]:
            del self.of_network[network]

    def oldest(self) -> PendingLogin | None:
        return next(iter(self.logins.values()), None)


class PendingLogins:
    """Finds pending logins by their handle, or by the state of a browser login."""

    def __init__(
        self, clock: Clock, randomness: Randomness, unused: Callable[[PendingLogin], None]
    ) -> None:
        """`unused` takes a dropped login whose refresh token no session keeps."""
        self._clock, self._randomness, self._unused = clock, randomness, unused
        self._handles: dict[str, PendingLogin] = {}
        self._states: dict[str, PendingLogin] = {}
        self._sessions: dict[str, PendingLogin] = {}  # of claimed logins
        self._device_flow, self._browser_flow = _Flow(), _Flow()

    def add(
        self,
        provider: str,
        kind: SessionKind,
        *,
        address: str,
        is_device: bool = False,
        host: str = "",
    ) -> PendingLogin:
        """Return a new login. Raises Refused, TOO_MANY."""
        flow = self._device_flow if is_device else self._browser_flow
        self._sweep(flow)
        if flow.is_full(address):
            raise Refused(Code.TOO_MANY, "too many logins are waiting: try again in some minutes")
        login = PendingLogin(
            handle=self._randomness.token(),
            provider=provider,
            kind=kind,
            address=address,
            host=host,
            is_device=is_device,
            ends_at=self._clock.monotonic() + LOGIN_S,
        )
        self._handles[login.handle] = login
        flow.add(login)
        return login

    def expect(self, login: PendingLogin) -> None:
        """Make the state and nonce of a browser login. `arrived` finds the login by its state."""
        login.state, login.nonce = self._randomness.token(), self._randomness.token()
        login.verifier = self._randomness.token(48)
        self._states[login.state] = login

    def find(self, handle: str) -> PendingLogin:
        """Return a login by its handle. Raises Refused, NOT_FOUND."""
        found = self._handles.get(handle)
        if found is None or self._clock.monotonic() >= found.ends_at:
            raise NoSuchLogin
        return found

    def arrived(self, state: str) -> PendingLogin | None:
        """Return the browser login of a state, only once for each state; None if there is none."""
        found = self._states.pop(state, None)
        if found is None or self._clock.monotonic() >= found.ends_at:
            return None
        return found

    def rename(self, login: PendingLogin) -> None:
        """Give a confirmed browser login a new handle, the code that its command receives.

        Raises Refused, NOT_FOUND, if the login has ended meanwhile.
        """
        if self._handles.pop(login.handle, None) is None:
            raise NoSuchLogin
        login.handle = self._randomness.token()
        self._handles[login.handle] = login

    def claimed(self, login: PendingLogin, tokens: LoginTokens) -> None:
        """Keep the tokens of a login, until their first renewal or the end of the login."""
        login.tokens = tokens
        if login.handle in self._handles:  # it may have ended meanwhile
            self._sessions[tokens.session] = login

    def renewed(self, session: str) -> None:
        """Forget the login of a session: its client has the tokens, and asks for them no more."""
        login = self._sessions.get(session)
        if login is not None:
            self.drop(login)

    def drop(self, login: PendingLogin) -> None:
        """Forget a login."""
        self._handles.pop(login.handle, None)
        self._states.pop(login.state, None)
        if login.tokens is not None:
            self._sessions.pop(login.tokens.session, None)
        (self._device_flow if login.is_device else self._browser_flow).drop(login)
        if login.refresh:
            self._unused(login)
            login.refresh = ""

    def sweep(self) -> None:
        """Drop the logins that have ended."""
        self._sweep(self._device_flow)
        self._sweep(self._browser_flow)

    def _sweep(self, flow: _Flow) -> None:
        """Drop the oldest logins of a flow that have ended. All last equally long or less."""
        now = self._clock.monotonic()
        while (login := flow.oldest()) is not None and now >= login.ends_at:
            self.drop(login)
