"""Turns bearer tokens into callers. It verifies a token once, then caches it by its hash."""

import hashlib
from typing import Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, GuestProtocol

from pilotage.proto.claims import WLCG_VERSION, Claims, TokenKind

from ..ports import Clock
from .bans.ban_list import BanList, Person, is_of
from .callers import Caller, PilotCaller, User
from .derived_secrets import PREFIX, DerivedSecrets
from .errors import BadToken, ExpiredToken
from .keys import SigningKeys

ALGORITHM: Final = "ES256"
ANY_AUDIENCE: Final = "https://wlcg.cern.ch/jwt/v1/any"
SKEW_S: Final = 60.0  # a token may be issued so far in the future, by our clock
TOKEN_MAX: Final = 8_192
CACHE_MAX: Final = 131_072  # more than the pilots of one central; a few hundred bytes each
SWEPT_MIN: Final = 1_024  # below this number, expired tokens are not removed

_claims = msgspec.json.Decoder(Claims)


class _Verified(msgspec.Struct, frozen=True, gc=False):
    caller: User | PilotCaller
    expires_at: float
    jti: str


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
        cache_max: int = CACHE_MAX,
    ) -> None:
        self._keys, self._derived, self._clock = keys, derived, clock
        self._bans = bans
        bans.tell(self._forget_person)
        self._issuer, self._audience = issuer, frozenset({audience, ANY_AUDIENCE})
        self._cache: dict[bytes, _Verified] = {}
        self._cache_max = cache_max
        self._sweep_in = SWEPT_MIN  # new tokens until the next sweep
        self._of_pilot: dict[str, bytes] = {}  # hash of the newest token of each pilot
        self._revoked: dict[str, float] = {}  # jti to expiry
        self._revoked_max = SWEPT_MIN  # a sweep begins at this number

    def caller(self, bearer: str) -> Caller:
        """Return the caller that a token belongs to. Raises BadToken, ExpiredToken, Banned.

        A ban is checked only when a token is verified: it drops the person's verified tokens.
        """
        now = self._clock.wall()
        if len(bearer) > TOKEN_MAX:
            raise BadToken
        if bearer.startswith(PREFIX):
            return self._derived.read(bearer, now)
        digest = hashlib.sha256(bearer.encode()).digest()
        known = self._cache.get(digest)
        if known is None:
            known = self._verify(bearer, now)
            if isinstance(known.caller, User) and known.jti not in self._revoked:
                self._bans.check(known.caller.issuer, known.caller.subject)
            self._remember(digest, known)
        if now >= known.expires_at:
            del self._cache[digest]
            raise _expired(known.caller, known.expires_at)
        if known.jti in self._revoked:
            del self._cache[digest]
            raise BadToken
        return known.caller

    def made(self, bearer: str, claims: Claims) -> None:
        """Cache a token that was just signed here, so that new pilots cost no verification."""
        digest = hashlib.sha256(bearer.encode()).digest()
        self._remember(digest, _Verified(_caller(claims), float(claims.exp), claims.jti))
        if claims.kind is TokenKind.PILOT:
            self._of_pilot[claims.sub] = digest

    def forget(self, pilot: str) -> None:
        """Drop the token of an ended pilot from the cache. It stays valid until it expires."""
        digest = self._of_pilot.pop(pilot, None)
        if digest is not None:
            self._cache.pop(digest, None)

    def _forget_person(self, banned: Person) -> None:
        """Drop the tokens of a person from the cache, so that their next use checks the ban."""
        its = [key for key, one in self._cache.items() if is_of(banned, one.caller)]
        for key in its:
            del self._cache[key]

    def revoke(self, jti: str, expires_at: float) -> None:
        """Refuse this token from now on. Expired tokens are forgotten, since they are refused."""
        self._revoked[jti] = expires_at
        if len(self._revoked) >= self._revoked_max:
            now = self._clock.wall()
            self._revoked = {one: end for one, end in self._revoked.items() if end > now}
            self._revoked_max = max(SWEPT_MIN, 2 * len(self._revoked))

    @property
    def known(self) -> int:
        """The number of tokens in memory, for checks."""
        return len(self._cache)

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._sweep_in -= 1
        if not self._sweep_in:
            self._sweep()
        while len(self._cache) >= self._cache_max:
            del self._cache[next(iter(self._cache))]  # the oldest; its next use verifies it again
        self._cache[digest] = verified

    def _sweep(self) -> None:
        """Drop expired tokens. The next sweep follows after as many new tokens as now remain."""
        now = self._clock.wall()
        self._cache = {key: one for key, one in self._cache.items() if one.expires_at > now}
        self._of_pilot = {key: one for key, one in self._of_pilot.items() if one in self._cache}
        self._sweep_in = max(SWEPT_MIN, len(self._cache))

    def _verify(self, bearer: str, now: float) -> _Verified:
        try:
            signed = jws.deserialize_compact(bearer, self._key, algorithms=[ALGORITHM])
            claims = _claims.decode(signed.payload)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError):
            # A hostile header makes the library raise errors outside its own hierarchy.
            raise BadToken from None
        audiences = {claims.aud} if isinstance(claims.aud, str) else set(claims.aud)
        if claims.iss != self._issuer or not audiences & self._audience:
            raise BadToken
        if not _version_known(claims.wlcg_ver) or claims.iat > now + SKEW_S:
            raise BadToken
        caller = _caller(claims)
        # No grace after `exp`: we are the issuer, and the store forgets a revocation then.
        if now >= claims.exp:
            raise _expired(caller, float(claims.exp))
        return _Verified(caller, float(claims.exp), claims.jti)

    def _key(self, signed: GuestProtocol) -> ECKey:
        kid = signed.headers().get("kid")
        key = self._keys.find(kid) if isinstance(kid, str) else None
        if key is None:
            raise BadToken
        return key


def _version_known(version: str) -> bool:
    """Accept all minor versions of the WLCG profile; refuse another major version."""
    return version.split(".")[0] == WLCG_VERSION.split(".")[0]


def _expired(caller: User | PilotCaller, at: float) -> ExpiredToken:
    if isinstance(caller, User):
        remedy = "get a new one from a manager or an admin"
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
        issuer=claims.iss,
        subject=claims.sub,
        name=claims.name,
        community=claims.community,
        groups=claims.groups,
        role=claims.role,
        expires_at=float(claims.exp),
        jti=claims.jti,
    )
