"""Jobs on real storages with tokens: XRootD over HTTPS and `roots`, and an object store.

The central signs the tokens itself; the XRootD servers trust the keys of its element issuer.
"""

import hashlib
import json
import urllib.error
import urllib.request
import zlib
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pilotage.central.identity.tokens import ADMIN_FILE
from pilotage.pilot.data.s3_storage import S3Storage
from pilotage.pilot.data.storages import CopyLocation, CopyMissing, Credential
from pilotage.proto.api.data import FileItem, ReplicaItem
from pilotage.proto.documents.job import DataInput, DataOutput, Job, JobData, Need
from pilotage.proto.job_states import JobState
from pilotage.proto.storages import StorageOperation, StorageTokenRequest
from pilotage.proto.trust import trusting
from pilotage.proto.wire import encode
from tests.acceptance.catalogue_rows import files_in
from tests.acceptance.running import RunningCentral, eventually, running_central
from tests.services import s3
from tests.services.xrootd import Xrootd, missing, xrootd

from .issuing import ISSUER, prepared

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "XRootD is there")

NEED = (Need(wall_s=300),)
MAKE = "seq $1 > run$1.txt"
TO = ("--storage", "first", "--storage", "second")


class Rig:
    """A central and its storages: two XRootD servers, one of them also by `roots`, and S3."""

    def __init__(self, folder: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        data, keys, authority = prepared(folder, "central", monkeypatch)
        self.first: Xrootd = stack.enter_context(xrootd(keys, authority))
        self.second: Xrootd = stack.enter_context(xrootd(keys, authority))
        self._describe(data / "storages")
        self.central: RunningCentral = stack.enter_context(
            running_central(folder / "central", {"data.sweep_after_s": "5"})
        )
        self.client = self.central.client

    def _describe(self, folder: Path) -> None:
        for name, server in (("first", self.first), ("second", self.second)):
            credential = {"source": "issuer", "options": {"issuer": ISSUER}}
            entry = {
                "type": "davs",
                "url": server.url,
                "credential": credential,
                "checksum": "adler32",
                "tpc": True,
                "deletes": True,
                "ca_file": str(server.folder / "ca" / "ca.pem"),
                "default": name == "first",
            }
            (folder / f"{name}.yaml").write_text(json.dumps(entry))
        audience = {"issuer": ISSUER, "audience": self.first.audience}
        roots = {
            "type": "root",
            "url": self.first.root_url,
            "credential": {"source": "issuer", "options": audience},
            "ca_file": str(self.first.folder / "ca" / "ca.pem"),
        }
        (folder / "roots.yaml").write_text(json.dumps(roots))

    def run(self, job: Job) -> tuple[int, JobState, str]:
        (handle,) = self.client.submit([job]).handles()
        view = handle.wait(timeout_s=60)
        return view.id, view.state, view.reason

    def text(self, job: int) -> str:
        return b"".join(self.client.job(job).log()).decode()


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Rig]:
    with ExitStack() as stack:
        yield Rig(tmp_path, stack, monkeypatch)


def maker(run: int, *storages: str) -> Job:
    out = DataOutput(pattern="*.txt", name="made/{file}", storages=storages)
    command = ("sh", "-c", MAKE, "make", str(run))
    return Job(command=command, data=JobData(outputs=(out,)), needs=NEED)


def reader(did: str) -> Job:
    data = JobData(inputs=(DataInput(did=did),))
    return Job(command=("sh", "-c", 'tail -n1 "$@"', "read", "{inputs}"), data=data, needs=NEED)


def test_jobs_store_and_read_with_tokens_of_their_own(rig: Rig) -> None:
    rig.central.pilot("PIC")
    made, state, reason = rig.run(maker(7, "first"))
    assert (state, reason) == (JobState.DONE, "")
    read, state, reason = rig.run(reader("users:made/run7.txt"))
    assert (state, reason, rig.text(read)) == (JobState.DONE, "", "7\n")

    by_roots, state, reason = rig.run(maker(8, "roots"))
    assert (state, reason) == (JobState.DONE, "")
    read, state, reason = rig.run(reader("users:made/run8.txt"))
    assert (state, reason, rig.text(read)) == (JobState.DONE, "", "8\n")

    (stored,) = rig.first.files.rglob("run7.txt")
    assert stored.parts[-3:] == (str(made), "1", "run7.txt")
    assert by_roots != made
    said = rig.central.log + "".join(one.log for one in rig.central.pilots)
    assert "eyJ" not in said, "no token is in a log"
    with pytest.raises(urllib.error.HTTPError):  # the storage itself gives nothing without one
        urllib.request.urlopen(
            f"{rig.first.url}/{stored.relative_to(rig.first.files)}",
            context=trusting(str(rig.first.folder / "ca" / "ca.pem")),
        )


def test_a_job_with_many_long_names_reads_with_tokens_that_servers_take(rig: Rig) -> None:
    texts = [f"{n:03}\n" for n in range(60)]
    names = [f"local/long/night{n % 3}/{'x' * 150}/{n:03}-{'y' * 60}.txt" for n in range(60)]
    rig.client.make_dataset("users:long")
    for name, text in zip(names, texts, strict=True):
        rig.first.lay(name, text.encode())
    reply = rig.client.register_files(
        FileItem(
            did=f"users:{n:03}.txt",
            bytes=4,
            adler32=f"{zlib.adler32(texts[n].encode()):08x}",
            replicas=(ReplicaItem(storage="first", path=name),),
            datasets=("users:long",),
        )
        for n, name in enumerate(names)
    )
    assert not reply.refused
    rig.central.pilot("PIC")
    command = ("sh", "-c", 'cat "$@"', "read", "{inputs}")
    data = JobData(inputs=(DataInput(did="users:long"),))
    read, state, reason = rig.run(Job(command=command, data=data, needs=NEED))

    assert (state, reason) == (JobState.DONE, "")
    assert sorted(rig.text(read).splitlines(keepends=True)) == texts


