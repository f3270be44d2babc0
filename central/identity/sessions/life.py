"""The life of sessions: a login opens them, they are renewed, and they end.

A session gives access tokens that live for minutes, and a renewal secret that is valid once. A
client writes a nonce to its disk before it renews; the same secret with the same nonce gets the
same answer, so the session survives a lost answer. A used secret with another nonce ends the
session: it was copied. Within a minute of a renewal, a second use is allowed, because two processes
of one person may share a file without a lock. It ends the session if it comes later, or if
SHARED_MAX renewals in a row had one: then two machines keep step with copies of one file.
"""

import contextlib
from functools import partial
from typing import Final, Protocol

import msgspec

from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.api.logins import LoginTokens, Sessions
from pilotage.proto.claims import Role
from pilotage.proto.problems import Code

from ...bounded_cache import BoundedCache
from ...errors import Refused
from ...observe.events import Log
from ...observe.times import shown
from ...ports import Clock, Randomness
from ...store.engine import Store
from ...store.errors import StoreFull
from .. import lists
from ..bans.ban_list import BanList
from ..callers import User
from ..errors import BadToken, Banned, LoginEnded
from ..policy import Permission, Reach, require
from ..providers.mapping import Membership
from ..providers.people import ProvidedPerson
from ..secret_hashes import hashed
from . import listing, rows as session_rows
from .confirmations import UNCHECKED_S, Confirmations
from .endings import EndedSessions, SessionEndings
from .grants import Grants
from .rows import LoginSession, SessionKind
from .session_work import NoWorkNow, SessionWork

COMMAND_S: Final = 30 * 86_400.0
BROWSER_S: Final = 86_400.0
BROWSER_IDLE_S: Final = 8 * 3_600.0
TOLERATED_S: Final = 60.0  # for a second use of a renewal secret with another nonce
SHARED_MAX: Final = 3  # renewals in a row with such a second use
SHARING_MAX: Final = 10_000  # sessions with such renewals, in memory
OPEN_MAX: Final = 200  # sessions of one person
PREFIX: Final = "ps1."


class SessionTokens(EndedSessions, Protocol):
    """Makes the tokens and the renewal secrets of sessions."""

    def session_token(self, row: LoginSession) -> tuple[str, float]:
        """Return an access token of the session, and its life in seconds."""
        ...

    def numbered_secret(self, pilot: str, number: int) -> str: ...
    def secret_number(self, pilot: str, secret: str) -> int | None: ...


class SessionHolder(msgspec.Struct, frozen=True, kw_only=True):
    """The command or browser that holds a session, as its login describes it."""

    kind: SessionKind
    host: str
    address: str
    cookie: str = ""  # hash of the cookie of a browser


class _Shared(msgspec.Struct, frozen=True):
    """The last renewal of a session with a second use, and how many in a row had one."""

    number: int
    in_row: int


