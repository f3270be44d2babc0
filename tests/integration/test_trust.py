"""Whose certificates are believed, on each Python of this machine: an authority of one's own, whose
certificates lack an identifier of its key, which the default of Python 3.13 refuses."""

import ssl
import subprocess
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.services.authority import make_authority

from .interpreters import fit_minors

ROOT = Path(__file__).resolve().parents[2]

# What a pilot does, and what brings it to a node: the bundle is asked for before all else.
ASKS = {
    "pilot": """\
import http.client, sys
from pilotage.proto.trust import trusting
port, ca = int(sys.argv[1]), sys.argv[2]
connection = http.client.HTTPSConnection("localhost", port, context=trusting(ca), timeout=30)
connection.request("GET", "/pilot.pyz")
print(connection.getresponse().read().decode())
""",
    "bootstrap": """\
import sys
sys.path.insert(0, "deploy/pilot")
import bootstrap
url = f"https://localhost:{sys.argv[1]}"
print(bootstrap.from_central(url, sys.argv[2], False)[0].decode())
""",
}


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"a pilot")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that does not believe it hangs up


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority")
    make_authority(path)
    (path / "other").mkdir()
    make_authority(path / "other")
    return path


@pytest.fixture(scope="module")
def port(folder: Path) -> Generator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "host.pem", folder / "host.key")
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


def _asked(python: str, code: str, port: int, ca: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-c", code, str(port), str(ca)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("python", fit_minors())
@pytest.mark.parametrize("who", ASKS)
def test_an_authority_of_ones_own_is_believed_by_every_python(
    python: str, who: str, port: int, folder: Path
) -> None:
    good = _asked(python, ASKS[who], port, folder / "ca.pem")
    bad = _asked(python, ASKS[who], port, folder / "other" / "ca.pem")

    assert (good.stdout, good.stderr) == ("a pilot\n", "")
    assert bad.returncode != 0
    assert "certificate verify failed" in bad.stderr or "is not trusted" in bad.stderr
