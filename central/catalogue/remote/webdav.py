"""WebDAV requests of the central: sizes, removals and third-party copies (RFC 4918).

Third-party copies follow the HTTP-TPC convention of the WLCG: the header `Source` or `Destination`
names the other end, and `TransferHeader…` is passed on to it. The status 201 comes before anything
is moved: the last line of the body says whether the copy succeeded.
"""

import re
import urllib.parse
from collections.abc import Mapping
from typing import Final

import msgspec

from .storage_http import (
    GONE,
    SILENT_S,
    WHOLE_S,
    StorageAnswer,
    StorageAway,
    StorageHttp,
    StorageRefuses,
    check_same,
    expect,
    said_safely,
    xml_list,
)

DEPTH_MAX: Final = 32  # of folders in the folder of an attempt
ENTRIES_MAX: Final = 100_000  # removed in one call
MARKERS_S: Final = 120.0  # between two lines of progress of a copy
_DAV: Final = "{DAV:}"
_ORIGIN: Final = re.compile(r"^https?://[^/]*")
_NOT_HERE: Final = (400, 405, 501)  # answers of a server without COPY


class DavPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A file or a folder on a storage, with the token for it."""

    url: str
    token: str = ""
    ca_file: str = ""


class CopyFailed(Exception):
    """The storages could not copy the file between them."""


class StoredSize(msgspec.Struct, frozen=True):
    """Size in bytes and Adler-32 (8 hexadecimal digits; empty: unknown) of a stored file."""

    size: int
    adler32: str = ""


def place_at(url: str, path: str, *, token: str = "", ca_file: str = "") -> DavPlace:
    """Return the place of a path below the URL of a storage."""
    return DavPlace(
        url=f"{url.rstrip('/')}/{urllib.parse.quote(path)}", token=token, ca_file=ca_file
    )


class WebDav:
    """Sends requests to servers of the type `davs`."""

    def __init__(self, http: StorageHttp) -> None:
        self._http = http

    async def size(self, place: DavPlace) -> StoredSize | None:
        """Return the size of a file, and its checksum if the server tells it; None: not there.

        Raises StorageAway, StorageRefuses.
        """
        answer = await self._ask("HEAD", place, 200, *GONE, headers={"want-digest": "adler32"})
        if answer.status in GONE:
            return None
        length = answer.headers.get("content-length", "")
        if not length.isdecimal():
            raise StorageRefuses("it does not report the size of the file")
        found = re.search(r"(?i)adler32=([0-9a-f]{1,8})", answer.headers.get("digest", ""))
        return StoredSize(int(length), found[1].lower().zfill(8) if found else "")

    async def put(self, place: DavPlace, content: bytes) -> None:
        """Store a small file. Raises StorageAway, StorageRefuses."""
        await self._ask("PUT", place, 200, 201, 204, body=content)

    async def get(self, place: DavPlace) -> bytes:
        """Return a small file. Raises StorageAway, StorageRefuses."""
        return (await self._ask("GET", place, 200)).body

    async def remove(self, place: DavPlace, size: int | None = None) -> bool:
        """Remove a file, and return whether it was there. `size` is in bytes, None if unknown.

        A file of another size stays. Raises StorageAway, StorageRefuses.
        """
        if size is not None:
            found = await self.size(place)
            if found is None:
                return False
            check_same(found.size, size)
        return await self._delete(place)

    async def has_entries(self, folder: DavPlace) -> bool:
        """Return whether a folder is there and not empty. Raises StorageAway, StorageRefuses."""
        return bool(await self._entries(folder))

    async def remove_folder(self, place: DavPlace) -> bool:
        """Remove a folder and its contents, and return whether any of it was there.

        Some servers remove no folder that is not empty, so everything is removed one by one.
        Raises StorageAway, StorageRefuses.
        """
        left, found = ENTRIES_MAX, False
        folders = [(place, 0)]
        emptied: list[DavPlace] = []
        while folders:
            folder, depth = folders.pop()
            emptied.append(folder)
            for entry, is_folder in await self._entries(folder):
                left -= 1
                if left < 0 or depth >= DEPTH_MAX:
                    raise StorageRefuses("the folder has too many or too deep entries")
                if is_folder:
                    folders.append((entry, depth + 1))
                else:
                    found |= await self._delete(entry)
        for folder in reversed(emptied):
            found |= await self._delete(folder)
        return found

    async def copy(
        self,
        source: DavPlace,
        target: DavPlace,
        *,
        is_push: bool = False,
        whole_s: float = WHOLE_S,
    ) -> None:
        """Copy a file between two storages in `whole_s`; none of its bytes passes the central.

        The target fetches it, or the source sends it (`is_push`). Raises CopyFailed, StorageAway,
        StorageRefuses.
        """
        asked, other = (source, target) if is_push else (target, source)
        headers = {
            "destination" if is_push else "source": other.url,
            "credential": "none",
            "overwrite": "F",
        }
        if other.token:
            headers["transferheaderauthorization"] = f"Bearer {other.token}"
        good = (200, 201, 202, *_NOT_HERE)
        answer = await self._ask(
            "COPY", asked, *good, headers=headers, other=other.token, whole_s=whole_s
        )
        if answer.status in _NOT_HERE:
            raise CopyFailed(f"HTTP {answer.status}: it does not copy between storages")
        lines = answer.body.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if not last.lower().startswith("success"):
            said = last or "the answer ended without a result"
            raise CopyFailed(said_safely(said, source.token, target.token))

    async def _entries(self, folder: DavPlace) -> list[tuple[DavPlace, bool]]:
        """Return the entries of a folder, and whether each is a folder.

        XRootD does not percent-encode names, although RFC 4918 requires it. A name with a `%` is
        therefore returned twice, as it is and decoded. One of the two does not exist.
        """
        answer = await self._ask("PROPFIND", folder, 207, *GONE, headers={"depth": "1"})
        if answer.status in GONE:
            return []
        here = urllib.parse.unquote(urllib.parse.urlsplit(folder.url).path).rstrip("/")
        found: list[tuple[DavPlace, bool]] = []
        for href, is_folder in _listed(answer.body):
            path = _ORIGIN.sub("", href, count=1).rstrip("/")
            if here in (path, urllib.parse.unquote(path)):
                continue
            above, _, name = path.rpartition("/")
            readings = {name, urllib.parse.unquote(name)}
            names = [one for one in readings if "/" not in one and one not in ("", ".", "..")]
            if here not in (above, urllib.parse.unquote(above)) or not names:
                raise StorageRefuses(f"it lists {path[:200]!r}, which is not in the folder")
            for one in names:
                url = f"{folder.url.rstrip('/')}/{urllib.parse.quote(one)}"
                found.append((msgspec.structs.replace(folder, url=url), is_folder))
        return found

    async def _delete(self, place: DavPlace) -> bool:
        """Return whether it was there."""
        answer = await self._ask("DELETE", place, 200, 202, 204, *GONE)
        if answer.status == 202:
            raise StorageAway("the removal was accepted, but is not done yet")
        return answer.status not in GONE

    async def _ask(
        self,
        method: str,
        place: DavPlace,
        *good: int,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        other: str = "",
        whole_s: float = WHOLE_S,
    ) -> StorageAnswer:
        """Return an answer with one of the good statuses. Raises StorageAway, StorageRefuses.

        No text shows the token, nor the one for the `other` end of a copy.
        """
        sent = dict(headers or {})
        if place.token:
            sent["authorization"] = f"Bearer {place.token}"
        answer = await self._http.ask(
            method,
            place.url,
            headers=sent,
            ca_file=place.ca_file,
            body=body,
            silent_s=MARKERS_S if method == "COPY" else SILENT_S,
            whole_s=whole_s,
        )
        expect(answer, *good, secrets=(place.token, other))
        return answer


def _listed(body: bytes) -> list[tuple[str, bool]]:
    """Return the names in an answer to PROPFIND, and whether each is a folder."""
    root = xml_list(body)
    return [
        (one.findtext(f"{_DAV}href", ""), one.find(f".//{_DAV}collection") is not None)
        for one in root.iter(f"{_DAV}response")
    ]
