"""Where tokens and signed URLs go, and what servers make of them on a bad day."""

import base64
import hashlib
import json
import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from pilotage.pilot.data.davs_storage import DavsStorage
from pilotage.pilot.data.root_storage import RootStorage
from pilotage.pilot.data.s3_storage import S3Storage
from pilotage.pilot.data.storages import (
    CopyDiffers,
    CopyLocation,
    CopyMissing,
    Credential,
    CredentialRejected,
    NameTaken,
    Storage,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    has_expired,
)
from pilotage.proto.storages import StorageOptions
from tests.certificates import certificate_and_key
from tests.services.authority import trust
from tests.services.s3 import ObjectStore, signed

from . import servers

CONTENT = bytes(range(256)) * 2_000
ADLER = StorageOptions(needs_credential=True, checksum="adler32")


def _go_on() -> None:
    return


def _token(ends_in_s: float) -> str:
    """Return a token in form, with a signature of nobody."""
    claims: dict[str, Any] = {"exp": time.time() + ends_in_s, "scope": "storage.read:/"}
    parts = [json.dumps(one).encode() for one in ({"alg": "none"}, claims)]
    return ".".join(base64.urlsafe_b64encode(one).decode().rstrip("=") for one in (*parts, b"sig"))


def _source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    return source


def _place(url: str, token: str, options: StorageOptions = ADLER) -> CopyLocation:
    return CopyLocation(url, "a/x", options, Credential(token))


def _by_method(**answers: servers.Answer) -> servers.Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        answers[request.command](request)

    return answer


