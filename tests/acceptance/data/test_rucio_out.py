"""Outputs of jobs reach a real Rucio server: real central, pilots and server."""

import zlib
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import pytest
import yaml

from pilotage.central.client.errors import ClientError
from pilotage.proto.api.jobs import ActionName
from pilotage.proto.api.productions import NewProduction
from pilotage.proto.api.rucio import OutboxEntry
from pilotage.proto.documents.job import DataOutput, Job, JobData, Need
from pilotage.proto.documents.workflow import Workflow
from pilotage.proto.job_states import JobState
from pilotage.proto.transformation_states import TransformationState
from tests.acceptance.running import eventually
from tests.services.rucio import RucioServer

from .rucio_rig import Rig

SCOPE: Final = "users.out"
TEXT: Final = "hello\n"
TRANSFORMATION: Final = """
name: plus
tasks: 1
job:
  command: [sh, -c, 'echo hello > a.txt']
  needs: [{wall_s: 300}]
  data:
    outputs:
      - {pattern: a.txt, scope: users.out, name: "{task}+.txt"}
"""
WORKFLOW: Final = """
name: plus
steps:
  make:
    tasks: 1
    job:
      command: [sh, -c, 'echo hello > a.txt']
      needs: [{wall_s: 300}]
    outputs:
      text: {pattern: a.txt, name: "{task}+.txt"}
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, rucio: RucioServer) -> Generator[Rig]:
    """A central with a pilot, whose outputs of a scope go out."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("out")
        rule = "{rse_expression: USERS-OUT-LST, lifetime_s: 86400}"
        outputs = f"{{scopes: [{SCOPE}, users], rules: [{rule}]}}"
        found = Rig(folder, rucio, SCOPE, stack, f"outputs: {outputs}")
        found.central.pilot("PIC")
        yield found


def a_job(name: str, *, confirm: bool = False, dataset: str = "night") -> Job:
    out = DataOutput(
        pattern="a.txt",
        scope=SCOPE,
        name=name,
        dataset=f"{SCOPE}:{dataset}",
        metadata={"run": 20, "good": True},
        storages=("pic",),
        confirm=confirm,
    )
    return Job(
        command=("sh", "-c", "echo hello > a.txt"),
        data=JobData(outputs=(out,)),
        needs=(Need(wall_s=300),),
    )


def state_of(rig: Rig, job: int) -> JobState:
    return rig.client.job(job).view().state


def submitted(rig: Rig, job: Job) -> int:
    (handle,) = rig.client.submit([job]).handles()
    return handle.id


def entry_of(rig: Rig, job: int, *, clashes: bool = False) -> OutboxEntry | None:
    return next((one for one in rig.client.outbox(clashes=clashes) if one.job == job), None)


def waiting(rig: Rig, job: int, reason: str) -> OutboxEntry:
    """Return the waiting entry of a job, once it has a reason."""

    def look() -> list[OutboxEntry]:
        return [one for one in rig.client.outbox() if one.job == job and reason in one.why]

    return eventually(look, what=f"an entry that waits for {reason}")[0]


