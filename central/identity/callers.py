"""The kinds of callers. A caller is made from a verified token and passed to every service."""

import msgspec

from pilotage.proto.claims import Role


class Anonymous(msgspec.Struct, frozen=True):
    """A caller without a token."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person, or a program that uses the person's token."""

    issuer: str
    subject: str
    name: str
    community: str  # empty: all (operators and admins of the whole installation)
    groups: tuple[str, ...]
    role: Role
    expires_at: float
    jti: str
    session: str = ""  # of a login; empty: a token that was issued by hand

    @property
    def revocable(self) -> str:
        """The id by which the caller's token is revoked: of its session, else its own."""
        return self.session or self.jti


class PilotCaller(msgspec.Struct, frozen=True, kw_only=True):
    """A pilot. Site, element and community are those of its token, never those of a message."""

    pilot: str
    community: str
    site: str
    element: str


class AttemptCaller(msgspec.Struct, frozen=True, kw_only=True):
    """A running attempt. It may fetch its inputs, upload its outputs and send its log."""

    job: int
    epoch: int
    attempt_id: int
    community: str


Caller = Anonymous | User | PilotCaller | AttemptCaller
