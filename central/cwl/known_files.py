"""The files that a run knows: what its jobs listed, and files of this machine in a local run.

Expressions and globs look at files through `RunFiles` alone. A file that a job made has the path
`RUNS/KEY/RELATIVE`; nothing has to lie there.
"""

import fnmatch
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final
from urllib.parse import unquote

from cwl_utils.errors import WorkflowException
from cwltool.stdfsaccess import StdFsAccess, abspath
from schema_salad.ref_resolver import file_uri

RUNS: Final = "/pilotage-cwl/runs"  # the outputs of jobs are below RUNS/KEY
LOADED_BYTES: Final = 64 << 10  # the most of a file that an expression may read


@dataclass(frozen=True)
class KnownFile:
    """What is known about a file or folder without reading it."""

    is_folder: bool = False
    size: int = 0
    sha1: str = ""
    content: bytes | None = None  # its first bytes; None: not known yet
    leaves: str = ""  # why it cannot be an output, such as a link that leaves the folder
    same: str = ""  # equal for files with equal content; empty: not known


class UnknownContent(Exception):
    """The content of a file is needed to go on. The argument is its path."""


@dataclass
class RunFiles:
    """The files of a run, by path."""

    read: Callable[[str], bytes | None] = lambda path: None  # content of a file that a job made
    sees_disk: bool = False  # other paths are files of this machine
    known: dict[str, KnownFile] = field(default_factory=dict[str, KnownFile])
    children: dict[str, dict[str, None]] = field(default_factory=dict[str, dict[str, None]])

    updated: dict[str, str] = field(default_factory=dict[str, str])  # files updated in place

    def newest(self, path: str) -> str:
        """Return where the newest content of a file lies: jobs may have updated it in place."""
        while path in self.updated:
            path = self.updated[path]
        return path

    def add(self, root: str, entries: Iterable[tuple[str, KnownFile]]) -> None:
        """Add files with paths relative to a folder, and the folder."""
        self._put(root, KnownFile(is_folder=True))
        for name, one in entries:
            self._put(os.path.join(root, name), one)

    def _put(self, path: str, one: KnownFile) -> None:
        self.known[path] = one
        while path not in ("", "/"):
            folder: str = os.path.dirname(path)
            name = os.path.basename(path)
            names = self.children.setdefault(folder, {})
            if name in names:
                return
            names[name] = None
            self.known.setdefault(folder, KnownFile(is_folder=True))
            path = folder

    def identity(self, path: str) -> str:
        """Return a text that is equal for equal content; empty: the content is not known.

        The text of a folder has the names in it, and their identities.
        """
        one = self.known.get(path)
        if one is None and not self.is_ours(path):
            return _on_disk(path)
        if one is None or not one.is_folder:
            return one.same if one is not None else ""
        names = self.children.get(path, ())
        return _of_folder({name: self.identity(f"{path}/{name}") for name in names})

    def is_missing(self, location: str) -> bool:
        """Return whether a location means a file of a job, and no job has made it."""
        path = location.removeprefix("file://")
        return path.startswith(f"{RUNS}/") and unquote(path) not in self.known

    def is_ours(self, path: str) -> bool:
        """Return whether a path is known here only, and not on the disk."""
        return path in self.known or path.startswith(RUNS) or not self.sees_disk


def digest_of(path: str | os.PathLike[str], algorithm: str) -> str:
    """Return the digest of a file's content in hexadecimal. Raises OSError."""
    found = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def same_file(digest: str, *, is_executable: bool) -> str:
    """Return the identity of a file, given a digest of its content."""
    return f"{digest} executable" if digest and is_executable else digest


def _of_folder(names: Mapping[str, str]) -> str:
    """Return the identity of a folder, from those of its entries; empty if one is not known."""
    if not all(names.values()):
        return ""
    return f"folder {hashlib.sha256(json.dumps(sorted(names.items())).encode()).hexdigest()}"


def _on_disk(path: str, known: dict[str, str] | None = None) -> str:
    """Return the identity of a file or folder of this machine.

    It is empty for what cannot be read, and for folders with a link to a folder above it. `known`
    has the identities by real path: many links can lead to one folder.
    """
    known = {} if known is None else known
    real = os.path.realpath(path)
    if real in known:
        return known[real]
    known[real] = ""  # while it is being read
    try:
        if os.path.isdir(real):
            inner = {name: _on_disk(os.path.join(real, name), known) for name in os.listdir(real)}
            known[real] = _of_folder(inner)
        else:
            is_executable = bool(os.stat(real).st_mode & 0o100)
            known[real] = same_file(digest_of(real, "sha256"), is_executable=is_executable)
    except OSError:
        pass
    return known[real]


