"""Requests of storages by HTTP and HTTPS: connections, answers, words for troubles.

Secrets of a request (a token, a signed URL) never come into a text: what servers say is cleared of
them.
"""

import http.client
import io
import os
import re
import select
import socket
import ssl
import threading
import time
import urllib.parse
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Optional, Union

from pilotage.proto.trust import trusting

from .storages import (
    CopyLocation,
    CopyMissing,
    LocalFault,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
)

TIMEOUT_S: Final = 60.0  # for each read and write, not for the whole file
_EXPECT_S: Final = 3.0  # until a server that ignores `Expect: 100-continue` gets the file anyway
_HEAD_MAX: Final = 1 << 16  # bytes of the head of an answer
_REPEATABLE: Final = ("GET", "HEAD")  # may be sent twice, if a kept connection ends meanwhile
_IDLE_MAX: Final = 8  # connections that wait for another request
_IDLE_S: Final = 10.0  # after which a connection is not used again
_WORDS_MAX: Final = 200  # characters of a server's text …
_WORDS_READ: Final = 1 << 14  # … and bytes in which it may show a token, which must not be cut
_ARRIVED_BYTES: Final = 4 << 20  # that may wait in the kernel, from the start of a connection
_AGENT: Final = "pilotage-pilot"
_FULL: Final = (413, 507)
_LATER: Final = (408, 423, 425, 429)
_AUTHORITIES: Final = "/etc/grid-security/certificates"  # unless X509_CERT_DIR names a folder
LENGTH: Final = re.compile("[0-9]{1,18}")  # of a body in bytes, as a header tells it
_UNKNOWN_AUTHORITY: Final = (18, 19, 20, 21)  # X509_V_ERR_… of OpenSSL, x509_vfy.h
_TOKEN: Final = re.compile(r"eyJ[\w-]+(\.[\w-]*){0,2}")  # any JSON Web Token, or a part


@dataclass(frozen=True)
class Answer:
    """The answer to a request, without a body."""

    status: int
    headers: Mapping[str, str]  # with names in lower case
    words: str  # the reason, and what the body says if it is no web page

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def size_bytes(self) -> int:
        """Return the size of the file. Raises StorageUnavailable if the answer lacks it."""
        length = self.headers.get("content-length", "")
        if not LENGTH.fullmatch(length):
            raise StorageUnavailable("it does not report the size of the file")
        return int(length)


class _Response(http.client.HTTPResponse):
    """A response after whose end the connection may serve another request."""

    give_back: Optional[Callable[[], None]] = None  # called once, if the body was read to its end
    give_up: Optional[Callable[[], None]] = None  # called otherwise

    def close(self) -> None:
        act = self.give_back if self.isclosed() and not self.will_close else self.give_up
        self.give_back = self.give_up = None
        super().close()
        if act is not None:
            act()


_Idle = tuple[str, http.client.HTTPConnection, float]  # with its origin, and since when


class _IdleConnections:
    """Open connections, by scheme and host, that wait for another request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []
        weakref.finalize(self, _close_all, self._idle)  # `__del__` may come after the sockets' own

    def take(self, origin: str) -> Optional[http.client.HTTPConnection]:
        """Return the newest connection that the server has not closed; None: there is none."""
        while True:
            with self._lock:
                found = [one for one in self._idle if one[0] == origin]
                if not found:
                    return None
                self._idle.remove(found[-1])
            _, connection, since = found[-1]
            if time.monotonic() - since < _IDLE_S and _is_silent(connection.sock):
                return connection
            connection.close()

    def give(self, origin: str, connection: http.client.HTTPConnection) -> None:
        """Keep a connection, and close the oldest one if there are too many."""
        with self._lock:
            self._idle.append((origin, connection, time.monotonic()))
            surplus = self._idle[:-_IDLE_MAX]
            del self._idle[:-_IDLE_MAX]
        _close_all(surplus)


def _close_all(idle: Sequence[_Idle]) -> None:
    for _, one, _ in idle:
        one.close()


def _is_silent(sock: Any) -> bool:
    """Return whether nothing has arrived: neither the end of the connection, nor other bytes."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return not poll.poll(0)


