"""The archive that takes downloaded outputs: `.tar.zst`, `.tar.gz` or `.tar`."""

import gzip
import importlib
import io
import os
import tarfile
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, cast

from ..errors import FileThere, Invalid, MissingPackage
from .output_plan import WantedOutput

SUFFIXES: Final = (".tar.zst", ".tar.gz", ".tar")


class OutputArchive:
    """Writes outputs into an archive, in their order. It gets its name once it is whole.

    Use it as a context manager. An archive cannot be continued: after an interruption nothing is
    left of it. All methods block.
    """

    parallel = 1  # keeps the order

    def __init__(self, file: Path, *, force: bool) -> None:
        """Raises Invalid, FileThere or MissingPackage, before anything is written."""
        self.file, self._force = file, force
        suffix = next((one for one in SUFFIXES if file.name.endswith(one)), "")
        if not suffix:
            right = f"an archive ends with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
            raise Invalid("invalid", f"{file}: {right}", "file")
        self._suffix = suffix
        self._compressors = zstd_modules() if suffix == ".tar.zst" else None
        self._check_place()

    def _check_place(self) -> None:
        if self.file.is_dir():
            raise FileThere(f"{self.file} is a folder")
        if os.path.lexists(self.file) and not self._force:
            why = f"{self.file} exists: choose another name, or replace it with --force"
            raise FileThere(f"{why} (in Python: force=True)")

    def __enter__(self) -> "OutputArchive":
        self.file.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(
            dir=self.file.parent, prefix=f".{self.file.name[:150]}.", suffix=".part"
        )
        self._part, self._raw = Path(part), os.fdopen(handle, "wb")
        self._compressed = self._compressor(self._raw)
        self._tar = tarfile.open(fileobj=self._compressed, mode="w|")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._tar.close()
                self._compressed.close()
                self._raw.close()
                self._publish()
        finally:
            for one in (self._tar, self._compressed, self._raw):
                with suppress(OSError, ValueError):  # they were not closed because of an error
                    one.close()
            self._part.unlink(missing_ok=True)

    def _publish(self) -> None:
        mask = os.umask(0o077)
        os.umask(mask)
        os.chmod(self._part, 0o666 & ~mask)
        self._check_place()
        os.replace(self._part, self.file)

    def _compressor(self, raw: BinaryIO) -> IO[bytes]:
        if self._suffix == ".tar.zst":
            standard, package = cast("tuple[Any, Any]", self._compressors)
            if standard is not None:
                return cast("IO[bytes]", standard.ZstdFile(raw, "wb"))
            stream = package.ZstdCompressor(write_checksum=True).stream_writer(raw, closefd=False)
            return cast("IO[bytes]", stream)
        if self._suffix == ".tar.gz":
            return cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="wb", mtime=0))
        return raw

    def path_of(self, one: WantedOutput) -> Path:
        """Return the path of an output in the archive."""
        return Path(one.place)

    def lacking(self, wanted: Sequence[WantedOutput]) -> list[WantedOutput]:
        """Return all outputs: the archive is new."""
        return list(wanted)

    def take(self, outputs: Sequence[tuple[WantedOutput, bytes]]) -> None:
        """Add whole outputs."""
        for one, content in outputs:
            self._tar.addfile(_member(one), io.BytesIO(content))

    @contextmanager
    def receiving(self, one: WantedOutput) -> Generator[tuple[BinaryIO, Path]]:
        """Give a file for the bytes of an output, which is added at the end of the block."""
        with tempfile.NamedTemporaryFile(dir=self.file.parent, prefix=".pilotage-") as file:
            yield cast(BinaryIO, file), Path(file.name)
            file.seek(0)
            self._tar.addfile(_member(one), cast(BinaryIO, file))


def zstd_modules() -> tuple[Any, Any]:
    """Return `compression.zstd` of Python 3.14, or else the package `zstandard`, and None.

    Raises MissingPackage if there is neither.
    """
    for at, name in enumerate(("compression.zstd", "zstandard")):
        try:
            found = importlib.import_module(name)
        except ImportError:
            continue
        return (found, None) if at == 0 else (None, found)
    raise MissingPackage(
        "a .tar.zst needs the package zstandard: pip install zstandard, or write a .tar.gz"
    )


def _member(one: WantedOutput) -> tarfile.TarInfo:
    member = tarfile.TarInfo(one.place)
    member.size = one.size
    if one.ended_at:
        member.mtime = int(datetime.fromisoformat(one.ended_at.replace("Z", "+00:00")).timestamp())
    return member
