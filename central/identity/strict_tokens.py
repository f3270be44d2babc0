"""Parses and checks signed tokens strictly: JWS in compact form (RFC 7515) with JWT claims (7519).

Our own tokens, tokens of outside issuers and ID tokens all pass through here. The library checks
the signature alone. The issuer's file gives the key set and the algorithms. A token whose header
names another algorithm is refused, and so is a token that brings a key or the address of one.
"""

import json
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry
from msgspec import Meta

from pilotage.proto.claims import WLCG_VERSION
from pilotage.proto.decoding.nesting import is_deep
from pilotage.proto.decoding.patterns import whole

from .base64url import decoded, encoded
from .errors import BadToken

ES256: Final = "ES256"  # ECDSA on P-256
RS256: Final = "RS256"  # RSA, PKCS #1 v1.5
ALGORITHMS: Final = frozenset({ES256, RS256})
SKEW_S: Final = (
    60.0  # how far `iat` and `nbf` may be in the future, by our clock; `exp` has no grace
)
BEARER_MAX: Final = 8_192  # letters of a token in a header
ID_TOKEN_MAX: Final = 262_144  # letters; it comes in a body, and may list many groups
ACCESS_TYPES: Final = frozenset({"", "jwt", "at+jwt"})  # RFC 9068; "": the header has no `typ`
PLAIN_TYPES: Final = frozenset({"", "jwt"})

_METHODS: Final = {
    name: JWSRegistry(algorithms=[name]).get_alg(name) for name in sorted(ALGORITHMS)
}
_Number = int | float
_Subject = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=whole(r"[^\x00-\x1f\x7f-\x9f]+"))
]
_Audience = Annotated[str, Meta(min_length=1)]


class TokenHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The header of a token. Other fields are refused: they bring keys or change the meaning."""

    alg: str
    kid: Annotated[str, Meta(min_length=1)]
    typ: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def type(self) -> str:
        """The media type without `application/`, in small letters; empty: the header has none."""
        if isinstance(self.typ, msgspec.UnsetType):
            return ""
        return self.typ.lower().removeprefix("application/") or "(empty)"


class RegisteredClaims(msgspec.Struct, frozen=True):
    """The claims that every token needs, or whose form is checked if it has them."""

    iss: str
    sub: _Subject
    aud: _Audience | Annotated[tuple[_Audience, ...], Meta(min_length=1, max_length=100)]
    exp: _Number
    iat: _Number
    nbf: _Number = 0
    jti: str = ""
    azp: str = ""
    nonce: str = ""
    scope: str | tuple[str, ...] = ""
    wlcg_ver: str | msgspec.UnsetType = msgspec.field(name="wlcg.ver", default=msgspec.UNSET)

    @property
    def audiences(self) -> frozenset[str]:
        return frozenset((self.aud,) if isinstance(self.aud, str) else self.aud)


class SignedToken(msgspec.Struct, frozen=True):
    """A well-formed token. Do not trust its content before `check_signature`."""

    header: TokenHeader
    claims: dict[str, Any]
    payload: bytes
    signed: bytes  # the octets under the signature
    signature: bytes

    @property
    def issuer(self) -> str:
        """The issuer that the token claims to be from; empty: it claims none."""
        said: Any = self.claims.get("iss")
        return said if isinstance(said, str) else ""


class VerificationKey(NamedTuple):
    """A public key, and the only algorithm that may use it."""

    algorithm: str
    key: ECKey | RSAKey


class TokenRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules for tokens of one kind from one issuer."""

    issuer: str
    audiences: frozenset[str]  # a token needs one of them
    algorithms: frozenset[str]
    types: frozenset[str]
    life_max_s: float  # from `iat` to `exp`
    needs_version: bool = False  # whether `wlcg.ver` may not be left out


class TokenEnded(BadToken):
    """The token has expired, and is valid otherwise. The message is that of BadToken."""


