"""Requests to the central, with retries.

Idempotent requests are retried if there is no answer, or if the central cannot answer now. The
pauses grow, with jitter. httpx is imported with the first request, so that commands that fail
before it are fast.
"""

import asyncio
import ssl
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import msgspec

from pilotage.proto.api.health import Health
from pilotage.proto.api.logins import LoginTokens, Renewal
from pilotage.proto.problems import Code
from pilotage.proto.tasks import Tasks, time_limit
from pilotage.proto.trust import trusting

from .credentials import CentralLogin
from .errors import (
    BadAnswer,
    NoCentral,
    Refused,
    Unavailable,
    Unreachable,
    UnreadableCredentials,
    refusal,
)
from .logins.login_files import LoginKeeper
from .pace import Pace, pauses

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

QueryPairs = Sequence[tuple[str, str]]
RequestContent = bytes | Callable[[], AsyncIterator[bytes]]  # called for each try
FindAgain = Callable[[], CentralLogin]  # raises NoCentral
OnRetry = Callable[[str, float], None]  # the reason, and the pause before the next try

_NO_TOKEN = 401
_MISDIRECTED = 421
_AGAIN = frozenset({408, _MISDIRECTED, 429, 500, 502, 503, 504})
_CONNECT_S = 5.0
# The token has expired by another clock, its session has ended, or the central has new keys.
_RENEWABLE = (Code.EXPIRED_TOKEN.value, Code.BAD_TOKEN.value)
_LOOK_S = 2.0  # between two checks whether a slow leader still leads
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"  # in the words of OpenSSL
_LOCAL = ("127.0.0.1", "localhost", "::1")