class HttpRequests:
    """Sends requests. Those without a body use a connection again if the server keeps it."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._context: Optional[ssl.SSLContext] = None
        self._idle = _IdleConnections()

    def asked(
        self,
        method: str,
        url: str,
        *,
        body: Optional[Iterable[Union[bytes, memoryview]]] = None,
        headers: Optional[Mapping[str, str]] = None,
        secrets: Sequence[str] = (),
        waits: bool = False,
        more_s: float = 0.0,
    ) -> http.client.HTTPResponse:
        """Send a request and return the head of the answer. Raises StorageUnavailable.

        With `waits` the body is sent once the server agrees, so that it may redirect or refuse the
        request before. `more_s`: how much longer than usual the server may take.
        """
        parts = urllib.parse.urlsplit(url)
        origin, timeout_s = f"{parts.scheme}://{parts.netloc}", self._timeout_s + more_s
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        sent = {"User-Agent": _AGENT, **(headers or {})}
        if method not in _REPEATABLE:
            sent["Connection"] = "close"
        kept = self._idle.take(origin) if method in _REPEATABLE else None
        if kept is not None:
            kept.sock.settimeout(timeout_s)
            try:
                kept.request(method, target, None, sent)
                return self._to_keep(kept.getresponse(), origin, kept)
            except (ConnectionError, ssl.SSLEOFError):
                kept.close()  # by the server, in this moment
            except (http.client.HTTPException, OSError) as why:
                kept.close()
                raise StorageUnavailable(cleared(reason_of(why), secrets)) from None
        connection = self._connection(parts, timeout_s)
        response = _answered(connection, method, target, body, sent, secrets, waits=waits)
        return self._to_keep(response, origin, connection)

    def _to_keep(
        self,
        response: http.client.HTTPResponse,
        origin: str,
        connection: http.client.HTTPConnection,
    ) -> http.client.HTTPResponse:
        """Let a connection wait for another request once its response has been read."""
        if isinstance(response, _Response) and connection.sock is not None:
            response.give_back = partial(self._idle.give, origin, connection)
            response.give_up = connection.close
        return response

    def _connection(
        self, parts: urllib.parse.SplitResult, timeout_s: float
    ) -> http.client.HTTPConnection:
        host = parts.hostname or ""
        if parts.scheme == "http":
            connection = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
        else:
            if self._context is None:
                self._context = _trusting_grid()
            connection = http.client.HTTPSConnection(
                host, parts.port, timeout=timeout_s, context=self._context
            )
        connection.response_class = _Response
        return connection


def _answered(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: Optional[Iterable[Union[bytes, memoryview]]],
    sent: Mapping[str, str],
    secrets: Sequence[str],
    *,
    waits: bool,
) -> http.client.HTTPResponse:
    """Send a request on a new connection. Raises StorageUnavailable, and OSError for the body."""
    early: Optional[OSError] = None
    response: Optional[http.client.HTTPResponse] = None
    try:
        connection.connect()
        _let_arrive(connection.sock)
        try:
            if waits and sent.get("Content-Length") != "0":  # RFC 9110, 10.1.1
                response = _agreed(connection, method, target, sent)
                if response is None and body is not None:
                    for block in body:
                        connection.send(block)
            else:
                connection.request(method, target, body, dict(sent))
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError) as why:
            early = why  # the server may have refused before all was sent
        if response is None:
            response = connection.getresponse()
    except LocalFault as why:
        raise why.why from None
    except (http.client.HTTPException, OSError) as why:
        raise StorageUnavailable(cleared(reason_of(early or why), secrets)) from None
    finally:
        if response is None:
            connection.close()
    assert response is not None
    return response


def _let_arrive(sock: Any) -> None:
    """Let a server send some megabytes ahead, while the driver writes and sums.

    Linux enlarges the buffer of a socket for a high mark, and keeps it. SO_RCVBUF would end the
    growth by which it adapts to long distances.
    """
    with suppress(OSError):  # a system without this option
        for mark in (_ARRIVED_BYTES, 1):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, mark)


def _trusting_grid() -> ssl.SSLContext:
    """Return the context of a client that trusts the authorities of the system and of the grid."""
    context = trusting()
    folder = os.environ.get("X509_CERT_DIR") or _AUTHORITIES
    if os.path.isdir(folder):
        context.load_verify_locations(capath=folder)
    return context


def _agreed(
    connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str]
) -> Optional[http.client.HTTPResponse]:
    """Send the head of a request; return the final answer, or None if the body should follow."""
    connection.putrequest(method, target)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    sock: Any = connection.sock
    patience_s = sock.gettimeout()
    sock.settimeout(min(_EXPECT_S, patience_s))
    try:
        begun: bytes = sock.recv(1)
    except socket.timeout:
        return None
    finally:
        sock.settimeout(patience_s)
    more = begun
    while more and not begun.endswith(b"\r\n\r\n") and len(begun) < _HEAD_MAX:
        more = sock.recv(1)
        begun += more
    if begun.split(b" ", 2)[1:2] == [b"100"]:
        return None
    response = http.client.HTTPResponse(_ReadBefore(begun, sock), method=method)  # type: ignore[arg-type]
    response.begin()
    return response


class _ReadBefore(io.RawIOBase):
    """A socket with some bytes that were read before, for an HTTPResponse."""

    def __init__(self, begun: bytes, sock: Any) -> None:
        super().__init__()
        self._begun, self._sock = begun, sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._begun:
            return int(self._sock.recv_into(buffer))
        count = min(len(buffer), len(self._begun))
        buffer[:count], self._begun = self._begun[:count], self._begun[count:]
        return count

    def close(self) -> None:
        self._sock.close()
        super().close()


def server_parts(url: str, schemes: Sequence[str]) -> Optional[urllib.parse.SplitResult]:
    """Return the parts of a server's URL, or None if it is no good URL with one of the schemes."""
    try:
        parts = urllib.parse.urlsplit(url)
        is_good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")  # as a connection does it
    except ValueError:
        return None
    return parts if is_good else None


