"""nginx of Debian as a load balancer, with the example that operators get: requests go round."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

from .nginx import PROGRAM as PROGRAM, START_S

EXAMPLE: Final = Path(__file__).resolve().parents[2] / "deploy/nginx/pilotage.conf"

# What Debian's nginx.conf is to the example, in a folder of our own.
_AROUND: Final = """
daemon off;
{user}
worker_processes 1;
pid {folder}/balancer.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/unused;
    uwsgi_temp_path {folder}/unused;
    scgi_temp_path {folder}/unused;
    include {folder}/example.conf;
}}
"""


def example(port: int, processes: Sequence[int]) -> str:
    """Return the example that operators get, for this machine alone: without TLS."""
    text = EXAMPLE.read_text()
    servers = re.findall(r"server \S+?:8471 (.*);\n", text)
    assert len(servers) == 2 and len(set(servers)) == 1, servers
    ours = "".join(f"server 127.0.0.1:{one} {servers[0]};\n" for one in processes)
    for old, new in (
        (r"( *server \S+?:8471 .*;\n)+", ours),
        (r"listen 443 ssl;", f"listen 127.0.0.1:{port};"),
        (r" *ssl_certificate.*\n", ""),
        (r" *proxy_ssl_.*\n", ""),
        (r"proxy_pass https:", "proxy_pass http:"),
    ):
        text, count = re.subn(old, new, text)
        assert count, old
    return text


def around(folder: Path, text: str) -> Path:
    """Return the file of a whole configuration, with this in it, in a new folder."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "example.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    configuration = folder / "balancer.conf"
    configuration.write_text(_AROUND.format(folder=folder, user=user))
    return configuration


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("HEAD", "/")
        return connection.getresponse().status > 0
    except OSError:
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def balancer(folder: Path, ports: Sequence[int]) -> Generator[str]:
    """Run one in front of these ports of this machine; yield its URL."""
    assert PROGRAM is not None
    port = _free_port()
    configuration = around(folder, example(port, ports))
    with open(folder / "said.log", "ab") as said:
        command = [PROGRAM, "-e", str(folder / "error.log"), "-c", str(configuration)]
        process = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        until = time.monotonic() + START_S
        while not _answers(port):
            assert process.poll() is None and time.monotonic() < until, f"no nginx: {folder}"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
