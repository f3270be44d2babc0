"""Transfers that break on storages without TLS: folders, plain HTTP and object stores."""

import hashlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import pytest

from pilotage.pilot.data import http_driver
from pilotage.pilot.data.file_storage import FileStorage
from pilotage.pilot.data.http_storage import HttpStorage
from pilotage.pilot.data.s3_storage import S3Storage
from pilotage.pilot.data.storages import (
    CopyLocation,
    Credential,
    ResumingStorage,
    Storage,
    StorageUnavailable,
)
from pilotage.proto.storages import StorageOptions
from tests.services import nginx as web, s3

from .cuts import cutting

SEED: Final = 23
FILES: Final = 60  # and as many downloads, of each type
TRIES: Final = 4
SIZE: Final = 300_000
OVERHEAD: Final = 1_000  # of a connection: its headers
CONTENT: Final = random.Random(SEED).randbytes(SIZE)
LARGE: Final = CONTENT * 8
HUGE: Final = CONTENT * 130  # more than all buffers on its way
KILLS: Final = 8


class _Server(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Far:
    """A storage behind a port of this machine."""

    make: Callable[[float], Storage]  # its driver, with a timeout in seconds
    port: int
    server: _Server
    place: Callable[[int, str, bytes], CopyLocation]  # by port and path; for a file to store
    content: Callable[[str], bytes]


@pytest.fixture(params=["http", "s3"])
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Far]:
    if request.param == "s3":
        yield _object_store(request.getfixturevalue("store"))
        return
    if web.PROGRAM is None:
        pytest.skip("nginx is not installed")
    with web.nginx(tmp_path / "nginx") as server:

        def place(port: int, path: str, _content: bytes) -> CopyLocation:
            return CopyLocation(f"http://127.0.0.1:{port}", path)

        def content(path: str) -> bytes:
            return (server.files / path).read_bytes()

        yield Far(HttpStorage, server.port, server, place, content)


