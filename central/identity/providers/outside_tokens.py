"""Turns access tokens of outside issuers into users, without a login here.

The text of `iss` in the token selects the provider's file. The file gives the accepted audiences,
algorithms and groups. A token causes at most one request: for an unknown `kid` the central fetches
the keys again, from the address in the provider's own metadata.
"""

from collections.abc import Mapping
from typing import Any, Final

from pilotage.proto.decoding.complaints import short

from ..callers import User
from ..errors import BadToken, Forbidden, KeysNeeded
from ..strict_tokens import (
    ACCESS_TYPES,
    SKEW_S,
    RegisteredClaims,
    SignedToken,
    TokenRules,
    check_claims,
    check_signature,
)
from .mapping import Membership, capabilities, choose, in_words, read_claims
from .provider_files import BearerRules, ProviderEntry, Providers
from .provider_keys import ProviderKeys

LIFE_MAX_S: Final = 86_400.0 + SKEW_S  # WLCG profile 1.3: access tokens live 6 h at most
NAME_MAX: Final = 128
# Claims of ID tokens (OpenID Connect Core, 3.1.3.6 and 3.3.2.11) and of events (RFC 8417).
_OF_OTHERS: Final = frozenset({"nonce", "at_hash", "c_hash", "s_hash", "events"})
_OTHER_KINDS: Final = frozenset({"id", "refresh", "offline", "logout"})  # `typ` at Keycloak


class OutsideTokens:
    """Reads access tokens of all providers whose files have `bearer`."""

    def __init__(self, *, providers: Providers, keys: ProviderKeys) -> None:
        self._providers, self._keys = providers, keys

    async def fetch_keys(self, issuer: str) -> None:
        """Fetch the keys of a provider, at most once a minute. It raises nothing."""
        await self._keys.refresh(issuer)

    def caller(self, token: SignedToken, now: float) -> tuple[User, float]:
        """Return the user of a token, and when the token ends. `now` is in seconds since 1970.

        Raises BadToken; KeysNeeded if fresh keys may help; Forbidden, Refused if the token is right
        but gives no access.
        """
        found = self._providers.book.by_issuer(token.issuer)
        if found is None:
            raise BadToken
        _, entry = found
        if entry.bearer is None:
            raise BadToken
        claims = check_claims(token, _rules(entry, entry.bearer), now)
        if not _is_access_token(token.claims):
            raise BadToken
        key = self._keys.find(entry.issuer, token.header.kid)
        if key is None:
            raise KeysNeeded(entry.issuer) if self._keys.may_refresh(entry.issuer) else BadToken()
        check_signature(token, key)
        return _user(entry, entry.bearer, token.claims, claims), float(claims.exp)


def _rules(entry: ProviderEntry, bearer: BearerRules) -> TokenRules:
    return TokenRules(
        issuer=entry.issuer,
        audiences=frozenset(bearer.audiences),
        algorithms=frozenset(entry.algorithms),
        types=ACCESS_TYPES,
        life_max_s=LIFE_MAX_S,
    )


def _is_access_token(claims: Mapping[str, Any]) -> bool:
    """Return False if the claims are those of an ID token, a refresh token or an event."""
    kind: Any = claims.get("typ")
    is_other = isinstance(kind, str) and kind.lower() in _OTHER_KINDS
    return not is_other and _OF_OTHERS.isdisjoint(claims)


def _user(
    entry: ProviderEntry, bearer: BearerRules, said: Mapping[str, Any], claims: RegisteredClaims
) -> User:
    member = _membership(entry, bearer, said)
    return User(
        issuer=claims.iss,
        subject=claims.sub,
        name=_name(said),
        community=member.community,
        groups=member.groups,
        role=member.role,
        expires_at=float(claims.exp),
        jti=claims.jti,
    )


def _membership(entry: ProviderEntry, bearer: BearerRules, said: Mapping[str, Any]) -> Membership:
    """Return the rights that a token gives. Raises Forbidden, Refused."""
    authorising = () if bearer.capabilities else capabilities(said)
    read = read_claims(entry, said, by_group=not authorising)
    if not read.memberships and authorising:
        raise Forbidden(
            f"this token has the scopes {in_words(authorising)}, so its groups do not count: "
            "get a token without compute and storage scopes"
        )
    has_default = any(one.community == bearer.community for one in read.memberships)
    return choose(read, community=bearer.community if has_default else "")


def _name(claims: Mapping[str, Any]) -> str:
    """Return a name for display; empty if the token has none that can be shown."""
    for claim in ("name", "preferred_username"):
        said: Any = claims.get(claim)
        if isinstance(said, str) and said.isprintable():
            return said if len(said) <= NAME_MAX else short(said)
    return ""
