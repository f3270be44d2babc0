"""Who is calling: made from a verified token by `auth`, handed to every service."""

import msgspec

from pilotage.proto.claims import Role


class Anonymous(msgspec.Struct, frozen=True):
    """No token."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person or their program."""

    issuer: str
    subject: str
    name: str
    community: str  # empty: all (operators and admins of the whole installation)
    groups: tuple[str, ...]
    role: Role
    expires_at: float
    jti: str


class PilotCaller(msgspec.Struct, frozen=True, kw_only=True):
    """A pilot, by its token. Site, element, community are the token's, never the message's."""

    pilot: str
    community: str
    site: str
    element: str


class AttemptCaller(msgspec.Struct, frozen=True, kw_only=True):
    """A running attempt: may fetch its inputs, upload its outputs and send its log."""

    job: int
    epoch: int
    attempt_id: int
    community: str


Caller = Anonymous | User | PilotCaller | AttemptCaller
