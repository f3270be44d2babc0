"""Requests of httpx over the simulated network."""

from collections.abc import Callable

import httpx

from pilotage.pilot.ports import NoReply

from .network import Network
from .processes import Host


class Transport(httpx.AsyncBaseTransport):
    """Carries the requests of one host. `host_of` finds the server by its name in the URL."""

    def __init__(
        self, network: Network, source: Host, host_of: Callable[[str], Host], *, timeout_s: float
    ) -> None:
        self._network, self._source, self._host_of = network, source, host_of
        self._timeout_s = timeout_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        try:
            reply = await self._network.request(
                self._source,
                self._host_of(request.url.host),
                method=request.method,
                path=request.url.raw_path.decode(),
                body=body,
                token=request.headers.get("authorization", "").removeprefix("Bearer "),
                timeout_s=self._timeout_s,
            )
        except NoReply as why:
            raise httpx.ReadTimeout(str(why)) from None
        return httpx.Response(reply.status, stream=httpx.ByteStream(reply.body))
