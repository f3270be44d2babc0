"""Sessions: what a login opens. They are renewed, checked at the provider, and ended.

A session gives access tokens that live for minutes, and a renewal secret that is valid once. A
client writes a nonce to its disk before it renews; the same secret with the same nonce gets the
same answer, so the session survives a lost answer. A used secret with another nonce ends the
session: it was copied. For a minute that is tolerated, because two processes of one person may
share a file without a lock; the second use after that is noticed all the same.

The provider is asked again at least every CHECK_S seconds while a session is in use. If it refuses,
the session ends. If it is away, the session lives on for AWAY_MAX_S with the groups last seen.

Running jobs get tokens by the refresh token of their owner's session. If the person ends the
session while such jobs are unfinished, the refresh token stays for these jobs alone. If anything
else ends the session, the refresh token goes as well.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakValueDictionary

import msgspec

from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.api.logins import LoginTokens, Sessions, SessionView
from pilotage.proto.claims import Role
from pilotage.proto.problems import Code

from ...errors import DependencyUnavailable, Refused
from ...observe.events import Log
from ...observe.times import shown
from ...ports import Clock, Randomness
from ...store.engine import Store
from ...store.errors import OF_ALL, StoreError
from ..bans.ban_list import BanList
from ..callers import User
from ..errors import BadToken, LoginEnded
from ..logins.pending import PendingLogin
from ..policy import Permission, Reach, covers, require
from ..providers.mapping import Membership, choose, memberships, seen_groups
from ..providers.oauth import GrantEnded, OAuth, TokenAnswer
from ..providers.people import People, ProvidedPerson
from ..providers.provider_files import ALL, ProviderEntry, Providers
from ..providers.provider_http import BadProvider, ProviderAway
from ..secret_hashes import hashed
from . import rows as session_rows
from .cipher import TokenCipher, UnreadableSecret
from .rows import FIRST_SESSIONS, LoginSession, SessionKind

CHECK_S: Final = 3_600.0  # between two confirmations of the groups by the provider
AWAY_MAX_S: Final = 28 * 3_600.0
UNCHECKED_S: Final = 4 * 3_600.0  # life of a session that the provider cannot confirm again
RETRY_S: Final = 300.0  # until a provider that was away is asked again about sessions
TOKEN_RETRY_S: Final = 30.0  # the same for tokens of jobs, whose start waits for them
COMMAND_S: Final = 30 * 86_400.0
BROWSER_S: Final = 86_400.0
BROWSER_IDLE_S: Final = 8 * 3_600.0
TOLERATED_S: Final = 60.0  # for a second use of a renewal secret with another nonce
BROWSERS_S: Final = 60.0  # between two rounds of checks of browsers' sessions
CHECKED_MAX: Final = 500  # in one round
OPEN_MAX: Final = 200  # sessions of one person
GRANTS_MAX: Final = 10  # sessions of one person that are tried for one token
ACCESS_S: Final = 300.0  # life of an access token whose life the provider does not say
ACCESS_MAX: Final = 10_000  # access tokens in memory
LOOKED_AT: Final = 200  # kept refresh tokens that one read looks at
PREFIX: Final = "ps1."

T = TypeVar("T")


class SessionTokens(Protocol):
    """Makes the tokens and the renewal secrets of sessions."""

    def session_token(self, row: LoginSession) -> tuple[str, float]:
        """Return an access token of the session, and its life in seconds."""
        ...

    def numbered_secret(self, pilot: str, number: int) -> str: ...
    def secret_number(self, pilot: str, secret: str) -> int | None: ...
    def session_ended(self, session: str) -> None:
        """Refuse the access tokens of a session from now on."""
        ...


class ProviderToken(msgspec.Struct, frozen=True):
    """An access token of a person at their provider. It must never leave this process."""

    session: str
    provider: str
    entry: ProviderEntry
    token: str


class NoGrant(Exception):
    """No session of the person has a refresh token. The person must log in again."""


class _Access(msgspec.Struct, frozen=True):
    token: str
    until: float  # monotonic: half of its life


class LoginSessions:
    """Opens, renews, lists and ends sessions. Only the leader does."""

    def __init__(
        self,
        *,
        store: Store,
        tokens: SessionTokens,
        bans: BanList,
        providers: Providers,
        oauth: OAuth,
        people: People,
        cipher: TokenCipher,
        clock: Clock,
        randomness: Randomness,
        log: Log,
    ) -> None:
        self._store, self._tokens, self._providers = store, tokens, providers
        self._bans = bans
        self._oauth, self._people, self._cipher = oauth, people, cipher
        self._clock, self._randomness, self._log = clock, randomness, log
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._away: dict[str, float] = {}  # provider to the moment of its last failure
        self._access: dict[str, _Access] = {}  # by session
        self._unstored: dict[str, str] = {}  # next refresh tokens, encrypted, by session
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Let providers confirm the sessions of browsers, which renew nothing themselves.

        It also carries checks to their end if their callers leave, since a provider gives each
        refresh token once. Ends by cancellation.
        """
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                while True:
                    await self._clock.sleep(BROWSERS_S)
                    await self._check_browsers()
            finally:
                self._tasks = None

    async def _check_browsers(self) -> None:
        now = self._clock.wall()
        try:
            rows = await self._store.read(
                session_rows.browsers_in_use,
                now=now,
                used_after=now - BROWSERS_S - CHECK_S,
                checked_before=now - CHECK_S,
                limit=CHECKED_MAX,
            )
            for row in rows:
                with contextlib.suppress(LoginEnded):
                    async with self._lock(row.session):
                        await self.checked(row)
        except OF_ALL:
            raise
        except StoreError as why:
            self._log("loop_failed", loop="sessions of browsers", error=str(why))

    # -- open and renew --------------------------------------------------------------------------

    async def open(
        self, login: PendingLogin, person: ProvidedPerson, rights: Membership, cookie: str = ""
    ) -> LoginSession:
        """Store a new session. Raises Banned; Refused, TOO_MANY."""
        self._bans.check(person.issuer, person.subject)
        now, name = self._clock.wall(), self._randomness.token(18)
        many = await self._store.read(
            session_rows.open_sessions, person.issuer, person.subject, now
        )
        if many >= OPEN_MAX:
            why = f"you have {many} sessions: end some with `pilotage session end`"
            raise Refused(Code.TOO_MANY, why)
        life_s = BROWSER_S if login.kind is SessionKind.BROWSER else COMMAND_S
        row = LoginSession(
            session=name,
            kind=login.kind,
            provider=login.provider,
            issuer=person.issuer,
            subject=person.subject,
            name=person.name,
            email=person.email,
            community=rights.community,
            groups=rights.groups,
            role=rights.role.value,
            host=login.host,
            address=login.address,
            created_at=now,
            ends_at=now + (life_s if person.refresh else min(life_s, UNCHECKED_S)),
            used_at=now,
            checked_at=now,
            renewed_at=now,
            refresh=self._cipher.encrypt(person.refresh, name),
            cookie=cookie,
        )
        await self._store.write(session_rows.add_session, row)
        self._log(
            "login",
            person=person.subject,
            provider=login.provider,
            community=rights.community,
            role=rights.role.value,
            kind=login.kind.value,
            address=login.address,
        )
        return row

    def tokens_of(self, row: LoginSession) -> LoginTokens:
        """Return an access token and the valid renewal secret of a session."""
        token, life_s = self._tokens.session_token(row)
        secret = self._tokens.numbered_secret(_holder(row.session), row.renewals)
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

    async def renew(self, renewal: str, nonce: str) -> LoginTokens:
        """Use a renewal secret. Raises BadToken, LoginEnded, Banned."""
        name, number = self._read(renewal)
        async with self._lock(name):
            row = await self._open_row(name, number)
            self._bans.check(row.issuer, row.subject)
            mark = hashed(nonce)
            if number == row.renewals - 1:
                early = self._clock.wall() < row.renewed_at + TOLERATED_S
                if mark == row.nonce or early:
                    return self.tokens_of(row)
            if number != row.renewals:
                self._log("renewal_replayed", person=row.subject, session=name, host=row.host)
                why = "its renewal secret was used twice, so somebody may have copied it"
                raise await self._end(row, why)
            row = await self.checked(row)
            at = self._clock.wall()
            if not await self._store.write(session_rows.renew, name, number + 1, mark, at):
                raise BadToken  # another process leads, and has used it
            return self.tokens_of(
                msgspec.structs.replace(row, renewals=number + 1, nonce=mark, renewed_at=at)
            )

    async def checked(self, row: LoginSession) -> LoginSession:
        """Return a session that its provider has confirmed lately. Raises LoginEnded."""
        if self._clock.wall() - row.checked_at < CHECK_S or not row.refresh:
            return row
        return await self._to_the_end(self._check(row))

    # -- end and list ----------------------------------------------------------------------------

    async def log_out(self, renewal: str) -> None:
        """End the session of a renewal secret. Idempotent. Raises BadToken."""
        name, _ = self._read(renewal)
        async with self._lock(name):
            row = await self._store.read(session_rows.session_of, name)
            if row is not None and row.ended_at is None:
                await self._leave(row, "logged out")

    async def end(self, caller: User, name: str) -> None:
        """End a session. Idempotent. Raises Refused, NOT_FOUND."""
        reach = require(caller, Permission.TOKEN_REVOKE)
        async with self._lock(name):
            row = await self._store.read(session_rows.session_of, name)
            if row is None or not _within(row, caller, reach):
                raise Refused(Code.NOT_FOUND, f"there is no session {name!r}", field="session")
            why = f"ended by {caller.subject}"
            if (row.issuer, row.subject) != (caller.issuer, caller.subject):
                if row.ended_at is None or row.refresh:
                    await self._end(row, why, at_provider=True)
            elif row.ended_at is None:
                await self._leave(row, why)

    async def end_row(self, row: LoginSession, why: str) -> None:
        """End a session for a reason."""
        await self._end(row, why)

    async def list(self, caller: User, *, after: str = "", limit: int = PAGE_MAX) -> Sessions:
        """Return a page of the sessions that the caller may see, newest first.

        Raises Refused if `after` is not a cursor.
        """
        reach = require(caller, Permission.TOKEN_READ)
        rows = await self._store.read(
            session_rows.sessions,
            None if reach is Reach.ALL else caller.community,
            (caller.issuer, caller.subject) if reach is Reach.OWN else None,
            before=_place(after) if after else FIRST_SESSIONS,
            limit=limit,
        )
        return Sessions(
            sessions=[_view(row) for row in rows if _within(row, caller, reach)],
            after=f"{rows[-1].created_at!r}:{rows[-1].session}" if len(rows) == limit else None,
        )

    # -- tokens for jobs -------------------------------------------------------------------------

    async def provider_token(self, community: str, issuer: str, subject: str) -> ProviderToken:
        """Return an access token of a person, by the newest session that has a refresh token.

        Sessions that the provider refuses end. Raises NoGrant, ProviderAway, BadProvider.
        """
        rows = await self._store.read(
            session_rows.grants,
            community,
            issuer,
            subject,
            self._clock.wall(),
            limit=GRANTS_MAX,
        )
        for row in rows:
            try:
                return await self._provider_token(row.session)
            except LoginEnded:
                continue
        raise NoGrant(f"{subject} has no session in {community} that can give tokens")

    def forget_access(self, session: str) -> None:
        """Drop an access token that its provider no longer honours."""
        self._access.pop(session, None)

    async def drop_useless_grants(self) -> int:
        """Drop kept refresh tokens that no unfinished job uses any more; return their number."""
        count, after = 0, ""
        while True:
            rows, after = await self._store.read(
                session_rows.useless_grants, self._clock.wall(), after=after, limit=LOOKED_AT
            )
            for row in rows:
                async with self._lock(row.session):
                    current = await self._store.read(session_rows.session_of, row.session)
                    if current is not None and current.refresh:
                        await self._drop_grant(current, "no unfinished job uses it")
                        count += 1
            if not after:
                return count

    async def _provider_token(self, name: str) -> ProviderToken:
        """Return an access token of a session. Raises LoginEnded, ProviderAway, BadProvider."""
        async with self._lock(name):
            row = await self._store.read(session_rows.session_of, name)
            if row is None or not row.refresh:
                raise LoginEnded("it gives no tokens any more")
            entry = await self._entry(row)
            known = self._access.get(name)
            if known is None or self._clock.monotonic() >= known.until:
                if self._was_away(row.provider, TOKEN_RETRY_S):
                    raise ProviderAway(f"{row.provider} did not answer a short time ago")
                try:
                    _, answer = await self._to_the_end(self._refreshed(row, entry))
                except ProviderAway as why:
                    self._is_away(row.provider, str(why))
                    raise
                return ProviderToken(name, row.provider, entry, answer.access_token)
            return ProviderToken(name, row.provider, entry, known.token)

    # -- helpers ---------------------------------------------------------------------------------

    def _read(self, renewal: str) -> tuple[str, int]:
        """Return the session and the number of a genuine renewal secret. Raises BadToken."""
        name, _, secret = renewal.removeprefix(PREFIX).partition(":")
        if not renewal.startswith(PREFIX) or not renewal.isascii():
            raise BadToken
        number = self._tokens.secret_number(_holder(name), secret)
        if number is None:
            raise BadToken
        return name, number

    def _lock(self, name: str) -> asyncio.Lock:
        lock = self._locks.get(name)
        if lock is None:  # the dictionary drops a lock that nobody holds or waits for
            lock = self._locks[name] = asyncio.Lock()
        return lock

    async def _open_row(self, name: str, number: int) -> LoginSession:
        """Return a session that has not ended, for its secret `number`.

        Raises BadToken, LoginEnded.
        """
        row = await self._store.read(session_rows.session_of, name)
        if row is None:
            raise BadToken
        if row.ended_at is not None:
            if row.refresh and number < row.renewals - 1:
                self._log("renewal_replayed", person=row.subject, session=name, host=row.host)
                await self._drop_grant(row, "a used renewal secret came again")
            raise LoginEnded(row.ended_why)
        if self._clock.wall() >= row.ends_at:
            raise LoginEnded(f"its time was over at {shown(row.ends_at)}")
        return row

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work that goes on if the caller is cancelled."""
        if self._tasks is None:
            return await work
        outcome = await asyncio.shield(self._tasks.create_task(_outcome(work)))
        if isinstance(outcome, _EXPECTED):
            raise outcome
        return outcome

    async def _check(self, row: LoginSession) -> LoginSession:
        """Ask the provider for the person's groups, and store them. Raises LoginEnded."""
        try:
            entry = await self._entry(row)
            if self._was_away(row.provider, RETRY_S):
                return await self._borne(row)
            row, answer = await self._refreshed(row, entry)
            person = await self._people.described(entry, answer, subject=row.subject)
        except ProviderAway as why:
            return await self._borne(row, str(why))
        except BadProvider as why:  # about this person; others are checked all the same
            self._log("provider_away", provider=row.provider, why=str(why))
            return await self._borne(row)
        return await self._confirmed(row, entry, person)

    async def _entry(self, row: LoginSession) -> ProviderEntry:
        """Return the provider of a session. Raises LoginEnded, ProviderAway (its file is bad)."""
        book = self._providers.book
        entry = book.providers.get(row.provider)
        if entry is None and row.provider in book.troubles:
            raise ProviderAway(f"its file has an error: {book.troubles[row.provider]}")
        if entry is None or entry.client is None or entry.issuer != row.issuer:
            raise await self._end(row, f"people no longer log in here through {row.provider}")
        return entry

    async def _refreshed(
        self, row: LoginSession, entry: ProviderEntry
    ) -> tuple[LoginSession, TokenAnswer]:
        """Use the refresh token; return the session with the next one, and the provider's tokens.

        Call it under the session's lock. The next one is stored before anything else, because the
        old one is used up. Raises LoginEnded, ProviderAway, BadProvider.
        """
        current = await self._store.read(session_rows.session_of, row.session)
        if current is None or not current.refresh:
            raise LoginEnded("it was ended meanwhile")
        try:
            sealed = self._unstored.get(row.session, current.refresh)
            refresh = self._cipher.decrypt(sealed, row.session)
            answer = await self._oauth.refresh(entry, refresh)
        except UnreadableSecret:
            raise await self._end(row, "the central was restored from a backup") from None
        except GrantEnded as why:
            raise await self._end(row, f"{row.provider} ended it ({why})") from None
        kept = self._cipher.encrypt(answer.refresh_token or refresh, row.session)
        row = msgspec.structs.replace(row, refresh=kept)
        self._unstored[row.session] = kept  # until the store has it, which may be full
        is_kept = await self._store.write(session_rows.keep_grant, row.session, kept)
        del self._unstored[row.session]
        if not is_kept:
            await self._revoke(row)
            raise LoginEnded("it was ended meanwhile")
        self._away.pop(row.provider, None)
        while len(self._access) >= ACCESS_MAX:
            del self._access[next(iter(self._access))]
        until = self._clock.monotonic() + (answer.expires_in or ACCESS_S) / 2
        self._access[row.session] = _Access(answer.access_token, until)
        return row, answer

    async def _confirmed(
        self, row: LoginSession, entry: ProviderEntry, person: ProvidedPerson
    ) -> LoginSession:
        """Store the groups that a person has now. Raises LoginEnded if the role was lost."""
        try:
            rights = choose(
                memberships(entry, person.claims),
                community=row.community or ALL,
                role=Role(row.role),
                seen=seen_groups(entry, person.claims),
            )
        except Refused:
            why = f"{row.provider} no longer gives you the role {row.role} in {row.community}"
            raise await self._end(row, why) from None
        now = self._clock.wall()
        found = msgspec.structs.replace(
            row,
            name=person.name if person.is_described else row.name,
            email=person.email if person.is_described else row.email,
            groups=rights.groups,
            checked_at=now,
        )
        if not await self._store.write(session_rows.keep_check, found):
            raise LoginEnded("it was ended meanwhile")
        return found

    async def _borne(self, row: LoginSession, why: str = "") -> LoginSession:
        """Return a session whose provider is away, unless that has lasted too long."""
        if why:
            self._is_away(row.provider, why)
        if self._clock.wall() - row.checked_at >= AWAY_MAX_S:
            hours = AWAY_MAX_S / 3_600
            raise await self._end(row, f"{row.provider} has not answered for {hours:.0f} hours")
        return row

    def _is_away(self, provider: str, why: str) -> None:
        """Note that a provider does not answer now."""
        if not self._was_away(provider, RETRY_S):
            self._log("provider_away", provider=provider, why=why)
        self._away[provider] = self._clock.monotonic()

    def _was_away(self, provider: str, within_s: float) -> bool:
        """Return whether a provider has not answered within this time, and not since."""
        failed = self._away.get(provider)
        return failed is not None and self._clock.monotonic() < failed + within_s

    async def _leave(self, row: LoginSession, why: str) -> None:
        """End a session that its person ends. Its jobs may get tokens by it until they end."""
        at = self._clock.wall()
        stays = await self._store.write(session_rows.end_for_person, row, at, why)
        self._tokens.session_ended(row.session)
        self._log("session_ended", person=row.subject, session=row.session, why=why)
        if stays:
            self._log("grant_kept", person=row.subject, session=row.session)
        elif row.refresh:
            self.forget_access(row.session)
            await self._to_the_end(self._revoke(row))

    async def _end(self, row: LoginSession, why: str, *, at_provider: bool = False) -> LoginEnded:
        """End a session for good, also for jobs; return the refusal for its holder."""
        if row.ended_at is not None:
            await self._drop_grant(row, why, at_provider=at_provider)
            return LoginEnded(why)
        await self._store.write(session_rows.end, row.session, self._clock.wall(), why)
        self._tokens.session_ended(row.session)
        self.forget_access(row.session)
        self._log("session_ended", person=row.subject, session=row.session, why=why)
        if at_provider and row.refresh:
            await self._to_the_end(self._revoke(row))
        return LoginEnded(why)

    async def _drop_grant(self, row: LoginSession, why: str, *, at_provider: bool = True) -> None:
        """Forget the refresh token of a session that had ended before."""
        await self._store.write(session_rows.drop_grant, row.session)
        self.forget_access(row.session)
        self._log("grant_dropped", person=row.subject, session=row.session, why=why)
        if at_provider:
            await self._to_the_end(self._revoke(row))

    async def _revoke(self, row: LoginSession) -> None:
        """Tell the provider that the refresh token is no longer used, if it answers."""
        entry = self._providers.book.providers.get(row.provider)
        if entry is None or entry.client is None:
            return
        try:
            await self._oauth.revoke(entry, self._cipher.decrypt(row.refresh, row.session))
        except (UnreadableSecret, ProviderAway, BadProvider) as why:
            self._log("grant_not_revoked", provider=row.provider, why=str(why))


