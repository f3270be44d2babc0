"""HTTP servers that do what real ones do on a bad day, one thing each."""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def serving(answer: Answer, tls: Path | None = None) -> Generator[str]:
    """Run a server that answers each request so; its URL.

    With `tls`, a folder with host.pem of localhost and host.key, it speaks HTTPS.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 20

        def log_message(self, format: str, *args: object) -> None:
            return

        def __getattr__(self, name: str) -> object:
            if name.startswith("do_"):
                return self._answer
            raise AttributeError(name)

        def _answer(self) -> None:
            with contextlib.suppress(OSError):
                answer(self)
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "host.pem", tls / "host.key")
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        host = "http://127.0.0.1" if tls is None else "https://localhost"
        yield f"{host}:{server.server_address[1]}/data"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def says(status: int, location: str = "") -> Answer:
    """Read what comes and answer with a status."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        read_all(request)
        request.send_response(status)
        if location:
            request.send_header("Location", location)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def gives(content: bytes, *, promised: int | None = None, pause_s: float = 0.0) -> Answer:
    """Answer with some bytes, and another length perhaps; then close."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        length = len(content) if promised is None else promised
        request.send_header("Content-Length", str(length))
        request.end_headers()
        if request.command == "HEAD":
            return
        for at in range(0, len(content), 1_000):
            request.wfile.write(content[at : at + 1_000])
            if pause_s:
                request.wfile.flush()
                time.sleep(pause_s)

    return answer


def forgets(size: int) -> Answer:
    """Take all that is sent, say yes, and have another number of bytes then."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.command != "HEAD":
            read_all(request)
        request.send_response(200 if request.command == "HEAD" else 201)
        request.send_header("Content-Length", str(size if request.command == "HEAD" else 0))
        request.end_headers()

    return answer


def hangs_up(request: BaseHTTPRequestHandler) -> None:
    """Close in the middle of what is sent."""
    request.rfile.read(10)
    request.connection.close()


def read_all(request: BaseHTTPRequestHandler) -> bytes:
    """Read a body, for which the client may wait to be asked."""
    left = int(request.headers.get("Content-Length") or 0)
    if left and request.headers.get("Expect"):
        request.send_response_only(100)
        request.end_headers()
    found = b""
    while left > 0:
        block = request.rfile.read(min(left, 1 << 16))
        if not block:
            break
        left -= len(block)
        found += block
    return found
