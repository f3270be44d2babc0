"""The stored bans of persons."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from pilotage.proto.problems import Code

from ...errors import Refused
from ...store.errors import StoreError
from ...store.records import Record
from ...store.session import Session

# Ends all sessions of an issuer's subject at a time for a reason; returns those that were open.
EndSessions = Callable[[Session, str, str, float, str], list[str]]

BANS_MAX: Final = 10_000  # in force at once: each process keeps them in memory


class TooManyBans(Refused, StoreError):
    """The limit of bans in force is reached. Lift some."""

    def __init__(self, most: int) -> None:
        why = f"{most} persons are banned, the maximum: lift bans that are no longer needed"
        super().__init__(Code.ILLEGAL_STATE, why)


class NewBan(Record, frozen=True, kw_only=True):
    """A ban to store."""

    issuer: str
    subject: str
    who: str  # shown name of the operator
    reason: str
    at: float  # wall clock


class BanRow(Record, frozen=True, kw_only=True):
    """A ban of a person. There is at most one for each (issuer, subject)."""

    ban_id: int
    issuer: str
    subject: str
    who: str
    reason: str
    at: float
    lifted_by: str = ""
    lifted_at: float | None = None  # None: in force
    released_at: float | None = None  # since then no job is held by the lifted ban

    @property
    def is_in_force(self) -> bool:
        return self.lifted_at is None


class IssuedRow(Record, frozen=True):
    """A valid token that a person has issued to another one."""

    jti: str
    subject: str
    expires_at: float


def put_ban(session: Session, new: NewBan) -> tuple[BanRow, bool]:
    """Ban a person. Return the ban in force, and whether it is new.

    A person who is banned already stays so, with the first reason. Raises TooManyBans.
    """
    person = {"issuer": new.issuer, "subject": new.subject}
    known = session.one("ban_of_person", person)
    if known is not None and (row := _ban_of(known)).is_in_force:
        return row, False
    if session.one("bans_in_force")[0] >= BANS_MAX:
        raise TooManyBans(BANS_MAX)
    is_new = session.run("put_ban", {**person, "who": new.who, "reason": new.reason, "at": new.at})
    return _ban_of(session.one("ban_of_person", person)), is_new.rowcount == 1


def put_ban_and_end(
    session: Session, new: NewBan, end_sessions: EndSessions
) -> tuple[BanRow, bool, list[str]]:
    """Ban a person as `put_ban` does, and end the person's sessions.

    Return the ban in force, whether it is new, and the sessions that were open.
    """
    row, is_new = put_ban(session, new)
    why = f"{new.subject} was banned"
    return row, is_new, end_sessions(session, new.issuer, new.subject, new.at, why)


def lift_ban(session: Session, ban_id: int, who: str, at: float) -> tuple[BanRow | None, bool]:
    """Lift a ban. Return it, or None if it does not exist, and whether it was in force."""
    lifted = session.run("lift_ban", {"ban_id": ban_id, "who": who, "at": at}).rowcount == 1
    found = session.one("ban", {"ban_id": ban_id})
    return (None if found is None else _ban_of(found)), lifted


def end_ban(session: Session, row: BanRow, at: float) -> bool:
    """Note that no job is held by a lifted ban. Return False if the person is banned again."""
    given = {"ban_id": row.ban_id, "lifted_at": row.lifted_at, "at": at}
    return session.run("end_ban", given).rowcount == 1


def ban_of_person(session: Session, issuer: str, subject: str) -> BanRow | None:
    """Return the ban of a person, in force or lifted, or None."""
    found = session.one("ban_of_person", {"issuer": issuer, "subject": subject})
    return None if found is None else _ban_of(found)


def bans(session: Session, *, lifted: bool, after: int, limit: int) -> list[BanRow]:
    """Return bans with numbers above `after`, in order. With `lifted`, lifted ones are included."""
    given = {"lifted": lifted, "after": after, "limit": limit}
    return [_ban_of(row) for row in session.rows("bans", given)]


def open_bans(session: Session) -> list[BanRow]:
    """Return the bans in force, and lifted ones that may still hold jobs."""
    return [_ban_of(row) for row in session.rows("open_bans")]


def open_bans_mark(session: Session) -> tuple[int, int, float]:
    """Return numbers that change when the result of `open_bans` changes."""
    count, lifted, moments = session.one("open_bans_mark")
    return count, lifted, moments


def forget_bans(session: Session, before: float, *, limit: int) -> int:
    """Delete at most `limit` bans that were lifted, with all jobs released, before `before`."""
    return session.run("forget_bans", {"before": before, "limit": limit}).rowcount


def is_person_known(session: Session, issuer: str, subject: str) -> bool:
    """Return whether a person has jobs, files, an issued token or a login here."""
    return bool(session.one("is_person_known", {"issuer": issuer, "subject": subject})[0])


def issuers_of_subject(session: Session, subject: str, *, limit: int) -> list[str]:
    """Return at most `limit` issuers of known persons with this subject, sorted."""
    given = {"subject": subject, "limit": limit}
    return [row[0] for row in session.rows("issuers_of_subject", given)]


def roles_of_person(session: Session, issuer: str, subject: str, *, now: float) -> list[str]:
    """Return the roles of a person's valid tokens."""
    given = {"issuer": issuer, "subject": subject, "now": now}
    return [row[0] for row in session.rows("roles_of_person", given)]


def tokens_issued_by(
    session: Session, issuer: str, subject: str, *, name: str, now: float, limit: int
) -> list[IssuedRow]:
    """Return at most `limit` valid tokens that a person has issued to others, newest end first.

    `name` is the person's name in lists, which tokens record.
    """
    given = {"issuer": issuer, "subject": subject, "name": name, "now": now, "limit": limit}
    rows = session.rows("tokens_issued_by", given)
    return [IssuedRow(jti=row[0], subject=row[1], expires_at=row[2]) for row in rows]


def _ban_of(row: Sequence[Any]) -> BanRow:
    return BanRow(**dict(zip(BanRow.__struct_fields__, row, strict=True)))
