"""From a bearer token to a caller, quickly: verified once, then known by its hash until it ends."""

import hashlib
from typing import Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, GuestProtocol

from pilotage.proto.claims import WLCG_VERSION, Claims, TokenKind

from ..ports import Clock
from .callers import Caller, PilotCaller, User
from .derived_secrets import PREFIX, DerivedSecrets
from .errors import BadToken, ExpiredToken
from .keys import SigningKeys

ALGORITHM: Final = "ES256"
ANY_AUDIENCE: Final = "https://wlcg.cern.ch/jwt/v1/any"
SKEW_S: Final = 60.0  # how far in our future a token may have been issued
TOKEN_MAX: Final = 8_192
CACHE_MAX: Final = 131_072  # more than the pilots of one central; some hundred bytes each
SWEPT_MIN: Final = 1_024  # so many are not worth a look for those that have expired

_claims = msgspec.json.Decoder(Claims)


class _Verified(msgspec.Struct, frozen=True, gc=False):
    caller: Caller
    expires_at: float
    jti: str


class Verifier:
    """Reads tokens. Holds the verified ones and the revoked ones in memory."""

    def __init__(
        self,
        *,
        keys: SigningKeys,
        derived: DerivedSecrets,
        clock: Clock,
        issuer: str,
        audience: str,
        cache_max: int = CACHE_MAX,
    ) -> None:
        self._keys, self._derived, self._clock = keys, derived, clock
        self._issuer, self._audience = issuer, frozenset({audience, ANY_AUDIENCE})
        self._cache: dict[bytes, _Verified] = {}
        self._cache_max = cache_max
        self._sweep_in = SWEPT_MIN  # tokens that come until then
        self._of_pilot: dict[str, bytes] = {}  # the newest that was made for it
        self._revoked: dict[str, float] = {}  # jti to expiry
        self._revoked_max = SWEPT_MIN  # so many are swept

    def caller(self, bearer: str) -> Caller:
        """Return whom the token speaks for. Raises BadToken, ExpiredToken."""
        now = self._clock.wall()
        if len(bearer) > TOKEN_MAX:
            raise BadToken
        if bearer.startswith(PREFIX):
            return self._derived.read(bearer, now)
        digest = hashlib.sha256(bearer.encode()).digest()
        known = self._cache.get(digest)
        if known is None:
            known = self._verify(bearer, now)
            self._remember(digest, known)
        if now >= known.expires_at:
            del self._cache[digest]
            raise ExpiredToken
        if known.jti in self._revoked:
            del self._cache[digest]
            raise BadToken
        return known.caller

    def made(self, bearer: str, claims: Claims) -> None:
        """Know a token that was just signed here: a fleet that joins costs no verifications."""
        digest = hashlib.sha256(bearer.encode()).digest()
        self._remember(digest, _Verified(_caller(claims), float(claims.exp), claims.jti))
        if claims.kind is TokenKind.PILOT:
            self._of_pilot[claims.sub] = digest

    def forget(self, pilot: str) -> None:
        """A pilot has ended: its token is good until it expires, and hardly comes again."""
        digest = self._of_pilot.pop(pilot, None)
        if digest is not None:
            self._cache.pop(digest, None)

    def revoke(self, jti: str, expires_at: float) -> None:
        """Refuse this token from now on. What has expired is forgotten: it is refused anyway."""
        self._revoked[jti] = expires_at
        if len(self._revoked) >= self._revoked_max:
            now = self._clock.wall()
            self._revoked = {one: end for one, end in self._revoked.items() if end > now}
            self._revoked_max = max(SWEPT_MIN, 2 * len(self._revoked))

    @property
    def known(self) -> int:
        """How many tokens are in memory: for checks."""
        return len(self._cache)

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._sweep_in -= 1
        if not self._sweep_in:
            self._sweep()
        while len(self._cache) >= self._cache_max:
            del self._cache[next(iter(self._cache))]  # the oldest: it costs its owner one signature
        self._cache[digest] = verified

    def _sweep(self) -> None:
        """Forget what has expired; the next time when as many again have come."""
        now = self._clock.wall()
        self._cache = {key: one for key, one in self._cache.items() if one.expires_at > now}
        self._of_pilot = {key: one for key, one in self._of_pilot.items() if one in self._cache}
        self._sweep_in = max(SWEPT_MIN, len(self._cache))

    def _verify(self, bearer: str, now: float) -> _Verified:
        try:
            signed = jws.deserialize_compact(bearer, self._key, algorithms=[ALGORITHM])
            claims = _claims.decode(signed.payload)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError):
            # What a hostile header makes the library raise is not all of its own family.
            raise BadToken from None
        audiences = {claims.aud} if isinstance(claims.aud, str) else set(claims.aud)
        if claims.iss != self._issuer or not audiences & self._audience:
            raise BadToken
        if not _version_known(claims.wlcg_ver) or claims.iat > now + SKEW_S:
            raise BadToken
        # No grace after `exp`: we are the issuer, and the store forgets a revocation then.
        if now >= claims.exp:
            raise ExpiredToken
        return _Verified(_caller(claims), float(claims.exp), claims.jti)

    def _key(self, signed: GuestProtocol) -> ECKey:
        kid = signed.headers().get("kid")
        key = self._keys.find(kid) if isinstance(kid, str) else None
        if key is None:
            raise BadToken
        return key


def _version_known(version: str) -> bool:
    """Accept newer minor versions of the WLCG profile, refuse another major one."""
    return version.split(".")[0] == WLCG_VERSION.split(".")[0]


def _caller(claims: Claims) -> Caller:
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
