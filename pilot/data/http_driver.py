"""The common part of drivers that speak HTTP.

Downloads go on after a cut. Uploads are sent block by block, with checksums.
"""

import abc
import http.client
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any, Final, Optional

from .http_requests import LENGTH, TIMEOUT_S, Answer, HttpRequests, answer, reason_of, trouble
from .storages import (
    SUMMED_LATER,
    BlockChecksums,
    CopyChecksums,
    CopyLocation,
    GoOn,
    LocalFault,
    StorageError,
    StorageUnavailable,
    copied,
    open_again,
    open_here,
)

RESUMES: Final = 3  # of a download, in a row without any progress
_PAUSE_S: Final = 0.5  # before the first of them; then twice, three times that
_STEP: Final = 1 << 18  # bytes of one read
# Bytes that are summed and written together. Each block wakes the thread of the checksums, which
# costs as much as some steps.
_BLOCK: Final = 1 << 20
_FILL_S: Final = 0.2  # of a slow server, after which a block is passed on as it is
# Answers to a PUT into a missing folder: 409 by the standard, 500 from nginx.
_NO_FOLDER: Final = (404, 409, 500)
_TOTAL: Final = re.compile("bytes [0-9]+-[0-9]+/([0-9]{1,18})")  # of a file (RFC 9110, 14.4)
_OWN: Final = threading.local()