class LoginSessions:
    """Opens, renews, lists and ends sessions. Only the leader does."""

    def __init__(
        self,
        *,
        store: Store,
        tokens: SessionTokens,
        bans: BanList,
        grants: Grants,
        endings: SessionEndings,
        confirmations: Confirmations,
        work: SessionWork,
        clock: Clock,
        randomness: Randomness,
        log: Log,
    ) -> None:
        self._store, self._tokens, self._bans = store, tokens, bans
        self._grants, self._endings, self._confirmations = grants, endings, confirmations
        self._work, self._clock, self._randomness, self._log = work, clock, randomness, log
        self._shared = BoundedCache[str, _Shared](SHARING_MAX)

    # -- open and renew --------------------------------------------------------------------------

    async def open(
        self, provider: str, person: ProvidedPerson, rights: Membership, holder: SessionHolder
    ) -> LoginSession:
        """Store a new session. Raises Banned; Refused, TOO_MANY."""
        self._bans.check(person.issuer, person.subject)
        now = self._clock.wall()
        name = self._randomness.token(18).replace("-", "_")  # a command takes it as an argument
        many = await self._store.read(
            session_rows.open_sessions, person.issuer, person.subject, now
        )
        if many >= OPEN_MAX:
            why = f"you have {many} sessions: end some with `pilotage session end`"
            raise Refused(Code.TOO_MANY, why)
        life_s = BROWSER_S if holder.kind is SessionKind.BROWSER else COMMAND_S
        row = LoginSession(
            session=name,
            kind=holder.kind,
            provider=provider,
            issuer=person.issuer,
            subject=person.subject,
            name=person.name,
            email=person.email,
            community=rights.community,
            groups=rights.groups,
            role=rights.role.value,
            host=holder.host,
            address=holder.address,
            created_at=now,
            ends_at=now + (life_s if person.refresh else min(life_s, UNCHECKED_S)),
            used_at=now,
            checked_at=now,
            renewed_at=now,
            refresh=self._grants.sealed(person.refresh, name),
            cookie=holder.cookie,
        )
        await self._store.write(session_rows.add_session, row)
        await self._end_if_banned(row)
        self._log(
            "login",
            person=person.subject,
            provider=provider,
            community=rights.community,
            role=rights.role.value,
            kind=holder.kind.value,
            address=holder.address,
        )
        return row

    async def _end_if_banned(self, row: LoginSession) -> None:
        """End a new session if its person was banned while it was stored. Raises Banned."""
        await self._bans.load()
        try:
            self._bans.check(row.issuer, row.subject)
        except Banned:
            await self._endings.end(row, f"{row.subject} was banned", at_provider=True)
            raise

    def tokens_of(self, row: LoginSession) -> LoginTokens:
        """Return an access token and the valid renewal secret of a session."""
        token, life_s = self._tokens.session_token(row)
        secret = self._tokens.numbered_secret(_secret_name(row.session), row.renewals)
        return LoginTokens(
            token=token,
            expires_in_s=life_s,
            renewal=f"{PREFIX}{row.session}:{secret}",
            session=row.session,
            session_ends_at=shown(row.ends_at),
            provider=row.provider,
            subject=row.subject,
            name=row.name,
            community=row.community,
            groups=row.groups,
            role=Role(row.role),
        )

    async def renew(self, renewal: str, nonce: str, *, address: str = "") -> LoginTokens:
        """Use a renewal secret from an address. Raises BadToken, LoginEnded, Banned."""
        name, number = self._read(renewal)
        work = partial(self._renew, name, number, hashed(nonce), address)
        return await self._work.alone(name, work)

    async def _renew(self, name: str, number: int, mark: str, address: str) -> LoginTokens:
        """Use secret `number` of a session. `mark` is the hash of the nonce."""
        row = await self._open_row(name, number)
        self._bans.check(row.issuer, row.subject)
        if number == row.renewals - 1 and (
            mark == row.nonce or self._is_tolerated(row, number, address)
        ):
            return self.tokens_of(row)
        if number != row.renewals:
            self._log("renewal_replayed", person=row.subject, session=name, host=row.host)
            why = "its renewal secret was used twice, so it may have been copied"
            raise await self._endings.end(row, why)
        row = await self._confirmations.confirmed(row)
        at = self._clock.wall()
        if not await self._store.write(session_rows.renew, name, number + 1, mark, at):
            raise BadToken  # another process leads, and has used it
        return self.tokens_of(
            msgspec.structs.replace(row, renewals=number + 1, nonce=mark, renewed_at=at)
        )

    def _is_tolerated(self, row: LoginSession, number: int, address: str) -> bool:
        """Return whether a second use of secret `number`, with another nonce, is allowed.

        Many processes that share a file may use a secret at once; that counts once.
        """
        if self._clock.wall() >= row.renewed_at + TOLERATED_S:
            return False
        last = self._shared.get(row.session)
        if last is not None and last.number == number:
            return last.in_row <= SHARED_MAX
        in_row = last.in_row + 1 if last is not None and last.number == number - 1 else 1
        self._shared[row.session] = _Shared(number, in_row)
        self._log(
            "renewal_shared",
            person=row.subject,
            session=row.session,
            host=row.host,
            address=address,
        )
        return in_row <= SHARED_MAX

    async def replace(self, cookie: str, new: LoginSession) -> None:
        """End the session that the browser had before `new`. `cookie` is the hash of its cookie.

        If that is not possible now, the old session ends by its time.
        """
        with contextlib.suppress(NoWorkNow, StoreFull):
            old = await self._store.read(session_rows.session_of_cookie, cookie)
            if old is not None and old.session != new.session:
                work = partial(self._replace, old.session, new)
                await self._work.alone(old.session, work, is_ending=True)

    async def _replace(self, name: str, new: LoginSession) -> None:
        row = await self._store.read(session_rows.session_of, name)
        if row is not None and row.ended_at is None:
            # A provider may have one grant for all logins of a person in a browser.
            is_same = (row.issuer, row.subject) == (new.issuer, new.subject)
            place = "in the same browser" if row.cookie else "replaced it"
            await self._endings.leave(row, f"a new login {place}", at_provider=not is_same)

    # -- end and list ----------------------------------------------------------------------------

    async def log_out(self, renewal: str, new: str = "") -> None:
        """End the session of a renewal secret. Idempotent. Raises BadToken.

        `new` is the renewal secret of a login that replaces the session, if there is one.
        """
        name, _ = self._read(renewal)
        if not new:
            await self._work.alone(name, partial(self._log_out, name), is_ending=True)
            return
        row = await self._store.read(session_rows.session_of, self._read(new)[0])
        if row is None or row.session == name:
            raise BadToken
        await self._work.alone(name, partial(self._replace, name, row), is_ending=True)

    async def _log_out(self, name: str) -> None:
        row = await self._store.read(session_rows.session_of, name)
        if row is not None and row.ended_at is None:
            await self._endings.leave(row, "logged out")

    async def end(self, caller: User, name: str) -> None:
        """End a session. Idempotent. Raises Refused, NOT_FOUND."""
        reach = require(caller, Permission.TOKEN_REVOKE)
        row = await self._store.read(session_rows.session_of, name)
        if row is None or not listing.is_visible(row, caller, reach):
            raise Refused(Code.NOT_FOUND, f"there is no session {name!r}", field="session")
        await self._work.alone(name, partial(self._end, name, caller), is_ending=True)

    async def _end(self, name: str, caller: User) -> None:
        row = await self._store.read(session_rows.session_of, name)
        if row is None:
            return  # the retention has just deleted it
        why = f"ended by {caller.subject}"
        if (row.issuer, row.subject) != (caller.issuer, caller.subject):
            if row.ended_at is None or row.refresh:
                await self._endings.end(row, why, at_provider=True)
        elif row.ended_at is None:
            await self._endings.leave(row, why)

    async def list(self, caller: User, *, after: str = "", limit: int = PAGE_MAX) -> Sessions:
        """Return a page of the sessions that the caller may see, newest first.

        Raises Refused if `after` is not a cursor.
        """
        reach = require(caller, Permission.TOKEN_READ)
        rows = await self._store.read(
            session_rows.sessions,
            None if reach is Reach.ALL else caller.community,
            (caller.issuer, caller.subject),
            others=reach is not Reach.OWN,
            before=lists.start_of(after),
            limit=limit,
        )
        return Sessions(
            sessions=[listing.view(row) for row in rows if listing.is_visible(row, caller, reach)],
            after=lists.cursor(rows[-1].created_at, rows[-1].session)
            if len(rows) == limit
            else None,
        )

    # -- helpers ---------------------------------------------------------------------------------

    def _read(self, renewal: str) -> tuple[str, int]:
        """Return the session and the number of a genuine renewal secret. Raises BadToken."""
        name, _, secret = renewal.removeprefix(PREFIX).partition(":")
        if not renewal.startswith(PREFIX) or not renewal.isascii():
            raise BadToken
        number = self._tokens.secret_number(_secret_name(name), secret)
        if number is None:
            raise BadToken
        return name, number

    async def _open_row(self, name: str, number: int) -> LoginSession:
        """Return a session that has not ended, for its secret `number`.

        Raises BadToken, LoginEnded; Banned if the person is banned now.
        """
        row = await self._store.read(session_rows.session_of, name)
        if row is None:
            raise BadToken
        if row.ended_at is None and self._clock.wall() < row.ends_at:
            return row
        if row.refresh and number < row.renewals - 1:
            self._log("renewal_replayed", person=row.subject, session=name, host=row.host)
            await self._endings.drop_grant(row, "a used renewal secret came again")
        self._bans.check(row.issuer, row.subject)  # the reason, and whom to ask
        over = f"its time was over at {shown(row.ends_at)}"
        raise LoginEnded(over if row.ended_at is None else row.ended_why)


def _secret_name(session: str) -> str:
    """Return the name under which secrets of a session are derived; no pilot has a blank in it."""
    return f"login {session}"
