"""How far a clock is ahead, by the date of an answer, and whether a certificate is trusted."""

import email.utils
import ssl
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from pilotage.central.operate.doctor.examination import skew_s, trust
from tests.certificates import certificate_and_key


@pytest.mark.parametrize(
    ("behind_s", "found_s"), [(0, 0), (1, 0), (2, 0), (30, 30), (-30, -30), (3_600, 3_600)]
)
def test_the_skew_is_what_the_header_cannot_explain(behind_s: float, found_s: float) -> None:
    now = time.time()
    found = skew_s(email.utils.formatdate(now - behind_s, usegmt=True), now)

    assert found == pytest.approx(found_s, abs=1.5)


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_without_a_date_nothing_is_said(date: str) -> None:
    assert skew_s(date, time.time()) is None


class Certified:
    """A server with a certificate of its own that answers each request with `{}`."""

    def __init__(self, folder: Path) -> None:
        self.certificate, key = folder / "cert.pem", folder / "key.pem"
        for file, content in zip(
            (self.certificate, key), certificate_and_key("localhost"), strict=True
        ):
            file.write_bytes(content)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_port}"

    def __enter__(self) -> "Certified":
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_certificate_that_this_shell_does_not_trust_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PILOTAGE_CA_FILE", raising=False)
    with Certified(tmp_path) as server:
        (found,) = trust(server.url)
        monkeypatch.setenv("PILOTAGE_CA_FILE", str(server.certificate))
        trusted = list(trust(server.url))

    assert found.said.startswith(f"commands from this shell do not trust {server.url}: ")
    assert "PILOTAGE_CA_FILE" in found.do
    assert trusted == []
    assert list(trust("http://localhost:1")) == []
