"""The bans that a process knows. Every process reads changes of others each second."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from ...store.engine import Store
from ...store.session import Session
from ..callers import User
from ..errors import Banned
from ..record_types import shown
from . import record as ban_records
from .record import BanRow, EndSessions, NewBan


class Person(NamedTuple):
    """A person in all communities."""

    issuer: str
    subject: str


def is_of(person: Person, caller: object) -> bool:
    """Return whether a caller is this person."""
    return isinstance(caller, User) and (caller.issuer, caller.subject) == person


def no_sessions(session: Session, issuer: str, subject: str, at: float, why: str) -> list[str]:
    """End nothing: the person has no sessions."""
    return []


class BanList:
    """The bans in force, and lifted bans that may still hold jobs.

    Reads and changes take turns, so that a read that began before a change does not undo it.
    """

    def __init__(self, store: Store, local_issuer: str) -> None:
        self._store, self._local = store, local_issuer
        self._rows: dict[Person, BanRow] = {}
        self._mark = (0, 0, 0.0)
        self._changing = asyncio.Lock()
        self._subscribers: list[Callable[[Person], None]] = []

    def subscribe(self, banned: Callable[[Person], None]) -> None:
        """Call `banned` for each person as soon as this process knows the ban."""
        self._subscribers.append(banned)

    # -- read -----------------------------------------------------------------------------------

    def find(self, issuer: str, subject: str) -> BanRow | None:
        """Return the ban of a person if it is in force, else None."""
        row = self._rows.get(Person(issuer, subject))
        return row if row is not None and row.is_in_force else None

    def check(self, issuer: str, subject: str) -> None:
        """Raise Banned if the person is banned."""
        if self._rows:
            row = self.find(issuer, subject)
            if row is not None:
                person = shown(issuer, subject, self._local)
                raise Banned(person, row.at, who=row.who, reason=row.reason)

    def open(self) -> tuple[BanRow, ...]:
        """Return the bans in force, and lifted ones that may still hold jobs."""
        return tuple(self._rows.values())

    async def load(self) -> None:
        """Read the bans from the store, if they changed since the last call."""
        async with self._changing:
            mark = await self._store.read(ban_records.open_bans_mark)
            if mark == self._mark:
                return
            rows = await self._store.read(ban_records.open_bans)
            before, self._rows = self._rows, {_person(row): row for row in rows}
            for person, row in self._rows.items():
                if row.is_in_force and before.get(person) != row:
                    self._publish(person)
            self._mark = mark

    # -- change ---------------------------------------------------------------------------------

    async def ban(
        self, new: NewBan, end_sessions: EndSessions = no_sessions
    ) -> tuple[BanRow, bool, list[str]]:
        """Ban a person, and end the person's sessions in the same transaction. Raises Refused.

        Return the ban in force, whether it is new, and the sessions that were open.
        """
        async with self._changing:
            row, is_new, ended = await self._store.write(
                ban_records.put_ban_and_end, new, end_sessions
            )
            self._rows[_person(row)] = row
            self._publish(_person(row))
        return row, is_new, ended

    async def lift(self, ban_id: int, who: str, at: float) -> tuple[BanRow | None, bool]:
        """Lift a ban. Return it, or None if it does not exist, and whether it was in force."""
        async with self._changing:
            row, was_in_force = await self._store.write(ban_records.lift_ban, ban_id, who, at)
            if row is not None and row.released_at is None:
                self._rows[_person(row)] = row
        return row, was_in_force

    async def end(self, row: BanRow, at: float) -> bool:
        """Note that a lifted ban holds no job. Return False if the person is banned again."""
        async with self._changing:
            is_over = await self._store.write(ban_records.end_ban, row, at)
            if is_over and self._rows.get(_person(row)) == row:
                del self._rows[_person(row)]
        return is_over

    def _publish(self, person: Person) -> None:
        for banned in self._subscribers:
            banned(person)


def _person(row: BanRow) -> Person:
    return Person(row.issuer, row.subject)