class HttpDriver(abc.ABC):
    """The base of drivers, which say where a request goes and what its answer means."""

    _waits = True  # send a file only when the server agrees

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._requests = HttpRequests(timeout_s)

    @abc.abstractmethod
    def _url(self, method: str, place: CopyLocation) -> str:
        """Return the URL of a request. Raises StorageRefused."""

    def _own_headers(self, url: str, place: CopyLocation) -> Mapping[str, str]:
        """Return the headers that the driver adds to a request for this URL."""
        return {}

    def _redirected(
        self, response: http.client.HTTPResponse, url: str, place: CopyLocation, followed: int
    ) -> str:
        """Return the URL to ask next, after `followed` redirects; empty: the answer is the last.

        Raises StorageRefused.
        """
        return ""

    def _asked(
        self,
        method: str,
        place: CopyLocation,
        body: "Optional[SentFile]" = None,
        headers: Optional[Mapping[str, str]] = None,
        more_s: float = 0.0,
    ) -> http.client.HTTPResponse:
        """Send a request and return the head of the last answer. Raises StorageError."""
        url, secrets = self._url(method, place), self._secrets(method, place)
        followed = 0
        while True:
            response = self._requests.asked(
                method,
                url,
                body=body,
                headers={**(headers or {}), **self._own_headers(url, place)},
                secrets=secrets,
                waits=self._waits and body is not None,
                more_s=more_s,
            )
            try:
                further = self._redirected(response, url, place, followed)
            except StorageError:
                response.close()
                raise
            if not further:
                return response
            response.close()
            url, followed = further, followed + 1

    def _secrets(self, method: str, place: CopyLocation) -> tuple[str, ...]:
        """Return what no text about a request may show."""
        return ()

    def _trouble(self, method: str, place: CopyLocation, found: Answer) -> StorageError:
        """Return the error that an answer means."""
        return trouble(found.status, found.words)

    def get(self, place: CopyLocation, to: Path, *, bytes_max: int, go_on: GoOn) -> CopyChecksums:
        return self._downloaded(place, to, bytes_max, go_on, keeps=False)

    def get_rest(
        self, place: CopyLocation, to: Path, *, bytes_max: int, go_on: GoOn
    ) -> CopyChecksums:
        return self._downloaded(place, to, bytes_max, go_on, keeps=True)

    def size(self, place: CopyLocation) -> int:
        return self._told("HEAD", place, 200).size_bytes

    def _told(
        self,
        method: str,
        place: CopyLocation,
        *good: int,
        headers: Optional[Mapping[str, str]] = None,
        more_s: float = 0.0,
    ) -> Answer:
        """Return an answer with one of the good statuses, without its body. Raises StorageError."""
        with closing(self._asked(method, place, None, headers, more_s)) as response:
            found = answer(response, self._secrets(method, place))
        if found.status not in good:
            raise self._trouble(method, place, found)
        return found

    def _sent(
        self,
        source: Path,
        place: CopyLocation,
        go_on: GoOn,
        headers: Optional[Mapping[str, str]] = None,
    ) -> tuple[Answer, CopyChecksums]:
        """Send a file. Raises StorageError, and OSError for the local file."""
        with open(source, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            body = SentFile(file, go_on)
            own = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
            with closing(self._asked("PUT", place, body, {**own, **(headers or {})})) as response:
                found = answer(response, self._secrets("PUT", place))
        if found.is_good and body.sums.size_bytes != size:
            raise StorageUnavailable("the upload is incomplete")
        return found, body.sums

    def _sent_to_folder(
        self,
        source: Path,
        place: CopyLocation,
        go_on: GoOn,
        headers: Optional[Mapping[str, str]] = None,
    ) -> tuple[Answer, CopyChecksums]:
        """Send a file as `_sent` does. If its folder is missing, create it and send again."""
        found, sums = self._sent(source, place, go_on, headers)
        if found.status in _NO_FOLDER and self._make_folders(place):
            found, sums = self._sent(source, place, go_on, headers)
        return found, sums

    def _make_folders(self, place: CopyLocation) -> bool:
        """Create the missing folders above a file; return whether any was missing."""
        parts, is_made = place.path.split("/")[:-1], False
        for count in range(1, len(parts) + 1):
            folder = replace(place, path="/".join(parts[:count]) + "/")
            with closing(self._asked("MKCOL", folder)) as response:
                is_made = is_made or 200 <= response.status < 300
        return is_made

    def _downloaded(
        self, place: CopyLocation, to: Path, bytes_max: int, go_on: GoOn, *, keeps: bool
    ) -> CopyChecksums:
        def fetch(begin: int) -> http.client.HTTPResponse:
            headers = {"Range": f"bytes={begin}-"} if begin else {}
            response = self._asked("GET", place, headers=headers)
            if response.status not in ((200, 206) if begin else (200,)):
                with closing(response):
                    found = answer(response, self._secrets("GET", place))
                raise self._trouble("GET", place, found)
            return response

        return downloaded(fetch, to, bytes_max, go_on, keeps=keeps, only=place.verified_by)


class SentFile:
    """A file in the form that http.client sends: block by block, with checksums.

    It is sent from its beginning each time, as a redirect needs.
    """

    def __init__(self, file: Any, go_on: GoOn) -> None:
        self._file, self._go_on = file, go_on
        self._summing = BlockChecksums()

    @property
    def sums(self) -> CopyChecksums:
        """Return the checksums of the last upload."""
        return self._summing.sums

    def __iter__(self) -> Iterator[memoryview]:
        self._summing = BlockChecksums()
        self._file.seek(0)
        for buffer in cycle(_buffers()):
            self._go_on()
            try:
                count = self._file.readinto(buffer[:_STEP])
            except OSError as why:
                raise LocalFault(why) from why
            if not count:
                return
            self._summing.add(buffer[:count])
            yield buffer[:count]


def downloaded(
    fetch: Callable[[int], http.client.HTTPResponse],
    to: Path,
    bytes_max: int,
    go_on: GoOn,
    *,
    keeps: bool = False,
    only: str = "",
) -> CopyChecksums:
    """Write a file, and fetch the rest again after a cut. Raises StorageError and OSError.

    With `keeps` it begins after the bytes that are in the file. `only` names the checksum to
    compute, if one is enough.

    `fetch` asks for the file from a byte on, and returns an answer with 200 or 206.
    """
    summing, in_vain = BlockChecksums(bytes_max, only), 0
    with open_again(to, summing, go_on) if keeps else open_here(to) as out:
        while True:
            begin = summing.sums.size_bytes
            try:
                with closing(fetch(begin)) as response:
                    if begin and not _begins_at(response, begin):  # all of it comes again
                        summing = BlockChecksums(bytes_max, only)
                        out.seek(0)
                        out.truncate()
                    sums = copied(blocks(response), out, summing, go_on)
                    _check_end(response, sums.size_bytes, bytes_max)
                    return sums
            except StorageUnavailable as why:
                here = summing.sums.size_bytes
                in_vain = 0 if here > begin else in_vain + 1
                if type(why) is not StorageUnavailable or not here or in_vain > RESUMES:
                    raise
            go_on()
            time.sleep(_PAUSE_S * in_vain)


def _begins_at(response: http.client.HTTPResponse, begin: int) -> bool:
    """Return whether the answer is the rest of a file. Raises StorageUnavailable."""
    if response.status == 200:
        return False
    found = response.getheader("Content-Range") or ""
    if not found.startswith(f"bytes {begin}-"):
        raise StorageUnavailable(f"asked for bytes from {begin} on, it answers {found[:60]!r}")
    return True


def _check_end(response: http.client.HTTPResponse, size: int, bytes_max: int) -> None:
    """Raise StorageUnavailable if an answer that has ended may not be the end of the file.

    A server may send less than it was asked for. If it gives no length, a cut looks like the end.
    """
    total = _TOTAL.fullmatch(response.getheader("Content-Range") or "")
    if response.status == 206 and total is not None and size < int(total[1]):
        raise StorageUnavailable(f"it answers with a part that ends after {size} bytes")
    length = response.getheader("Content-Length") or ""
    if size < bytes_max and not (response.chunked or LENGTH.fullmatch(length)):
        raise StorageUnavailable(f"after {size} bytes the connection ended without a length")


def _buffers() -> Sequence[memoryview]:
    """Return the buffers of this thread, for one transfer after the other."""
    found: Optional[Sequence[memoryview]] = getattr(_OWN, "buffers", None)
    if found is None:
        found = _OWN.buffers = [memoryview(bytearray(_BLOCK)) for _ in range(SUMMED_LATER + 1)]
    return found


def blocks(response: http.client.HTTPResponse) -> Iterator[memoryview]:
    """Yield the body to its end. Raises StorageUnavailable if the connection breaks.

    A block stays as it is until SUMMED_LATER more are yielded, as `BlockChecksums` needs it. What
    arrived before the connection broke is yielded too.
    """
    broken: Optional[Exception] = None
    is_over = False
    for buffer in cycle(_buffers()):
        filled, until = 0, time.monotonic() + _FILL_S
        while filled < len(buffer) and not (filled and time.monotonic() >= until):
            try:
                count = response.readinto(buffer[filled : filled + _STEP])
            except (http.client.HTTPException, OSError, ValueError) as why:  # a negative length
                broken, count = why, 0
            filled += count
            if is_over := not count:
                break
        if filled:
            yield buffer[:filled]
        if is_over:
            break
    if broken is not None:
        raise StorageUnavailable(reason_of(broken))
    rest: Optional[int] = response.length
    if rest:
        raise StorageUnavailable(f"the connection broke: {rest} bytes are missing")