def parse(text: str, *, size_max: int = BEARER_MAX) -> SignedToken:
    """Return a token in compact form. Raises BadToken; no other error leaves this function."""
    if len(text) > size_max or not text.isascii():
        raise BadToken
    parts = text.encode().split(b".")
    if len(parts) != 3:
        raise BadToken
    try:
        header, payload, signature = map(_octets, parts)
        return SignedToken(
            header=msgspec.convert(_object(header), TokenHeader, strict=True),
            claims=_object(payload),
            payload=payload,
            signed=parts[0] + b"." + parts[1],
            signature=signature,
        )
    except (ValueError, RecursionError, OverflowError):
        raise BadToken from None


def check_signature(token: SignedToken, key: VerificationKey) -> None:
    """Check that the issuer's key with this `kid` signed the token. Raises BadToken."""
    if token.header.alg != key.algorithm:
        raise BadToken
    try:
        is_genuine = _METHODS[key.algorithm].verify(token.signed, token.signature, key.key)
    except (JoseError, ValueError, TypeError, OverflowError):
        raise BadToken from None
    if not is_genuine:
        raise BadToken


def check_claims(token: SignedToken, rules: TokenRules, now: float) -> RegisteredClaims:
    """Return the claims of a token that keeps the rules. Raises BadToken, TokenEnded.

    `now` is in seconds since 1970. This checks all but the signature.
    """
    header = token.header
    if header.alg not in rules.algorithms or header.type not in rules.types:
        raise BadToken
    try:
        claims = msgspec.convert(token.claims, RegisteredClaims, strict=True)
        life_s = claims.exp - claims.iat
        left_s = claims.exp - now
        ahead_s = max(claims.iat, claims.nbf) - now
    except (ValueError, RecursionError, OverflowError):
        raise BadToken from None
    if claims.iss != rules.issuer or claims.audiences.isdisjoint(rules.audiences):
        raise BadToken
    if life_s > rules.life_max_s or ahead_s > SKEW_S:
        raise BadToken
    if not _is_known(claims.wlcg_ver, needed=rules.needs_version):
        raise BadToken
    if left_s <= 0:
        raise TokenEnded
    return claims


def check_id_token(
    token: SignedToken, rules: TokenRules, now: float, *, nonce: str | None
) -> RegisteredClaims:
    """Return the claims of an ID token (OpenID Connect Core, 3.1.3.7). Raises BadToken.

    The audience in `rules` is the id of our client. `nonce` is the value of this login; None: the
    login sent none, as in the device flow. This checks all but the signature.
    """
    claims = check_claims(token, rules, now)
    if claims.azp not in rules.audiences and (claims.azp or len(claims.audiences) > 1):
        raise BadToken
    if nonce is not None and claims.nonce != nonce:
        raise BadToken
    return claims


def _is_known(version: str | msgspec.UnsetType, *, needed: bool) -> bool:
    """Accept all minor versions of the WLCG profile; refuse another major version."""
    if isinstance(version, msgspec.UnsetType):
        return not needed
    return version.split(".")[0] == WLCG_VERSION.split(".")[0]


def _octets(part: bytes) -> bytes:
    """Return the octets of base64url text. Raises ValueError unless it is the only text for them.

    Each octet string has one canonical text (RFC 4648, 3.5). Others would give a second token with
    the same signature.
    """
    text = part.decode("ascii")
    octets = decoded(text)
    if encoded(octets) != text:
        raise ValueError("not canonical")
    return octets


def _object(octets: bytes) -> dict[str, Any]:
    """Return a JSON object in which no name occurs twice. Raises ValueError, RecursionError."""
    if is_deep(octets):
        raise ValueError("nested too deep")
    # The first decoder refuses wrong UTF-8, lone surrogates and NaN; the second repeated names.
    found = msgspec.json.decode(octets, type=dict[str, Any])
    _names_once.decode(octets.decode())
    return found


def _once(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name occurs twice")


_names_once: Final = json.JSONDecoder(object_pairs_hook=_once)
