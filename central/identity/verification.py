"""Turns bearer tokens into callers. It verifies a token once, then caches it by its hash."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from pilotage.proto.claims import Claims, TokenKind

from ..bounded_cache import BoundedCache
from ..ports import Clock
from .bans.ban_list import BanList, Person, is_of
from .callers import Caller, PilotCaller, User
from .derived_secrets import PREFIX, DerivedSecrets
from .errors import BadToken, ExpiredToken
from .keys import SigningKeys
from .providers.outside_tokens import OutsideTokens
from .strict_tokens import (
    BEARER_MAX,
    ES256,
    PLAIN_TYPES,
    SignedToken,
    TokenEnded,
    TokenRules,
    VerificationKey,
    check_claims,
    check_signature,
    parse,
)

ALGORITHM: Final = ES256
LIFE_MAX_S: Final = 366 * 86_400.0  # of our own tokens: that of an administrator
CACHE_MAX: Final = 131_072  # more than the pilots of one central; a few hundred bytes each
OUTSIDE_MAX: Final = 16_384  # tokens of outside issuers in memory
# An outside token is checked again after this time, for withdrawn keys and a changed map.
RECHECK_S: Final = 60.0
SWEPT_MIN: Final = 1_024  # below this number, expired tokens are not removed

_claims = msgspec.json.Decoder(Claims)


class _Verified(msgspec.Struct, frozen=True, gc=False):
    caller: User | PilotCaller
    expires_at: float
    name: str  # id for revocations: of its session, else its own jti


class _Outside(msgspec.Struct, frozen=True, gc=False):
    verified: _Verified
    recheck_at: float


class Verifier:
    """Verifies tokens. It keeps verified and revoked tokens in memory."""

    def __init__(
        self,
        *,
        keys: SigningKeys,
        derived: DerivedSecrets,
        clock: Clock,
        issuer: str,
        audience: str,
        bans: BanList,
        outside: OutsideTokens,
        cache_max: int = CACHE_MAX,
    ) -> None:
        """`outside` reads tokens of other issuers."""
        self._keys, self._derived, self._clock = keys, derived, clock
        self._rules = TokenRules(
            issuer=issuer,
            audiences=frozenset({audience}),
            algorithms=frozenset({ALGORITHM}),
            types=PLAIN_TYPES,
            life_max_s=LIFE_MAX_S,
            needs_version=True,
        )
        self._bans, self._outside = bans, outside
        bans.subscribe(self._forget_person)
        self._cache = BoundedCache[bytes, _Verified](cache_max)  # a forgotten one is verified again
        self._outside_cache = BoundedCache[bytes, _Outside](OUTSIDE_MAX)
        self._sweep_in = SWEPT_MIN  # new tokens until the next sweep
        self._of_pilot: dict[str, bytes] = {}  # hash of the newest token of each pilot
        self._revoked: dict[str, float] = {}  # jti or session to expiry
        self._revoked_max = SWEPT_MIN  # a sweep begins at this number
        self._subscribers: list[Callable[[frozenset[str]], None]] = []

    def caller(self, bearer: str) -> Caller:
        """Return the caller that a token belongs to. Raises BadToken, ExpiredToken, Banned.

        Bans are checked only for tokens that are not in the cache. A new ban removes the person's
        tokens from the cache. A token of another issuer may also raise KeysNeeded, and Forbidden or
        Refused if it gives no access.
        """
        now = self._clock.wall()
        if len(bearer) > BEARER_MAX:
            raise BadToken
        if bearer.startswith(PREFIX):
            return self._derived.read(bearer, now)
        digest = hashlib.sha256(bearer.encode()).digest()
        known = self._cache.find(digest)
        if known is None:
            known = self._unknown(bearer, digest, now)
        if now >= known.expires_at:
            del self._cache[digest]
            raise _expired(known.caller, known.expires_at)
        if known.name in self._revoked:
            self._cache.pop(digest, None)
            raise BadToken
        return known.caller

    def made(self, bearer: str, claims: Claims) -> None:
        """Cache a token that was just signed here, so that new pilots cost no verification."""
        digest = hashlib.sha256(bearer.encode()).digest()
        name = claims.sid or claims.jti
        self._remember(digest, _Verified(_caller(claims), float(claims.exp), name))
        if claims.kind is TokenKind.PILOT:
            self._of_pilot[claims.sub] = digest

    def forget(self, pilot: str) -> None:
        """Drop the token of an ended pilot from the cache. It stays valid until it expires."""
        digest = self._of_pilot.pop(pilot, None)
        if digest is not None:
            self._cache.pop(digest, None)

    def _forget_person(self, banned: Person) -> None:
        """Drop the tokens of a person from the cache, so that their next use checks the ban."""
        for key in [key for key, one in self._cache.items() if is_of(banned, one.caller)]:
            del self._cache[key]
        outside = self._outside_cache
        for key in [key for key, one in outside.items() if is_of(banned, one.verified.caller)]:
            del outside[key]

    def _check_ban(self, verified: _Verified) -> None:
        """Raise Banned if the token is a banned person's, also if it is revoked.

        A ban ends the person's sessions, and the person should learn the reason. The signature was
        checked before.
        """
        if isinstance(verified.caller, User):
            self._bans.check(verified.caller.issuer, verified.caller.subject)

    def subscribe(self, revoked: Callable[[frozenset[str]], None]) -> None:
        """Call `revoked` with the names of tokens and sessions, as soon as they are refused."""
        self._subscribers.append(revoked)

    def revoke(self, names: Mapping[str, float]) -> None:
        """Refuse tokens, by jti, and all tokens of sessions from now on. The values are their ends.

        Expired tokens are forgotten, since they are refused.
        """
        new = names.keys() - self._revoked.keys()
        self._revoked.update(names)
        if new:
            for told in self._subscribers:
                told(frozenset(new))
        if len(self._revoked) >= self._revoked_max:
            now = self._clock.wall()
            self._revoked = {one: end for one, end in self._revoked.items() if end > now}
            self._revoked_max = max(SWEPT_MIN, 2 * len(self._revoked))

    def is_revoked(self, name: str) -> bool:
        """Return whether a token, by its jti, or a session is refused."""
        return name in self._revoked

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._sweep_in -= 1
        if not self._sweep_in:
            self._sweep()
        self._cache[digest] = verified

    def _sweep(self) -> None:
        """Drop expired tokens. The next sweep follows after as many new tokens as now remain."""
        now = self._clock.wall()
        for key in [key for key, one in self._cache.items() if one.expires_at <= now]:
            del self._cache[key]
        self._of_pilot = {key: one for key, one in self._of_pilot.items() if one in self._cache}
        self._sweep_in = max(SWEPT_MIN, len(self._cache))

    def _unknown(self, bearer: str, digest: bytes, now: float) -> _Verified:
        """Verify a token that is not in the cache of our own tokens."""
        seen = self._outside_cache.find(digest)
        if seen is not None and now < seen.recheck_at:
            return seen.verified
        token = parse(bearer)
        if token.issuer == self._rules.issuer:
            verified = self._own(token, now)
            self._check_ban(verified)
            self._remember(digest, verified)
            return verified
        self._outside_cache.pop(digest, None)
        caller, expires_at = self._outside.caller(token, now)
        verified = _Verified(caller, expires_at, "")  # only their issuer revokes them
        self._check_ban(verified)
        self._outside_cache[digest] = _Outside(verified, min(now + RECHECK_S, expires_at))
        return verified

    def _own(self, token: SignedToken, now: float) -> _Verified:
        """Check a token of our own issuer. Raises BadToken, ExpiredToken."""
        key = self._keys.stored.find(token.header.kid)
        if key is None:  # a new key of another process, or a forgery: it causes few looks
            self._keys.refresh()
            key = self._keys.stored.find(token.header.kid)
        if key is None:
            raise BadToken
        check_signature(token, VerificationKey(ALGORITHM, key))
        has_ended = False
        try:
            check_claims(token, self._rules, now)
        except TokenEnded:  # no grace: the store forgets a revocation then
            has_ended = True
        try:
            claims = _claims.decode(token.payload)
        except (ValueError, RecursionError):
            raise BadToken from None
        caller = _caller(claims)
        if has_ended:
            raise _expired(caller, float(claims.exp))
        return _Verified(caller, float(claims.exp), claims.sid or claims.jti)


def _expired(caller: User | PilotCaller, at: float) -> ExpiredToken:
    if isinstance(caller, User):
        remedy = "get a new one from a manager or an admin"
        if caller.session:
            remedy = "renew it, or log in again with `pilotage login`"
        return ExpiredToken(repr(caller.subject), at, remedy=remedy)
    return ExpiredToken(f"pilot {caller.pilot}", at)


def _caller(claims: Claims) -> User | PilotCaller:
    if claims.kind is TokenKind.PILOT:
        return PilotCaller(
            pilot=claims.sub,
            community=claims.community,
            site=claims.site,
            element=claims.element,
        )
    return User(
        issuer=claims.idp or claims.iss,
        subject=claims.sub,
        name=claims.name,
        community=claims.community,
        groups=claims.groups,
        role=claims.role,
        expires_at=float(claims.exp),
        jti=claims.jti,
        session=claims.sid,
    )
