"""nginx of Debian as the plainest load balancer there is: requests go round."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

from .nginx import PROGRAM as PROGRAM
from .nginx import START_S

# What an operator would write, but for folders. A process that is gone is passed over; what it
# has begun to answer is not repeated.
_CONFIGURATION: Final = """
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
    client_max_body_size 0;
    upstream centrals {{
        {servers}
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://centrals;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_request_buffering off;
        }}
    }}
}}
"""


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
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    port = _free_port()
    text = _CONFIGURATION.format(
        folder=folder,
        port=port,
        servers="\n        ".join(f"server 127.0.0.1:{one};" for one in ports),
        user="user root;" if os.geteuid() == 0 else "",
    )
    configuration = folder / "balancer.conf"
    configuration.write_text(text)
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
