"""Storages that speak plain HTTP or HTTPS: GET, PUT, HEAD, DELETE, and MKCOL if a server needs it.

Redirects are not followed, and no credentials are sent. Checksums verify each download.
"""

from contextlib import closing
from pathlib import Path
from typing import NoReturn, Optional

from .http_driver import HttpDriver
from .http_requests import Answer, cleared, trouble, url_of
from .storages import (
    CopyChecksums,
    CopyDiffers,
    CopyLocation,
    GoOn,
    StorageError,
    StorageRefused,
    StorageUnavailable,
    check_stored,
    path_parts,
    swept_parts,
)

_GONE = (404, 410)


class HttpStorage(HttpDriver):
    """Driver of storages.Storage for `http://host:port/folder`."""

    _waits = False

    def put(self, source: Path, place: CopyLocation, *, go_on: GoOn) -> CopyChecksums:
        found, sums = self._sent_to_folder(source, place, go_on)
        if not found.is_good:
            raise self._trouble("PUT", place, found)
        try:
            check_stored(sums, lambda: (self.size(place), ""))
        except CopyDiffers as why:
            self._take_back(place, str(why))
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

    def remove(self, place: CopyLocation) -> None:
        path_parts(place.path)
        self._told("DELETE", place, 200, 202, 204, 404)

    def sweep(
        self, place: CopyLocation, *, is_folder: bool, go_on: GoOn, size: Optional[int] = None
    ) -> None:
        swept_parts(place, is_folder=is_folder)
        go_on()
        wanted = CopyLocation(place.url, f"{place.path}/") if is_folder else place
        # Without a depth, DELETE of a collection removes all its contents (RFC 4918, 9.6.1).
        depth = {} if is_folder else {"Depth": "0"}
        if is_folder or size is None or self._is_that_file(place, size):
            found = self._told("DELETE", wanted, 200, 202, 204, *_GONE, headers=depth)
            if found.status == 202:
                raise StorageUnavailable("the removal was accepted, but is not done yet")
            if found.status not in _GONE:
                return
        self._is_there(place)

    def _is_that_file(self, place: CopyLocation, size: int) -> bool:
        """Return whether a file of this size exists; False: nothing is there. Raises StorageError.

        Some servers remove a collection despite the depth, and the path may have become a folder
        with other users' files.
        """
        found = self._told("HEAD", place, 200, 405, *_GONE)
        if found.status == 405:  # the answer of some servers for a collection
            raise StorageRefused("HTTP 405: it is not a file, or it cannot be read")
        length = found.headers.get("content-length") or "an unknown number of"
        if found.status == 200 and length != str(size):
            raise StorageRefused(
                f"{length} bytes are stored, but {size} were expected: it is another file"
            )
        return found.status == 200

    def _is_there(self, place: CopyLocation) -> None:
        """Raise StorageUnavailable if the storage itself may be missing."""
        with closing(self._asked("HEAD", CopyLocation(place.url, ""))) as response:
            if response.status in _GONE or response.status >= 500:
                raise StorageUnavailable(
                    f"HTTP {response.status} for the storage itself: perhaps its disk is missing"
                )

    def _url(self, method: str, place: CopyLocation) -> str:
        return url_of(place, ("http", "https"), "http://host:port/folder")

    def _trouble(self, method: str, place: CopyLocation, found: Answer) -> StorageError:
        where = cleared(found.headers.get("location", ""), ())
        return trouble(found.status, f"redirect to {where}" if where else found.words)