def _says(status: int, words: str = "", **headers: str) -> servers.Answer:
    """Read what comes, and answer so."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        servers.read_all(request)
        request.send_response(status)
        body = words.encode()
        sent = {"Content-Length": str(len(body)), **headers}
        for name, value in sent.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    return answer


class _Heads:
    """Answers HEAD: the file is missing before the upload, and has these headers after it."""

    def __init__(self, put: servers.Answer, **headers: str) -> None:
        self._put, self._headers, self._is_put = put, headers, False

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        if request.command == "PUT":
            self._is_put = True
            self._put(request)
        elif request.command == "HEAD":
            _says(200 if self._is_put else 404, **self._headers)(request)
        else:
            _says(405)(request)


LENGTH = str(len(CONTENT))
GOOD, OLD = _token(3_600), _token(30)


@pytest.mark.parametrize("end", ["1" + "0" * 400, '"soon"', "null", "[" * 9_999, "-1"])
def test_only_an_end_that_can_be_read_makes_a_token_old(end: str) -> None:
    payload = base64.urlsafe_b64encode(f'{{"exp": {end}}}'.encode()).decode().rstrip("=")

    assert has_expired(f"e30.{payload}.sig") is (end == "-1")


PUTS: dict[str, tuple[str, servers.Answer, type[StorageError], str]] = {
    "401": (GOOD, _Heads(_says(401)), CredentialRejected, "401"),
    "403": (GOOD, _Heads(_says(403, "no")), StorageRefused, "403 Forbidden: no"),
    "403 with a token that ends soon": (OLD, _Heads(_says(403)), CredentialRejected, "403"),
    "403 with a token of another form": ("opaque", _Heads(_says(403)), StorageRefused, "403"),
    "412": (GOOD, _Heads(_says(412)), NameTaken, "exists"),
    "507": (GOOD, _Heads(_says(507)), StorageFull, "507"),
    "500": (GOOD, _Heads(_says(500)), StorageUnavailable, "500"),
    "it has fewer bytes": (
        GOOD,
        _Heads(_says(201), Content_Length="3"),
        CopyDiffers,
        "3 bytes are stored",
    ),
    "it has other bytes": (
        GOOD,
        _Heads(_says(201), Content_Length=LENGTH, Digest="adler32=1234abcd"),
        CopyDiffers,
        "adler32 of the file is 1234abcd",
    ),
    "it has other bytes, by RFC 9530": (
        GOOD,
        _Heads(_says(201), Content_Length=LENGTH, Repr_Digest="sha-256=:AA==:, adler=:EjSrzQ==:"),
        CopyDiffers,
        "adler32 of the file is 1234abcd",
    ),
    "it forgets the file": (
        GOOD,
        _by_method(HEAD=_says(404), PUT=_says(201)),
        StorageUnavailable,
        "does not have it",
    ),
    "401 after the upload": (
        GOOD,
        _by_method(HEAD=_says(401), PUT=_says(201)),
        CredentialRejected,
        "401",
    ),
}


@pytest.mark.parametrize("day", PUTS)
def test_what_goes_wrong_with_an_upload(trusted: Path, tmp_path: Path, day: str) -> None:
    token, answer, trouble, words = PUTS[day]
    with servers.serving(answer, trusted) as url, pytest.raises(StorageError) as raised:
        DavsStorage(5).put(_source(tmp_path), _place(url, token), go_on=_go_on)

    assert raised.type is trouble, raised.value
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("heads", "is_sent"), [(_says(503), False), (_says(401), False), (_says(404), True)]
)
def test_only_a_storage_that_got_a_part_of_a_file_may_keep_it(
    trusted: Path, tmp_path: Path, heads: servers.Answer, is_sent: bool
) -> None:
    answer = _by_method(HEAD=heads, PUT=_says(503))
    with servers.serving(answer, trusted) as url, pytest.raises(StorageUnavailable) as raised:
        DavsStorage(5).put(_source(tmp_path), _place(url, GOOD), go_on=_go_on)

    assert raised.value.is_sent is is_sent


@pytest.mark.parametrize("digest", [f"adler32={0:x}", "md5=abc", ""])
def test_a_checksum_counts_if_the_server_gives_one(
    trusted: Path, tmp_path: Path, digest: str
) -> None:
    (tmp_path / "source").write_bytes(b"")  # its adler32 is 1
    answer = _Heads(_says(201), Content_Length="0", Digest=digest)
    with servers.serving(answer, trusted) as url:
        place = _place(url, GOOD)
        if digest.startswith("adler32"):
            with pytest.raises(StorageUnavailable, match="00000000"):
                DavsStorage(5).put(tmp_path / "source", place, go_on=_go_on)
        else:
            assert not DavsStorage(5).put(tmp_path / "source", place, go_on=_go_on).size_bytes


def test_a_server_that_refuses_gets_no_bytes(trusted: Path, tmp_path: Path) -> None:
    looks: list[int] = []
    with (
        servers.serving(_by_method(HEAD=_says(404), PUT=_refuses), trusted) as url,
        pytest.raises(StorageFull),
    ):
        DavsStorage(5).put(_source(tmp_path), _place(url, GOOD), go_on=lambda: looks.append(1))

    assert not looks


def _refuses(request: BaseHTTPRequestHandler) -> None:
    """Answer before the body, for which the client waits."""
    assert request.headers["Expect"] == "100-continue"
    request.wfile.write(b"HTTP/1.1 507 Full\r\nContent-Length: 0\r\n\r\n")


def test_no_text_shows_a_token(trusted: Path, tmp_path: Path) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        assert "authz" not in request.path
        _says(403, f"you sent {request.headers['Authorization']}, {GOOD[:50]}")(request)

    with servers.serving(answer, trusted) as url, pytest.raises(StorageRefused) as raised:
        DavsStorage(5).get(_place(url, GOOD), tmp_path / "got", bytes_max=9, go_on=_go_on)

    said = f"{raised.value} {raised.value!r} {_place('https://host', GOOD)!r}"
    assert "you sent Bearer ***, ***" in said
    assert "eyJ" not in said


# -- redirects ----------------------------------------------------------------------------------


@pytest.fixture
def pool(trusted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that makes a name of this machine, with a certificate that is trusted."""
    real = socket.getaddrinfo
    authorities = tmp_path / "authorities"
    authorities.mkdir()
    trust(authorities, (trusted / "ca.pem").read_bytes())
    monkeypatch.setenv("X509_CERT_DIR", str(authorities))

    def found(host: str, *given: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host.endswith(".test") else host, *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", found)

    def made(host: str) -> Path:
        certificate, key = certificate_and_key(host)
        (tmp_path / "host.pem").write_bytes(certificate)
        (tmp_path / "host.key").write_bytes(key)
        trust(authorities, certificate)
        return tmp_path

    return made


@pytest.mark.parametrize(
    ("nodes", "host", "goes_along"),
    [
        ((), "localhost", True),
        ((), "pool1.se.test", False),
        (("*.se.test",), "pool1.se.test", True),
        (("Pool1.SE.test",), "pool1.se.test", True),
        (("*.se.test",), "pool1.other.test", False),
        (("*.se.test",), "se.test", False),
        (("se.test",), "pool1.se.test", False),
        (("*.se.test",), "xse.test", False),
    ],
)
def test_a_token_goes_to_another_host_only_if_it_is_named(
    trusted: Path,
    tmp_path: Path,
    pool: Callable[[str], Path],
    nodes: tuple[str, ...],
    host: str,
    goes_along: bool,
) -> None:
    got: list[str | None] = []

    def node(request: BaseHTTPRequestHandler) -> None:
        got.append(request.headers["Authorization"])
        servers.gives(CONTENT)(request)

    with servers.serving(node, pool(host)) as there:
        to = f"{there.replace('localhost', host)}/x?key=pool"
        with servers.serving(servers.says(307, to), trusted) as url:
            place = _place(url, GOOD, StorageOptions(redirects=2, nodes=nodes))
            DavsStorage(5).get(place, tmp_path / "got", bytes_max=len(CONTENT), go_on=_go_on)

    assert (tmp_path / "got").read_bytes() == CONTENT
    assert got == [f"Bearer {GOOD}" if goes_along else None]


BAD_REDIRECTS = {
    "http://localhost:1/x?authz=secret": "not a URL of https",
    "https://localhost:99999/x?authz=secret": "not a URL of https",
    "/data/again?authz=secret": "2 redirects are allowed",
    "ftp://localhost/x?authz=secret": "not a URL of https",
}


@pytest.mark.parametrize("location", BAD_REDIRECTS)
def test_redirects_that_are_not_followed(trusted: Path, tmp_path: Path, location: str) -> None:
    options = StorageOptions(redirects=2)
    with (
        servers.serving(servers.says(302, location), trusted) as url,
        pytest.raises(StorageRefused) as raised,
    ):
        DavsStorage(5).get(_place(url, GOOD, options), tmp_path / "got", bytes_max=9, go_on=_go_on)

    assert BAD_REDIRECTS[location] in str(raised.value)
    assert "secret" not in str(raised.value)


def test_an_upload_follows_a_redirect_and_sends_its_bytes_once(
    trusted: Path, tmp_path: Path
) -> None:
    stored: list[bytes] = []

    def node(request: BaseHTTPRequestHandler) -> None:
        if request.command == "PUT":
            stored.append(servers.read_all(request))
            request.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        else:
            _says(200 if stored else 404, Content_Length=LENGTH if stored else "0")(request)

    with servers.serving(node, trusted) as there:

        def door(request: BaseHTTPRequestHandler) -> None:
            head = f"HTTP/1.1 307 There\r\nContent-Length: 0\r\nLocation: {there}/x\r\n\r\n"
            request.wfile.write(head.encode())

        with servers.serving(door, trusted) as url:
            place = _place(url, GOOD, StorageOptions(redirects=1))
            sums = DavsStorage(5).put(_source(tmp_path), place, go_on=_go_on)

    assert stored == [CONTENT]
    assert sums.sha256 == hashlib.sha256(CONTENT).hexdigest()


# -- signed URLs --------------------------------------------------------------------------------


def _signed_place(url: str, ends_in_s: float = 3_600) -> CopyLocation:
    began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + ends_in_s - 600))
    query = f"X-Amz-Date={began}&X-Amz-Expires=600&X-Amz-Signature={SIGNATURE}"
    urls = {(method, "a/x"): f"{url}/a/x?{query}" for method in ("GET", "HEAD", "PUT")}
    return CopyLocation(url, "a/x", credential=Credential(urls=urls))


