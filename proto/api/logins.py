"""Messages of logins through an identity provider, and of the sessions that they open."""

import enum
from typing import Annotated

from msgspec import Meta

from ..claims import Role
from .bodies import ReplyStruct, RequestStruct

_Secret = Annotated[str, Meta(min_length=1, max_length=512)]
_Line = Annotated[str, Meta(max_length=128)]


class ProviderView(ReplyStruct, frozen=True):
    """An identity provider at which people can log in."""

    name: str
    title: str
    issuer: str
    device: bool  # whether it has the device flow, which needs no browser on the same machine


class Providers(ReplyStruct, frozen=True):
    providers: list[ProviderView]


class DeviceStart(RequestStruct, frozen=True):
    """Begin a login that a person confirms in a browser on any device (RFC 8628)."""

    host: _Line  # the machine that asks, for the list of sessions
    provider: _Line = ""  # may be empty if there is only one


class DeviceStarted(ReplyStruct, frozen=True):
    """The address to open. `login` is a secret: its holder gets the tokens."""

    login: str
    provider: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str  # contains the code; empty if the provider has none
    expires_in_s: float
    interval_s: float  # between two polls


class LoginClaim(RequestStruct, frozen=True):
    """Ask for the tokens of a login. `community` and `role` choose among several rights."""

    login: _Secret
    community: _Line = ""
    role: Role | None = None


class CodeClaim(RequestStruct, frozen=True):
    """Exchange the code of a browser login for tokens (RFC 7636: the verifier proves the start)."""

    code: _Secret
    verifier: Annotated[str, Meta(min_length=43, max_length=128)]
    community: _Line = ""
    role: Role | None = None
    host: _Line = ""


class LoginTokens(ReplyStruct, frozen=True):
    """A session: its access token, and the secret that renews it once."""

    token: str
    expires_in_s: float
    renewal: str
    session: str
    session_ends_at: str
    provider: str
    subject: str
    name: str
    community: str
    groups: tuple[str, ...]
    role: Role


class LoginState(str, enum.Enum):
    """The state of a login that was begun."""

    PENDING = "pending"  # nobody has confirmed it yet
    DONE = "done"


class LoginPoll(ReplyStruct, frozen=True):
    """The answer to a `LoginClaim`."""

    state: LoginState
    interval_s: float = 0.0  # until the next poll
    tokens: LoginTokens | None = None


class Renewal(RequestStruct, frozen=True):
    """Renew a session. The same secret with the same nonce gets the same answer."""

    renewal: _Secret
    nonce: Annotated[str, Meta(min_length=16, max_length=128)]


class SessionEnd(RequestStruct, frozen=True):
    """Log out: end the session of this renewal secret."""

    renewal: _Secret
    new: Annotated[str, Meta(max_length=512)] = ""  # secret of a login that replaces the session


class SessionView(ReplyStruct, frozen=True):
    """A session of a person, without its secrets."""

    session: str
    kind: str  # command or browser
    provider: str
    subject: str
    name: str
    email: str  # verified by the provider, or empty
    community: str
    groups: tuple[str, ...]
    role: Role
    host: str  # as the machine that logged in named itself
    address: str  # from which the login came
    created_at: str
    used_at: str
    checked_at: str  # when the provider last confirmed the groups
    ends_at: str
    ended: str = ""  # why it has ended; empty: it has not
    person: str = ""  # SUBJECT@ISSUER, as `pilotage ban` takes it


class Sessions(ReplyStruct, frozen=True):
    """A page of sessions, newest first."""

    sessions: list[SessionView]
    after: str | None = None
