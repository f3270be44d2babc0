"""Storages that speak XRootD's own protocol, by the programs xrdcp and xrdfs of the node.

A token goes to them in an open file without a name, which payloads cannot find in any folder. Files
pass through pipes, so that checksums are computed on the way. Exit codes and numbers of errors are
those of XRootD 5 (XrdCl/XrdClStatus.hh, XProtocol/XProtocol.hh).
"""

import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Optional

from pilotage.proto.storages import XROOTD_TAG

from .http_requests import TIMEOUT_S, cleared, server_parts
from .storages import (
    BLOCK_BYTES,
    BlockChecksums,
    CopyChecksums,
    CopyLocation,
    CopyMissing,
    CreatingStorage,
    CredentialRejected,
    GoOn,
    NameTaken,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    bearer_token,
    check_stored,
    copied,
    has_expired,
    open_here,
    path_parts,
)

_LOOK_S: Final = 0.2  # between two calls of go_on while a program is silent
_CHUNK_BYTES: Final = 2 << 20  # and so many of them: what xrdcp reads ahead
_CHUNKS: Final = 8
_BYTES_A_SECOND_MIN: Final = 200_000  # for what it has read ahead, after the last block
_SIZE: Final = re.compile(r"^Size:\s+(\d+)$", re.MULTILINE)
_ADLER: Final = re.compile(r"^adler32 ([0-9a-fA-F]{1,8})$", re.MULTILINE)
_NUMBER: Final = re.compile(r"\[(3\d{3})\]")
_NO_PERMISSION: Final = 3010
_NOT_THERE: Final = 3011
_EXISTS: Final = 3018
_FULL: Final = (3009, 3021)  # no space, over the quota
# Wrong or unsupported requests, a folder or another kind of file, a read-only file system, no TLS.
_REFUSED: Final = (3000, 3001, 3002, 3006, 3013, 3015, 3016, 3025, 3028, 3031)
# Other credentials of the node, which might allow more than the token; and wishes for logs, which
# might show the token.
_DROPPED: Final = (
    *("BEARER_TOKEN", "BEARER_TOKEN_FILE", "XDG_RUNTIME_DIR", "KRB5CCNAME"),
    *("X509_USER_PROXY", "X509_USER_CERT", "X509_USER_KEY"),
    *("XRD_LOGLEVEL", "XRD_LOGFILE", "XRD_LOGMASK"),
)


