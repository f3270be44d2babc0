"""The factory as a client of a real provider, for elements that trust it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from pilotage.central.factory.credential import CredentialSource
from pilotage.central.factory.credentials.client_credentials import ClientOptions, ClientSource
from pilotage.central.identity.providers.client_requests import ClientRequests
from pilotage.central.identity.providers.metadata import MetadataReader
from pilotage.central.operate.clocks import SystemClock, SystemRandomness
from pilotage.central.operate.providers.provider_http import RealProviderHttp
from tests.acceptance.identity.providers import FACTORY, RunningProvider


@asynccontextmanager
async def client_of(
    provider: RunningProvider, folder: Path, audience: str
) -> AsyncGenerator[CredentialSource]:
    """Yield a source of tokens for an audience."""
    secret, http = folder / "secret", RealProviderHttp()
    secret.touch(mode=0o600)
    secret.write_text(provider.clients[FACTORY])
    options = ClientOptions(
        issuer=provider.issuer,
        id=FACTORY,
        secret_file=str(secret),
        audience=audience,
        audience_parameter="resource",
        ca_file=str(provider.ca_file),
    )
    try:
        clock = SystemClock()
        requests = ClientRequests(http, MetadataReader(http, clock))
        yield ClientSource(options, requests, clock, SystemRandomness())
    finally:
        await http.close()