class RunAccess(StdFsAccess):
    """How the CWL library looks at the files of a run."""

    def _abs(self, p: str) -> str:
        if p.startswith("file:///") and not any(mark in p for mark in "%?#"):
            p = p[len("file://") :]
        return self._files.newest(p if p.startswith("/") else super()._abs(p))

    def __init__(self, basedir: str, files: RunFiles) -> None:
        super().__init__(basedir)
        self._files = files

    def glob(self, pattern: str) -> list[str]:
        path = self._abs(pattern)
        if not self._files.is_ours(path):
            return super().glob(pattern)
        found = [""]
        for part in path.strip("/").split("/"):
            found = [f"{one}/{name}" for one in found for name in self._matching(one or "/", part)]
        return [file_uri(one) for one in found]

    def _matching(self, folder: str, part: str) -> list[str]:
        names = self._files.children.get(folder, {})
        if part in names:
            return [part]
        if not any(mark in part for mark in "*?["):
            return []
        return [
            name
            for name in names
            if fnmatch.fnmatchcase(name, part) and (part[0] == "." or name[0] != ".")
        ]

    def open(self, fn: str, mode: str) -> IO[Any]:
        path = self._abs(fn)
        if not self._files.is_ours(path):
            return super().open(fn, mode)
        one = self._known(path)
        content = one.content
        if content is None or len(content) < min(one.size, LOADED_BYTES + 1):
            content = self._files.read(path)
        if content is None:
            raise UnknownContent(path)
        return io.BytesIO(content) if "b" in mode else io.StringIO(content.decode())

    def _known(self, path: str) -> KnownFile:
        one = self._files.known.get(path)
        if one is None:
            raise FileNotFoundError(path)
        if one.leaves:  # the library would only log an OSError, and give no file at all
            raise WorkflowException(f"{os.path.basename(path)} cannot be an output: {one.leaves}")
        return one

    def exists(self, fn: str) -> bool:
        path = self._abs(fn)
        return path in self._files.known or (not self._files.is_ours(path) and super().exists(fn))

    def size(self, fn: str) -> int:
        path = self._abs(fn)
        return self._known(path).size if self._files.is_ours(path) else super().size(fn)

    def isfile(self, fn: str) -> bool:
        path = self._abs(fn)
        if not self._files.is_ours(path):
            return super().isfile(fn)
        return path in self._files.known and not self._known(path).is_folder

    def isdir(self, fn: str) -> bool:
        path = self._abs(fn)
        if not self._files.is_ours(path):
            return super().isdir(fn)
        return path in self._files.known and self._known(path).is_folder

    def listdir(self, fn: str) -> list[str]:
        path = self._abs(fn)
        if not self._files.is_ours(path):
            return super().listdir(fn)
        return [file_uri(f"{path}/{name}") for name in self._files.children.get(path, {})]

    def realpath(self, path: str) -> str:
        return path

    def sha1(self, fn: str) -> str:
        """Return the SHA-1 of a file that a job made, in hexadecimal; empty: not known."""
        one = self._files.known.get(abspath(fn, self.basedir))
        return one.sha1 if one is not None else ""


def from_listing(listing: Mapping[str, Any]) -> list[tuple[str, KnownFile]]:
    """Return the files in the listing of a job (`pilot/cwl/tool_job.py`), by relative path."""
    return [
        (
            one["path"],
            KnownFile(
                is_folder=one["kind"] == "folder",
                size=one.get("bytes", 0),
                sha1=one.get("sha1", ""),
                content=bytes.fromhex(one["head"]) if "head" in one else None,
                leaves=one["why"] if one["kind"] == "leaves" else "",
                same=_same_of(one),
            ),
        )
        for one in listing["files"]
    ]


def _same_of(listed: Mapping[str, Any]) -> str:
    digest = f"sha1 {listed['sha1']} {listed['bytes']}" if listed.get("sha1") else ""
    return same_file(digest, is_executable=bool(listed.get("executable")))