class RootStorage(CreatingStorage):
    """Driver of storages.Storage for `root://host:port//folder`, or `roots`. It creates only."""

    tag = XROOTD_TAG
    programs = ("xrdcp", "xrdfs")

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s

    def get(self, place: CopyLocation, to: Path, *, bytes_max: int, go_on: GoOn) -> CopyChecksums:
        server, path = _address(place)
        words = ["xrdcp", "--nopbar", f"{server}/{path}", "-"]
        with self._running(words, place, go_on) as program, open_here(to) as out:
            program.close_input()
            sums = copied(
                program.blocks(), out, BlockChecksums(bytes_max, place.verified_by), go_on
            )
            program.end()
            return sums

    def put(self, source: Path, place: CopyLocation, *, go_on: GoOn) -> CopyChecksums:
        try:
            sums = self._put(source, place, go_on)
        except NameTaken:
            raise
        except StorageRefused as why:
            if not self._is_there(place, go_on):
                raise
            # After a cut, xrdcp creates the file once more, and finds its own.
            raise StorageUnavailable(f"the upload was cut: {why}") from None
        check_stored(sums, lambda: self._stored(place, go_on))
        return sums

    def _put(self, source: Path, place: CopyLocation, go_on: GoOn) -> CopyChecksums:
        server, path = _address(place)
        words = ["xrdcp", "--nopbar", "-", f"{server}/{path}"]  # without -f it replaces no file
        summing = BlockChecksums()
        with open(source, "rb") as file, self._running(words, place, go_on) as program:
            size = os.fstat(file.fileno()).st_size
            while block := file.read(BLOCK_BYTES):
                summing.add(block)
                program.write(block)
            if summing.sums.size_bytes != size:
                raise StorageUnavailable("the file has changed during the upload")
            program.close_input()
            program.end(min(size, _CHUNKS * _CHUNK_BYTES) / _BYTES_A_SECOND_MIN)
        return summing.sums

    def _is_there(self, place: CopyLocation, go_on: GoOn) -> bool:
        try:
            self._size(place, go_on)
        except StorageError:
            return False
        return True

    def size(self, place: CopyLocation) -> int:
        return self._size(place, _never)

    def _size(self, place: CopyLocation, go_on: GoOn) -> int:
        found = _SIZE.search(self._said(place, ["stat"], go_on))
        if found is None:
            raise StorageUnavailable("it does not report the size of the file")
        return int(found[1])

    def _stored(self, place: CopyLocation, go_on: GoOn) -> tuple[int, str]:
        """Return the size of a file, and its checksum if the server computes one."""
        size, found = self._size(place, go_on), None
        if place.options.checksum == "adler32":
            with suppress(StorageRefused):
                found = _ADLER.search(self._said(place, ["query", "checksum"], go_on))
        return size, found[1].lower().zfill(8) if found else ""

    def _said(self, place: CopyLocation, words: Sequence[str], go_on: GoOn) -> str:
        """Return what xrdfs prints. Raises StorageError."""
        server, path = _address(place)
        with self._running(["xrdfs", server, *words, path], place, go_on) as program:
            program.close_input()
            said = b"".join(program.blocks())
            program.end()
        return said.decode("utf-8", "replace")

    @contextmanager
    def _running(
        self, words: Sequence[str], place: CopyLocation, go_on: GoOn
    ) -> "Generator[_Program, None, None]":
        """Run a program in a session of its own, and kill the rest of the session at the end."""
        token, found = bearer_token(place), shutil.which(words[0])
        if found is None:
            raise StorageRefused(f"this node has no {words[0]} on its PATH")
        with tempfile.TemporaryDirectory(prefix="pilotage-root-") as name:
            folder = Path(name)
            with open(folder / "said", "w+b") as said, tempfile.TemporaryFile() as secret:
                secret.write(token.encode())
                secret.seek(0)
                process = subprocess.Popen(
                    [found, *words[1:]],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    env=_environ(secret.fileno() if token else None, self._timeout_s),
                    pass_fds=(secret.fileno(),),
                    cwd=folder,
                    start_new_session=True,
                    bufsize=0,
                )
                program = _Program(process, said, token, self._timeout_s, go_on)
                try:
                    yield program
                finally:
                    program.kill()