def _error(code: str) -> str:
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return f"{head}<Error><Code>{code}</Code><Message>because {SIGNATURE}</Message></Error>"


SIGNATURE = "5" * 64
S3_PUTS: dict[str, tuple[float, servers.Answer, type[StorageError], str]] = {
    "403": (600, _says(403, _error("AccessDenied")), StorageRefused, "AccessDenied: because ***"),
    "403 when the URL has ended": (-1, _says(403), CredentialRejected, "403"),
    "400": (600, _says(400, _error("BadDigest")), StorageUnavailable, "BadDigest"),
    "404": (600, _says(404, _error("NoSuchBucket")), StorageRefused, "NoSuchBucket"),
    "409": (600, _says(409, _error("ConditionalRequestConflict")), StorageUnavailable, "409"),
    "412": (600, _says(412, _error("PreconditionFailed")), NameTaken, "exists"),
    "full": (600, _says(403, _error("QuotaExceeded")), StorageFull, "QuotaExceeded"),
    "503": (600, _says(503, _error("SlowDown")), StorageUnavailable, "SlowDown"),
    "a redirect": (600, _says(307, Location="/x"), StorageRefused, "307"),
    "it has fewer bytes": (
        600,
        _Heads(_says(200), Content_Length="3"),
        CopyDiffers,
        "3 bytes are stored",
    ),
    "it forgets the object": (
        600,
        _by_method(PUT=_says(200), HEAD=_says(404)),
        StorageUnavailable,
        "does not have it",
    ),
}


