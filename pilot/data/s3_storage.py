"""Object stores that speak S3, by URLs that the central signs (AWS Signature Version 4).

A signed URL allows one request and is secret. An upload carries its SHA-256, which the store
compares, and `If-None-Match: *`, with which it creates objects only.
"""

import base64
import calendar
import hashlib
import http.client
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, Optional

from .http_requests import (
    TIMEOUT_S,
    Answer,
    HttpRequests,
    SentFile,
    answer,
    cleared,
    downloaded,
    trouble,
    uploaded,
)
from .storages import (
    BLOCK_BYTES,
    EXPIRY_MARGIN_S,
    SWEPT_BY_CENTRAL,
    CopyChecksums,
    CopyLocation,
    CopyMissing,
    CredentialRejected,
    GoOn,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    path_parts,
)

_SAID: Final = re.compile(r"<(Code|Message)>([^<]*)")
_FULL: Final = ("QuotaExceeded", "EntityTooLarge", "XMinioStorageFull")


class S3Storage:
    """Driver of storages.Storage for `https://host/bucket`. It creates objects only."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._requests = HttpRequests(timeout_s)

    def get(self, place: CopyLocation, to: Path, *, bytes_max: int, go_on: GoOn) -> CopyChecksums:
        return downloaded(self._fetch(place), to, bytes_max, go_on)

    def get_rest(
        self, place: CopyLocation, to: Path, *, bytes_max: int, go_on: GoOn
    ) -> CopyChecksums:
        return downloaded(self._fetch(place), to, bytes_max, go_on, keeps=True)

    def _fetch(self, place: CopyLocation) -> Callable[[int], http.client.HTTPResponse]:
        """Return a function that asks for a file from a byte on."""

        url = _signed("GET", place)

        def fetch(begin: int) -> http.client.HTTPResponse:
            headers = {"Range": f"bytes={begin}-"} if begin else {}
            response = self._requests.asked("GET", url, headers=headers, secrets=_secrets(url))
            if response.status not in ((200, 206) if begin else (200,)):
                with closing(response):
                    raise _trouble(url, answer(response, _secrets(url)))
            return response

        return fetch

    def put(self, source: Path, place: CopyLocation, *, go_on: GoOn) -> CopyChecksums:
        path_parts(place.path)
        sha256 = _sha256(source, go_on)
        url = _signed("PUT", place)

        def send(body: SentFile, headers: Mapping[str, str]) -> http.client.HTTPResponse:
            sum64 = base64.b64encode(sha256).decode()
            sent = {**headers, "x-amz-checksum-sha256": sum64, "If-None-Match": "*"}
            return self._requests.asked(
                "PUT", url, body=body, headers=sent, secrets=_secrets(url), waits=True
            )

        found, sums = uploaded(source, send, go_on, _secrets(url))
        if found.status == 412:
            raise StorageRefused("an object of that name exists there")
        if found.status == 409:  # another upload of the same name is not complete
            raise StorageUnavailable(f"HTTP 409 {_words(found)}")
        if not found.is_good:
            raise _trouble(url, found)
        if sums.sha256 != sha256.hex():
            raise StorageUnavailable("the file has changed during the upload")
        self._check_stored(place, sums)
        return sums

    def _check_stored(self, place: CopyLocation, sums: CopyChecksums) -> None:
        try:
            found = self.size(place)
        except CopyMissing as why:
            text = f"it confirmed the object, but does not have it: {why}"
            raise StorageUnavailable(text) from None
        if found != sums.size_bytes:
            raise StorageUnavailable(f"{found} bytes are stored, but {sums.size_bytes} were sent")

    def size(self, place: CopyLocation) -> int:
        url = _signed("HEAD", place)
        with closing(self._requests.asked("HEAD", url, secrets=_secrets(url))) as response:
            found = answer(response, _secrets(url))
        if found.status != 200:
            raise _trouble(url, found)
        return found.size_bytes

    def remove(self, place: CopyLocation) -> None:
        raise StorageRefused(SWEPT_BY_CENTRAL)

    def sweep(
        self, place: CopyLocation, *, is_folder: bool, go_on: GoOn, size: Optional[int] = None
    ) -> None:
        raise StorageRefused(SWEPT_BY_CENTRAL)


def _signed(method: str, place: CopyLocation) -> str:
    """Return the signed URL of a request. Raises StorageRefused, without showing it."""
    url = place.credential.urls.get((method, place.path), "") if place.credential else ""
    if not url:
        raise StorageRefused(f"the central gave no signed URL for {method} of {place.path!r}")
    try:
        parts = urllib.parse.urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or not url.isascii() or not url.isprintable() or " " in url:
        raise StorageRefused(f"the central's signed URL for {method} of {place.path!r} is no URL")
    return url


def _secrets(url: str) -> tuple[str, ...]:
    """Return the parts of a signed URL that no text may show."""
    query = urllib.parse.urlsplit(url).query
    fields = urllib.parse.parse_qs(query)
    return (query, *(value for name in fields for value in fields[name] if len(value) > 15))


def _has_expired(url: str) -> bool:
    """Return whether a signed URL ends within a minute, or has ended. False if it names no end."""
    fields = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
    try:
        begun = time.strptime(fields["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ")
        lives_s = int(fields["X-Amz-Expires"][0])
    except (KeyError, ValueError):
        return False
    return calendar.timegm(begun) + lives_s < time.time() + EXPIRY_MARGIN_S


def _trouble(url: str, found: Answer) -> StorageError:
    said = _words(found)
    text = f"HTTP {found.status} {said}"
    if found.status == 401 or (found.status == 403 and _has_expired(url)):
        return CredentialRejected(text)
    if said.startswith(_FULL):
        return StorageFull(text)
    if said.startswith("NoSuchBucket"):
        return StorageRefused(text)
    if found.status == 400 and "hecksum" in said or said.startswith("BadDigest"):
        return StorageUnavailable(text)  # bytes were damaged on their way
    return trouble(found.status, said)


def _words(found: Answer) -> str:
    """Return the code and the message of an error in XML, or the answer's own words."""
    fields = dict(_SAID.findall(found.words))
    said = ": ".join(fields[name] for name in ("Code", "Message") if fields.get(name))
    return cleared(said or found.words.partition(": <")[0], ())


def _sha256(source: Path, go_on: GoOn) -> bytes:
    summing = hashlib.sha256()
    with open(source, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            go_on()
            summing.update(block)
    return summing.digest()
