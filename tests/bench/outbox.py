"""How fast outputs reach a real Rucio server through the outbox, beside its bare interface."""

import http.client
import json
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import quote

from pilotage.proto.documents.job import DataOutput, Job, JobData, Need
from pilotage.proto.job_states import JobState
from tests.services.rucio import RucioServer

from .figures import Figure, figure
from .load.storages import DataRig
from .rig import Sender

NAME: Final = "data"
SCOPE: Final = "users.bench"
RSE: Final = "BENCH-DISK"
STORAGE: Final = "out"
_STAGED_S: Final = 300.0  # until a job has stored its outputs
_SENT_S: Final = 600.0  # until the server has them
_LOOK_S: Final = 0.05
_CONTENT: Final = "x\n"


def outbox(
    data: DataRig, rucio: RucioServer, here: Path, *, files: int, rounds: int
) -> list[Figure]:
    """Send outputs of a job through the outbox, and as many files by bare requests, in turns."""
    files_at = here / "rse"
    files_at.mkdir()
    rucio.add_scope(SCOPE)
    rucio.add_rse(RSE, files_at)
    data.describe(STORAGE, {"type": "file", "url": files_at.as_uri()})
    data.publish(
        "main",
        {
            "url": rucio.url,
            "account": "root",
            "community": "local",
            "credential": {"source": "file", "options": {"path": str(rucio.token_file)}},
            "storages": {RSE: STORAGE},
            "strip": "/",
            "outputs": {"scopes": [SCOPE]},
        },
    )
    data.bench.pilots(1, cores=2, isolation="auto")
    ours, bare = list[float](), list[float]()
    for number in range(rounds):
        bare.append(_bare(rucio, files_at, number, files))
        ours.append(_sent(data, number, files))
        inside = rucio.ask("GET", f"/dids/{SCOPE}//ours{number}/dids")
        assert len(inside) == files, f"the server has {len(inside)} of {files} files"
    share = median(100 * their / our for our, their in zip(ours, bare, strict=True))
    return [
        figure(NAME, "outbox to Rucio", files / median(ours), "files/s"),
        figure(NAME, "bare requests to Rucio", files / median(bare), "files/s"),
        figure(NAME, "outbox, of bare requests", share, "%"),
    ]


def _sent(data: DataRig, number: int, files: int) -> float:
    """Return the seconds from the end of a job until the server has all of its outputs."""
    make = f"mkdir out; for i in $(seq {files}); do echo x > out/$i; done"
    out = DataOutput(
        pattern="out/*",
        scope=SCOPE,
        name=f"ours{number}/{{file}}",
        dataset=f"{SCOPE}:ours{number}",
        metadata={"run": number},
        storages=(STORAGE,),
    )
    job = Job(command=("sh", "-c", make), data=JobData(outputs=(out,)), needs=(Need(wall_s=600),))
    sender = data.bench.sender()
    (handle,) = data.bench.client.submit([job]).handles()
    until = time.monotonic() + _STAGED_S
    while not _waiting(sender):
        view = handle.view()
        is_late = time.monotonic() > until
        assert not is_late and view.state is not JobState.FAILED, f"nothing goes out: {view}"
        time.sleep(_LOOK_S)
    began = time.monotonic()
    while entries := _waiting(sender):
        assert time.monotonic() < began + _SENT_S, f"it still waits: {entries}"
        time.sleep(_LOOK_S)
    took = time.monotonic() - began
    view = handle.view()
    assert view.state is JobState.DONE, f"the job is {view.state}: {view.reason}"
    return took


def _waiting(sender: Sender) -> list[Any]:
    """Return the first entry of the outbox, if there is one."""
    page = sender.get("/v1/data/outbox?state=Waiting&after=0&limit=1")
    return list(json.loads(page)["entries"])


def _bare(rucio: RucioServer, files_at: Path, number: int, files: int) -> float:
    """Register files as the outbox does, in one request a step, without any look at the result."""
    names = [{"scope": SCOPE, "name": f"/bare{number}/{i}"} for i in range(files)]
    adler32 = f"{zlib.adler32(_CONTENT.encode()):08x}"
    its = {"bytes": len(_CONTENT), "adler32": adler32}
    copies = [{**one, **its, "pfn": f"file://localhost:0{files_at}{one['name']}"} for one in names]
    dataset = {"scope": SCOPE, "name": f"/bare{number}"}
    steps: Sequence[tuple[str, object]] = (
        ("/replicas", {"rse": RSE, "files": copies}),
        (f"/dids/{SCOPE}/{quote(dataset['name'])}", {"type": "DATASET"}),
        (
            "/dids/attachments",
            {"attachments": [{**dataset, "dids": names}], "ignore_duplicate": True},
        ),
        ("/dids/bulkdidsmeta", {"dids": [{**one, "meta": {"run": number}} for one in names]}),
    )
    connection = http.client.HTTPConnection("127.0.0.1", rucio.port, timeout=_SENT_S)
    headers = {"X-Rucio-Auth-Token": rucio.token, "Content-Type": "application/json"}
    began = time.monotonic()
    for path, body in steps:
        connection.request("POST", path, json.dumps(body), headers)
        reply = connection.getresponse()
        said = reply.read()
        assert reply.status == 201, f"{path}: {reply.status} {said[:500]!r}"
    took = time.monotonic() - began
    connection.close()
    return took