class _Program:
    """A running program: its pipes never block for long, and it calls go_on all the time."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        said: Any,
        token: str,
        timeout_s: float,
        go_on: GoOn,
    ) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process, self._said, self._token = process, said, token
        self._timeout_s, self._go_on = timeout_s, go_on
        self._in, self._out = process.stdin, process.stdout
        os.set_blocking(self._in.fileno(), False)
        os.set_blocking(self._out.fileno(), False)

    def blocks(self) -> Iterator[bytes]:
        """Yield what it prints. Raises StorageUnavailable if it is silent for too long."""
        while True:
            self._wait(self._out.fileno(), select.POLLIN)
            block = os.read(self._out.fileno(), BLOCK_BYTES)
            if not block:
                return
            yield block

    def write(self, block: bytes) -> None:
        """Write a block to its input. Raises StorageError, also if it has ended."""
        left = memoryview(block)
        while left:
            self._wait(self._in.fileno(), select.POLLOUT)
            try:
                left = left[os.write(self._in.fileno(), left) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                self.end()
                raise StorageUnavailable("xrdcp ended before it read the whole file") from None

    def close_input(self) -> None:
        self._in.close()

    def end(self, patience_s: float = 0.0) -> None:
        """Wait for its end. Raises StorageError if it failed."""
        until = time.monotonic() + self._timeout_s + patience_s
        while self._process.poll() is None:
            self._go_on()
            if time.monotonic() >= until:
                raise StorageUnavailable("it did not answer in time")
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LOOK_S)
        if self._process.returncode != 0:
            self._said.seek(0)
            said = self._said.read().decode("utf-8", "replace")
            raise _trouble(self._process.returncode, said, self._token)

    def kill(self) -> None:
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._in, self._out):
            with suppress(OSError):
                pipe.close()

    def _wait(self, handle: int, event: int) -> None:
        """Wait until a pipe is ready. Raises StorageUnavailable after a time without progress."""
        poll, until = select.poll(), time.monotonic() + self._timeout_s
        poll.register(handle, event)
        while True:
            self._go_on()
            if poll.poll(_LOOK_S * 1_000):
                return
            if time.monotonic() >= until:
                raise StorageUnavailable("it did not answer in time")


def _never() -> None:
    """Never stop the work."""


def _environ(secret: Optional[int], timeout_s: float) -> Mapping[str, str]:
    """Return the environment of a program that inherits the open file of its token."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if name not in _DROPPED and not name.startswith("XrdSec")
    }
    if secret is not None:
        environ.update(BEARER_TOKEN_FILE=f"/dev/fd/{secret}", XrdSecPROTOCOL="ztn")
    seconds = str(max(1, int(timeout_s)))
    return {
        **environ,
        "LC_ALL": "C",
        # Without these, it tries for minutes.
        "XRD_CONNECTIONRETRY": "1",
        "XRD_CONNECTIONWINDOW": seconds,
        "XRD_REQUESTTIMEOUT": seconds,
        "XRD_STREAMTIMEOUT": seconds,
        "XRD_TIMEOUTRESOLUTION": "1",
        # After a cut it would open its own file again, which a token that creates only forbids.
        "XRD_WRITERECOVERY": "0",
        "XRD_CPCHUNKSIZE": str(_CHUNK_BYTES),
        "XRD_CPPARALLELCHUNKS": str(_CHUNKS),
        "XRD_METALINKPROCESSING": "0",  # a name may end with .meta4
    }


def _address(place: CopyLocation) -> tuple[str, str]:
    """Return the URL of the server, and the path of a copy there. Raises StorageRefused."""
    parts = server_parts(place.url, ("root", "roots"))
    if parts is None or parts.query or parts.fragment or parts.username:
        raise StorageRefused(f"{place.url!r} is not a URL such as root://host:port//folder")
    path_parts(place.path)
    if "?" in place.path:  # it would begin other information
        raise StorageRefused(f"{place.path!r} has a '?', which storages of this type cut off")
    folder = urllib.parse.unquote(parts.path).strip("/")
    path = f"/{folder}/{place.path}" if folder else f"/{place.path}"
    return f"{parts.scheme}://{parts.netloc}", path


def _trouble(code: int, said: str, token: str) -> StorageError:
    """Return the error that an exit code and the printed words mean."""
    number = _NUMBER.search(said)
    kind = int(number[1]) if number is not None else 0
    text = cleared(said.replace("Run: ", "").replace(" (source)", ""), (token,))
    text = text or f"it ended with code {code}"
    if "Operation expired" in said or "Socket timeout" in said:
        return StorageUnavailable(f"it did not answer in time: {text}")
    is_login = code == 52 and "Auth failed" in said
    if token and (is_login or (kind == _NO_PERMISSION and has_expired(token))):
        return CredentialRejected(text)
    if kind == _EXISTS or "file exists" in said:
        return NameTaken(text)
    if kind == _NOT_THERE:
        return CopyMissing(text)
    if kind in _FULL:
        return StorageFull(text)
    if is_login or kind == _NO_PERMISSION or kind in _REFUSED:
        return StorageRefused(text)
    return StorageUnavailable(text)
