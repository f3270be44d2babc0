"""The tokens that a running attempt may ask for, from the description of its job."""

from typing import Protocol

import msgspec

from ..callers import AttemptCaller


class TokenWish(msgspec.Struct, frozen=True, kw_only=True):
    """A token of the owner of a job, for a service. Jobs with equal wishes share a token."""

    community: str
    issuer: str
    subject: str
    audience: str
    scopes: tuple[str, ...]


class TokenWishes(Protocol):
    """Knows the running attempts, and the tokens that their jobs ask for."""

    async def find(self, caller: AttemptCaller, name: str) -> TokenWish:
        """Return the wish of this name.

        Raises Refused: FORBIDDEN if the attempt is not its job's newest, or does not run; NOT_FOUND
        if the job asks for no such token.
        """
        ...
