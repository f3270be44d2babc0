"""From a bearer token to a caller, quickly: verified once, then known by its hash until it ends."""

import hashlib
from typing import Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, GuestProtocol

from pilotage.proto.claims import WLCG_VERSION, Claims, Kind

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

_claims = msgspec.json.Decoder(Claims)


class _Verified(msgspec.Struct, frozen=True):
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
        self._revoked: dict[str, float] = {}  # jti to expiry

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
        known = _Verified(_caller(claims), float(claims.exp), claims.jti)
        self._remember(hashlib.sha256(bearer.encode()).digest(), known)

    def revoke(self, jti: str, expires_at: float) -> None:
        """Refuse this token from now on. What has expired is forgotten: it is refused anyway."""
        now = self._clock.wall()
        self._revoked = {one: end for one, end in self._revoked.items() if end > now}
        self._revoked[jti] = expires_at

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        while len(self._cache) >= self._cache_max:
            del self._cache[next(iter(self._cache))]  # the oldest: it costs its owner one signature
        self._cache[digest] = verified

    def _verify(self, bearer: str, now: float) -> _Verified:
        try:
            signed = jws.deserialize_compact(bearer, self._key, algorithms=[ALGORITHM])
            claims = _claims.decode(signed.payload)
        except (JoseError, ValueError, TypeError, KeyError):
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
    if claims.kind is Kind.PILOT:
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
