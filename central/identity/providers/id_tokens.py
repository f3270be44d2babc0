"""Checks the signature and the claims of ID tokens, which identify the person."""

from typing import Any, Final

from ...ports import Clock
from ..errors import BadToken
from ..strict_tokens import (
    ID_TOKEN_MAX,
    PLAIN_TYPES,
    TokenRules,
    check_id_token,
    check_signature,
    parse,
)
from .provider_files import ProviderEntry
from .provider_http import BadProvider, ProviderAway
from .provider_keys import ProviderKeys

LIFE_MAX_S: Final = 7 * 86_400.0  # providers choose minutes or hours


class IdTokenReader:
    """Reads ID tokens that a provider has just given to the central."""

    def __init__(self, keys: ProviderKeys, clock: Clock) -> None:
        self._keys, self._clock = keys, clock

    async def claims(self, entry: ProviderEntry, token: str, *, nonce: str) -> dict[str, Any]:
        """Return the claims of a valid ID token. An empty `nonce` is not compared.

        Raises ProviderAway (its keys cannot be fetched), BadProvider.
        """
        if entry.client is None:
            raise BadProvider(f"{entry.issuer}: nobody logs in there")
        rules = TokenRules(
            issuer=entry.issuer,
            audiences=frozenset((entry.client.id,)),
            algorithms=frozenset(entry.algorithms),
            types=PLAIN_TYPES,
            life_max_s=LIFE_MAX_S,
        )
        try:
            signed = parse(token, size_max=ID_TOKEN_MAX)
            check_id_token(signed, rules, self._clock.wall(), nonce=nonce or None)
            kid = signed.header.kid
            if self._keys.find(entry.issuer, kid) is None:
                await self._keys.refresh(entry.issuer, at_once=True)
            key = self._keys.find(entry.issuer, kid)
            if key is None:
                raise ProviderAway(f"{entry.issuer}: the key {kid[:80]!r} cannot be fetched")
            check_signature(signed, key)
        except BadToken:
            raise BadProvider(f"{entry.issuer}: its ID token is not valid for this login") from None
        return signed.claims
