"""Storages that speak plain HTTP or HTTPS: GET, PUT, HEAD, DELETE, and MKCOL if a server needs it.

Redirects are not followed, and no credentials are sent. Checksums verify each download.
"""

import http.client
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn, Optional

from .http_requests import (
    TIMEOUT_S,
    HttpRequests,
    SentFile,
    answer,
    blocks,
    cleared,
    downloaded,
    trouble,
    uploaded,
    url_of,
)
from .storages import (
    BlockChecksums,
    CopyChecksums,
    CopyLocation,
    CopyMissing,
    GoOn,
    StorageError,
    StorageRefused,
    StorageUnavailable,
    copied,
    open_here,
    path_parts,
    swept_parts,
)

# Answers to a PUT into a missing folder: 409 by the standard, 500 from nginx.
NO_FOLDER: Final = (404, 409, 500)


class HttpStorage:
    """Driver of storages.Storage for `http://host:port/folder`."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._requests = HttpRequests(timeout_s)

    def get(self, place: CopyLocation, to: Path, *, bytes_max: int, go_on: GoOn) -> CopyChecksums:
        with closing(self._asked("GET", place)) as response, open_here(to) as out:
            _expect(response, 200)
            return copied(blocks(response), out, BlockChecksums(bytes_max), go_on)

    def get_rest(
        self, place: CopyLocation, to: Path, *, bytes_max: int, go_on: GoOn
    ) -> CopyChecksums:
        def fetch(begin: int) -> http.client.HTTPResponse:
            headers = {"Range": f"bytes={begin}-"} if begin else {}
            response = self._asked("GET", place, headers=headers)
            if response.status != 206:
                _expect(response, 200)
            return response

        return downloaded(fetch, to, bytes_max, go_on, keeps=True)

    def put(self, source: Path, place: CopyLocation, *, go_on: GoOn) -> CopyChecksums:
        status, sums = self._put(source, place, go_on)
        if status in NO_FOLDER and self._make_folders(place):
            status, sums = self._put(source, place, go_on)
        if not 200 <= status < 300:
            raise trouble(status, "")
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
            return answer(response).size_bytes

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
        def send(body: SentFile, headers: Mapping[str, str]) -> http.client.HTTPResponse:
            return self._asked("PUT", place, body, headers)

        found, sums = uploaded(source, send, go_on)
        return found.status, sums

    def _make_folders(self, place: CopyLocation) -> bool:
        return folders_made(place, lambda folder: self._asked("MKCOL", folder))

    def _asked(
        self,
        method: str,
        place: CopyLocation,
        body: Optional[SentFile] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> http.client.HTTPResponse:
        url = url_of(place, ("http", "https"), "http://host:port/folder")
        return self._requests.asked(method, url, body=body, headers=headers)


def folders_made(
    place: CopyLocation, make: Callable[[CopyLocation], http.client.HTTPResponse]
) -> bool:
    """Create the missing folders above a file; return whether any was missing."""
    parts, is_made = place.path.split("/")[:-1], False
    for count in range(1, len(parts) + 1):
        with closing(make(replace(place, path="/".join(parts[:count]) + "/"))) as response:
            is_made = is_made or 200 <= response.status < 300
    return is_made


def _expect(response: http.client.HTTPResponse, *good: int) -> None:
    """Raise StorageError, and close the response, if it has another status."""
    if response.status not in good:
        response.close()
        where = cleared(response.getheader("Location") or "", ())
        raise trouble(response.status, f"redirect to {where}" if where else response.reason)