@pytest.mark.parametrize("day", S3_PUTS)
def test_what_goes_wrong_with_an_upload_to_an_object_store(tmp_path: Path, day: str) -> None:
    ends_in_s, answer, trouble, words = S3_PUTS[day]
    with servers.serving(answer) as url, pytest.raises(StorageError) as raised:
        S3Storage(5).put(_source(tmp_path), _signed_place(url, ends_in_s), go_on=_go_on)

    assert raised.type is trouble, raised.value
    assert words in str(raised.value)
    assert SIGNATURE not in f"{raised.value} {_signed_place(url)!r}"


def test_an_object_is_sent_with_its_checksum(tmp_path: Path) -> None:
    got: list[dict[str, str]] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        got.append(dict(request.headers))
        _says(200, Content_Length=LENGTH if request.command == "HEAD" else "0")(request)

    with servers.serving(answer) as url:
        S3Storage(5).put(_source(tmp_path), _signed_place(url), go_on=_go_on)

    assert got[0]["If-None-Match"] == "*"
    sha256 = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    assert got[0]["x-amz-checksum-sha256"] == sha256


def test_a_store_refuses_other_bytes_than_the_signed_ones(
    store: ObjectStore, tmp_path: Path
) -> None:
    url, other = store.url_of("other-bytes"), hashlib.sha256(b"other").hexdigest()
    urls = {("PUT", "x"): signed("PUT", url, sha256=other), ("HEAD", "x"): signed("HEAD", url)}
    place = CopyLocation(store.url, "x", credential=Credential(urls=urls))

    with pytest.raises(StorageRefused, match="403"):
        S3Storage().put(_source(tmp_path), place, go_on=_go_on)
    with pytest.raises(CopyMissing):
        S3Storage().size(place)


@pytest.mark.parametrize(
    ("options", "trouble"),
    [
        ({"began": time.time() - 7_200}, CredentialRejected),
        ({"secret": "another"}, StorageRefused),
        ({"key": "another"}, StorageRefused),
    ],
)
def test_a_store_refuses_other_signatures(
    store: ObjectStore, tmp_path: Path, options: dict[str, Any], trouble: type[StorageError]
) -> None:
    store.lay("there", CONTENT)
    urls = {("GET", "x"): signed("GET", store.url_of("there"), **options)}
    place = CopyLocation(store.url, "x", credential=Credential(urls=urls))

    with pytest.raises(StorageError) as raised:
        S3Storage().get(place, tmp_path / "got", bytes_max=len(CONTENT), go_on=_go_on)
    assert raised.type is trouble


# -- places that no request may go to -----------------------------------------------------------

WRONG: dict[str, Storage] = {
    "http://host/x": DavsStorage(),  # a token is never sent without encryption
    "https://host/x?authz=y": DavsStorage(),
    "https:///x": DavsStorage(),
    "https://host/x": RootStorage(),
    "root://host//x?authz=y": RootStorage(),
    "root://user@host//x": RootStorage(),
}


@pytest.mark.parametrize("url", WRONG)
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(StorageRefused, match="is not a URL such as"):
        WRONG[url].size(_place(url, GOOD))


@pytest.mark.parametrize("driver", [DavsStorage(), RootStorage(), S3Storage()])
def test_without_the_credential_that_it_needs_no_request_is_sent(driver: Storage) -> None:
    place = CopyLocation("https://host.invalid/x", "a/x", StorageOptions(needs_credential=True))
    if isinstance(driver, RootStorage):
        place = CopyLocation("root://host.invalid//x", "a/x", place.options)

    with pytest.raises(StorageRefused, match="the central gave no"):
        driver.size(place)
