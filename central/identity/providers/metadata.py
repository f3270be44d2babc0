"""The metadata of providers: where their endpoints are (OpenID Connect Discovery 1.0)."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ...ports import Clock
from .addresses import wrong_address
from .provider_http import BadProvider, ProviderAway, ProviderHttp

PATH: Final = "/.well-known/openid-configuration"  # appended to the issuer, also to its path
KEPT_S: Final = 3_600.0
AGAIN_S: Final = 60.0  # after a provider was away
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


class MetadataReader:
    """Fetches the metadata of issuers, and keeps each for KEPT_S seconds.

    While a provider is away, its last metadata stays in use.
    """

    def __init__(self, http: ProviderHttp, clock: Clock) -> None:
        self._http, self._clock = http, clock
        self._kept: dict[str, tuple[float, Metadata]] = {}

    async def of(self, issuer: str, *, ca_file: str = "") -> Metadata:
        """Return an issuer's metadata. Raises ProviderAway, BadProvider."""
        now = self._clock.monotonic()
        kept = self._kept.get(issuer)
        if kept is not None and now < kept[0]:
            return kept[1]
        try:
            document = await self._http.get(issuer.removesuffix("/") + PATH, ca_file=ca_file)
        except ProviderAway:
            if kept is None:
                raise
            self._kept[issuer] = (now + AGAIN_S, kept[1])
            return kept[1]
        found = checked(document, issuer)
        self._kept[issuer] = (now + KEPT_S, found)
        return found

    def forget(self, issuer: str) -> None:
        """Read the metadata again at the next use, because an address in it has failed."""
        self._kept.pop(issuer, None)


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
