"""The port through which the central speaks to identity providers.

Only the addresses of a provider's file and of its metadata are ever requested, never an address
that a token names.
"""

from collections.abc import Mapping
from typing import Any, Protocol


class ProviderAway(Exception):
    """The provider did not answer, or is unavailable. A later request may succeed."""


class NoConnection(ProviderAway):
    """Nobody accepts connections at this address. The endpoint may have moved."""


class TooManyRequests(ProviderAway):
    """Too many requests of ours wait for this provider already. It says nothing about the provider.

    The request was not sent. A later one may succeed.
    """


class NoEndpoint(ProviderAway):
    """The address does not exist at the provider (404, 410).

    The endpoint may have moved, or a proxy in front of a provider that restarts answers so.
    """


class BadProvider(Exception):
    """The provider answered, but not as its standard or its file says."""


class NoJson(BadProvider):
    """The answer has no JSON object. `status` is its HTTP status."""

    def __init__(self, where: str, status: int) -> None:
        super().__init__(f"{where}: answered with status {status} and no valid JSON object")
        self.status = status


class ProviderHttp(Protocol):
    """Requests to a provider. They follow no redirects, and end after ten seconds or 1 MiB.

    Few requests are sent to one host at once; others wait for their turn, which is not counted.
    Metadata and keys have turns of their own, so that logins cannot delay them.
    `ca_file` has the authorities of a provider that the system does not know.
    """

    async def get(self, url: str, *, ca_file: str = "", bearer: str = "") -> dict[str, Any]:
        """Return a JSON object. Raises ProviderAway, BadProvider, and their kinds above."""
        ...

    async def post(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        ca_file: str = "",
        basic: tuple[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Send a form, and return the status and the JSON object of the answer.

        `basic` is the id and the secret of the client. Raises ProviderAway, BadProvider, and
        their kinds above.
        """
        ...
