"""The metadata of providers: where their endpoints are (OpenID Connect Discovery 1.0)."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final, Protocol

import msgspec
from msgspec import Meta

from ...ports import Clock
from .addresses import wrong_address
from .provider_http import BadProvider, ProviderAway, ProviderHttp

PATH: Final = "/.well-known/openid-configuration"  # appended to the issuer, also to its path
KEPT_S: Final = 3_600.0
ONCE_IN_S: Final = 60.0  # between two fetches, also after an endpoint was refused
SOON_S: Final = 1.0  # the same while no metadata are known: then nobody can log in
BASIC: Final = "client_secret_basic"  # the secret in a header
POST: Final = "client_secret_post"  # the secret in the form
_Url = Annotated[str, Meta(max_length=2_048)]


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a provider's metadata that the central uses. Empty addresses are unknown."""

    issuer: _Url
    jwks_uri: _Url = ""
    token_endpoint: _Url = ""
    authorization_endpoint: _Url = ""
    device_authorization_endpoint: _Url = ""
    userinfo_endpoint: _Url = ""
    revocation_endpoint: _Url = ""
    authorization_response_iss_parameter_supported: bool = False
    token_endpoint_auth_methods_supported: tuple[str, ...] = (BASIC,)

    def address(self, name: str) -> str:
        """Return an address by its name. Raises BadProvider if the provider has none."""
        url: str = getattr(self, name)
        if not url:
            raise BadProvider(f"{self.issuer}: its metadata has no {name}")
        return url

    def with_secret(
        self, fields: Mapping[str, str], client: str, secret: str
    ) -> tuple[dict[str, str], tuple[str, str] | None]:
        """Return the form with the client's secret, or with (client, secret) for a header.

        The first known method in the metadata counts. Raises BadProvider if there is none.
        """
        for method in self.token_endpoint_auth_methods_supported:
            if method == BASIC:
                return dict(fields), (client, secret)
            if method == POST:
                return {**fields, "client_id": client, "client_secret": secret}, None
        found = ", ".join(self.token_endpoint_auth_methods_supported)[:200] or "none"
        right = f"expected {BASIC} or {POST} among them"
        raise BadProvider(
            f"{self.issuer}: token_endpoint_auth_methods_supported: found {found}, {right}"
        )


class ProviderAddress(Protocol):
    """How a provider is reached: a provider's entry, or an account of ours there."""

    @property
    def issuer(self) -> str:
        """Its URL, letter by letter."""
        ...

    @property
    def ca_file(self) -> str:
        """File with its authorities; empty: those of the system."""
        ...


class _Known:
    """What is known of one issuer. Times are those of the monotonic clock."""

    def __init__(self) -> None:
        self.found: Metadata | None = None
        self.failure: ProviderAway | BadProvider | None = None  # of the last fetch
        self.asked_at = 0.0
        self.fetch_at = 0.0  # when to fetch again
        self.fetching: asyncio.Event | None = None  # set at its end


class MetadataReader:
    """Fetches the metadata of issuers, one fetch at a time, and keeps each for KEPT_S seconds.

    While a provider is away or answers with an error, its last metadata stay in use. All
    users of a provider share one reader, so that all notice a moved endpoint.
    """

    def __init__(self, http: ProviderHttp, clock: Clock) -> None:
        self._http, self._clock = http, clock
        self._issuers: dict[str, _Known] = {}

    def find(self, issuer: str) -> Metadata | None:
        """Return the last metadata from memory, however old. It asks nobody."""
        known = self._issuers.get(issuer)
        return known.found if known is not None else None

    async def of(self, at: ProviderAddress) -> Metadata:
        """Return an issuer's metadata. Raises ProviderAway, BadProvider.

        Callers that come during a fetch get the last metadata, or else the outcome of the fetch.
        """
        known = self._issuers.setdefault(at.issuer, _Known())
        while known.fetching is not None and known.found is None:
            await known.fetching.wait()
            if known.failure is not None:
                raise type(known.failure)(*known.failure.args)
        if known.fetching is None and self._clock.monotonic() >= known.fetch_at:
            known.fetching, known.failure = asyncio.Event(), None
            try:
                await self._fetch(at, known)
            finally:  # after a cancellation, the next caller fetches
                known.fetching.set()
                known.fetching = None
        if known.found is not None:
            return known.found
        assert known.failure is not None, "a fetch gives metadata or a failure"
        raise type(known.failure)(*known.failure.args)

    def doubt(self, issuer: str) -> None:
        """Fetch the metadata again soon: an address in them has failed.

        The next use fetches them, but at most one fetch in ONCE_IN_S seconds.
        """
        known = self._issuers.get(issuer)
        if known is not None and known.found is not None:
            known.fetch_at = min(known.fetch_at, known.asked_at + ONCE_IN_S)

    def keep_only(self, issuers: Collection[str]) -> None:
        """Forget all other issuers."""
        for gone in self._issuers.keys() - set(issuers):
            del self._issuers[gone]

    async def _fetch(self, at: ProviderAddress, known: _Known) -> None:
        known.asked_at = self._clock.monotonic()
        try:
            url = at.issuer.removesuffix("/") + PATH
            known.found = checked(await self._http.get(url, ca_file=at.ca_file), at.issuer)
        except (ProviderAway, BadProvider) as why:
            known.failure = why
            known.fetch_at = self._clock.monotonic() + (ONCE_IN_S if known.found else SOON_S)
        else:
            known.fetch_at = self._clock.monotonic() + KEPT_S


def checked(document: Mapping[str, Any], issuer: str) -> Metadata:
    """Return a document as the metadata of this issuer. Raises BadProvider."""
    try:
        found = msgspec.convert(document, Metadata)
    except msgspec.ValidationError as why:
        raise BadProvider(f"{issuer}: its metadata: {why}") from None
    if found.issuer != issuer:
        raise BadProvider(
            f"{issuer}: its metadata names the issuer {found.issuer[:200]!r}: both must be the "
            "same letter by letter"
        )
    for name in found.__struct_fields__:
        url = getattr(found, name)
        if not isinstance(url, str) or not url:
            continue
        wrong = wrong_address(url)
        if not wrong and url.startswith("http:") and not issuer.startswith("http:"):
            wrong = f"{url[:200]!r} is not https, as its issuer is"
        if wrong:
            raise BadProvider(f"{issuer}: {name} in its metadata: {wrong}")
    return found
