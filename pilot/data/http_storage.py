"""Storages that speak plain HTTP or HTTPS: GET, PUT, HEAD, DELETE, and MKCOL if a server needs it.

Redirects are not followed, and no credentials are sent. Checksums verify each download.
"""

import http.client
import os
import socket
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NoReturn, Optional

from pilotage.proto.trust import trusting

from .storages import (
    BlockChecksums,
    CopyChecksums,
    CopyLocation,
    CopyMissing,
    GoOn,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    copied,
    open_again,
    open_here,
    path_parts,
    swept_parts,
)

TIMEOUT_S: Final = 60.0  # for each read and write, not for the whole file
_BLOCK: Final = 1 << 18
_AGENT: Final = "pilotage-pilot"
_FULL: Final = (413, 507)
_LATER: Final = (408, 423, 425, 429)
# Answers to a PUT into a missing folder: 409 by the standard, 500 from nginx.
_NO_FOLDER: Final = (404, 409, 500)


class HttpStorage:
    """Driver of storages.Storage for `http://host:port/folder`."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s

    def get(self, place: CopyLocation, to: Path, *, bytes_max: int, go_on: GoOn) -> CopyChecksums:
        with closing(self._asked("GET", place)) as response, open_here(to) as out:
            _expect(response, 200)
            return copied(_blocks(response), out, BlockChecksums(bytes_max), go_on)

    def get_rest(
        self, place: CopyLocation, to: Path, *, bytes_max: int, go_on: GoOn
    ) -> CopyChecksums:
        summing = BlockChecksums(bytes_max)
        with open_again(to, summing, go_on) as out:
            start = summing.sums.size_bytes
            wanted = {"Range": f"bytes={start}-"} if start else {}
            with closing(self._asked("GET", place, headers=wanted)) as response:
                if response.status == 206:
                    _check_range(response, start)
                else:  # the server sends the whole file (RFC 9110, 14.2)
                    _expect(response, 200)
                    out.seek(0)
                    out.truncate()
                    summing = BlockChecksums(bytes_max)
                return copied(_blocks(response), out, summing, go_on)

    def put(self, source: Path, place: CopyLocation, *, go_on: GoOn) -> CopyChecksums:
        status, sums = self._put(source, place, go_on)
        if status in _NO_FOLDER and self._make_folders(place):
            status, sums = self._put(source, place, go_on)
        if not 200 <= status < 300:
            raise _trouble(status, "")
        try:
            found = self.size(place)
        except CopyMissing as why:
            raise StorageUnavailable(
                f"it confirmed the file, but does not have it: {why}"
            ) from None
        if found != sums.size_bytes:
            self._take_back(place, f"{found} bytes are stored, but {sums.size_bytes} were sent")
        return sums

    def _take_back(self, place: CopyLocation, why: str) -> NoReturn:
        """Remove an incomplete file, which nobody would name after it is stored elsewhere.

        If the server does not answer, the removal may happen later: nothing is stored at that place
        again.
        """
        try:
            self.remove(place)
        except StorageUnavailable as trouble:
            raise StorageRefused(f"{why}, and it cannot be removed: {trouble}") from None
        except StorageError as trouble:
            why = f"{why}, and it cannot be removed: {trouble}"
        raise StorageUnavailable(why)

    def size(self, place: CopyLocation) -> int:
        with closing(self._asked("HEAD", place)) as response:
            _expect(response, 200)
            length = response.getheader("Content-Length") or ""
        if not length.isdecimal():
            raise StorageUnavailable("it does not report the size of the file")
        return int(length)

    def remove(self, place: CopyLocation) -> None:
        path_parts(place.path)
        with closing(self._asked("DELETE", place)) as response:
            if response.status != 404:
                _expect(response, 200, 202, 204)

    def sweep(
        self, place: CopyLocation, *, is_folder: bool, go_on: GoOn, size: Optional[int] = None
    ) -> None:
        swept_parts(place, is_folder=is_folder)
        go_on()
        wanted = CopyLocation(place.url, f"{place.path}/") if is_folder else place
        # Without a depth, DELETE of a collection removes all its contents (RFC 4918, 9.6.1).
        depth = {} if is_folder else {"Depth": "0"}
        if is_folder or size is None or self._is_that_file(place, size):
            with closing(self._asked("DELETE", wanted, headers=depth)) as response:
                if response.status == 202:
                    raise StorageUnavailable("the removal was accepted, but is not done yet")
                if response.status not in (404, 410):
                    _expect(response, 200, 204)
                    return
        self._is_there(place)

    def _is_that_file(self, place: CopyLocation, size: int) -> bool:
        """Return whether a file of this size exists; False: nothing is there. Raises StorageError.

        Some servers remove a collection despite the depth, and the path may have become a folder
        with other users' files.
        """
        with closing(self._asked("HEAD", place)) as response:
            if response.status in (404, 410):
                return False
            if response.status == 405:  # the answer of some servers for a collection
                raise StorageRefused("HTTP 405: it is not a file, or it cannot be read")
            _expect(response, 200)
            length = response.getheader("Content-Length") or "an unknown number of"
        if length != str(size):
            raise StorageRefused(
                f"{length} bytes are stored, but {size} were expected: it is another file"
            )
        return True

    def _is_there(self, place: CopyLocation) -> None:
        """Raise StorageUnavailable if the storage itself may be missing."""
        with closing(self._asked("HEAD", CopyLocation(place.url, ""))) as response:
            if response.status in (404, 410) or response.status >= 500:
                raise StorageUnavailable(
                    f"HTTP {response.status} for the storage itself: perhaps its disk is missing"
                )

    def _put(self, source: Path, place: CopyLocation, go_on: GoOn) -> tuple[int, CopyChecksums]:
        summing = BlockChecksums()
        with open(source, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            body = _Sent(file, summing, go_on)
            headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
            with closing(self._asked("PUT", place, body, headers)) as response:
                status, _ = response.status, _rest(response)
        if 200 <= status < 300 and summing.sums.size_bytes != size:
            raise StorageUnavailable("the upload is incomplete")
        return status, summing.sums

    def _make_folders(self, place: CopyLocation) -> bool:
        """Create the missing folders above the file; return whether any was missing."""
        parts, is_made = place.path.split("/")[:-1], False
        for count in range(1, len(parts) + 1):
            folder = CopyLocation(place.url, "/".join(parts[:count]) + "/")
            with closing(self._asked("MKCOL", folder)) as response:
                is_made = is_made or 200 <= response.status < 300
        return is_made

    def _asked(
        self,
        method: str,
        place: CopyLocation,
        body: Any = None,
        headers: Optional[dict[str, str]] = None,
    ) -> http.client.HTTPResponse:
        """Send a request on its own connection, and return the head of the answer."""
        connection, path = self._connection(place)
        early: Optional[OSError] = None
        response: Optional[http.client.HTTPResponse] = None
        sent = {"User-Agent": _AGENT, "Connection": "close", **(headers or {})}
        try:
            try:
                connection.request(method, path, body, sent)
            except (BrokenPipeError, ConnectionResetError) as why:
                early = why  # the server may have refused before all was sent
            response = connection.getresponse()
        except _OfOurs as why:
            raise why.why from None
        except (http.client.HTTPException, OSError) as why:
            raise StorageUnavailable(_reason(early or why)) from None
        finally:
            if response is None:
                connection.close()
        assert response is not None
        return response

    def _connection(self, place: CopyLocation) -> tuple[http.client.HTTPConnection, str]:
        try:
            parts = urllib.parse.urlsplit(place.url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urllib.parse.urlsplit("")
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
            raise StorageRefused(f"{place.url!r} is not a URL such as http://host:port/folder")
        if {".", ".."} & set(place.path.split("/")):
            raise StorageRefused(f"{place.path!r} is not a path below a storage")
        path = f"{parts.path.rstrip('/')}/{urllib.parse.quote(place.path)}"
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout_s), path
        return http.client.HTTPSConnection(
            host, port, timeout=self._timeout_s, context=trusting()
        ), path


class _OfOurs(Exception):
    """The local file cannot be read, which is no fault of the storage."""

    def __init__(self, why: OSError) -> None:
        super().__init__(str(why))
        self.why = why


class _Sent:
    """A file in the form that http.client sends: block by block, with checksums."""

    def __init__(self, file: Any, summing: BlockChecksums, go_on: GoOn) -> None:
        self._file, self._summing, self._go_on = file, summing, go_on

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self._go_on()
            try:
                block: bytes = self._file.read(_BLOCK)
            except OSError as why:
                raise _OfOurs(why) from why
            if not block:
                return
            self._summing.add(block)
            yield block


def _check_range(response: http.client.HTTPResponse, start: int) -> None:
    """Raise StorageRefused unless an answer 206 begins at this byte."""
    sent = response.getheader("Content-Range") or "no Content-Range"
    if not sent.startswith(f"bytes {start}-"):
        raise StorageRefused(f"it sent {sent[:100]}, but was asked for bytes {start}-")


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the body to its end. Raises StorageUnavailable if the connection breaks."""
    while True:
        left: Optional[int] = response.length
        try:
            block = response.read(_BLOCK if left is None else min(left, _BLOCK))
        except (http.client.HTTPException, OSError) as why:
            raise StorageUnavailable(_reason(why)) from None
        if not block:
            break
        yield block
    rest: Optional[int] = response.length
    if rest:
        raise StorageUnavailable(f"the connection broke: {rest} bytes are missing")


def _rest(response: http.client.HTTPResponse) -> bytes:
    """Return the first words of an answer, which may be a web page."""
    try:
        return response.read(512)
    except (http.client.HTTPException, OSError):
        return b""


def _expect(response: http.client.HTTPResponse, *good: int) -> None:
    if response.status not in good:
        where = response.getheader("Location") or ""
        raise _trouble(response.status, f"redirect to {where[:200]}" if where else response.reason)


def _trouble(status: int, said: str) -> StorageError:
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


def _reason(why: BaseException) -> str:
    if isinstance(why, socket.timeout):
        return "it did not answer in time"
    return f"{type(why).__name__}: {why}" if str(why) else type(why).__name__