def is_plain(url: str) -> bool:
    """Return whether a text may be sent as a URL: without blanks, and ASCII alone."""
    return url.isascii() and url.isprintable() and " " not in url


def url_of(place: CopyLocation, schemes: Sequence[str], form: str) -> str:
    """Return the URL of a copy. Raises StorageRefused; `form` is the right form of a storage's URL.

    A path may end with a slash: it is then a folder.
    """
    parts = server_parts(place.url, schemes)
    if parts is None or parts.query or parts.fragment:
        raise StorageRefused(f"{place.url!r} is not a URL such as {form}")
    if {".", ".."} & set(place.path.split("/")):
        raise StorageRefused(f"{place.path!r} is not a path below a storage")
    path = f"{parts.path.rstrip('/')}/{urllib.parse.quote(place.path)}"
    return f"{parts.scheme}://{parts.netloc}{path}"


def answer(response: http.client.HTTPResponse, secrets: Sequence[str] = ()) -> Answer:
    """Return an answer, with the first words of its body."""
    try:
        body = response.read(_WORDS_READ).decode("utf-8", "replace").strip()
    except (http.client.HTTPException, OSError, ValueError):
        body = ""
    reason = response.reason or ""
    headers = {name.lower(): value for name, value in response.getheaders()}
    if "<html" in body.lower():
        body = ""  # a web page for people
    words = f"{reason}: {body}" if body and not 200 <= response.status < 300 else reason
    return Answer(response.status, headers, cleared(words, secrets))


def cleared(text: str, secrets: Sequence[str]) -> str:
    """Return the beginning of a server's text in one line, without secrets."""
    for one in secrets:
        text = text.replace(one, "***") if one else text
    text = " ".join(_TOKEN.sub("***", text).split())
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:_WORDS_MAX]


def trouble(status: int, said: str) -> StorageError:
    """Return the error that an answer without success means."""
    text = f"HTTP {status} {said}".strip()
    if status in _FULL:
        return StorageFull(text)
    if status in (404, 410):
        return CopyMissing(text)
    if status >= 500 or status in _LATER:
        return StorageUnavailable(text)
    if 300 <= status < 400:
        return StorageRefused(f"{text}: redirects are not followed; set the storage's own URL")
    return StorageRefused(text)


def reason_of(why: BaseException) -> str:
    if isinstance(why, socket.timeout):
        return "it did not answer in time"
    if getattr(why, "verify_code", 0) in _UNKNOWN_AUTHORITY:
        return f"{why}; the system must know its authority, or the folder X509_CERT_DIR have it"
    return f"{type(why).__name__}: {why}" if str(why) else type(why).__name__
