"""Logs a person in at a central, in a browser on any device or on this machine."""

import asyncio
import base64
import hashlib
import secrets
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from pilotage.proto.api.logins import (
    CodeClaim,
    DeviceStart,
    DeviceStarted,
    LoginClaim,
    LoginPoll,
    LoginTokens,
    Providers,
)
from pilotage.proto.claims import Role
from pilotage.proto.tasks import time_limit

from ..errors import Invalid, LoginRefused, TimedOut
from ..pace import Pace
from ..transport import Transport

PATH: Final = "/callback"
LOGIN_S: Final = 600.0
CODE_MAX_S: Final = 3_600.0  # a device code is not waited for any longer
POLL_S: Final = (0.1, 60.0)  # between two polls, whatever the central says
_ANSWER: Final = """\
<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>pilotage</title>
<p>{text}</p></html>
"""


_TEXT: Final = "Go back to the terminal: it tells whether you are logged in."


class LoginWish(msgspec.Struct, frozen=True, kw_only=True):
    """The wish of a person who logs in.

    If it is empty: the only provider, the only community, the role `user`.
    """

    provider: str = ""
    community: str = ""
    role: Role | None = None


async def providers(transport: Transport) -> Providers:
    """Return the identity providers of a central."""
    return await transport.ask(Providers, "GET", "/v1/login/providers", anonymous=True)


async def log_in_by_device(
    transport: Transport,
    wish: LoginWish,
    *,
    pace: Pace,
    tell: Callable[[DeviceStarted], None],
    choose: Callable[[str], str],
) -> LoginTokens:
    """Log in with a code that the person confirms in a browser on any device.

    `tell` shows the address and the code. `choose` receives the central's question if the person
    has several communities, and returns one; it may raise. Raises Refused, TimedOut.
    """
    body = DeviceStart(provider=wish.provider, host=socket.gethostname()[:128])
    started = await transport.ask(
        DeviceStarted, "POST", "/v1/login/device", body=body, anonymous=True, again=False
    )
    tell(started)
    claim = LoginClaim(login=started.login, community=wish.community, role=wish.role)
    until = pace.monotonic() + min(started.expires_in_s, CODE_MAX_S)
    pause_s = pause_between_polls_s(started.interval_s)
    while pace.monotonic() < until:
        await pace.sleep(pause_s)
        try:
            answer = await transport.ask(
                LoginPoll, "POST", "/v1/login/poll", body=claim, anonymous=True
            )
        except Invalid as why:
            if why.field != "community" or claim.community:
                raise
            claim = msgspec.structs.replace(claim, community=choose(why.message))
            pause_s = 0.0
            continue
        if answer.tokens is not None:
            return answer.tokens
        pause_s = pause_between_polls_s(answer.interval_s)
    raise TimedOut("the login", started.expires_in_s, 1)


def pause_between_polls_s(said: float) -> float:
    """Return the seconds until the next poll, from those that the central said."""
    least, most = POLL_S
    return min(max(said, least), most)


async def log_in_by_browser(
    transport: Transport,
    wish: LoginWish,
    *,
    tell: Callable[[str], None],
    choose: Callable[[str], str],
) -> LoginTokens:
    """Log in with a browser on this machine, which comes back to a loopback port (RFC 8252).

    `tell` shows or opens the address. Raises Refused; LoginRefused, also after LOGIN_S.
    """
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    digest = hashlib.sha256(verifier.encode()).digest()
    async with _listening(state) as (redirect, arrived):
        query = {
            "provider": wish.provider,
            "community": wish.community,
            "role": wish.role.value if wish.role else "",
            "redirect_uri": redirect,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "state": state,
        }
        told = {name: value for name, value in query.items() if value}
        tell(f"{transport.url}/auth/start?{urlencode(told)}")
        try:
            async with time_limit(LOGIN_S):
                answer = await arrived
        except asyncio.TimeoutError:
            why = (
                f"the browser did not come back within {LOGIN_S / 60:.0f} minutes: log in again; "
                "if it showed an error, tell it to an administrator of the central"
            )
            raise LoginRefused(why) from None
    if "code" not in answer:
        raise LoginRefused(answer.get("error_description") or "the login was refused")
    claim = CodeClaim(
        code=answer["code"],
        verifier=verifier,
        community=wish.community,
        role=wish.role,
        host=socket.gethostname()[:128],
    )
    while True:
        try:
            return await transport.ask(
                LoginTokens, "POST", "/v1/login/code", body=claim, anonymous=True
            )
        except Invalid as why:
            if why.field != "community" or claim.community:
                raise
            claim = msgspec.structs.replace(claim, community=choose(why.message))


@asynccontextmanager
async def _listening(
    state: str,
) -> AsyncGenerator[tuple[str, "asyncio.Future[dict[str, str]]"]]:
    """Listen on a loopback port; give its address, and the query of the browser that comes.

    Other programs on this machine may connect too: without the right `state` they are ignored.
    """
    arrived: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with time_limit(10.0):
                line = await reader.readline()
                while (await reader.readline()).strip():
                    pass
                found = _query_of(line)
                is_ours = secrets.compare_digest(found.get("state", "").encode(), state.encode())
                if is_ours and not arrived.done():
                    arrived.set_result(found)
                await _reply(writer, _ANSWER.format(text=_TEXT) if is_ours else "")
        except (asyncio.TimeoutError, ConnectionError, ValueError):
            pass  # not a browser, or one that left
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=16_384)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}{PATH}", arrived
    finally:
        server.close()
        arrived.cancel()


def _query_of(line: bytes) -> dict[str, str]:
    """Return the query of a request line `GET /callback?… HTTP/1.1`; empty for other requests."""
    words = line.decode("latin-1").split(" ")
    if len(words) != 3 or words[0] != "GET":
        return {}
    parts = urlsplit(words[1])
    return dict(parse_qsl(parts.query)) if parts.path == PATH else {}


async def _reply(writer: asyncio.StreamWriter, page: str) -> None:
    status = "200 OK" if page else "404 Not Found"
    body = page.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"Cache-Control: no-store\r\nConnection: close\r\n\r\n" + body)
    await writer.drain()