class Transport:
    """Sends requests to the leader of one central.

    A process that does not lead answers 421, and names the leader. This and all later requests then
    go to that leader, until it does not answer, or until another process leads.

    `find_again` returns the connection as it is now. A client without a token calls it, because a
    central that starts for the first time makes its token only then.
    """

    def __init__(
        self,
        connection: CentralLogin,
        *,
        pace: Pace,
        patience_s: float,
        answer_s: float = 60.0,
        http: "httpx.AsyncBaseTransport | None" = None,
        on_retry: OnRetry | None = None,
        find_again: FindAgain | None = None,
    ) -> None:
        self._find_again = find_again
        self._connection, self._pace, self._http = connection, pace, http
        self._patience_s, self._answer_s, self._on_retry = patience_s, answer_s, on_retry
        self._client: httpx.AsyncClient | None = None
        self._leader = ""  # requests go there; empty: to `url`
        self._login = self._keeper_of(connection)

    @property
    def url(self) -> str:
        return self._connection.url

    async def _authorization(self, *, is_refused: bool = False) -> dict[str, str]:
        """Return the header with the token of the login, renewed if need be."""
        if self._login is None:
            return {}  # the connections have a fixed token, or none
        token = await self._login.token(is_refused=is_refused)
        return {"authorization": f"Bearer {token}"}

    async def _renew(self, renewal: Renewal) -> LoginTokens:
        return await self.ask(LoginTokens, "POST", "/v1/login/renew", body=renewal, anonymous=True)

    async def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def ask(
        self,
        kind: type[T],
        method: str,
        path: str,
        *,
        query: QueryPairs = (),
        body: object = None,
        content: RequestContent | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool = True,
        answer_s: float | None = None,
        anonymous: bool = False,
    ) -> T:
        """Send a request and return its answer as `kind`. An anonymous one renews no login.

        `again=False` is for requests that are not idempotent: only refused connections are retried.
        """
        sent = dict(headers or {})
        if body is not None:
            content = msgspec.json.encode(body)
            sent["content-type"] = "application/json"

        async def asked(is_refused: bool = False) -> bytes:
            if not anonymous:
                sent.update(await self._authorization(is_refused=is_refused))
            what = f"{method} {path}"
            return await self._patiently(what, method, path, query, content, sent, again, answer_s)

        try:
            data = await asked()
        except Refused as why:
            if anonymous or self._login is None or why.code not in _RENEWABLE:
                raise
            data = await asked(is_refused=True)  # if the session has ended, the renewal says why
        try:
            return msgspec.json.decode(data or b"null", type=kind)
        except msgspec.DecodeError as why:
            raise BadAnswer(self.url, f"{method} {path}", str(why)) from None

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        query: QueryPairs = (),
        headers: Mapping[str, str] | None = None,
        body: object = None,
        idle_s: float,
    ) -> AsyncGenerator["httpx.Response", None]:
        """Open an answer that is read piece by piece. It is not retried. With a body it is a POST.

        Raises Refused, and Unreachable also if no piece arrives for `idle_s` seconds.
        """
        import httpx

        method, content = "GET", None
        if body is not None:
            method, content = "POST", msgspec.json.encode(body)
            headers = {**(headers or {}), "content-type": "application/json"}
        what, has_begun = f"{method} {path}", False
        asked = (method, path, query, content)
        try:
            try:
                response = await self._opened_stream(asked, headers, idle_s)
            except Refused as why:
                if self._login is None or why.code not in _RENEWABLE:
                    raise
                response = await self._opened_stream(asked, headers, idle_s, is_refused=True)
            try:
                has_begun = True
                yield response
            finally:
                await response.aclose()
        except httpx.ConnectError as why:
            raise Unreachable(self.url, what, self._unconnected(why)) from None
        except (httpx.TransportError, asyncio.TimeoutError) as why:
            said = f"the answer broke off: {_named(why)}" if has_begun else _named(why)
            raise Unreachable(self.url, what, said) from None

    async def _opened_stream(
        self,
        asked: tuple[str, str, QueryPairs, bytes | None],
        headers: Mapping[str, str] | None,
        idle_s: float,
        *,
        is_refused: bool = False,
    ) -> "httpx.Response":
        """Return an answer before its body is read. Raises Refused and errors of httpx.

        `is_refused`: the token was refused, so it is renewed; the renewal says why a login ended.
        """
        method, path, query, content = asked
        async with time_limit(self._answer_s):
            sent = {**(headers or {}), **await self._authorization(is_refused=is_refused)}
            response = await self._followed(method, path, query, content, sent, idle_s)
            if response.status_code < 300:
                return response
            try:
                what = f"{method} {path}"
                raise self._refused(response.status_code, await response.aread(), what)
            finally:
                await response.aclose()

    def repeats(self, why: str, pause_s: float) -> None:
        """Report that the caller retries a request after a pause."""
        if self._on_retry is not None:
            self._on_retry(why, pause_s)

    async def _patiently(
        self,
        what: str,
        method: str,
        path: str,
        query: QueryPairs,
        content: RequestContent | None,
        headers: dict[str, str],
        again: bool,
        answer_s: float | None,
    ) -> bytes:
        until = self._pace.monotonic() + self._patience_s
        for pause_s in pauses(self._pace):
            try:
                return await self._once(what, method, path, query, content, headers, answer_s)
            except _NoAnswer as why:
                may_help = (again or why.never_sent) and not why.untrusted
                if not may_help or self._pace.monotonic() + pause_s > until:
                    raise Unreachable(self.url, what, why.reason) from None
                reason = why.reason
            except Refused as why:
                if why.status == _NO_TOKEN and self._has_found_token():
                    continue
                if not again or why.status not in _AGAIN:
                    raise
                if self._pace.monotonic() + pause_s > until:
                    raise
                reason = why.message
            self.repeats(reason, pause_s)
            await self._pace.sleep(pause_s)
            self._has_found_token()
        raise AssertionError("pauses never end")

    def _has_found_token(self) -> bool:
        """Return whether there is a token now, after there was none. It is used from now on."""
        if self._find_again is None or self._connection.token:
            return False
        try:
            found = self._find_again()
        except NoCentral:
            return False
        if not found.token:
            return False
        self._connection = found
        self._login = self._keeper_of(found)
        if self._client is not None:  # not replaced: other requests may use it
            self._client.base_url = found.url
            self._client.headers.update(self._fixed_token())
        return True

    def _keeper_of(self, connection: CentralLogin) -> LoginKeeper | None:
        login = connection.login
        return LoginKeeper(login, self._renew) if login is not None else None

    def _fixed_token(self) -> dict[str, str]:
        """Return the header with a token that is no login; empty without one."""
        if not self._connection.token or self._login is not None:
            return {}
        return {"authorization": f"Bearer {self._connection.token}"}

    async def _once(
        self,
        what: str,
        method: str,
        path: str,
        query: QueryPairs,
        content: RequestContent | None,
        headers: dict[str, str],
        answer_s: float | None,
    ) -> bytes:
        import httpx

        try:
            async with time_limit(answer_s or self._answer_s):
                response = await self._followed(method, path, query, content, headers)
                await response.aread()
        except httpx.ConnectError as why:
            untrusted = _UNTRUSTED in _named(why)
            said = self._unconnected(why)
            raise _NoAnswer(said, never_sent=True, untrusted=untrusted) from None
        except (httpx.TransportError, asyncio.TimeoutError) as why:
            raise _NoAnswer(_named(why), never_sent=False) from None
        if response.status_code >= 300:
            raise self._refused(response.status_code, response.content, what)
        return response.content

    async def _followed(
        self,
        method: str,
        path: str,
        query: QueryPairs,
        content: RequestContent | None,
        headers: Mapping[str, str],
        read_s: float | None = None,
    ) -> "httpx.Response":
        """Send a request to the leader, and return its answer before the body is read."""
        import httpx

        async def sent() -> httpx.Response:
            body: Any = content() if callable(content) else content
            request = self._opened().build_request(
                method,
                self._leader + path,
                params=list(query) or None,  # with an empty list httpx would parse the URL again
                content=body,
                headers=dict(headers),
                timeout=httpx.Timeout(
                    self._answer_s, connect=_CONNECT_S, read=read_s or self._answer_s
                ),
            )

            def send() -> Coroutine[Any, Any, httpx.Response]:
                return self._opened().send(request, stream=True)

            return await (self._while_it_leads(send) if self._leader else send())

        went_to = self._leader
        try:
            response = await sent()
            if response.status_code != _MISDIRECTED:
                return response
            leader = _leader_in(await response.aread())
            if leader == went_to or not _is_as_safe(leader, self.url):
                return response
            self._leader = went_to = leader
            return await sent()
        except BaseException:  # also a timeout, which cancels a request to a dead leader
            if self._leader == went_to:
                self._leader = ""
            raise

    async def _while_it_leads(
        self, send: Callable[[], Coroutine[Any, Any, "httpx.Response"]]
    ) -> "httpx.Response":
        """Return the answer of the leader. Raises httpx.ReadError if another process leads first.

        A frozen leader does not answer, and the patience would end long before the timeout.
        """
        async with Tasks() as tasks:  # a failure of one task ends the other
            watch = tasks.start(self._fail_when_another_leads(self._leader))
            response = await send()
            watch.cancel()
        return response

    async def _fail_when_another_leads(self, leader: str) -> NoReturn:
        """Ask the process at `url` for the leader. Raises httpx.ReadError if it is another one."""
        import httpx

        while True:
            await self._pace.sleep(_LOOK_S)
            with suppress(httpx.HTTPError, msgspec.DecodeError):
                health = await self._opened().get("/health", timeout=_CONNECT_S)
                found = msgspec.json.decode(health.content, type=Health).leader.rstrip("/")
                if found not in ("", leader):
                    break
        raise httpx.ReadError(f"{leader} did not answer, and {found} is the leader now")

    def _unconnected(self, why: Exception) -> str:
        """Return why there is no connection. For an untrusted certificate, say what to do."""
        said = _named(why)
        if _UNTRUSTED not in said:
            return said
        ca_file = self._connection.ca_file
        trusted = f"{ca_file} in PILOTAGE_CA_FILE" if ca_file else "this machine"
        named = "another" if ca_file else "it"
        return (
            f"{said}: {trusted} does not trust the authority of this certificate; if it is a"
            f" private one, name {named} in PILOTAGE_CA_FILE"
        )

    def _refused(self, status: int, content: bytes, what: str) -> Refused | BadAnswer:
        from pilotage.proto.messages import Problem

        try:
            problem = msgspec.json.decode(content, type=Problem)
        except msgspec.DecodeError:
            if status in _AGAIN:  # from a proxy in front of the central
                return Unavailable("unavailable", f"HTTP status {status}", "", status)
            return BadAnswer(self.url, what, f"HTTP status {status}")
        message = problem.message
        if problem.code == Code.BAD_TOKEN.value and self._login is not None:
            message += f" (log in again: `pilotage login {self.url}`)"
        elif status == _NO_TOKEN and not self._connection.token:
            message += (
                f" (no token was found for {self.url}: see PILOTAGE_TOKEN_FILE in docs/cli.md)"
            )
        elif status == _NO_TOKEN or problem.code == Code.FORBIDDEN.value:
            # The user may have meant another central.
            message += f" (asked {self.url})"
        return refusal(problem.code, message, problem.field, status)

    def _opened(self) -> "httpx.AsyncClient":
        if self._client is None:
            self._client = self._make()
        return self._client

    def _make(self) -> "httpx.AsyncClient":
        import httpx

        secure = self.url.startswith("https:")
        headers = {"accept": "application/json", **self._fixed_token()}
        # Loading the CA bundle takes 20 ms, so do it only for https.
        try:
            trust = (
                trusting(self._connection.ca_file)
                if secure
                else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            )
        except OSError as why:  # no such file, or one without certificates
            file = self._connection.ca_file
            raise UnreadableCredentials(file, f"PILOTAGE_CA_FILE: {why}") from None
        return httpx.AsyncClient(
            base_url=self.url,
            headers=headers,
            verify=trust,
            timeout=httpx.Timeout(self._answer_s, connect=_CONNECT_S),
            transport=self._http,
            trust_env=httpx.URL(self.url).host not in _LOCAL,  # no proxy for this machine
        )


class _NoAnswer(Exception):
    def __init__(self, reason: str, *, never_sent: bool, untrusted: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.never_sent, self.untrusted = reason, never_sent, untrusted


def _leader_in(content: bytes) -> str:
    """Return the URL of the leader in a 421; empty if there is none."""
    from pilotage.proto.messages import Misdirection

    try:
        return msgspec.json.decode(content, type=Misdirection).leader.rstrip("/")
    except msgspec.DecodeError:
        return ""


def _is_as_safe(leader: str, url: str) -> bool:
    """Return whether the token may go to the leader: not unencrypted to another machine.

    If `url` itself is unencrypted and on another machine, the user has chosen that. An empty
    leader means `url` again.
    """
    try:
        to, given = urlsplit(leader), urlsplit(url)
    except ValueError:
        return False
    if to.scheme == "http":
        return to.hostname in _LOCAL or (given.scheme == "http" and given.hostname not in _LOCAL)
    return not leader or (to.scheme == "https" and bool(to.hostname))


def _named(why: Exception) -> str:
    return str(why) or type(why).__name__
