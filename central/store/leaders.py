"""The leader row: it says who may write to a store that several processes share (PROTOCOL C11).

Each shard has a row. Its end is on the database's clock. The holder measures with its own clock,
from before it sent the request, so it stops before the row ends, however slow the network is. Each
take-over raises the term by one. The leader's writes are fenced by its holder and its term.
"""

from dataclasses import dataclass
from typing import Final, Protocol

SHARD: Final = "all"  # one queue: all communities


@dataclass(frozen=True)
class Lead:
    """The leader row as it was read or written."""

    shard: str
    term: int
    holder: str  # a process, in one life
    url: str  # the holder's address for other processes
    left_s: float = 0.0  # until the row ends, on the database's clock, when it was read


class Leaders(Protocol):
    """The verbs on leader rows. All raise StoreError if the database does not answer in time.

    They use a connection of their own, so they never wait for the central's writes. After an error
    it is unknown whether the verb had its effect.
    """

    answered: bool  # whether the database has accepted a login of this process

    async def take_lead(self, shard: str, holder: str, url: str, lease_s: float) -> Lead | None:
        """Take the row with the next term if it is free or over. Return None if another holds it.

        Transactions of the earlier holder are ended first, so that it writes no more. Raises
        WrongRelease even if another process holds the row, since this process could not lead.
        """
        ...

    async def renew_lead(self, lead: Lead, lease_s: float) -> bool:
        """Extend the row to `lease_s` from now. Return False if another process holds it."""
        ...

    async def lead(self, shard: str) -> Lead | None:
        """Return the row while it is held, or None if no process leads."""
        ...

    async def give_up_lead(self, lead: Lead) -> bool:
        """End the row at once, so that a standby need not wait. False: another process holds it."""
        ...

    async def close(self) -> None: ...
