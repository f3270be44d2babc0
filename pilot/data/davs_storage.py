"""Storages that speak WebDAV over HTTPS with bearer tokens, such as XRootD, dCache, StoRM and EOS.

A token travels in the header `Authorization` alone, and only to the storage's host and the nodes
that the storage's file names. Digests follow RFC 3230 and RFC 9530.
"""

import base64
import binascii
import fnmatch
import http.client
import re
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
    downloaded,
    trouble,
    uploaded,
    url_of,
)
from .http_storage import NO_FOLDER, folders_made
from .storages import (
    SWEPT_BY_CENTRAL,
    CopyChecksums,
    CopyLocation,
    CopyMissing,
    CredentialRejected,
    GoOn,
    StorageError,
    StorageRefused,
    StorageUnavailable,
    bearer_token,
    has_expired,
    path_parts,
)

_CHECKSUM_BYTES_A_SECOND: Final = 20_000_000  # at which servers read a file to compute a checksum
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_DIGEST_WANTED: Final = {"Want-Digest": "adler32", "Want-Repr-Digest": "adler=1"}
_ADLER: Final = re.compile(r"adler32=([0-9a-fA-F]{1,8})(?:\s*,|\s*$)", re.IGNORECASE)
_ADLER_BYTES: Final = re.compile(r"adler=:([A-Za-z0-9+/=]+):")


