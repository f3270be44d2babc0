"""Commands that go wrong in chosen ways between a driver and its element."""

import ssl
from collections.abc import Mapping, Sequence

import httpx

from pilotage.central.factory.commands import (
    CommandNotStarted,
    CommandOutcomeUnknown,
    Commands,
    CompletedCommand,
)

GARBAGE = b"\x00\xff\x1b[31m<html>502 Bad Gateway</html>\n" * 3


class Troubled:
    """Runs real programs; what comes back of them can be spoilt."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self.garbles = self.is_silent = self.has_nothing = False
        self.loses_replies_of: str | None = None  # a program; "": of all
        self.argvs: list[tuple[str, ...]] = []

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> CompletedCommand:
        """Run it, then spoil the answer as told. Raises NoAnswer and NotStarted."""
        self.argvs.append(tuple(argv))
        if self.is_silent:
            raise CommandOutcomeUnknown(f"{argv[0]}: not ended after {timeout_s:g} s")
        if self.has_nothing:
            raise CommandNotStarted(f"{argv[0]}: no such file or directory")
        done = await self._commands.run(
            argv, stdin=stdin, environment=environment, timeout_s=timeout_s
        )
        if self.loses_replies_of is not None and self.loses_replies_of in ("", *argv[:1]):
            raise CommandOutcomeUnknown(f"{argv[0]}: the line was cut")
        return CompletedCommand(0, GARBAGE, GARBAGE) if self.garbles else done


class TroubledWeb(httpx.AsyncBaseTransport):
    """The same troubles on the way to an element that speaks HTTPS."""

    def __init__(self, troubles: Troubled, context: ssl.SSLContext) -> None:
        self._troubles, self._context = troubles, context

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask for real, then spoil the answer as told."""
        troubles = self._troubles
        if troubles.is_silent:
            raise httpx.ReadTimeout("no answer", request=request)
        if troubles.has_nothing:
            raise httpx.ConnectError("connection refused", request=request)
        async with httpx.AsyncHTTPTransport(verify=self._context) as real:
            reply = await real.handle_async_request(request)
            await reply.aread()
        lost = troubles.loses_replies_of
        if lost is not None and str(request.url).endswith(lost):
            raise httpx.ReadTimeout("the line was cut", request=request)
        return httpx.Response(
            200 if troubles.garbles else reply.status_code,
            content=GARBAGE if troubles.garbles else reply.content,
            request=request,
        )
