"""Questions to registries: tokens for anyone, and answers that cannot be used."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pilotage.pilot.outfit.registries import digest_of
from pilotage.pilot.ports import OutfitMissing
from pilotage.proto.images import read_reference

DIGEST = "sha256:" + "0a" * 32
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def registry(answer: Answer) -> Generator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            answer(self)

        do_GET = do_HEAD

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def said(request: BaseHTTPRequestHandler, code: int, body: bytes = b"", **headers: str) -> None:
    request.send_response(code)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def asked(host: str, patience_s: float = 10.0) -> str:
    return digest_of(read_reference(f"docker://{host}/team/tool:1"), patience_s=patience_s)


def test_a_token_for_anyone_is_fetched_if_the_registry_asks_for_one() -> None:
    seen: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.path)
        host = request.headers["Host"]
        if request.path.startswith("/token"):
            said(request, 200, b'{"token": "abc"}')
        elif request.headers.get("Authorization") == "Bearer abc":
            said(request, 200, Docker_Content_Digest=DIGEST)
        else:
            challenge = f'Bearer realm="http://{host}/token",service="it"'
            said(request, 401, WWW_Authenticate=challenge)

    with registry(answer) as host:
        assert asked(host) == DIGEST
    manifest = "/v2/team/tool/manifests/1"
    token = "/token?scope=repository%3Ateam%2Ftool%3Apull&service=it"
    assert seen == [manifest, token, manifest]


def _nonsense(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"hello\r\n" * 9)


REFUSALS: dict[str, tuple[Answer, str]] = {
    "login": (lambda it: said(it, 401, WWW_Authenticate='Basic realm="x"'), "credentials"),
    "elsewhere": (
        lambda it: said(it, 401, WWW_Authenticate='Bearer realm="file:///etc/passwd"'),
        "credentials",
    ),
    "limit": (lambda it: said(it, 429), "too many requests"),
    "broken": (lambda it: said(it, 500), "500"),
    "no digest": (lambda it: said(it, 200), "no digest"),
    "bad digest": (lambda it: said(it, 200, Docker_Content_Digest="sha256:../x"), "no digest"),
    "nonsense": (_nonsense, "image .*/team/tool:1: registry"),
    "slow": (lambda _: time.sleep(2), "no answer within 0.5 s"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_an_answer_without_a_digest_is_told_with_its_reason(case: str) -> None:
    answer, why = REFUSALS[case]
    with registry(answer) as host, pytest.raises(OutfitMissing, match=why):
        asked(host, 0.5 if case == "slow" else 10.0)


def test_a_trickle_of_an_answer_ends_too() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20:
            request.wfile.write(bytes([byte]))
            time.sleep(0.1)

    with registry(answer) as host, pytest.raises(OutfitMissing, match="within 0.3 s"):
        asked(host, 0.3)


def test_a_digest_needs_no_question() -> None:
    assert digest_of(read_reference(f"docker://no.such.host.example/a@{DIGEST}")) == DIGEST
