"""Reads a person's claims, from a provider's tokens and from its userinfo endpoint."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from ..base64url import decoded
from .mapping import seen_groups
from .oauth import OAuth, TokenAnswer
from .provider_files import ProviderEntry
from .provider_http import BadProvider

NAME_MAX: Final = 128
EMAIL_MAX: Final = 254  # RFC 5321, 4.5.3.1.3
_NAMES: Final = ("name", "preferred_username", "eppn")


class IdTokens(Protocol):
    """Checks ID tokens (OpenID Connect Core 3.1.3.7)."""

    async def claims(self, entry: ProviderEntry, token: str, *, nonce: str) -> dict[str, Any]:
        """Return the claims of a valid ID token. An empty `nonce` is not compared.

        Raises ProviderAway (its keys are unknown), BadProvider.
        """
        ...


class ProvidedPerson(msgspec.Struct, frozen=True, kw_only=True):
    """A person as the provider describes them now. `refresh` is empty without a refresh token."""

    issuer: str
    subject: str
    name: str
    email: str  # verified by the provider, or empty
    claims: Mapping[str, Any]
    refresh: str
    is_described: bool = True  # False: the answer has no claims about name and address


class People:
    """Collects the claims of a person from the tokens of a provider."""

    def __init__(self, oauth: OAuth, id_tokens: IdTokens) -> None:
        self._oauth, self._id_tokens = oauth, id_tokens

    async def described(
        self, entry: ProviderEntry, answer: TokenAnswer, *, nonce: str = "", subject: str = ""
    ) -> ProvidedPerson:
        """Return the person. If `subject` is given, it must match, and the ID token may be missing.

        The provider's file lists the sources of groups. The first source that has a claim wins.
        Raises ProviderAway, BadProvider.
        """
        claims: dict[str, Any] = {}
        if answer.id_token:
            claims = await self._id_tokens.claims(entry, answer.id_token, nonce=nonce)
        elif not subject:
            raise BadProvider(f"{entry.issuer} gave no ID token: its file needs the scope openid")
        subject = self._same(entry, claims, subject or str(claims.get("sub", "")))
        found: dict[str, Any] = {}
        for source in entry.groups.from_:
            if source == "id_token":
                found = {**claims, **found}
            elif source == "access_token":
                found = {**_payload(answer.access_token), **found}
            elif not seen_groups(entry, found):
                told = await self._oauth.userinfo(entry, answer.access_token)
                self._same(entry, told, subject)
                found, claims = {**told, **found}, {**told, **claims}
        if not found:  # not even a subject: this says nothing about the groups
            sources = ", ".join(entry.groups.from_)
            raise BadProvider(f"{entry.issuer} gave no claims in {sources}: the groups are unknown")
        found["sub"] = subject
        verified = claims.get("email_verified") is True
        return ProvidedPerson(
            issuer=entry.issuer,
            subject=subject,
            name=_line(next((claims[one] for one in _NAMES if claims.get(one)), ""), NAME_MAX),
            email=_line(claims.get("email"), EMAIL_MAX) if verified else "",
            claims=found,
            refresh=answer.refresh_token,
            is_described=bool(claims),
        )

    def _same(self, entry: ProviderEntry, claims: Mapping[str, Any], subject: str) -> str:
        """Return the subject. Raises BadProvider if the claims belong to another person."""
        if not subject or claims.get("sub", subject) != subject:
            raise BadProvider(f"{entry.issuer} mixed up two people: the login was refused")
        return subject


def _payload(token: str) -> dict[str, Any]:
    """Return the claims of an access token that came from the provider itself, if it is a JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        return msgspec.json.decode(decoded(parts[1]), type=dict[str, Any])
    except (ValueError, RecursionError):
        return {}


def _line(value: object, size_max: int) -> str:
    """Return a claim as one printable line; empty if it is not a text."""
    text = value if isinstance(value, str) else ""
    return "".join(char for char in text if char.isprintable())[:size_max]