def test_outputs_reach_rucio_once_and_wait_while_it_is_away(rig: Rig) -> None:
    quota = f"/accountlimits/local/root/{rig.rses['lst']}"
    rig.rucio.stop()
    try:
        plain = submitted(rig, a_job("{job}/a.txt"))
        kept = submitted(rig, a_job("{job}/a.txt", confirm=True))
        eventually(lambda: state_of(rig, plain) is JobState.DONE, what="the job that may end")
        eventually(lambda: state_of(rig, kept) is JobState.COMPLETING, what="the payload's end")
        away = waiting(rig, kept, "rucio/main")
        unwanted = submitted(rig, a_job("{job}/a.txt", confirm=True))
        eventually(lambda: state_of(rig, unwanted) is JobState.COMPLETING, what="another end")
        explained = rig.central.type("explain", str(unwanted))
        killed = rig.client.act(ActionName.KILL, [unwanted])
        freed = entry_of(rig, unwanted)
        shown = rig.central.type("data", "outbox")
        rig.central.kill9()
        rig.central.restart()
    finally:
        rig.rucio.start()
    refused = waiting(rig, kept, "Limit")
    before = state_of(rig, kept)
    rig.rucio.ask("POST", quota, {"bytes": -1})

    eventually(lambda: state_of(rig, kept) is JobState.DONE, what="the end of the job")
    eventually(lambda: not list(rig.client.outbox()), what="an empty outbox")

    names = [f"/{job}/a.txt" for job in (plain, kept, unwanted)]
    dids = [{"scope": SCOPE, "name": name} for name in names]
    rows = rig.rucio.ask("POST", "/replicas/list", {"dids": dids})
    meta = rig.rucio.ask("POST", "/dids/bulkmeta", {"dids": dids, "plugin": "JSON"})
    inside = rig.rucio.ask("GET", f"/dids/{SCOPE}//night/dids")
    rules = rig.rucio.ask("GET", f"/dids/{SCOPE}//night/rules")
    assert (away.did, away.confirm, away.tries > 0) == (rig.did(f"{kept}/a.txt"), True, True)
    assert f"Waiting  main  users.out:{kept}/a.txt  job {kept}  since " in shown
    assert f"waits until Rucio main has 1 output: {rig.did(f'{unwanted}/a.txt')}: " in explained
    assert (killed.done, freed is not None and freed.confirm) == (1, False)
    assert state_of(rig, unwanted) is JobState.KILLED
    assert refused.why.startswith("dataset users.out:/night: InsufficientAccountLimit")
    assert before is JobState.COMPLETING
    sums = {(one["bytes"], one["adler32"]) for one in rows}
    assert sums == {(len(TEXT), f"{zlib.adler32(TEXT.encode()):08x}")}
    assert sorted(one["name"] for one in rows) == sorted(one["name"] for one in inside) == names
    for one in rows:
        ((rse, (pfn,)),) = one["rses"].items()
        assert rse == rig.rses["pic"]
        assert Path(urlsplit(pfn).path).read_text() == TEXT
    assert [(one["run"], one["good"]) for one in meta] == [(20, "true")] * 3
    assert [one["rse_expression"] for one in rules] == [rig.rses["lst"]]
    assert rules[0]["expires_at"]


def test_a_transformation_completes_when_rucio_has_its_outputs(rig: Rig) -> None:
    output = f"confirm: true, storages: [pic], dataset: '{SCOPE}:sums', name: '{{task}}.txt'"
    document = TRANSFORMATION.replace("plus", "sums").replace('name: "{task}+.txt"', output)
    made = rig.client.add_transformation(yaml.safe_load(document))
    done = TransformationState.COMPLETED
    id = made.view.id
    eventually(lambda: rig.client.transformation(id).view.state is done, what="its end")
    inside = rig.rucio.ask("GET", f"/dids/{SCOPE}//sums/dids")

    assert [one["name"] for one in inside] == ["/1.txt"]
    assert not list(rig.client.outbox())


def test_other_bytes_under_the_name_fail_the_job_that_waits(rig: Rig) -> None:
    rig.put("clash.txt", "others\n")
    job = submitted(rig, a_job("clash.txt", confirm=True, dataset="clashes"))
    view = rig.client.job(job).wait(timeout_s=120)
    clash = entry_of(rig, job, clashes=True)

    assert view.state is JobState.FAILED
    assert "Rucio has another users.out:/clash.txt: its" in (view.reason or "")
    assert clash is not None and clash.why == view.reason
    assert entry_of(rig, job) is None
    assert rig.client.file(rig.did("clash.txt")).file.bytes == len(TEXT)


def test_names_that_rucio_cannot_hold_are_refused_when_they_are_submitted(rig: Rig) -> None:
    workflow = msgspec.convert(yaml.safe_load(WORKFLOW), Workflow)
    found = r"name: found 'users{}\+.txt', expected"
    with pytest.raises(ClientError, match=found.format(".out:a")):
        rig.client.submit([a_job("a+.txt")])
    with pytest.raises(ClientError, match=found.format(".out:1")):
        rig.client.add_transformation(yaml.safe_load(TRANSFORMATION))
    with pytest.raises(ClientError, match="step make: .*" + found.format(":1")):
        rig.client.add_production(NewProduction(workflow=workflow))
    with pytest.raises(ClientError, match="confirm: found true, expected false"):
        job = a_job("a.txt", confirm=True)
        assert job.data is not None
        out = DataOutput(pattern="a.txt", scope="users.other", confirm=True)
        rig.client.submit([Job(command=job.command, needs=job.needs, data=JobData(outputs=(out,)))])
