"""HTTPS to the central with the standard library: two kept-alive connections, a thread for each.

One carries messages, with one request at a time; the other carries blobs, so that a large file
delays no report. All requests of a pilot may be repeated, so a kept connection that died while idle
costs one repetition and no error.
"""

import asyncio
import contextlib
import hashlib
import http.client
import io
import ipaddress
import os
import select
import socket
import ssl
import urllib.parse
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional, TypeVar, Union

from pilotage.proto.messages import FOLLOWS
from pilotage.proto.trust import trusting

from ..ports import DiskWriteFailed, Downloaded, HttpReply, NoReply, TooManyBytes

T = TypeVar("T")

BLOB_TIMEOUT_S = 60.0  # for each read and write, not for the whole file
BLOCK_BYTES = 1 << 18
REPLY_BYTES_MAX = 64 << 20
AGENT = "pilotage-pilot"


class InsecureUrl(ValueError):
    """Plain http to another machine would send tokens in the clear."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"{url}: only https is allowed, except to this machine itself; "
            "set plain_http if the network is trusted"
        )


class BadUrl(ValueError):
    """The text is not an address of a central."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{url!r} is not an address such as https://central.example:8443")


class _Plain(http.client.HTTPConnection):
    """Sends head and body of a message in one piece, so that the central reads it in one."""

    _held: Optional[list[bytes]] = None

    def send(self, data: Any) -> None:
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    def send_message(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a request with its body in memory."""
        held = self._held = []
        try:
            self.request(method, path, body, headers)
        finally:
            self._held = None
        self.send(b"".join(held))


class _Secure(_Plain, http.client.HTTPSConnection):
    """The same over TLS."""


class _Connection:
    """One kept-alive connection with its thread, in which all blocking calls happen."""

    def __init__(self, make: Callable[[float], _Plain], name: str) -> None:
        self._make = make
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._kept: Optional[_Plain] = None

    async def run(self, act: Callable[[], T]) -> T:
        """Run `act` in the thread of this connection, after earlier work."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, act)

    def exchange(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: Callable[[], Union[bytes, Path]],
        timeout_s: float,
        read: Callable[[http.client.HTTPResponse], T],
    ) -> T:
        """Send a request and return the result of `read` for the answer.

        Raises NoReply, and the errors of `read`.
        """
        kept = self._kept
        if kept is not None and _is_dead(kept):
            self.close_kept()
        reused = self._kept is not None
        try:
            return self._once(method, path, headers, body(), timeout_s, read)
        except (http.client.HTTPException, OSError) as why:
            self.close_kept()
            if not reused or isinstance(why, socket.timeout):
                raise NoReply(_reason(why)) from why
        try:
            return self._once(method, path, headers, body(), timeout_s, read)
        except (http.client.HTTPException, OSError) as why:
            self.close_kept()
            raise NoReply(_reason(why)) from why

    def _once(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: Union[bytes, Path],
        timeout_s: float,
        read: Callable[[http.client.HTTPResponse], T],
    ) -> T:
        connection = self._kept
        if connection is None:
            self._kept = connection = self._make(timeout_s)
            connection.connect()
        connection.sock.settimeout(timeout_s)
        if isinstance(body, bytes):
            connection.send_message(method, path, body, headers)
        else:
            with open(body, "rb") as file:
                length = str(os.fstat(file.fileno()).st_size)
                # A server that refuses such a file answers before it has all of it, and closes.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method, path, file, {**headers, "Content-Length": length})
        try:
            with connection.getresponse() as response:
                return read(response)
        except (TooManyBytes, DiskWriteFailed):
            self.close_kept()  # the rest of it would be taken for the next answer
            raise

    def close_kept(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def shut(self) -> None:
        """End: cut off the call that the thread waits for, then close the connection."""
        kept = self._kept
        if kept is not None and kept.sock is not None:  # pyright: ignore[reportUnnecessaryComparison]
            with contextlib.suppress(OSError):
                kept.sock.shutdown(socket.SHUT_RDWR)
        self._thread.submit(self.close_kept)
        self._thread.shutdown(wait=False)


class _Place:
    """The address of a central."""

    def __init__(self, url: str, trust: Callable[[], ssl.SSLContext], *, plain_http: bool) -> None:
        """Parse a URL. Raises BadUrl or InsecureUrl."""
        try:
            parts = urllib.parse.urlsplit(url)
            host, self._port = parts.hostname, parts.port
        except ValueError:
            raise BadUrl(url) from None
        if parts.scheme not in ("http", "https") or not host:
            raise BadUrl(url)
        if parts.scheme == "http" and not plain_http and not _is_loopback(host):
            raise InsecureUrl(url)
        self.prefix, self._host = parts.path.rstrip("/"), host
        self._tls: Optional[ssl.SSLContext] = None
        if parts.scheme == "https":
            self._tls = trust()

    def connection(self, timeout_s: float) -> _Plain:
        if self._tls is None:
            return _Plain(self._host, self._port, timeout=timeout_s, blocksize=BLOCK_BYTES)
        return _Secure(
            self._host, self._port, timeout=timeout_s, context=self._tls, blocksize=BLOCK_BYTES
        )


class Api:
    """Driver of ports.Http."""

    def __init__(
        self, url: str, *, ca_file: Optional[Path] = None, plain_http: bool = False
    ) -> None:
        """Open the two connections.

        Raises BadUrl, InsecureUrl, and OSError if the CA file cannot be read.
        """
        self._plain_http = plain_http
        # Read here and never again: the file, or its disk, may disappear while the pilot runs.
        self._tls = trusting(str(ca_file)) if ca_file else None
        self._home = self._place = self._files = self._placed(url)
        self._messages = _Connection(self._home.connection, "messages")
        self._blobs = _Connection(self._home.connection, "blobs")

    def _placed(self, url: str) -> _Place:
        return _Place(url, self._trust, plain_http=self._plain_http)

    def _trust(self) -> ssl.SSLContext:
        """Return the context that verifies all servers.

        Loading the system's certificates costs memory.
        """
        if self._tls is None:
            self._tls = trusting()
        return self._tls

    def go_to(self, url: str, *, aside: bool = False) -> bool:
        try:
            place = self._placed(url) if url else self._home
        except (BadUrl, InsecureUrl):
            return False
        if aside:
            left, self._files = self._blobs, place
            self._blobs = _Connection(place.connection, "blobs")
        else:
            left, self._place = self._messages, place
            self._messages = _Connection(place.connection, "messages")
        left.shut()
        return True

    async def post(
        self, path: str, body: bytes, *, token: str, timeout_s: float, aside: bool = False
    ) -> HttpReply:
        headers = {**_headers(token), "Content-Type": "application/json"}
        by, at = (self._blobs, self._files) if aside else (self._messages, self._place)
        return await by.run(
            lambda: by.exchange("POST", at.prefix + path, headers, lambda: body, timeout_s, _whole)
        )

    async def upload(self, path: str, content: Union[Path, bytes], *, token: str) -> HttpReply:
        headers = {**_headers(token), "Content-Type": "application/octet-stream"}
        by, at = self._blobs, self._files
        return await by.run(
            lambda: by.exchange(
                "PUT", at.prefix + path, headers, lambda: content, BLOB_TIMEOUT_S, _whole
            )
        )

    async def download(self, path: str, file: Path, *, token: str, bytes_max: int) -> Downloaded:
        headers = _headers(token)
        by, at = self._blobs, self._files
        return await by.run(
            lambda: by.exchange(
                "GET",
                at.prefix + path,
                headers,
                lambda: b"",
                BLOB_TIMEOUT_S,
                lambda response: _into(file, bytes_max, response),
            )
        )

    def close(self) -> None:
        """Close both connections."""
        self._messages.shut()
        self._blobs.shut()


def _headers(token: str) -> dict[str, str]:
    headers = {"User-Agent": AGENT, "Accept": "application/json", FOLLOWS: "1"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _whole(response: http.client.HTTPResponse) -> HttpReply:
    blocks: list[bytes] = []
    size = 0
    for block in _blocks(response):
        blocks.append(block)
        size += len(block)
        if size > REPLY_BYTES_MAX:
            raise http.client.HTTPException("the answer is too large")
    return HttpReply(response.status, b"".join(blocks))


def _into(file: Path, bytes_max: int, response: http.client.HTTPResponse) -> Downloaded:
    if response.status != 200:
        return Downloaded(response.status, "", body=_whole(response).body)
    digest, size_bytes, whole = hashlib.sha256(), 0, False
    with _as_disk_errors(file):
        out = open(file, "wb", buffering=0)  # noqa: SIM115 - closed below
    try:
        with out:
            for block in _blocks(response):
                digest.update(block)
                size_bytes += len(block)
                if size_bytes > bytes_max:
                    raise TooManyBytes(f"more than {bytes_max} bytes arrived")
                with _as_disk_errors(file):
                    _write(out, block)
        whole = True
    finally:
        if not whole:  # otherwise its bytes would stay until the attempt is over
            with contextlib.suppress(OSError):
                file.unlink()
    return Downloaded(response.status, digest.hexdigest(), size_bytes)


@contextlib.contextmanager
def _as_disk_errors(file: Path) -> Generator[None, None, None]:
    """Turn errors of the disk into DiskWriteFailed, apart from errors of the connection."""
    try:
        yield
    except OSError as why:
        raise DiskWriteFailed(f"{file.name} cannot be written: {why}") from why


def _write(out: io.FileIO, block: bytes) -> None:
    """Write a block, even if each call accepts only a part of it."""
    left = memoryview(block)
    while left:
        left = left[out.write(left) :]


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the body to its end. Raises HTTPException if it breaks off.

    No read asks for more than there is. Python 3.9 allocates and zeroes as much memory as a read
    may return, which would be most of the CPU and memory of a pilot.
    """
    while True:
        left: Optional[int] = response.length
        block = response.read(BLOCK_BYTES if left is None else min(left, BLOCK_BYTES))
        if not block:
            break
        yield block
    _expect_whole(response)


def _expect_whole(response: http.client.HTTPResponse) -> None:
    """Raise an error if the connection broke in the middle, which reads by blocks do not report."""
    left: Optional[int] = response.length
    if left:
        raise http.client.IncompleteRead(b"", left)


def _is_dead(connection: http.client.HTTPConnection) -> bool:
    """Return whether the peer has closed: an idle connection has nothing to read but its end."""
    kept: Optional[socket.socket] = connection.sock
    if kept is None:
        return True
    try:
        return bool(select.select([kept], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def _reason(why: BaseException) -> str:
    return f"{type(why).__name__}: {why}" if str(why) else type(why).__name__


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
