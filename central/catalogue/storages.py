"""Storages, as the operator's files `storages/NAME.yaml` define them: one storage in each file.

The rules for such files are in `entry_files`.
"""

import os
import urllib.parse
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from pilotage.proto.decoding.patterns import whole
from pilotage.proto.documents.job import Word
from pilotage.proto.storages import StorageAccess, StorageOptions

from ..entry_files import WatchedFolder, read_folder, read_yaml, unlisted
from .storage_overlaps import Location, overlaps
from .storage_types import (
    StorageType,
    names_host,
    storage_type,
    types_with,
    wrong_https,
    wrong_text,
    wrong_url,
)

FILES_MAX: Final = 10_000
KEYS: Final = "keys"  # source of credentials: a file with an access key and its secret
TOKEN_SOURCES: Final = ("client", "file", "issuer", "renewed")
FILE_MAX_BYTES: Final = 100_000
_Type = Annotated[str, Meta(pattern=whole("[a-z][a-z0-9._-]*"), max_length=64)]
_Sites = Annotated[tuple[Word, ...], Meta(max_length=1_000)]
_Prefix = Annotated[str, Meta(pattern=whole("/[!-~]*"), max_length=512)]
_Host = Annotated[str, Meta(pattern=whole(r"(\*\.)?[A-Za-z0-9.-]+"), max_length=253)]
_Hosts = Annotated[tuple[_Host, ...], Meta(max_length=100)]