_Expected = Refused | DependencyUnavailable | ProviderAway | BadProvider
_EXPECTED: Final = (Refused, DependencyUnavailable, ProviderAway, BadProvider)


async def _outcome(work: Coroutine[Any, Any, T]) -> T | _Expected:
    """Return the result of `work`, or its refusal: an exception would end the group of tasks."""
    try:
        return await work
    except _EXPECTED as why:
        return why


def _holder(session: str) -> str:
    """Return the name under which secrets of a session are derived; no pilot has a blank in it."""
    return f"login {session}"


def _within(row: LoginSession, caller: User, reach: Reach) -> bool:
    """Return whether the caller may see this session: as for tokens, not one with more rights."""
    if (row.issuer, row.subject, row.community) == (
        caller.issuer,
        caller.subject,
        caller.community,
    ):
        return True
    if reach is not Reach.ALL and row.community != caller.community:
        return False
    if reach <= Reach.OWN or not covers(caller.role, Role(row.role)):
        return False
    return reach >= Reach.COMMUNITY or (
        bool(row.groups) and set[str](row.groups) <= set[str](caller.groups)
    )


def _place(after: str) -> tuple[float, str]:
    """Return the position that a cursor stands for. Raises Refused."""
    created_at, _, name = after.partition(":")
    try:
        return float(created_at), name
    except ValueError:
        why = f"after: found {after[:80]!r}, expected the value `after` of the previous page"
        raise Refused(Code.INVALID, why, field="after") from None


def _view(row: LoginSession) -> SessionView:
    return SessionView(
        session=row.session,
        kind=row.kind.value,
        provider=row.provider,
        subject=row.subject,
        name=row.name,
        email=row.email,
        community=row.community,
        groups=row.groups,
        role=Role(row.role),
        host=row.host,
        address=row.address,
        created_at=shown(row.created_at),
        used_at=shown(row.used_at),
        checked_at=shown(row.checked_at),
        ends_at=shown(row.ends_at),
        ended=row.ended_why if row.ended_at is not None else "",
    )
