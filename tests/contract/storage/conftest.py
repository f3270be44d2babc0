"""The storages that the suite runs on: servers of real software, each started once."""

import hashlib
import itertools
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

import pytest

from pilotage.pilot.data.davs_storage import DavsStorage
from pilotage.pilot.data.file_storage import FileStorage
from pilotage.pilot.data.http_storage import HttpStorage
from pilotage.pilot.data.root_storage import RootStorage
from pilotage.pilot.data.s3_storage import S3Storage
from pilotage.pilot.data.storages import CopyLocation, Credential, Storage
from pilotage.proto.storages import StorageOptions
from tests.services import nginx as web, s3, xrootd as grid
from tests.services.authority import make_authority
from tests.services.folders import open_folder

PATH = "local/7/1/results/run"
REPLACING: Final = ("file", "http", "http without folders")
CREATING: Final = ("davs", "davs on nginx", "davs on nginx without folders", "root", "s3")
WITHOUT_TOKEN: Final = StorageOptions()
WITH_TOKEN: Final = StorageOptions(needs_credential=True, checksum="adler32")
_number = itertools.count()

# Returns the credential for a path, and for a file to create there.
CredentialOf = Callable[[str, Path | None], Credential | None]


class Rig:
    """A storage with nothing on it, and a way to its files that does without its driver."""

    def __init__(
        self,
        driver: Storage,
        url: str,
        files: Path,
        *,
        options: StorageOptions = WITHOUT_TOKEN,
        credential: CredentialOf = lambda _path, _source: None,
    ) -> None:
        self.driver, self.url, self.files = driver, url, files
        self._options, self._credential = options, credential

    def place(self, path: str = PATH, source: Path | None = None) -> CopyLocation:
        return CopyLocation(self.url, path, self._options, self._credential(path, source))

    def lay(self, path: str, content: bytes) -> None:
        target = self.files / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def content(self, path: str = PATH) -> bytes:
        return (self.files / path).read_bytes()


class XrootdRig(Rig):
    """A folder of a server with tokens that read and create there."""

    def __init__(self, driver: Storage, server: grid.Xrootd, url: str) -> None:
        folder = f"t{next(_number)}"
        (server.files / folder).mkdir()
        server.own(server.files / folder)
        token = server.token(f"storage.read:/{folder}", f"storage.create:/{folder}")
        super().__init__(
            driver,
            f"{url}/{folder}",
            server.files / folder,
            options=WITH_TOKEN,
            credential=lambda _path, _source: Credential(token),
        )
        self._server = server

    def lay(self, path: str, content: bytes) -> None:
        super().lay(path, content)
        self._server.own(self.files)


class S3Rig(Rig):
    """A part of a bucket."""

    def __init__(self, store: s3.ObjectStore) -> None:
        self._store, self._folder = store, f"t{next(_number)}"
        options = StorageOptions(needs_credential=True)
        url = f"{store.url}/{self._folder}"
        super().__init__(S3Storage(), url, Path(), options=options, credential=self._signed)

    def _signed(self, path: str, source: Path | None) -> Credential:
        url = self._store.url_of(f"{self._folder}/{path}")
        urls = {(method, path): s3.signed(method, url) for method in ("GET", "HEAD")}
        if source is not None:
            content = source.read_bytes() if source.exists() else b""
            sha256 = hashlib.sha256(content).hexdigest()
            urls["PUT", path] = s3.signed("PUT", url, sha256=sha256)
        return Credential(urls=urls)

    def lay(self, path: str, content: bytes) -> None:
        self._store.lay(f"{self._folder}/{path}", content)

    def content(self, path: str = PATH) -> bytes:
        return self._store.content(f"{self._folder}/{path}")


@pytest.fixture(scope="session")
def authority() -> Generator[Path]:
    """Yield a folder with an authority, and with a certificate of localhost."""
    with open_folder("authority") as folder:
        make_authority(folder)
        yield folder


@pytest.fixture(scope="session")
def xrootd_server() -> Generator[grid.Xrootd]:
    if lacks := grid.missing():
        pytest.skip(f"missing: {lacks}")
    with grid.xrootd() as server:
        yield server


@pytest.fixture(scope="session")
def store() -> Generator[s3.ObjectStore]:
    if lacks := s3.missing():
        pytest.skip(f"missing: {lacks}")
    with s3.object_store() as server:
        yield server


@pytest.fixture
def xrootd(xrootd_server: grid.Xrootd, monkeypatch: pytest.MonkeyPatch) -> grid.Xrootd:
    """Return the server; the case trusts its authority."""
    xrootd_server.revive()
    monkeypatch.setenv("X509_CERT_DIR", str(xrootd_server.authorities))
    return xrootd_server


@pytest.fixture
def trusted(authority: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a certificate of localhost that the case trusts."""
    monkeypatch.setenv("X509_CERT_DIR", str(authority / "trusted"))
    return authority


def _rig(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Rig]:
    kind: str = request.param
    if kind == "file":
        files = tmp_path / "a storage"
        files.mkdir()
        yield Rig(FileStorage(), f"file://{tmp_path}/a%20storage", files)
    elif kind == "s3":
        yield S3Rig(request.getfixturevalue("store"))
    elif kind in ("davs", "root"):
        server: grid.Xrootd = request.getfixturevalue("xrootd")
        if kind == "davs":
            yield XrootdRig(DavsStorage(), server, server.url)
        else:
            yield XrootdRig(RootStorage(), server, server.root_url)
    else:
        yield from _on_nginx(kind, request, tmp_path)


def _on_nginx(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Rig]:
    if web.PROGRAM is None:
        pytest.skip("nginx is not installed")
    is_davs = kind.startswith("davs")
    tls: Path | None = request.getfixturevalue("trusted") if is_davs else None
    driver: Storage = DavsStorage() if is_davs else HttpStorage()
    makes = "without" not in kind
    with web.nginx(tmp_path / "nginx", makes_folders=makes, tls=tls) as server:
        yield Rig(driver, server.url, server.files)


@pytest.fixture(params=[*REPLACING, *CREATING])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Rig]:
    """Yield each storage in turn."""
    yield from _rig(request, tmp_path)


@pytest.fixture(params=REPLACING)
def replacing(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Rig]:
    """Yield each storage whose driver replaces and removes files."""
    yield from _rig(request, tmp_path)


@pytest.fixture(params=CREATING)
def creating(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Rig]:
    """Yield each storage whose driver creates files only."""
    yield from _rig(request, tmp_path)
