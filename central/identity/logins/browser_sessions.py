"""Turns the cookies of browsers into users, and refuses requests from pages of other sites.

Each process caches sessions for CACHED_S seconds, so most requests do not read the store. A session
that another process ends is refused within a second, like a revoked token.
"""

import contextlib
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from pilotage.proto.claims import Role
from pilotage.proto.problems import Code

from ...bounded_cache import BoundedCache
from ...errors import Refused
from ...ports import Clock
from ...store.engine import Store
from ...store.errors import StoreFull
from ..bans.ban_list import BanList, Person, is_of
from ..callers import User
from ..errors import BadToken, LoginEnded
from ..secret_hashes import hashed
from ..sessions import rows as session_rows
from ..sessions.confirmations import AWAY_MAX_S
from ..sessions.life import BROWSER_IDLE_S
from ..sessions.rows import LoginSession, SessionKind

CACHED_S: Final = 30.0
CACHED_MAX: Final = 10_000
UNKNOWN_S: Final = 5.0  # an unknown cookie is not looked up again; nobody can guess a later one
USED_EVERY_S: Final = 60.0  # the store is told at most this often that a session is in use
MARK: Final = b"x-pilotage"  # a header that forms of other sites cannot send
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class _Known(msgspec.Struct, frozen=True):
    user: User
    until: float  # monotonic


class BrowserSessions:
    """Turns cookies into users."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        url: Callable[[], str],
        is_ended: Callable[[str], bool],
        bans: BanList,
    ) -> None:
        """`url` returns the URL of this central; `is_ended` tells whether a session was ended."""
        self._bans = bans
        bans.subscribe(self._forget_person)
        self._store, self._clock, self._url, self._is_ended = store, clock, url, is_ended
        self._known = BoundedCache[str, _Known](CACHED_MAX)
        self._unknown = BoundedCache[str, float](CACHED_MAX)  # until when, monotonic

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach this central over https."""
        return self._url().startswith("https:")

    def find(self, cookie: str) -> User | None:
        """Return the user of a cookie if this process knows it. Raises BadToken if it has ended."""
        name = hashed(cookie)
        known = self._known.get(name)
        if known is None or self._clock.monotonic() >= known.until:
            return None
        if self._is_ended(known.user.session):
            del self._known[name]
            raise BadToken
        return known.user

    async def load(self, cookie: str) -> None:
        """Read the session of a cookie from the store. Raises BadToken, LoginEnded, Banned."""
        name, now = hashed(cookie), self._clock.wall()
        if self._clock.monotonic() < self._unknown.get(name, 0.0):
            raise BadToken
        row = await self._store.read(session_rows.session_of_cookie, name)
        if row is None:
            self._unknown[name] = self._clock.monotonic() + UNKNOWN_S
            raise BadToken
        if row.kind is not SessionKind.BROWSER:
            raise BadToken
        self._bans.check(row.issuer, row.subject)  # first: it says the reason, and whom to ask
        if self._is_ended(row.session):
            raise BadToken
        if row.ended_at is not None:
            raise LoginEnded(row.ended_why)
        if now >= min(row.ends_at, row.used_at + BROWSER_IDLE_S):
            raise LoginEnded("it was unused for too long, or is too old")
        if now - row.checked_at >= AWAY_MAX_S:
            raise LoginEnded(f"{row.provider} has not confirmed it for too long")
        if now - row.used_at >= USED_EVERY_S:
            with contextlib.suppress(StoreFull):  # a full disk closes no browser
                await self._store.write(session_rows.use, row.session, now)
        self._known[name] = _Known(user_of(row), self._clock.monotonic() + CACHED_S)

    def check_origin(self, origin: str, mark: str) -> None:
        """Raise Refused unless a page of this central sends the request.

        A form of another site can send the cookie, but neither our origin nor the header.
        """
        if not mark or origin not in _origins(self._url()):
            why = (
                "a browser changes something only from a page of this central: send its Origin "
                f"and the header {MARK.decode()}"
            )
            raise Refused(Code.FORBIDDEN, why)

    def _forget_person(self, banned: Person) -> None:
        """Drop the sessions of a person from memory, so that their next use checks the ban."""
        for name in [name for name, one in self._known.items() if is_of(banned, one.user)]:
            del self._known[name]


def user_of(row: LoginSession) -> User:
    """Return the user of a session."""
    return User(
        issuer=row.issuer,
        subject=row.subject,
        name=row.name,
        community=row.community,
        groups=row.groups,
        role=Role(row.role),
        expires_at=row.ends_at,
        jti=row.session,
        session=row.session,
    )


def _origins(url: str) -> list[str]:
    """Return the origins of a URL as browsers write them (RFC 6454, 6.2).

    All names of this machine are one host.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    is_usual = port is None or port == {"https": 443, "http": 80}.get(parts.scheme)
    hosts = _LOOPBACK if host in _LOOPBACK else (host,)
    ending = "" if is_usual else f":{port}"
    return [f"{parts.scheme}://{f'[{one}]' if ':' in one else one}{ending}" for one in hosts if one]
