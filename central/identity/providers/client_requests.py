"""Requests of a client to the endpoints that a provider's metadata name, and their answers."""

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from .metadata import Metadata, MetadataReader, ProviderAddress
from .provider_http import NoConnection, NoEndpoint, ProviderHttp

SECONDS_MAX: Final = 1e9
_DIGITS: Final = re.compile("[0-9]{1,12}")


@dataclass(frozen=True, kw_only=True)
class ClientAccount:
    """A client of ours at a provider. `secret` is in clear."""

    issuer: str
    id: str
    secret: str = field(repr=False)
    ca_file: str = ""


class ClientRequests:
    """Sends requests to the endpoints of providers.

    If an endpoint does not exist or accepts no connection, the metadata that name it are read
    again.
    """

    def __init__(self, http: ProviderHttp, metadata: MetadataReader) -> None:
        self._http, self.metadata = http, metadata

    async def post(
        self, client: ClientAccount, endpoint: str, fields: Mapping[str, str]
    ) -> tuple[int, dict[str, Any]]:
        """Send a form with the secret of a client, and return the status and the answer.

        `endpoint` is its name in the metadata (RFC 8414, 2). Raises ProviderAway, BadProvider.
        """
        found = await self.metadata.of(client)
        url = found.address(endpoint)
        form, basic = found.with_secret(fields, client.id, client.secret)
        with self._doubting(found):
            return await self._http.post(url, form, ca_file=client.ca_file, basic=basic)

    async def get(self, at: ProviderAddress, endpoint: str, *, bearer: str = "") -> dict[str, Any]:
        """Return the JSON object at an endpoint. Raises ProviderAway, BadProvider."""
        found = await self.metadata.of(at)
        with self._doubting(found):
            return await self._http.get(found.address(endpoint), ca_file=at.ca_file, bearer=bearer)

    @contextmanager
    def _doubting(self, found: Metadata) -> Generator[None]:
        try:
            yield
        except (NoConnection, NoEndpoint):
            self.metadata.doubt(found.issuer)
            raise


def seconds(found: object) -> float:
    """Return a number of seconds in an answer; some providers write `expires_in` as text.

    Longer times become SECONDS_MAX. Raises ValueError for anything else than a number from zero.
    """
    if isinstance(found, str) and _DIGITS.fullmatch(found):
        return min(float(found), SECONDS_MAX)
    if isinstance(found, (int, float)) and not isinstance(found, bool) and found >= 0:
        return float(min(found, SECONDS_MAX))  # a long integer is no float
    raise ValueError(f"found {f'{found!r}'[:80]}, expected seconds")
