"""The leader row: who may write to a store that several processes share (PROTOCOL C11).

A row stands for a shard. Its end is on the database's clock; a holder measures on its own, from
before it sent, so that it stops before the row is over, however slow the way is. Each take-over
raises the term by one, and what a leader writes is fenced by its holder and its term.
"""

from dataclasses import dataclass
from typing import Final, Protocol

SHARD: Final = "all"  # one queue: all communities


@dataclass(frozen=True)
class Lead:
    """The row, as it was read or written."""

    shard: str
    term: int
    holder: str  # of one life of a process
    url: str  # where other processes reach the holder
    left_s: float = 0.0  # of the row, on the database's clock, when it was read


class Leaders(Protocol):
    """The verbs on leader rows. All raise StoreError where the database did not answer in time.

    They go over a connection of their own, never behind what a central writes. After an error it
    is unknown whether the verb had its effect.
    """

    answered: bool  # whether the database has let this process in: it is the right one, if slow

    async def take_lead(self, shard: str, holder: str, url: str, lease_s: float) -> Lead | None:
        """Take the row if it is free or over, with the next term; None: another holds it.

        What the holder before has under way is ended first: it writes nothing any more.
        Raises WrongRelease, whoever holds it: this process could not lead.
        """
        ...

    async def renew_lead(self, lead: Lead, lease_s: float) -> bool:
        """Hold the row for `lease_s` from now; False: it is another's."""
        ...

    async def lead(self, shard: str) -> Lead | None:
        """Return the row while it is held; None: nobody leads."""
        ...

    async def give_up_lead(self, lead: Lead) -> bool:
        """End the row at once, so that a standby need not wait; False: it is another's."""
        ...

    async def close(self) -> None: ...
