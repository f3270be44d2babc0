"""The stored sessions of people who logged in through an identity provider."""

import enum
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from ...store.records import Record
from ...store.session import Session, json_list
from ..lists import FIRST_PAGE, PageStart

GRANT_KEPT_S: Final = 30 * 86_400.0  # for unfinished jobs, after the time of a session

# Takes a community, an issuer and a subject: whether unfinished jobs of this person get tokens.
UsedByJobs = Callable[[Session, str, str, str], bool]

_words: Final = msgspec.json.Decoder(tuple[str, ...])


class SessionKind(str, enum.Enum):
    """The holder of a session: a command with a renewal secret, or a browser with a cookie."""

    COMMAND = "command"
    BROWSER = "browser"


class LoginSession(Record, frozen=True, kw_only=True):
    """One session. Times are of the wall clock."""

    session: str
    kind: SessionKind
    provider: str
    issuer: str
    subject: str
    name: str
    email: str
    community: str
    groups: tuple[str, ...]
    role: str
    host: str
    address: str
    created_at: float
    ends_at: float
    used_at: float
    checked_at: float
    renewals: int = 1
    nonce: str = ""
    renewed_at: float = 0.0
    refresh: str = ""
    cookie: str = ""
    ended_at: float | None = None
    ended_why: str = ""


def add_session(session: Session, row: LoginSession) -> None:
    """Store a new session, and how to reach its person."""
    session.run("insert_login_session", _fields(row))
    session.run("keep_person", _fields(row))


def session_of(session: Session, name: str) -> LoginSession | None:
    """Return a session by its id, or None."""
    found = session.one("login_session", {"session": name})
    return None if found is None else _row(found)


def session_of_cookie(session: Session, cookie: str) -> LoginSession | None:
    """Return the session of a cookie's hash, or None."""
    found = session.one("login_session_of_cookie", {"cookie": cookie})
    return None if found is None else _row(found)


def sessions(
    session: Session,
    community: str | None,
    person: tuple[str, str] = ("", ""),
    *,
    others: bool = True,
    before: PageStart = FIRST_PAGE,
    limit: int,
) -> list[LoginSession]:
    """Return sessions, newest first: all of a person (issuer, subject), and `others`.

    The others are those of one community; None means all. `before` is the time of creation and the
    id of the last session on the previous page.
    """
    issuer, subject = person
    fields = {
        "others": others,
        "community": community,
        "issuer": issuer,
        "subject": subject,
        "created_at": before[0],
        "before": before[1],
        "limit": limit,
    }
    return [_row(found) for found in session.rows("login_sessions", fields)]


def providers_of_browsers(
    session: Session, now: float, used_after: float, checked_before: float, *, limit: int
) -> list[str]:
    """Return the providers with sessions that `browsers_in_use` returns, in order."""
    fields = {"now": now, "used_after": used_after, "checked_before": checked_before}
    return [row[0] for row in session.rows("providers_of_browsers", {**fields, "limit": limit})]


def browsers_in_use(
    session: Session,
    now: float,
    used_after: float,
    checked_before: float,
    provider: str,
    *,
    limit: int,
) -> list[LoginSession]:
    """Return sessions of browsers that are in use and that the provider has to confirm again."""
    fields = {
        "now": now,
        "used_after": used_after,
        "checked_before": checked_before,
        "provider": provider,
        "limit": limit,
    }
    return [_row(found) for found in session.rows("browser_sessions_in_use", fields)]


def open_sessions(session: Session, issuer: str, subject: str, now: float) -> int:
    """Count the sessions of a person that have not ended."""
    named = {"issuer": issuer, "subject": subject, "now": now}
    count: int = session.one("open_login_sessions", named)[0]
    return count


def has_grant(session: Session, issuer: str, subject: str) -> bool:
    """Return whether a person has a session, open or not, with a refresh token."""
    named = {"issuer": issuer, "subject": subject}
    return session.one("login_grant_of_person", named) is not None


def renew(session: Session, name: str, renewals: int, nonce: str, at: float) -> bool:
    """Store that secret `renewals - 1` was used. Return False if it was not the valid one."""
    fields = {
        "session": name,
        "renewals": renewals,
        "nonce": nonce,
        "renewed_at": at,
        "used_at": at,
    }
    return session.run("renew_login_session", fields).rowcount == 1


def keep_check(session: Session, row: LoginSession) -> bool:
    """Store what the provider confirmed; return False if the session has ended."""
    fields = _fields(row)
    if session.run("check_login_session", fields).rowcount != 1:
        return False
    session.run("keep_person", fields)
    return True


