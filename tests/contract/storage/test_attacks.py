"""What a payload with the token of its attempt cannot do on a real server."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from pilotage.pilot.data.davs_storage import DavsStorage
from pilotage.pilot.data.root_storage import RootStorage
from pilotage.pilot.data.storages import (
    CopyLocation,
    Credential,
    CredentialRejected,
    Storage,
    StorageError,
    StorageRefused,
)
from pilotage.proto.trust import trusting
from tests.services.xrootd import ROOT, Xrootd

MINE = "cta/0a1b2c3d/7/1"
INPUT = "cta/raw/run1.h5"
OTHERS = ("cta/0a1b2c3d/7/10/x", "cta/0a1b2c3d/7/2/x", "cta/0a1b2c3d/70/1/x", "cta/x", "x")
BYTES = b"bytes of another job"


def _go_on() -> None:
    return


@pytest.fixture(params=["davs", "root"])
def speaks(request: pytest.FixtureRequest, xrootd: Xrootd) -> tuple[Storage, str]:
    """Return a driver, and the URL of the storage for it."""
    davs = request.param == "davs"
    return (DavsStorage(), xrootd.url) if davs else (RootStorage(), xrootd.root_url)


@pytest.fixture
def token(xrootd: Xrootd) -> str:
    """Return the token of an attempt on a storage with files of others."""
    for path in (*OTHERS, INPUT):
        xrootd.lay(path, BYTES)
    return xrootd.token(f"storage.create:/{MINE}", f"storage.read:/{INPUT}")


def _place(url: str, path: str, token: str) -> CopyLocation:
    return CopyLocation(url, path, credential=Credential(token))


def _source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.write_bytes(b"mine")
    return source


def test_an_attempt_reads_its_input_and_stores_its_output(
    xrootd: Xrootd, speaks: tuple[Storage, str], token: str, tmp_path: Path
) -> None:
    driver, url = speaks
    name = f"{MINE}/{type(driver).__name__}"

    driver.get(_place(url, INPUT, token), tmp_path / "got", bytes_max=100, go_on=_go_on)
    driver.put(_source(tmp_path), _place(url, name, token), go_on=_go_on)

    assert (tmp_path / "got").read_bytes() == BYTES
    assert (xrootd.files / name).read_bytes() == b"mine"


@pytest.mark.parametrize("path", [*OTHERS, f"{MINE}0/x", "cta/0a1b2c3d/7/new", "new"])
def test_nothing_is_stored_outside_the_folder_of_the_attempt(
    xrootd: Xrootd, speaks: tuple[Storage, str], token: str, tmp_path: Path, path: str
) -> None:
    driver, url = speaks
    with pytest.raises(StorageRefused):
        driver.put(_source(tmp_path), _place(url, path, token), go_on=_go_on)

    target = xrootd.files / path
    assert target.read_bytes() == BYTES if path in OTHERS else not target.exists()


@pytest.mark.parametrize("path", OTHERS)
def test_the_files_of_others_are_not_read(
    speaks: tuple[Storage, str], token: str, tmp_path: Path, path: str
) -> None:
    driver, url = speaks
    with pytest.raises(StorageRefused):
        driver.get(_place(url, path, token), tmp_path / "got", bytes_max=100, go_on=_go_on)

    assert not (tmp_path / "got").exists() or not (tmp_path / "got").read_bytes()


def _request(xrootd: Xrootd, token: str, method: str, path: str, **headers: str) -> int:
    """Send a request as a payload may write it itself, and return the status."""
    connection = HTTPSConnection(
        "localhost", xrootd.https_port, timeout=20, context=trusting(f"{xrootd.folder}/ca/ca.pem")
    )
    body = b"replaced" if method == "PUT" else None
    try:
        sent = {"Authorization": f"Bearer {token}", "Connection": "close", **headers}
        connection.request(method, f"{ROOT}/{path}", body, sent)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET", "MOVE"])
def test_its_own_file_is_neither_replaced_nor_removed(
    xrootd: Xrootd, token: str, method: str
) -> None:
    for name in (f"{MINE}/{method}", f"{MINE}/{method}-other"):
        assert _request(xrootd, token, "PUT", name) == 201
    onto = f"{xrootd.url}/{MINE}/{method}-other"
    headers = {"Destination": onto, "Overwrite": "T"} if method == "MOVE" else {}

    assert _request(xrootd, token, method, f"{MINE}/{method}", **headers) == 403
    for name in (f"{MINE}/{method}", f"{MINE}/{method}-other"):
        assert (xrootd.files / name).read_bytes() == b"replaced"


@pytest.mark.parametrize(
    "path", [f"{MINE}/../10/x", f"{MINE}/%2e%2e/10/x", f"{MINE}/..%2f10%2fx", f"{MINE}/../../new"]
)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_no_path_leads_out_of_the_folder(
    xrootd: Xrootd, token: str, method: str, path: str
) -> None:
    before = _everything(xrootd)

    assert _request(xrootd, token, method, path) >= 400
    assert _everything(xrootd) == before


def test_xrdcp_replaces_and_removes_nothing_with_its_own_options(
    xrootd: Xrootd, token: str, tmp_path: Path
) -> None:
    name, secret = f"{MINE}/by-xrdcp", tmp_path / "token"
    secret.touch(0o600)
    secret.write_text(token)
    environ = {**os.environ, "BEARER_TOKEN_FILE": str(secret), "XRD_CONNECTIONRETRY": "1"}

    def run(*words: str) -> int:
        return subprocess.run(words, env=environ, capture_output=True, timeout=60).returncode

    RootStorage().put(_source(tmp_path), _place(xrootd.root_url, name, token), go_on=_go_on)
    server = f"roots://localhost:{xrootd.port}"
    (tmp_path / "other").write_bytes(b"other")

    assert run("xrdcp", "-f", str(tmp_path / "other"), f"{xrootd.root_url}/{name}") != 0
    assert run("xrdfs", server, "rm", f"{ROOT}/{name}") != 0
    assert run("xrdfs", server, "truncate", f"{ROOT}/{name}", "1") != 0
    assert run("xrdfs", server, "mv", f"{ROOT}/{name}", f"{ROOT}/{OTHERS[0]}") != 0
    assert run("xrdfs", server, "rm", f"{ROOT}/{OTHERS[0]}") != 0
    assert (xrootd.files / name).read_bytes() == b"mine"
    assert (xrootd.files / OTHERS[0]).read_bytes() == BYTES


# Tokens that a server does not take, and the error of each driver: xrdcp ends at the login.
BAD_TOKENS: dict[str, tuple[Callable[[Xrootd], str], type[StorageError], type[StorageError]]] = {
    "expired": (
        lambda one: one.token("storage.read:/", lifetime_s=-60),
        CredentialRejected,
        CredentialRejected,
    ),
    "for another server": (
        lambda one: one.token("storage.read:/", audience="https://other.test"),
        StorageRefused,
        StorageRefused,
    ),
    "for other paths": (
        lambda one: one.token("storage.read:/other"),
        StorageRefused,
        StorageRefused,
    ),
    "without paths": (lambda one: one.token("openid"), StorageRefused, StorageRefused),
    "rubbish": (lambda _: "a.b.c", StorageRefused, CredentialRejected),
    "with a line break": (lambda _: "a\r\nX: y", StorageRefused, StorageRefused),
}


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_a_token_that_does_not_fit_gives_nothing(
    xrootd: Xrootd, speaks: tuple[Storage, str], token: str, tmp_path: Path, kind: str
) -> None:
    driver, url = speaks
    make, with_davs, with_root = BAD_TOKENS[kind]
    bad = make(xrootd)
    with pytest.raises(StorageError) as raised:
        driver.get(_place(url, INPUT, bad), tmp_path / "got", bytes_max=100, go_on=_go_on)

    assert raised.type is (with_davs if isinstance(driver, DavsStorage) else with_root)
    assert bad not in str(raised.value)
    assert str(raised.value)


def test_without_a_token_nothing_is_read(
    speaks: tuple[Storage, str], token: str, tmp_path: Path
) -> None:
    driver, url = speaks
    place = replace(_place(url, INPUT, token), credential=None)
    with pytest.raises(StorageRefused):
        driver.get(place, tmp_path / "got", bytes_max=100, go_on=_go_on)


def _everything(xrootd: Xrootd) -> dict[str, bytes]:
    files = [one for one in xrootd.files.parent.rglob("*") if one.is_file()]
    return {str(one): one.read_bytes() for one in files}
