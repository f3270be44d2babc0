"""What goes out to Rucio, and which names are refused before a job runs."""

import pytest

from pilotage.central.catalogue.record_types import NewFile, NewReplica
from pilotage.central.catalogue.storages import StorageCredential
from pilotage.central.errors import Refused
from pilotage.central.rucio.files import RucioEntry, RucioOutputs
from pilotage.central.rucio.outgoing import check_going_out, going_out
from pilotage.proto.catalogue import Did
from pilotage.proto.documents.job import DataOutput, JobData
from pilotage.proto.storages import Published


def a_server(community: str, *scopes: str) -> RucioEntry:
    return RucioEntry(
        url="https://rucio.org",
        account="a",
        community=community,
        credential=StorageCredential(source="file"),
        outputs=RucioOutputs(scopes=scopes),
    )


SERVERS = {"ctao": a_server("ctao", "sim", "sim.raw"), "lhcb": a_server("lhcb", "other")}


#     scope    name      dataset      confirm  refused
TABLE = """
      -        {file}    -            no       -
      -        a+{file}  -            no       name
      other    a+{file}  -            no       -
      sim.raw  a+{job}   -            yes      name
      -        {file}    sim:d+{job}  no       dataset
      -        {file}    other:d+1    no       -
      other    {file}    -            yes      confirm
      -        {file}    -            yes      -
      {run}    a+{file}  -            yes      -
      -        {run}/a+  -            no       name
      -        {run}     sim:{task}+  no       dataset
"""


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_a_name_that_rucio_cannot_hold_is_refused_if_it_goes_out(line: str) -> None:
    scope, name, dataset, confirm, refused = ("" if word == "-" else word for word in line.split())
    out = DataOutput(
        pattern="*.h5", scope=scope, name=name, dataset=dataset, confirm=confirm == "yes"
    )
    found = ""
    try:
        check_going_out(SERVERS, "ctao", JobData(outputs=(out,)), "sim", "job.data")
    except Refused as why:
        assert str(why).startswith(f"job.data.outputs[0].{refused}: found ")
        found = (why.field or "").rpartition(".")[2]

    assert found == refused


@pytest.mark.parametrize(("scope", "refused"), [("", True), ("other", False)])
def test_metadata_that_rucio_acts_on_are_refused_if_they_go_out(scope: str, refused: bool) -> None:
    out = DataOutput(pattern="*.h5", scope=scope, metadata={"run": 1, "lifetime": 1})
    found = ""
    try:
        check_going_out(SERVERS, "ctao", JobData(outputs=(out,)), "sim", "job.data")
    except Refused as why:
        found = str(why)

    field = "job.data.outputs[0].metadata.lifetime: found 'lifetime', expected a key"
    assert found.startswith(field) if refused else not found


def test_files_of_published_scopes_go_out_with_their_datasets_there() -> None:
    data = JobData(outputs=(DataOutput(pattern="*"), DataOutput(pattern="b", confirm=True)))
    files = [
        NewFile(
            did=Did(scope, name),
            bytes=1,
            replicas=(NewReplica(storage="pic", path=name),),
            datasets=(Did("sim", "set"), Did("other", "set")),
        )
        for scope, name in (("sim", "a"), ("other", "b"), ("sim", "c+"))
    ]
    published = [Published(rule, "x", "pic", "p", 1, "0", "0") for rule in (0, 1, 1)]
    found = going_out(SERVERS, "ctao", data, published, files)

    assert [(one.file, one.rucio, one.storage, one.confirm) for one in found] == [
        (0, "ctao", "pic", False),
        (2, "ctao", "pic", True),
    ]
    assert [one.datasets for one in found] == [("sim:set",)] * 2
    assert found[0].clash == ""
    assert found[1].clash.startswith("found 'sim:c+', expected a name that Rucio can hold")
