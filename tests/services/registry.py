"""A registry of container images on this machine, by the program of the Distribution project."""

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import Request, urlopen

from .image_tree import SmallImage
from .ports import free_ports

PROGRAM: Final = shutil.which("docker-registry", path="/usr/bin:/usr/local/bin:/bin")
START_S: Final = 20.0

_CONFIGURATION: Final = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/files}}}}
http: {{addr: "{host}"}}
"""
_INDEX = "application/vnd.oci.image.index.v1+json"
_ONE = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class RunningRegistry:
    """A registry and a podman that pushes to it."""

    host: str  # 127.0.0.1:PORT
    folder: Path

    def push(self, image: SmallImage, name: str, *, as_index: bool = False) -> str:
        """Push an image as NAME:TAG, and return its digest; `as_index`: of an index with it."""
        local = f"localhost/pushed:{next(_numbers)}"
        self._podman("import", "--quiet", str(image.archive), local)
        self._podman("push", "--tls-verify=false", local, f"docker://{self.host}/{name}")
        if as_index:
            self._wrap_in_index(name)
        return self.digest(name)

    def digest(self, name: str) -> str:
        """Return the digest that NAME:TAG has now."""
        _, digest = self._manifest(name)
        return digest

    def _manifest(self, name: str) -> tuple[bytes, str]:
        repository, _, tag = name.partition(":")
        url = f"http://{self.host}/v2/{repository}/manifests/{tag}"
        with urlopen(Request(url, headers={"Accept": f"{_INDEX}, {_ONE}"}), timeout=10) as reply:
            return reply.read(), str(reply.headers["Docker-Content-Digest"])

    def _wrap_in_index(self, name: str) -> None:
        """Replace the manifest of NAME:TAG by an index, as of images for several platforms."""
        manifest, digest = self._manifest(name)
        entry = {
            "mediaType": _ONE,
            "digest": digest,
            "size": len(manifest),
            "platform": {"architecture": "amd64", "os": "linux"},
        }
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]}
        repository, _, tag = name.partition(":")
        url = f"http://{self.host}/v2/{repository}/manifests/{tag}"
        body, headers = json.dumps(index).encode(), {"Content-Type": _INDEX}
        with urlopen(Request(url, body, headers, method="PUT"), timeout=10):
            pass

    def fetches(self, repository: str) -> int:
        """Return how often content of a repository, not its names, has been read."""
        return sum(
            f'"GET /v2/{repository}/blobs/' in line
            for line in (self.folder / "registry.log").read_text().splitlines()
        )

    def _podman(self, *words: str) -> None:
        places = [("--root", "store"), ("--runroot", "run"), ("--tmpdir", "tmp")]
        own = [word for option, name in places for word in (option, str(self.folder / name))]
        environment = {**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
        done = subprocess.run(
            ["podman", *own, "--cgroup-manager", "cgroupfs", *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr


_numbers = itertools.count(1)


@contextmanager
def running_registry(folder: Path) -> Generator[RunningRegistry]:
    """Yield a registry whose files are in `folder`."""
    assert PROGRAM is not None, "no docker-registry: deploy/debian-packages test installs it"
    host = f"127.0.0.1:{free_ports(1)[0]}"
    configuration = folder / "registry.yml"
    configuration.write_text(_CONFIGURATION.format(folder=folder, host=host))
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, "serve", str(configuration)], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait(host)
        yield RunningRegistry(host, folder)
    finally:
        process.kill()
        process.wait()


def _wait(host: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urlopen(f"http://{host}/v2/", timeout=1):
                return
        except OSError:
            assert time.monotonic() < deadline, "the registry did not start"
            time.sleep(0.02)
