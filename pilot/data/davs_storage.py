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
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .http_driver import HttpDriver
from .http_requests import Answer, is_plain, server_parts, trouble, url_of
from .storages import (
    CopyChecksums,
    CopyLocation,
    CopyMissing,
    CreatingStorage,
    CredentialRejected,
    GoOn,
    NameTaken,
    StorageError,
    StorageRefused,
    StorageUnavailable,
    bearer_token,
    check_stored,
    has_expired,
    path_parts,
)

_CHECKSUM_BYTES_A_SECOND: Final = 20_000_000  # at which servers read a file to compute a checksum
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_DIGEST_WANTED: Final = {"Want-Digest": "adler32", "Want-Repr-Digest": "adler=1"}
_ADLER: Final = re.compile(r"adler32=([0-9a-fA-F]{1,8})(?:\s*,|\s*$)", re.IGNORECASE)
_ADLER_BYTES: Final = re.compile(r"adler=:([A-Za-z0-9+/=]+):")


class DavsStorage(HttpDriver, CreatingStorage):
    """Driver of storages.Storage for `https://host:port/folder`. It creates files only."""

    def put(self, source: Path, place: CopyLocation, *, go_on: GoOn) -> CopyChecksums:
        path_parts(place.path)
        self._check_absent(place)
        found, sums = self._sent_to_folder(source, place, go_on, {"If-None-Match": "*"})
        if found.status == 412:
            raise NameTaken()
        if not found.is_good:
            raise self._trouble("PUT", place, found)
        check_stored(sums, lambda: self._stored(place, sums.size_bytes))
        return sums

    def _check_absent(self, place: CopyLocation) -> None:
        """Raise StorageRefused if the name exists: some servers would replace the file."""
        try:
            self.size(place)
        except (CopyMissing, StorageRefused):
            return  # some servers let nobody ask for a missing file
        except StorageUnavailable as why:
            why.is_sent = False
            raise
        raise NameTaken()

    def _stored(self, place: CopyLocation, size_bytes: int) -> tuple[int, str]:
        """Return the size of a file, and its checksum if the server gives it."""
        if place.options.checksum != "adler32":
            return self.size(place), ""
        more_s = size_bytes / _CHECKSUM_BYTES_A_SECOND
        found = self._told("HEAD", place, 200, headers=_DIGEST_WANTED, more_s=more_s)
        return found.size_bytes, _adler32(found.headers)

    def _secrets(self, method: str, place: CopyLocation) -> tuple[str, ...]:
        return (bearer_token(place),)

    def _url(self, method: str, place: CopyLocation) -> str:
        if "?" in place.path:  # XRootD cuts the name there, also if it is encoded
            raise StorageRefused(f"{place.path!r} has a '?', which storages of this type cut off")
        return url_of(place, ("https",), "https://host:port/folder")

    def _own_headers(self, url: str, place: CopyLocation) -> Mapping[str, str]:
        token, host = bearer_token(place), _host(url)
        if not token or not (host == _host(place.url) or _is_named(host, place)):
            return {}
        return {"Authorization": f"Bearer {token}"}

    def _redirected(
        self, response: http.client.HTTPResponse, url: str, place: CopyLocation, followed: int
    ) -> str:
        location = response.getheader("Location") or ""
        if response.status not in _REDIRECTS or not location:
            return ""
        url, limit = _followed(url, location), place.options.redirects
        if followed < limit:
            return url
        raise StorageRefused(
            f"it redirects to {_host(url)}, but {limit} redirects are allowed: "
            "set redirects in the storage's file"
        )

    def _trouble(self, method: str, place: CopyLocation, found: Answer) -> StorageError:
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
        parts = server_parts(urllib.parse.urljoin(url, location), ("https",))
    except ValueError:
        parts = None
    if parts is None or not is_plain(location):
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
