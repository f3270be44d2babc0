"""The Python part of `pilot.sh`: signatures, versions, and patience with a central."""

import base64
import hashlib
import random
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tests.bootstrap import bootstrap
from tests.certificates import self_signed

ORDER = 2**252 + 27742317777372353535851937790883648493

# RFC 8032, 7.1: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e030"
        "3dca179c138ac17ad9bef1177331a704",
    ),
]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v[1][:8] or "empty")
def test_a_vector_of_rfc_8032_verifies_and_with_any_bit_turned_does_not(
    vector: tuple[str, str, str],
) -> None:
    key, message, signature = map(bytes.fromhex, vector)

    assert bootstrap.is_signed(message, signature, key)
    for bit in range(0, 512, 37):
        turned = (int.from_bytes(signature, "little") ^ 1 << bit).to_bytes(64, "little")
        assert not bootstrap.is_signed(message, turned, key), bit
    assert not bootstrap.is_signed(message + b"\0", signature, key)
    assert not bootstrap.is_signed(message, signature, bytes(32))
    assert not bootstrap.is_signed(message, signature[:-1], key)
    assert not bootstrap.is_signed(message, signature + b"\0", key)


def test_a_second_spelling_of_a_signature_is_refused() -> None:
    key, message, signature = map(bytes.fromhex, VECTORS[1])
    again = int.from_bytes(signature[32:], "little") + ORDER

    assert not bootstrap.is_signed(message, signature[:32] + again.to_bytes(32, "little"), key)


# y = p + 1 is another spelling of y = 1; x = 0 has no odd twin; y = 2 is not on the curve.
@pytest.mark.parametrize("key", [2**255 - 18, 1 | 1 << 255, 2])
def test_what_is_no_point_is_no_key(key: int) -> None:
    assert not bootstrap.is_signed(b"", bytes(64), key.to_bytes(32, "little"))


def test_the_verdicts_are_those_of_the_cryptography_package() -> None:
    chance = random.Random(8032)
    for number in range(40):
        mine = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
        content = chance.randbytes(chance.choice((0, 1, 64, 5_000)))
        signature = bytearray(mine.sign(content))
        key = bytearray(mine.public_key().public_bytes_raw())
        spoilt = chance.choice((signature, key, None)) if number % 2 else None
        if spoilt is not None:
            spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)

        ours = bootstrap.is_signed(content, bytes(signature), bytes(key))
        assert ours is _theirs(content, bytes(signature), bytes(key)), number
        assert ours is (spoilt is None), number


