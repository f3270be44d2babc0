"""The drivers of a central without identity providers."""

from collections.abc import Mapping
from typing import Any

from pilotage.central.identity.assembly import IdentityDrivers
from pilotage.central.identity.providers.client_requests import ClientRequests
from pilotage.central.identity.providers.metadata import MetadataReader
from pilotage.central.identity.providers.outside_tokens import OutsideTokens
from pilotage.central.identity.providers.provider_files import Providers
from pilotage.central.identity.providers.provider_http import ProviderAway, ProviderHttp
from pilotage.central.identity.providers.provider_keys import ProviderKeys
from pilotage.central.observe.events import no_log
from pilotage.central.ports import Clock, Randomness


class NoNetwork:
    """Each request raises ProviderAway."""

    async def get(self, url: str, *, ca_file: str = "", bearer: str = "") -> dict[str, Any]:
        raise ProviderAway("this central asks no providers")

    async def post(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        ca_file: str = "",
        basic: tuple[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        raise ProviderAway("this central asks no providers")


def drivers_of(
    providers: Providers, http: ProviderHttp, clock: Clock, randomness: Randomness
) -> IdentityDrivers:
    """Return drivers that ask `providers` through `http`."""
    requests = ClientRequests(http, MetadataReader(http, clock))
    keys = ProviderKeys(
        providers=providers, requests=requests, clock=clock, randomness=randomness, log=no_log
    )
    outside = OutsideTokens(providers=providers, keys=keys)
    return IdentityDrivers(providers, requests, lambda _: "s/ecret", keys, outside)


def no_providers(clock: Clock, randomness: Randomness) -> IdentityDrivers:
    """Return drivers that know no provider."""
    return drivers_of(Providers(), NoNetwork(), clock, randomness)