class DavsStorage:
    """Driver of storages.Storage for `https://host:port/folder`. It creates files only."""

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

        def fetch(begin: int) -> http.client.HTTPResponse:
            headers = {"Range": f"bytes={begin}-"} if begin else {}
            response = self._asked("GET", place, headers=headers)
            if response.status not in ((200, 206) if begin else (200,)):
                with closing(response):
                    raise self._trouble(place, answer(response, (bearer_token(place),)))
            return response

        return fetch

    def put(self, source: Path, place: CopyLocation, *, go_on: GoOn) -> CopyChecksums:
        path_parts(place.path)
        self._check_absent(place)
        found, sums = self._put(source, place, go_on)
        if found.status in NO_FOLDER and self._make_folders(place):
            found, sums = self._put(source, place, go_on)
        if found.status == 412:
            raise StorageRefused("a file of that name exists there")
        if not found.is_good:
            raise self._trouble(place, found)
        self._check_stored(place, sums)
        return sums

    def size(self, place: CopyLocation) -> int:
        return self._head(place).size_bytes

    def remove(self, place: CopyLocation) -> None:
        raise StorageRefused(SWEPT_BY_CENTRAL)

    def sweep(
        self, place: CopyLocation, *, is_folder: bool, go_on: GoOn, size: Optional[int] = None
    ) -> None:
        raise StorageRefused(SWEPT_BY_CENTRAL)

    def _check_absent(self, place: CopyLocation) -> None:
        """Raise StorageRefused if the name exists: some servers would replace the file."""
        try:
            self._head(place)
        except (CopyMissing, StorageRefused):
            return  # some servers let nobody ask for a missing file
        except StorageUnavailable as why:
            why.is_sent = False
            raise
        raise StorageRefused("a file of that name exists there")

    def _put(self, source: Path, place: CopyLocation, go_on: GoOn) -> tuple[Answer, CopyChecksums]:
        def send(body: SentFile, headers: Mapping[str, str]) -> http.client.HTTPResponse:
            return self._asked("PUT", place, body, {**headers, "If-None-Match": "*"})

        return uploaded(source, send, go_on, (bearer_token(place),))

    def _make_folders(self, place: CopyLocation) -> bool:
        return folders_made(place, lambda folder: self._asked("MKCOL", folder))

    def _check_stored(self, place: CopyLocation, sums: CopyChecksums) -> None:
        """Compare what the server has with what was sent. Raises StorageUnavailable."""
        is_summed = place.options.checksum == "adler32"
        more_s = sums.size_bytes / _CHECKSUM_BYTES_A_SECOND if is_summed else 0.0
        try:
            found = self._head(place, _DIGEST_WANTED if is_summed else {}, more_s)
        except CopyMissing as why:
            text = f"it confirmed the file, but does not have it: {why}"
            raise StorageUnavailable(text) from None
        if found.size_bytes != sums.size_bytes:
            text = f"{found.size_bytes} bytes are stored, but {sums.size_bytes} were sent"
            raise StorageUnavailable(text)
        adler32 = _adler32(found.headers) if is_summed else ""
        if adler32 not in ("", sums.adler32):
            text = f"its adler32 of the file is {adler32}, but {sums.adler32} was sent"
            raise StorageUnavailable(text)

    def _head(
        self, place: CopyLocation, headers: Optional[Mapping[str, str]] = None, more_s: float = 0.0
    ) -> Answer:
        with closing(self._asked("HEAD", place, headers=headers, more_s=more_s)) as response:
            found = answer(response, (bearer_token(place),))
        if found.status != 200:
            raise self._trouble(place, found)
        return found

    def _asked(
        self,
        method: str,
        place: CopyLocation,
        body: Optional[SentFile] = None,
        headers: Optional[Mapping[str, str]] = None,
        more_s: float = 0.0,
    ) -> http.client.HTTPResponse:
        """Send a request, follow redirects, and return the head of the last answer."""
        if "?" in place.path:  # XRootD cuts the name there, also if it is encoded
            raise StorageRefused(f"{place.path!r} has a '?', which storages of this type cut off")
        url = url_of(place, ("https",), "https://host:port/folder")
        token, own = bearer_token(place), _host(url)
        for _ in range(place.options.redirects + 1):
            sent = dict(headers or {})
            if token and (_host(url) == own or _is_named(_host(url), place)):
                sent["Authorization"] = f"Bearer {token}"
            response = self._requests.asked(
                method,
                url,
                body=body,
                headers=sent,
                secrets=(token,),
                waits=body is not None,
                more_s=more_s,
            )
            location = response.getheader("Location") or ""
            if response.status not in _REDIRECTS or not location:
                return response
            response.close()
            url = _followed(url, location)
        limit = place.options.redirects
        raise StorageRefused(
            f"it redirects to {_host(url)}, but {limit} redirects are allowed: "
            "set redirects in the storage's file"
        )

    def _trouble(self, place: CopyLocation, found: Answer) -> StorageError:
        token = bearer_token(place)
        if token and (found.status == 401 or (found.status == 403 and has_expired(token))):
            return CredentialRejected(f"HTTP {found.status} {found.words}")
        return trouble(found.status, found.words)


def _host(url: str) -> str:
    return (urllib.parse.urlsplit(url).hostname or "").rstrip(".")


def _is_named(host: str, place: CopyLocation) -> bool:
    return any(fnmatch.fnmatchcase(host, one.lower()) for one in place.options.nodes)


def _followed(url: str, location: str) -> str:
    """Return the URL that a redirect leads to. Raises StorageRefused."""
    try:
        parts = urllib.parse.urlsplit(urllib.parse.urljoin(url, location))
        is_good = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, is_good = urllib.parse.urlsplit(""), False
    if not is_good or not location.isascii() or not location.isprintable() or " " in location:
        raise StorageRefused("it redirects to a place that is not a URL of https")
    return urllib.parse.urlunsplit(parts._replace(fragment=""))


def _adler32(headers: Mapping[str, str]) -> str:
    """Return the server's checksum with 8 hexadecimal digits; empty if it gives none."""
    found = _ADLER.search(headers.get("digest", ""))
    if found is not None:
        return found[1].lower().zfill(8)
    found = _ADLER_BYTES.search(headers.get("repr-digest", ""))
    try:
        return base64.b64decode(found[1], validate=True).hex() if found is not None else ""
    except binascii.Error:
        return ""