def _theirs(content: bytes, signature: bytes, key: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


def test_versions_are_ordered_as_they_are_released() -> None:
    rising = ["0.9", "0.10.dev1", "0.10.dev2", "0.10a1", "0.10b1", "0.10rc1", "0.10", "0.10.1"]
    rising += ["0.11", "1.0.dev3", "1", "2.0"]

    assert sorted(sorted(rising), key=bootstrap.order) == rising
    assert bootstrap.order("1.0") == bootstrap.order("1") == bootstrap.order("1.0.0+build.7")
    for wrong in ("", "1.x", "v1", "1..2", "1 ", "-1"):
        with pytest.raises(bootstrap.Stop, match="not a version"):
            bootstrap.order(wrong)


# ---- the central ---------------------------------------------------------------------------------

FILE, SIGNATURE = b"a pilot" * 1_000, b"s" * 64


class _Central(ThreadingHTTPServer):
    """Answers once in each of these ways, and then well."""

    daemon_threads = True

    def __init__(self, habits: tuple[str, ...]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.habits, self.asked = list(habits), 0
        self.leave = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        central = cast(_Central, self.server)
        central.asked += 1
        habit = central.habits.pop(0) if central.habits else "good"
        if habit == "reset":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(int(habit) if habit.isdigit() else 200)
        body = FILE if self.path == "/at/pilot.pyz" and not habit.isdigit() else b"no"
        if habit == "endless":
            body *= 10_000
        else:
            self.send_header("content-length", str(len(body)))
        if habit == "elsewhere":
            self.send_header("location", "http://127.0.0.1:1/pilot.pyz")
        if habit != "bare":
            self.send_header("pilotage-signature", base64.b64encode(SIGNATURE).decode())
        self.end_headers()
        with suppress(OSError):
            if habit == "drip":
                while not central.leave.wait(0.02):
                    self.wfile.write(b"x")
            else:
                self.wfile.write(body[: len(body) // 2] if habit == "half" else body)


@contextmanager
def central(*habits: str) -> Generator[tuple[str, _Central]]:
    server = _Central(habits)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/at", server
    finally:
        server.leave.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "PAUSE_FIRST_S", 0.001)


@pytest.mark.parametrize("habit", ["good", "reset", "half", "500", "503", "429", "408"])
def test_what_may_get_better_is_tried_again(habit: str) -> None:
    with central(habit, habit) as (url, server):
        assert bootstrap.from_central(url, "", False) == (FILE, SIGNATURE)

    assert server.asked == (1 if habit == "good" else 3)


@pytest.mark.parametrize("habit", ["404", "401", "302"])
def test_what_does_not_get_better_is_said_at_once(habit: str) -> None:
    wrong = pytest.raises(bootstrap.Stop, match=f"gave {habit}")
    with central(*[habit] * 9) as (url, server), wrong as stop:
        bootstrap.from_central(url, "", False)

    assert (stop.value.code, server.asked) == (bootstrap.EXIT_NO_BUNDLE, 1)


def test_patience_ends(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = pytest.raises(bootstrap.Stop, match="503")
    with central(*["503"] * 99) as (url, server), wrong as stop:
        bootstrap.from_central(url, "", False)

    assert (stop.value.code, server.asked) == (bootstrap.EXIT_NO_BUNDLE, bootstrap.TRIES_MAX)
    assert capsys.readouterr().err.count("more tries") == bootstrap.TRIES_MAX - 1


def test_an_answer_byte_by_byte_does_not_take_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "TRY_S", 1)
    monkeypatch.setattr(bootstrap, "TRIES_MAX", 1)
    wrong = pytest.raises(bootstrap.Stop, match="not done within 1 s")
    with central("drip") as (url, _), wrong:
        bootstrap.from_central(url, "", False)


def test_no_more_is_read_than_a_pilot_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "SIZE_MAX", 50_000)
    with central("endless") as (url, _):
        content, signature = bootstrap.from_central(url, "", False)

    assert len(content) == 50_001
    with pytest.raises(bootstrap.Stop, match="at most 50000 bytes"):
        bootstrap.check(content, signature, key=bytes(32), least="1", where="it")


def test_an_answer_without_a_signature_gives_none_that_counts() -> None:
    with central("bare") as (url, _):
        assert bootstrap.from_central(url, "", False) == (FILE, b"")


ADDRESSES = {
    "ftp://central": "must look like",
    "central:8470": "must look like",
    "https://": "must look like",
    "https://central:99999": "must look like",
    "http://central.example": "use https",
    "http://10.0.0.1:80": "use https",
}


@pytest.mark.parametrize("url", ADDRESSES)
def test_a_wrong_or_open_address_is_refused(url: str) -> None:
    with pytest.raises(bootstrap.Stop, match=ADDRESSES[url]) as stop:
        bootstrap.from_central(url, "", False)

    assert stop.value.code == bootstrap.EXIT_USAGE


def test_a_central_whose_certificate_nobody_trusts_is_not_asked_twice(tmp_path: Path) -> None:
    pem = self_signed(tmp_path)
    with central() as (url, server):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        secure = url.replace("http:", "https:")
        with pytest.raises(bootstrap.Stop, match="certificate is not trusted.*--ca") as stop:
            bootstrap.from_central(secure, "", False)
        assert bootstrap.from_central(secure, str(pem), False) == (FILE, SIGNATURE)

    assert (stop.value.code, server.asked) == (bootstrap.EXIT_NO_BUNDLE, 1)


def test_a_folder_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nothing/here")
    with pytest.raises(bootstrap.Stop, match="/nothing/here.*TMPDIR") as stop:
        bootstrap.become_pilot(b"", [])

    assert stop.value.code == bootstrap.EXIT_NO_PLACE


def test_nothing_stays_of_what_cannot_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.executable", "/nothing/python3")
    with pytest.raises(bootstrap.Stop, match="No such file") as stop:
        bootstrap.become_pilot(b"", [])

    assert (stop.value.code, list(tmp_path.iterdir())) == (bootstrap.EXIT_NO_PLACE, [])