class StorageCredential(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The source of a storage's credentials, with the options of that source."""

    source: Word
    options: dict[str, Any] = {}


class StorageEntry(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A storage as its file defines it. The file's name is the storage's name."""

    type: _Type  # file, http, davs, root, s3
    url: Annotated[str, Meta(min_length=1, max_length=1024)]  # file:///folder, http://host/folder
    prefix: _Prefix = "/"  # what stands before a path in the scopes of tokens
    credential: StorageCredential | None = None  # of requests; none: anonymous
    checksum: Literal["", "adler32"] = ""  # asked of the server after an upload
    nodes: _Hosts = ()  # hosts, or *.domain, that get the credential after a redirect
    redirects: Annotated[int, Meta(ge=0, le=10)] = 0  # followed at most
    tpc: bool = False  # true: it copies to and from other such storages by itself (HTTP COPY)
    ca_file: Annotated[str, Meta(max_length=1024)] = (
        ""  # the central's authorities beside the system's
    )
    region: Annotated[str, Meta(max_length=64)] = ""  # of an object store
    #: the same folder by https, where the central removes files (root)
    https_url: Annotated[str, Meta(max_length=1024)] = ""
    sites: _Sites = ()  # sites whose pilots reach it; empty: all
    near: _Sites = ()  # sites where it is local: jobs that read its files prefer them
    #: order among storages that are not near; higher first
    priority: Annotated[int, Meta(ge=0, le=100)] = 50
    readable: bool = True  # false: no reads
    writable: bool = True  # false: no writes
    default: bool = False  # true: stores outputs that name no storage
    any_path: bool = False  # true: users register copies anywhere; false: only below COMMUNITY/
    transfers_max: Annotated[int, Meta(ge=1, le=10_000)] = (
        10  # rules' jobs that write to it at once
    )
    deletes: bool = False  # true: bytes that no file names any more are removed
    sweeps_max: Annotated[int, Meta(ge=1, le=1_000)] = 2  # jobs that remove them at once

    @property
    def signed_urls(self) -> bool:
        """Return whether its credentials are URLs, which the central signs."""
        return self.credential is not None and self.kind.credential == KEYS

    @property
    def kind(self) -> StorageType:
        return storage_type(self.type)


@dataclass(frozen=True)
class StorageBook:
    """All storages in force, and the errors in files, by name of the storage."""

    storages: Mapping[str, StorageEntry] = field(default_factory=dict[str, StorageEntry])
    troubles: Mapping[str, str] = field(default_factory=dict[str, str])
    unlisted: str = ""  # why the folder cannot be listed; empty: it was listed
    # The real paths of storages' folders, without links, as this machine sees them.
    real: Mapping[str, str] = field(default_factory=dict[str, str])

    def access(self, name: str) -> StorageAccess:
        """Return how to access a storage in force."""
        entry = self.storages[name]
        options = StorageOptions(
            needs_credential=entry.credential is not None,
            checksum=entry.checksum,
            nodes=entry.nodes,
            redirects=entry.redirects,
            signed_urls=entry.signed_urls,
        )
        return StorageAccess(name, entry.type, entry.url, options)

    @cached_property
    def overlaps(self) -> Mapping[str, str]:
        """For each storage whose bytes may be another one's, the name of such a storage."""
        return overlaps(
            {
                name: Location(entry.url, self.real.get(name, ""))
                for name, entry in self.storages.items()
            }
        )


Complain = Callable[[StorageEntry], str]  # returns FIELD: what is wrong, or nothing


def no_complaint(_: StorageEntry) -> str:
    """Find nothing wrong: only a central knows the options of credentials."""
    return ""


def read_storage(file: Path, complain: Complain = no_complaint) -> StorageEntry:
    """Return the storage that a file defines. Raises BadEntryFile.

    `complain` checks the options of its credential.
    """
    read = read_yaml(file, FILE_MAX_BYTES)
    entry = read.converted(read.found, StorageEntry)
    for name, wrong in _contradictions(entry):
        raise read.wrong((name,), name, wrong)
    name, _, wrong = complain(entry).partition(": ")
    if wrong:
        raise read.wrong(("credential",), name, wrong)
    return entry


def _contradictions(entry: StorageEntry) -> list[tuple[str, str]]:
    name, why = wrong_url(entry.type, entry.url)
    if name:
        return [(name, why)]
    strange = sorted(set(entry.near) - set(entry.sites)) if entry.sites else []
    if strange:
        return [("near", f"{', '.join(strange)} must also be listed in sites")]
    wrong = _wrong_credential(entry)
    if wrong:
        return wrong
    if entry.default and not entry.writable:
        return [("default", "it is not writable: remove `default: true` or `writable: false`")]
    if entry.deletes and not entry.writable:
        return [("deletes", "it is not writable: remove `deletes: true` or `writable: false`")]
    return []


def _wrong_credential(entry: StorageEntry) -> list[tuple[str, str]]:
    """Return the field, and why it does not fit the storage's type or its other fields."""
    kind, takes = entry.kind, entry.kind.credential
    source = entry.credential.source if entry.credential is not None else ""
    if source and not takes:
        others = types_with(lambda one: one.credential == "token")
        return [("credential", f"the type {entry.type} takes none: remove it, or use {others}")]
    if takes == KEYS and source != KEYS:
        right = "expected {source: keys, options: {file: /PATH}}, a file with access key and secret"
        return [("credential", f"found {source or 'none'}, {right}")]
    if takes == "token" and source and source not in TOKEN_SOURCES:
        right = f"expected a source among {', '.join(TOKEN_SOURCES)}"
        return [("credential.source", f"found {source!r}, {right}")]
    if entry.tpc and not kind.webdav:
        wrong = f"the type {entry.type} does not copy by itself: remove it, or use "
        return [("tpc", wrong + types_with(lambda one: one.webdav))]
    if entry.checksum and takes != "token":
        return [("checksum", f"the type {entry.type} tells none: remove it")]
    if entry.https_url and not kind.second_url:
        return [("https_url", f"the type {entry.type} has one URL: remove it")]
    if entry.https_url and (wrong := wrong_text(entry.https_url, wrong_https)):
        return [("https_url", wrong)]
    if {".", ".."} & set(entry.prefix.split("/")) or set(entry.prefix) & set('"\\'):
        right = "expected a path such as /ctao, without '.', '..', quotes and backslashes"
        return [("prefix", f"found {entry.prefix!r}, {right}")]
    if entry.nodes and not entry.redirects:
        return [("nodes", "they matter only with redirects: 1 or more")]
    return []


def read_storages(
    folder: Path, before: StorageBook, complain: Complain = no_complaint
) -> StorageBook:
    """Return the book of a folder. A file with an error keeps its version in `before`.

    If the folder cannot be listed, the whole book stays. A missing folder means no storages.
    """
    try:
        read = partial(read_storage, complain=complain)
        found = read_folder(folder, "storage", read, before.storages, files_max=FILES_MAX)
    except FileNotFoundError:
        return StorageBook()
    except OSError as why:
        return replace(before, unlisted=unlisted(folder, why))
    return StorageBook(found.entries, found.troubles, found.too_many, real_folders(found.entries))


def real_folders(storages: Mapping[str, StorageEntry]) -> dict[str, str]:
    """Return the real paths, without links, of folders; they matter only if storages delete."""
    if not any(entry.deletes for entry in storages.values()):
        return {}
    return {
        name: os.path.realpath(urllib.parse.unquote(urllib.parse.urlsplit(entry.url).path))
        for name, entry in storages.items()
        if not names_host(entry.url)
    }


class Storages(WatchedFolder[StorageBook]):
    """The storages in force."""

    def __init__(
        self,
        folder: Path | None = None,
        changed: Callable[[StorageBook], None] = lambda _: None,
        complain: Complain = no_complaint,
    ) -> None:
        super().__init__(folder, StorageBook(), partial(read_storages, complain=complain), changed)
        self._hidden: Set[str] = frozenset()
        self._as_written: dict[str, StorageEntry] = {}  # the hidden ones that are readable

    def hide(self, names: Set[str]) -> None:
        """Let these storages not be read for now, and no others, whatever their files say."""
        storages = dict(self.book.storages)
        for name, entry in self._as_written.items():
            if storages.get(name) == msgspec.structs.replace(entry, readable=False):
                storages[name] = entry
        found = {name: storages[name] for name in names if name in storages}
        self._as_written = {name: one for name, one in found.items() if one.readable}
        self._hidden = frozenset(names)
        for name, entry in self._as_written.items():
            storages[name] = msgspec.structs.replace(entry, readable=False)
        if storages != self.book.storages:
            self.book = replace(self.book, storages=storages)

    def look(self) -> None:
        super().look()
        if self._hidden:
            self.hide(self._hidden)
        real = real_folders(self.book.storages)  # a link or a mount may have changed
        if self.folder is not None and real != self.book.real:
            self.book = replace(self.book, real=real)