def test_a_dead_storage_costs_no_output(rig: Rig) -> None:
    rig.first.stop()
    rig.central.pilot("PIC")
    _, state, reason = rig.run(maker(9, "first", "second"))
    assert (state, reason) == (JobState.DONE, "")
    (one,) = files_in(rig.central.data).values()
    assert list(one.copies) == ["second"]


def test_rules_copy_between_storages_and_leave_pilots_alone(rig: Rig) -> None:
    pilot = rig.central.pilot("PIC")
    _, state, reason = rig.run(maker(5, "first"))
    assert (state, reason) == (JobState.DONE, "")
    rig.central.type("data", "rule", "add", "--did", "users:made/run5.txt", "--copies", "2", *TO)

    def copied() -> bool:
        (one,) = files_in(rig.central.data).values()
        return set(one.copies) == {"first", "second"}

    eventually(copied, what="a copy on the second storage", within_s=30)
    (there,) = rig.second.files.rglob("run5.txt")
    assert there.read_text().splitlines()[-1] == "5"
    assert pilot.events("attempt_started") == [] or len(pilot.events("attempt_started")) == 1


def test_the_check_of_a_storage_says_what_it_honours(rig: Rig) -> None:
    said = rig.central.type("storage", "check", "first")
    assert "FAULT" not in said and said.count("ok ") >= 8, said
    assert list(rig.first.files.rglob("file")) == [], "it leaves nothing"


def test_people_put_and_get_with_tokens_of_their_own(rig: Rig, tmp_path: Path) -> None:
    source = tmp_path / "mine"
    source.mkdir()
    for number in range(3):
        (source / f"f{number}.txt").write_text(f"bytes {number}\n" * 1_000)
    rig.central.type("data", "put", "-r", f"{source}/.", "users:mine/", "--storage", "first")
    again = rig.central.type("data", "put", "-r", f"{source}/.", "users:mine/")
    rig.central.type("data", "get", "users:mine/*", "--to", str(tmp_path / "got"))

    got = {one.name: one.read_text() for one in (tmp_path / "got").rglob("*.txt")}
    assert got == {one.name: one.read_text() for one in source.iterdir()}
    assert len(list(rig.first.files.rglob("f?.txt"))) == 3, f"nothing twice: {again}"
    refused = rig.central.type(
        "data", "put", str(source / "f0.txt"), "users:mine/f1.txt", "--storage", "first", code=3
    )
    assert len(list(rig.first.files.rglob("f?.txt"))) == 3, refused


def put_without_end(rig: Rig, source: Path, path: str) -> CopyLocation:
    """Store a file on the bucket as a `data put` that is killed before it registers the file."""
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    asked = StorageTokenRequest(0, 0, "bucket", StorageOperation.CREATE, (path,), sha256)
    headers = {
        "Authorization": f"Bearer {(rig.central.data / ADMIN_FILE).read_text().strip()}",
        "Content-Type": "application/json",
    }
    request = urllib.request.Request(
        f"{rig.central.url}/v1/data/tokens", data=encode(asked), headers=headers
    )
    with urllib.request.urlopen(request) as answer:
        urls = {(one["method"], path): one["url"] for one in json.loads(answer.read())["urls"]}
    place = CopyLocation("", path, credential=Credential(urls=urls))
    S3Storage().put(source, place, go_on=lambda: None)
    return place


def test_an_object_store_takes_files_by_signed_urls(rig: Rig, tmp_path: Path) -> None:
    if s3.missing():
        pytest.skip(s3.missing())
    with s3.object_store() as store:
        secret = tmp_path / "keys"
        secret.touch(mode=0o600)
        secret.write_text(f"{s3.KEY} {s3.SECRET}\n")
        entry = {
            "type": "s3",
            "url": store.url,
            "credential": {"source": "keys", "options": {"file": str(secret)}},
            "deletes": True,
        }
        (rig.central.data / "storages" / "bucket.yaml").write_text(json.dumps(entry))
        eventually(lambda: "bucket" in rig.central.type("storage", "list"), what="the storage")
        rig.central.pilot("PIC")
        _, state, reason = rig.run(maker(6, "bucket"))
        assert (state, reason) == (JobState.DONE, "")
        read, state, reason = rig.run(reader("users:made/run6.txt"))
        assert (state, reason, rig.text(read)) == (JobState.DONE, "", "6\n")
        said = rig.central.log + "".join(one.log for one in rig.central.pilots)
        assert "X-Amz-Signature" not in said

        (source := tmp_path / "f.txt").write_text("bytes\n")
        rig.central.type("data", "put", str(source), "users:good", "--storage", "bucket")
        place = put_without_end(rig, source, "local/put/0a/killed")

        def is_swept() -> bool:
            try:
                S3Storage().size(place)
            except CopyMissing:
                return True
            return False

        eventually(is_swept, what="the sweep")
        rig.central.type("data", "get", "users:good", "--to", str(tmp_path / "got"))
