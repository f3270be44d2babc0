"""The tokens that a running attempt may fetch, from the description of its job."""

from typing import Protocol

import msgspec

from ..callers import AttemptCaller


class RequestedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token of a job's owner, for a service. Jobs with equal requests share a token."""

    community: str
    issuer: str
    subject: str
    audience: str
    scopes: tuple[str, ...]


class RequestedTokens(Protocol):
    """Knows the running attempts, and the tokens that their jobs request."""

    async def find(self, caller: AttemptCaller, name: str) -> RequestedToken:
        """Return the token that the job of an attempt requests under this name.

        Raises Refused: FORBIDDEN if the attempt is not its job's newest, or does not run; NOT_FOUND
        if the job requests no such token.
        """
        ...
