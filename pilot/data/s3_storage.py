"""Object stores that speak S3, by URLs that the central signs (AWS Signature Version 4).

A signed URL allows one request and is secret. An upload carries its SHA-256, which the store
compares, and `If-None-Match: *`, with which it creates objects only.
"""

import base64
import calendar
import re
import time
import urllib.parse
from pathlib import Path
from typing import Final

from .http_driver import HttpDriver
from .http_requests import Answer, cleared, is_plain, server_parts, trouble
from .storages import (
    EXPIRY_MARGIN_S,
    CopyChecksums,
    CopyLocation,
    CreatingStorage,
    CredentialRejected,
    GoOn,
    NameTaken,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    check_stored,
    path_parts,
    sums_of,
)

_SAID: Final = re.compile(r"<(Code|Message)>([^<]*)")
_FULL: Final = ("QuotaExceeded", "EntityTooLarge", "XMinioStorageFull")


class S3Storage(HttpDriver, CreatingStorage):
    """Driver of storages.Storage for `https://host/bucket`. It creates objects only."""

    def put(self, source: Path, place: CopyLocation, *, go_on: GoOn) -> CopyChecksums:
        path_parts(place.path)
        sha256 = sums_of(source, go_on).sha256
        sum64 = base64.b64encode(bytes.fromhex(sha256)).decode()
        signed = {"x-amz-checksum-sha256": sum64, "If-None-Match": "*"}
        found, sums = self._sent(source, place, go_on, signed)
        if found.status == 412:
            raise NameTaken()
        if found.status == 409:  # another upload of the same name is not complete
            raise StorageUnavailable(f"HTTP 409 {_words(found)}")
        if not found.is_good:
            raise self._trouble("PUT", place, found)
        if sums.sha256 != sha256:
            raise StorageUnavailable("the file has changed during the upload")
        check_stored(sums, lambda: (self.size(place), ""))
        return sums

    def _url(self, method: str, place: CopyLocation) -> str:
        return _signed(method, place)

    def _secrets(self, method: str, place: CopyLocation) -> tuple[str, ...]:
        query = urllib.parse.urlsplit(_signed(method, place)).query
        fields = urllib.parse.parse_qs(query)
        return (query, *(value for name in fields for value in fields[name] if len(value) > 15))

    def _trouble(self, method: str, place: CopyLocation, found: Answer) -> StorageError:
        said = _words(found)
        text = f"HTTP {found.status} {said}"
        is_over = found.status == 403 and _has_expired(_signed(method, place))
        if found.status == 401 or is_over:
            return CredentialRejected(text)
        if said.startswith(_FULL):
            return StorageFull(text)
        if said.startswith("NoSuchBucket"):
            return StorageRefused(text)
        if found.status == 400 and "hecksum" in said or said.startswith("BadDigest"):
            return StorageUnavailable(text)  # bytes were damaged on their way
        return trouble(found.status, said)


def _signed(method: str, place: CopyLocation) -> str:
    """Return the signed URL of a request. Raises StorageRefused, without showing it."""
    url = place.credential.urls.get((method, place.path), "") if place.credential else ""
    if not url:
        raise StorageRefused(f"the central gave no signed URL for {method} of {place.path!r}")
    if server_parts(url, ("http", "https")) is None or not is_plain(url):
        raise StorageRefused(f"the central's signed URL for {method} of {place.path!r} is no URL")
    return url


def _has_expired(url: str) -> bool:
    """Return whether a signed URL ends within a minute, or has ended. False if it names no end."""
    fields = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
    try:
        begun = time.strptime(fields["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ")
        lives_s = int(fields["X-Amz-Expires"][0])
    except (KeyError, ValueError):
        return False
    return calendar.timegm(begun) + lives_s < time.time() + EXPIRY_MARGIN_S


def _words(found: Answer) -> str:
    """Return the code and the message of an error in XML, or the answer's own words."""
    fields = dict(_SAID.findall(found.words))
    said = ": ".join(fields[name] for name in ("Code", "Message") if fields.get(name))
    return cleared(said or found.words.partition(": <")[0], ())
