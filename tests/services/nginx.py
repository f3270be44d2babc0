"""nginx of Debian as an HTTP storage: GET, HEAD, PUT, DELETE, MKCOL below one folder."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

PROGRAM: Final = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
START_S: Final = 20.0
LOG_SHOWN: Final = 4_000

_CONFIGURATION: Final = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 64; }}
http {{
    split_clients $request_id $refused {{ {refuses}* ""; }}
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/unused;
    fastcgi_temp_path {folder}/unused;
    uwsgi_temp_path {folder}/unused;
    scgi_temp_path {folder}/unused;
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port}{tls};
        location / {{
            if ($refused) {{ return 503; }}
            root {root};
            dav_methods PUT DELETE MKCOL;
            create_full_put_path {full_put};
        }}
    }}
}}
"""
_TLS: Final = " ssl_certificate {tls}/host.pem; ssl_certificate_key {tls}/host.key;"


class Nginx:
    """One server over `folder`/files. `stop` and `start` again keep the port and the files.

    `refuses`: so many of 100 requests get a 503. With `tls`, a folder with host.pem of localhost
    and host.key, it speaks HTTPS.
    """

    def __init__(
        self,
        folder: Path,
        *,
        makes_folders: bool = True,
        refuses: float = 0.0,
        tls: Path | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self.folder, self.files = folder, folder / "files"
        self.files.mkdir(exist_ok=True)
        self.port = _free_port()
        self._makes_folders, self._refuses, self._tls = makes_folders, refuses, tls
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{'https://localhost' if self._tls else 'http://127.0.0.1'}:{self.port}"

    def start(self) -> None:
        """Return once it answers; fails with its log."""
        assert PROGRAM is not None
        text = _CONFIGURATION.format(
            folder=self.folder,
            port=self.port,
            root=self.files,
            refuses=f"{self._refuses}% 1; " if self._refuses else "",  # 0% is none for it
            full_put="on" if self._makes_folders else "off",
            tls=f" ssl;{_TLS.format(tls=self._tls)}".rstrip(";") if self._tls else "",
            user="user root;",  # as who we are; others have no right to change it
        )
        configuration = self.folder / "nginx.conf"
        configuration.write_text(text if _is_root() else text.replace("user root;", ""))
        with open(self.folder / "said.log", "ab") as said:
            command = [PROGRAM, "-e", str(self.folder / "error.log"), "-c", str(configuration)]
            self._process = subprocess.Popen(command, stdout=said, stderr=said)
        until = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, f"nginx has ended: {self.log}"
            assert time.monotonic() < until, f"nginx does not answer: {self.log}"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it; whoever asks now is refused."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def log(self) -> str:
        """What it has said."""
        texts: list[str] = []
        for name in ("said.log", "error.log"):
            with contextlib.suppress(OSError):
                texts.append((self.folder / name).read_text(errors="replace")[-LOG_SHOWN:])
        return "\n".join(texts)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("HEAD", "/")  # with TLS, it answers that this is plain HTTP
            return connection.getresponse().status > 0
        except OSError:
            return False
        finally:
            connection.close()


def _is_root() -> bool:
    return os.geteuid() == 0


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def nginx(
    folder: Path, *, makes_folders: bool = True, refuses: float = 0.0, tls: Path | None = None
) -> Generator[Nginx]:
    """Run one, and end it."""
    server = Nginx(folder, makes_folders=makes_folders, refuses=refuses, tls=tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()
