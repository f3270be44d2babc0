"""Our issuer of tokens for elements, published by HTTPS on loopback as a central publishes it."""

import http.server
import json
import ssl
import threading
from pathlib import Path
from typing import Any

from pilotage.central.identity.element_issuer import KEYS_PATH, METADATA_PATH, ElementIssuer
from pilotage.central.operate.clocks import SystemClock, SystemRandomness
from pilotage.central.operate.files import RealDisk

from .authority import make_authority


class Issuer:
    """The issuer with its keys in a folder, and the authority that its host's certificate is of."""

    def __init__(self, folder: Path, data: Path | None = None) -> None:
        """`data`: the data directory whose keys it shows; None: one of its own."""
        folder.mkdir(exist_ok=True)
        self.authority = folder / "authority"
        self.authority.mkdir(exist_ok=True)
        make_authority(self.authority)
        self.asked: list[str] = []  # paths, by sites that look for keys
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority / "host.pem", self.authority / "host.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.signer = ElementIssuer(
            data or folder,
            lambda: f"https://localhost:{self._server.server_port}",
            disk=RealDisk(),
            clock=SystemClock(),
            randomness=SystemRandomness(),
        )

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                published = issuer.signer.published()
                found: dict[str, dict[str, Any]] = {
                    METADATA_PATH: published.metadata,
                    KEYS_PATH: published.jwks,
                }
                body = json.dumps(found.get(self.path, {})).encode()
                self.send_response(200 if self.path in found else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler

    def start(self) -> None:
        """Answer from now on."""
        self.signer.make()
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()
