"""Storages under load: XRootD and an object store beside a central, with tokens as jobs have."""

import json
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from pilotage.central.identity.element_issuer import ElementIssuer
from pilotage.central.operate.clocks import SystemClock, SystemRandomness
from pilotage.central.operate.files import RealDisk
from pilotage.pilot.data.storages import BlockChecksums
from pilotage.proto.api.data import FileItem, ReplicaItem
from tests.services import s3
from tests.services.folders import quick
from tests.services.xrootd import Xrootd, xrootd

from ..rig import Rig, rig

SCOPE: Final = "bench"
COMMUNITY: Final = "local"  # that the files are of
GRID, BUCKET = "grid", "bucket"  # storages of the central
_ISSUER: Final = "https://central.test"
_KNOWN_S: Final = 30.0


class DataRig:
    """A central that signs tokens, and the storages that it knows."""

    def __init__(self, bench: Rig, stack: ExitStack) -> None:
        self.bench, self._stack = bench, stack
        self.data = bench.central.data
        self._issuer = ElementIssuer(
            self.data,
            lambda: _ISSUER,
            disk=RealDisk(),
            clock=SystemClock(),
            randomness=SystemRandomness(),
        )
        self._issuer.make()

    def grid(self) -> Xrootd:
        """Start an XRootD server, the default storage of the central."""
        issuer = f"{_ISSUER}/elements"
        keys = json.dumps(self._issuer.published().jwks)
        server = self._stack.enter_context(xrootd({issuer: keys}, inside=quick()))
        self._stack.enter_context(_environment({"X509_CERT_DIR": str(server.authorities)}))
        self.describe(
            GRID,
            {
                "type": "davs",
                "url": server.url,
                "credential": {"source": "issuer", "options": {"issuer": issuer}},
                "ca_file": str(server.folder / "ca" / "ca.pem"),
                "default": True,
            },
        )
        return server

    def bucket(self) -> s3.ObjectStore:
        """Start an object store."""
        store = self._stack.enter_context(s3.object_store())
        secret = store.folder / "keys"
        secret.touch(mode=0o600)
        secret.write_text(f"{s3.KEY} {s3.SECRET}\n")
        self.describe(
            BUCKET,
            {
                "type": "s3",
                "url": store.url,
                "credential": {"source": "keys", "options": {"file": str(secret)}},
            },
        )
        return store

    def describe(self, name: str, entry: Mapping[str, Any]) -> None:
        """Write the file of a storage, and wait until the central knows it."""
        client = self.bench.client
        self._write(
            "storages", name, entry, lambda: [one.name for one in client.storages().storages]
        )

    def publish(self, name: str, entry: Mapping[str, Any]) -> None:
        """Write the file of a Rucio server, and wait until the central knows it."""
        client = self.bench.client
        self._write(
            "rucio", name, entry, lambda: [one.name for one in client.rucio_servers().servers]
        )

    def _write(
        self, folder: str, name: str, entry: Mapping[str, Any], known: Callable[[], Sequence[str]]
    ) -> None:
        (self.data / folder).mkdir(exist_ok=True)
        (self.data / folder / f"{name}.yaml").write_text(json.dumps(entry))
        until = time.monotonic() + _KNOWN_S
        while name not in known():
            assert time.monotonic() < until, f"the central does not know {folder}/{name}.yaml"
            time.sleep(0.1)

    def register(
        self,
        names: Sequence[str],
        content: bytes,
        storage: str,
        dataset: str,
        *,
        has_sha256: bool = True,
    ) -> None:
        """Register files that are in the community's folder of a storage, in a new dataset."""
        client, did = self.bench.client, f"{SCOPE}:{dataset}"
        client.make_dataset(did)
        summing = BlockChecksums()
        summing.add(content)
        reply = client.register_files(
            FileItem(
                did=f"{SCOPE}:{name}",
                bytes=len(content),
                adler32=summing.sums.adler32,
                sha256=summing.sums.sha256 if has_sha256 else "",
                replicas=(ReplicaItem(storage=storage, path=f"{COMMUNITY}/{name}"),),
                datasets=(did,),
            )
            for name in names
        )
        assert not reply.refused, f"the catalogue refused {reply.refused[:3]}"


@contextmanager
def data_rig() -> Generator[DataRig]:
    """Start a central; it and its storages are gone afterwards."""
    with rig({"bus.broker": "none"}) as bench, ExitStack() as stack:
        yield DataRig(bench, stack)


@contextmanager
def _environment(more: Mapping[str, str]) -> Generator[None]:
    """Set variables of this process, and of those that it starts."""
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
