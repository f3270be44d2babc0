"""A payload in namespaces finds no token of the pilot, and storages give it nothing without one."""

import json
import tempfile
import zlib
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pilotage.pilot.outfit import isolation
from pilotage.proto.api.data import FileItem, ReplicaItem
from pilotage.proto.documents.job import DataInput, DataOutput, Job, JobData, Need
from pilotage.proto.job_states import JobState
from tests.acceptance.running import ROOT, RunningCentral, eventually, running_central
from tests.contract.storage.cuts import cutting
from tests.services.xrootd import Xrootd, missing, xrootd

from .issuing import ISSUER, prepared

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=missing() or "XRootD is there"),
    pytest.mark.skipif(isolation.best_rung() == isolation.SESSION, reason="no namespaces here"),
]

CONTENT = bytes(range(256)) * 8_000
STALLS_AFTER = 500_000  # bytes of a connection
# Looks for tokens in all processes and files that it can read, and tries the storage.
HUNT = r"""
import json, os, re, ssl, sys, urllib.error, urllib.request
url, authority, *folders = sys.argv[1:]
token = re.compile(rb"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+")
names = [f"/proc/{one}/{what}" for one in os.listdir("/proc") if one.isdigit()
         for what in ("cmdline", "environ")]
for top in (*folders, "/tmp", "/var/tmp", "/dev/shm", os.path.expanduser("~"), os.getcwd()):
    names += [os.path.join(at, one) for at, _, files in os.walk(top) for one in files]
found = []
for name in names:
    try:
        with open(name, "rb") as file:
            found += [(name, one.decode()) for one in token.findall(file.read(1 << 20))]
    except OSError:
        pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.load_verify_locations(cadata=authority)
said = []
for bearer in (None, "rubbish", *(one for _, one in found)):
    for method, path in (("GET", "raw/own"), ("GET", "raw/other"), ("PUT", "ctao/x"),
                         ("DELETE", "raw/other")):
        asked = urllib.request.Request(f"{url}/{path}", method=method)
        if method == "PUT":
            asked.data = b"x"
        if bearer:
            asked.add_header("Authorization", f"Bearer {bearer}")
        try:
            said.append(urllib.request.urlopen(asked, context=context, timeout=20).status)
        except urllib.error.HTTPError as why:
            said.append(why.code)
print(json.dumps({"found": found, "said": said, "looked": len(names)}))
with open("kept.txt", "w") as out:
    out.write("kept")
"""


class Rig:
    """A central with a storage by HTTPS, and the same server by `roots` behind a stalling proxy."""

    def __init__(self, folder: Path, stack: ExitStack, patch: pytest.MonkeyPatch) -> None:
        data, keys, authority = prepared(folder, "site", patch)
        self.authority = (authority / "ca.pem").read_text()
        self.server: Xrootd = stack.enter_context(xrootd(keys, authority))
        self.proxy = stack.enter_context(
            cutting(self.server.port, lambda: STALLS_AFTER, stalls=True)
        )
        # Where batch systems have it, outside of the folders that are private to payloads anyway.
        (ROOT / "build").mkdir(exist_ok=True)
        self.scratch = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="scratch-", dir=ROOT / "build"))
        )
        patch.setenv("TMPDIR", str(self.scratch))
        options = {"issuer": ISSUER, "audience": self.server.audience}
        roots = self.server.root_url.replace(str(self.server.port), str(self.proxy.port))
        for name, kind, url in (("first", "davs", self.server.url), ("slow", "root", roots)):
            entry = {
                "type": kind,
                "url": url,
                "credential": {"source": "issuer", "options": options},
                "any_path": True,
            }
            (data / "storages" / f"{name}.yaml").write_text(json.dumps(entry))
        self.central: RunningCentral = stack.enter_context(running_central(folder / "site"))
        self.client = self.central.client
        for name, storage in (("own", "first"), ("other", "slow")):
            self.server.lay(f"raw/{name}", CONTENT)
            self._register(name, storage)

    def _register(self, name: str, storage: str) -> None:
        copy = ReplicaItem(storage=storage, path=f"raw/{name}")
        adler32 = f"{zlib.adler32(CONTENT):08x}"
        file = FileItem(did=f"users:{name}", bytes=len(CONTENT), adler32=adler32, replicas=(copy,))
        assert not self.client.register_files([file]).refused


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Rig]:
    with ExitStack() as stack:
        yield Rig(tmp_path, stack, monkeypatch)


def test_a_payload_reaches_a_storage_with_no_token_of_the_pilot(rig: Rig) -> None:
    needs = (Need(wall_s=300),)
    pilot = rig.central.pilot("PIC")
    other = Job(
        command=("true",), data=JobData(inputs=(DataInput(did="users:other"),)), needs=needs
    )
    (stalled,) = rig.client.submit([other]).handles()
    eventually(lambda: rig.proxy.cuts, what="a transfer by xrdcp that stalls")

    places = (str(rig.scratch), str(pilot.state), str(rig.central.data))
    out = DataOutput(pattern="kept.txt", storages=("first",))
    hunter = Job(
        command=("/usr/bin/python3", "-c", HUNT, rig.server.url, rig.authority, *places),
        data=JobData(inputs=(DataInput(did="users:own"),), outputs=(out,)),
        needs=needs,
    )
    (handle,) = rig.client.submit([hunter]).handles()
    view = handle.wait(timeout_s=120)
    told = json.loads(b"".join(rig.client.job(view.id).log()))

    assert (view.state, view.reason) == (JobState.DONE, ""), "the pilot reads and stores for it"
    assert stalled.view().state is not JobState.DONE, "the other transfer has gone on meanwhile"
    assert told["found"] == []
    assert len(told["said"]) == 8 and set(told["said"]) <= {401, 403}
    assert told["looked"] > 10
    assert not (rig.server.files / "ctao" / "x").exists()
    rig.client.kill([stalled.id])