def use(session: Session, name: str, at: float) -> None:
    """Note that a session is in use."""
    session.run("use_login_session", {"session": name, "used_at": at})


def end(session: Session, name: str, at: float, why: str) -> bool:
    """End a session, and forget its refresh token. Return False if it had ended before."""
    return session.run("end_login_session", {"session": name, "at": at, "why": why}).rowcount == 1


def end_all_of(session: Session, issuer: str, subject: str, at: float, why: str) -> list[str]:
    """End all sessions of a person for good; return those that were open."""
    person = {"issuer": issuer, "subject": subject}
    names = [row[0] for row in session.rows("open_login_sessions_of_person", person)]
    session.run("end_login_sessions_of_person", {**person, "at": at, "why": why})
    return names


def end_for_person(
    session: Session, row: LoginSession, at: float, why: str, *, is_used: UsedByJobs
) -> bool:
    """End a session; return whether its refresh token stays, for jobs that get tokens by it."""
    stays = bool(row.refresh) and is_used(session, row.community, row.issuer, row.subject)
    statement = "end_login_session_only" if stays else "end_login_session"
    session.run(statement, {"session": row.session, "at": at, "why": why})
    return stays


def keep_grant(session: Session, name: str, refresh: str) -> bool:
    """Store the next refresh token of a session; return False if the session gives none now."""
    fields = {"session": name, "refresh": refresh}
    return session.run("keep_login_grant", fields).rowcount == 1


def drop_grant(session: Session, name: str, now: float) -> bool:
    """Forget the refresh token of a session that is over; return whether there was one."""
    return session.run("drop_login_grant", {"session": name, "now": now}).rowcount == 1


def grants(
    session: Session, community: str, issuer: str, subject: str, now: float, *, limit: int
) -> list[LoginSession]:
    """Return the newest sessions of a person that can give tokens to jobs.

    They may have ended, and their time may be over since less than GRANT_KEPT_S.
    """
    fields = {
        "community": community,
        "issuer": issuer,
        "subject": subject,
        "over_after": now - GRANT_KEPT_S,
        "limit": limit,
    }
    return [_row(found) for found in session.rows("login_grants", fields)]


def gives_tokens(session: Session, name: str, now: float) -> bool:
    """Return whether a session has a refresh token for jobs, even if it is over for its person."""
    row = session_of(session, name)
    return row is not None and bool(row.refresh) and now < row.ends_at + GRANT_KEPT_S


def useless_grants(
    session: Session, now: float, *, is_used: UsedByJobs, after: str, limit: int
) -> tuple[list[LoginSession], str]:
    """Look at `limit` sessions that are over and have a refresh token, with ids above `after`.

    Return those that no unfinished job may use, and the id to continue after; empty at the end.
    """
    fields = {"now": now, "after": after, "limit": limit}
    kept = [_row(found) for found in session.rows("kept_login_grants", fields)]
    useless = [
        row
        for row in kept
        if now >= row.ends_at + GRANT_KEPT_S
        or not is_used(session, row.community, row.issuer, row.subject)
    ]
    return useless, kept[-1].session if len(kept) == limit else ""


def ended(session: Session, after: float) -> list[tuple[str, float]]:
    """Return (session, time of its end) of sessions that ended after `after`."""
    return [(name, at) for name, at in session.rows("ended_login_sessions", {"after": after})]


def ended_mark(session: Session, after: float) -> tuple[int, float]:
    """Return a pair of numbers that changes when the result of `ended` changes."""
    count, moments = session.one("ended_login_sessions_mark", {"after": after})
    return count, moments


def prune(session: Session, before: float, *, limit: int) -> int:
    """Remove at most `limit` sessions whose time was over before `before`; return the number.

    Sessions with a refresh token stay.
    """
    old = [row[0] for row in session.rows("old_login_sessions", {"before": before, "limit": limit})]
    session.run("remove_login_sessions", {"sessions": json_list(old)})
    return len(old)


def _fields(row: LoginSession) -> dict[str, Any]:
    fields = msgspec.structs.asdict(row)
    fields["kind"] = row.kind.value
    fields["groups"] = msgspec.json.encode(row.groups).decode()
    return fields


def _row(found: Sequence[Any]) -> LoginSession:
    names = LoginSession.__struct_fields__
    fields = dict(zip(names, found, strict=True))
    fields["kind"], fields["groups"] = SessionKind(fields["kind"]), _words.decode(fields["groups"])
    return LoginSession(**fields)