def _object_store(store: s3.ObjectStore) -> Far:
    folder, _, bucket = store.url.rpartition("/")

    def place(port: int, path: str, content: bytes) -> CopyLocation:
        path, url = f"cuts/{path}", f"http://127.0.0.1:{port}/{bucket}"
        urls = {(verb, path): s3.signed(verb, f"{url}/{path}") for verb in ("GET", "HEAD")}
        sha256 = hashlib.sha256(content).hexdigest()
        urls["PUT", path] = s3.signed("PUT", f"{url}/{path}", sha256=sha256)
        options = StorageOptions(needs_credential=True)
        return CopyLocation(url, path, options, Credential(urls=urls))

    port = int(folder.rpartition(":")[2])
    return Far(S3Storage, port, store, place, lambda path: store.content(f"cuts/{path}"))


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait hardly between two tries to resume."""
    monkeypatch.setattr(http_driver, "_PAUSE_S", 0.001)


def _go_on() -> None:
    return


def _limit(chance: random.Random, share: float, size: int) -> int | None:
    return None if chance.random() >= share else chance.randrange(size + OVERHEAD)


def test_a_file_that_was_stored_is_whole(far: Far, tmp_path: Path) -> None:
    chance, source = random.Random(SEED), tmp_path / "source"
    stored, whys = dict[str, bytes](), list[str]()
    with cutting(far.port, lambda: _limit(chance, 0.4, SIZE)) as proxy:
        for number in range(FILES):
            content = CONTENT[chance.randrange(SIZE) :]
            source.write_bytes(content)
            for again in range(TRIES):
                path = f"local/7/1/put/~{again}/f{number}"
                place = far.place(proxy.port, path, content)
                try:
                    far.make(5).put(source, place, go_on=_go_on)
                except StorageUnavailable as why:
                    whys.append(str(why))
                    continue
                stored[path] = content
                break

    assert proxy.cuts >= FILES / 10 and len(whys) >= FILES / 20 and all(whys)
    assert len(stored) >= 0.9 * FILES
    for path, content in stored.items():
        assert far.content(path) == content, path


def test_a_file_that_was_fetched_is_right(far: Far, tmp_path: Path) -> None:
    chance, source, to = random.Random(SEED), tmp_path / "source", tmp_path / "got"
    source.write_bytes(LARGE)
    far.make(5).put(source, far.place(far.port, "local/7/1/get", LARGE), go_on=_go_on)
    whys, good = list[str](), 0
    with cutting(far.port, lambda: _limit(chance, 0.7, len(LARGE))) as proxy:
        for _ in range(FILES):
            place = far.place(proxy.port, "local/7/1/get", LARGE)
            try:
                sums = far.make(5).get(place, to, bytes_max=len(LARGE), go_on=_go_on)
            except StorageUnavailable as why:
                whys.append(str(why))
                continue
            good += 1
            assert sums.sha256 == hashlib.sha256(LARGE).hexdigest()
            assert to.read_bytes() == LARGE

    assert proxy.cuts >= FILES / 10 and all(whys)
    assert good >= FILES / 3
    assert good + proxy.cuts > FILES, "a download that was cut goes on"


def test_a_server_that_stalls_is_away(far: Far, tmp_path: Path) -> None:
    source, to = tmp_path / "source", tmp_path / "got"
    source.write_bytes(HUGE)
    far.make(20).put(source, far.place(far.port, "local/7/1/stalled", HUGE), go_on=_go_on)
    began = time.monotonic()
    with cutting(far.port, lambda: 200_000, stalls=True) as proxy:
        with pytest.raises(StorageUnavailable, match="in time"):
            place = far.place(proxy.port, "local/7/1/new", HUGE)
            far.make(0.5).put(source, place, go_on=_go_on)
        place = far.place(proxy.port, "local/7/1/stalled", HUGE)
        with pytest.raises(StorageUnavailable):
            far.make(0.5).get(place, to, bytes_max=400_000, go_on=_given_up(began + 5))

    assert time.monotonic() - began < 20


def _given_up(at: float) -> Callable[[], None]:
    """Return what ends a download that goes on by ranges, each of which stalls."""

    def go_on() -> None:
        if time.monotonic() > at:
            raise StorageUnavailable("given up")

    return go_on


def test_transfers_that_a_restart_breaks_are_done_again(far: Far, tmp_path: Path) -> None:
    source, to = tmp_path / "source", tmp_path / "got"
    source.write_bytes(HUGE)
    driver, both_run = far.make(20), threading.Barrier(2)
    before = far.place(far.port, "local/7/1/before", HUGE)
    driver.put(source, before, go_on=_go_on)

    def wait() -> None:
        both_run.wait(30)

    def put() -> None:
        driver.put(source, far.place(far.port, "local/7/1/cut", HUGE), go_on=_third(wait))

    def stop() -> None:
        far.server.stop()
        both_run.wait(30)

    try:
        with ThreadPoolExecutor(1) as pool, pytest.raises(StorageUnavailable):
            cut = pool.submit(put)
            driver.get(before, to, bytes_max=len(HUGE), go_on=_third(stop))
        assert isinstance(cut.exception(30), StorageUnavailable)
    finally:
        far.server.start()
    begun = to.stat().st_size
    assert isinstance(driver, ResumingStorage)
    sums = driver.get_rest(before, to, bytes_max=len(HUGE), go_on=_go_on)
    driver.put(source, far.place(far.port, "local/7/1/~2/cut", HUGE), go_on=_go_on)

    assert 0 < begun < len(HUGE)
    assert sums.sha256 == hashlib.sha256(HUGE).hexdigest() and to.read_bytes() == HUGE
    assert far.content("local/7/1/~2/cut") == HUGE


def _third(act: Callable[[], object]) -> Callable[[], None]:
    """Return a function that acts when it is called for the third time, in a transfer."""
    left = [act, None, None]

    def go_on() -> None:
        now = left.pop() if left else None
        if now is not None:
            now()

    return go_on


# -- folders --------------------------------------------------------------------------------------

_COPY: Final = """
import sys
from pathlib import Path
from pilotage.pilot.data.file_storage import FileStorage
from pilotage.pilot.data.storages import CopyLocation
verb, url, path, here = sys.argv[1:]
print("begins", flush=True)
if verb == "put":
    FileStorage().put(Path(here), CopyLocation(url, path), go_on=lambda: None)
else:
    FileStorage().get(CopyLocation(url, path), Path(here), bytes_max=10**9, go_on=lambda: None)
"""


def _killed(after_s: float, *words: str) -> None:
    """Begin a copy in a process, and kill it."""
    command = [sys.executable, "-c", _COPY, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        timer = threading.Timer(after_s, process.kill)
        timer.start()
        process.wait()
        timer.cancel()


def test_a_killed_copy_to_or_from_a_folder_never_looks_whole(tmp_path: Path) -> None:
    chance, root, source = random.Random(SEED), tmp_path / "root", tmp_path / "source"
    root.mkdir()
    source.write_bytes(HUGE)
    url, cut = f"file://{root}", 0
    for number in range(KILLS):
        _killed(chance.random() * 0.06, "put", url, f"a/f{number}", str(source))
        found = root / "a" / f"f{number}"
        if found.exists():
            assert found.read_bytes() == HUGE
        else:
            cut += 1
    assert cut, "no copy was killed in time"

    FileStorage().put(source, CopyLocation(url, "a/whole"), go_on=_go_on)
    for number in range(KILLS):
        to = tmp_path / f"got{number}"
        _killed(chance.random() * 0.03, "get", url, "a/whole", str(to))
        to.touch()
        place = CopyLocation(url, "a/whole")
        FileStorage().get_rest(place, to, bytes_max=len(HUGE), go_on=_go_on)
        assert to.read_bytes() == HUGE
