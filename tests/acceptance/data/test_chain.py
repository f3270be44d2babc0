"""The analysis chain of CTAO at two sites: from Rucio, on storages with tokens, one of which dies.

The runs of the dataset `night` are in Rucio, each with a copy on XRootD by HTTPS and one by roots.
"""

import dataclasses
import json
import re
import subprocess
import zlib
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from pilotage.central.cli.productions.workflow_files import FromFile
from pilotage.central.workflows.workflow_files import read_workflow
from pilotage.proto.catalogue import FileState
from pilotage.proto.documents.transformation import Grouping
from pilotage.proto.documents.workflow import Step, StepInput, Workflow
from pilotage.proto.job_states import JobState
from pilotage.proto.production_states import ProductionState
from tests.acceptance.catalogue_rows import FoundFile, files_in
from tests.acceptance.running import RunningCentral, eventually, running_central
from tests.acceptance.test_ctapipe_chain import (
    APART_MAX_DEG,
    EXAMPLES,
    TOOLS,
    apart_deg,
    ctapipe,
    read,
)
from tests.contract.storage.cuts import CuttingProxy, cutting
from tests.services import xrootd
from tests.services.rucio import RucioServer
from tests.services.xrootd import Xrootd

from .issuing import ISSUER, prepared
from .token_watch import TokenWatch, has_storage_token, watching

__all__ = ["ctapipe"]  # required of these modules alike

pytestmark = pytest.mark.skipif(bool(xrootd.missing()), reason=xrootd.missing() or "it is there")

SCOPE: Final = "chain"  # of the runs
OUT: Final = "users"  # of the outputs
RUNS: Final = (1, 2, 3)  # the last one comes after the death of a storage
CUT_AFTER: Final = 64 << 10  # bytes of the first upload when its storage dies
CHAIN_S: Final = 300.0


class Rig:
    """A central, its storages `alpha`, `beta` and `tape`, and the Rucio server of the session.

    `beta` and `tape` are one server. `alpha` is behind a proxy, by which it dies during an upload.
    """

    def __init__(
        self, folder: Path, rucio: RucioServer, stack: ExitStack, patch: pytest.MonkeyPatch
    ) -> None:
        self.folder, self.rucio = folder, rucio
        data, keys, authority = prepared(folder, "site", patch)
        (data / "rucio").mkdir()
        self.alpha: Xrootd = stack.enter_context(xrootd.xrootd(keys, authority))
        self.beta: Xrootd = stack.enter_context(xrootd.xrootd(keys, authority))
        self.servers = {"alpha": self.alpha, "beta": self.beta}
        self.dies = True
        self.proxy: CuttingProxy = stack.enter_context(
            cutting(self.alpha.https_port, lambda: CUT_AFTER if self.dies else None, sent=True)
        )
        self._storages(data / "storages")
        self._rucio(data / "rucio")
        self.watch: TokenWatch = stack.enter_context(
            watching(folder / "site", *(one.folder / "said.log" for one in self.servers.values()))
        )
        options = {"community.name": "ctao"}
        self.central: RunningCentral = stack.enter_context(
            running_central(folder / "site", options)
        )
        self.client = self.central.client

    def _storages(self, folder: Path) -> None:
        # Another host name: the central sweeps no storage that may be the same place as another.
        entries: dict[str, dict[str, Any]] = {
            "alpha": {
                "type": "davs",
                "url": f"https://127.0.0.1:{self.proxy.port}{xrootd.ROOT}",
                "priority": 90,
                "deletes": True,
            },
            "beta": {"type": "davs", "url": self.beta.url, "deletes": True},
            "tape": {"type": "root", "url": self.beta.root_url, "writable": False},
        }
        for name, entry in entries.items():
            server = self.servers.get(name, self.beta)
            entry["credential"] = {
                "source": "issuer",
                "options": {"issuer": ISSUER, "audience": server.audience},
            }
            if entry["type"] == "davs":
                entry |= {"checksum": "adler32", "ca_file": str(server.folder / "ca" / "ca.pem")}
            (folder / f"{name}.yaml").write_text(json.dumps(entry))

    def _rucio(self, folder: Path) -> None:
        places = {
            "ALPHA": ("davs", self.proxy.port, "127.0.0.1"),
            "BETA": ("davs", self.beta.https_port, "localhost"),
            "TAPE": ("root", self.beta.port, "localhost"),
        }
        for scope in (SCOPE, OUT):
            self.rucio.add_scope(scope)
        for name, (scheme, port, host) in places.items():
            self.rucio.add_server(f"CHAIN-{name}", scheme, port, f"{xrootd.ROOT}/", host)
        entry = {
            "url": self.rucio.url,
            "account": "root",
            "community": "ctao",
            "credential": {"source": "file", "options": {"path": str(self.rucio.token_file)}},
            "storages": {f"CHAIN-{name}": name.lower() for name in places},
            "strip": "/",
            "inputs": [{"scope": SCOPE, "dataset": "/night", "period_s": 1}],
            "outputs": {"scopes": [OUT]},
        }
        (folder / "main.yaml").write_text(json.dumps(entry))

    def add_run(self, run: int) -> None:
        """Make a run, store it twice, and put it into the dataset, in Rucio alone."""
        content, path = simtel(self.folder, run), f"raw/run{run}.simtel.zst"
        file = {
            "scope": SCOPE,
            "name": f"/run{run}.simtel.zst",
            "bytes": len(content),
            "adler32": f"{zlib.adler32(content):08x}",
        }
        for rse, server, url in (
            ("ALPHA", self.alpha, f"davs://127.0.0.1:{self.proxy.port}{xrootd.ROOT}"),
            ("TAPE", self.beta, f"root://localhost:{self.beta.port}/{xrootd.ROOT}"),
        ):
            server.lay(path, content)
            self.rucio.add_files(f"CHAIN-{rse}", [{**file, "pfn": f"{url}/{path}"}])
        self.rucio.attach(SCOPE, "/night", [f"/run{run}.simtel.zst"])

    def submit(self) -> int:
        """Submit the chain over the dataset."""
        written = read_workflow(EXAMPLES / "ctapipe_chain.yaml", {})
        whole = on_storages(written.workflow, f"{SCOPE}:night")
        flow = FromFile(dataclasses.replace(written, workflow=whole))
        return self.client.submit_production(flow).view.id

    def made(self) -> dict[str, FoundFile]:
        """Return the outputs of the chain as the catalogue has them."""
        return {did: one for did, one in files_in(self.central.data).items() if one.job}

    def lying(self, storage: str) -> set[str]:
        """Return the paths of all files on a storage, except the runs."""
        root = self.servers[storage].files
        found = {str(one.relative_to(root)) for one in root.rglob("*") if one.is_file()}
        return {one for one in found if not one.startswith("raw/")}

    def named(self, storage: str) -> set[str]:
        """Return the paths of the outputs that the catalogue has on a storage."""
        copies = (one.copies.get(storage) for one in self.made().values())
        return {copy[0] for copy in copies if copy is not None}


def simtel(folder: Path, run: int) -> bytes:
    """Return a file with a genuine event, as this run."""
    made = folder / f"run{run}.simtel.zst"
    template = EXAMPLES / "data" / "gamma_prod6.simtel.zst"
    words = (TOOLS / "bin" / "python", EXAMPLES / "simtel_run.py", template, str(run), made)
    subprocess.run([str(one) for one in words], check=True, capture_output=True)
    return made.read_bytes()


def on_storages(workflow: Workflow, dataset: str) -> Workflow:
    """Return the chain without its simulation: it takes a dataset, and stores on both storages."""

    def stored(name: str, step: Step) -> Step:
        outputs = {
            port: msgspec.structs.replace(one, storages=("alpha", "beta")) if one.pattern else one
            for port, one in step.outputs.items()
        }
        paths = {**step.job.environment, "PATH": f"{TOOLS}/bin:/usr/bin:/bin"}
        return msgspec.structs.replace(
            step,
            inputs={"r0": StepInput(dataset=dataset)} if name == "dl1" else step.inputs,
            grouping=Grouping(size=1) if name in ("dl1", "dl2") else step.grouping,
            outputs=outputs,
            job=msgspec.structs.replace(step.job, environment=paths),
        )

    steps = {name: stored(name, one) for name, one in workflow.steps.items() if name != "simulate"}
    return msgspec.structs.replace(workflow, steps=steps)


@pytest.fixture
def rig(tmp_path: Path, rucio: RucioServer, monkeypatch: pytest.MonkeyPatch) -> Generator[Rig]:
    with ExitStack() as stack:
        yield Rig(tmp_path, rucio, stack, monkeypatch)


@pytest.mark.usefixtures("ctapipe")
def test_the_chain_is_complete_although_a_storage_dies(rig: Rig, tmp_path: Path) -> None:
    assert has_storage_token(rig.alpha.token("storage.read:/").encode()), "the watch sees tokens"
    rig.rucio.add_dataset(SCOPE, "/night")
    for run in RUNS[:-1]:
        rig.add_run(run)
    for site in ("PIC", "CSCS"):
        rig.central.pilot(site, cores=1)
    production = rig.submit()

    eventually(lambda: rig.proxy.cuts, what="the first upload", within_s=CHAIN_S)
    rig.alpha.stop()
    rig.dies = False
    rig.add_run(RUNS[-1])
    rig.rucio.close_dataset(SCOPE, "/night")
    eventually(lambda: mirrored(rig) == len(RUNS), what="the mirror of the dataset")
    rig.client.act_on_production(production, "complete", step="dl1")
    eventually(lambda: is_complete(rig, production), what="the chain", within_s=CHAIN_S)

    views = list(rig.client.search())
    count = len(RUNS)
    assert Counter(one.type for one in views) == {
        "DL1": count,
        "DL2": count,
        "Merge": 1,
        "Report": 1,
    }
    assert {one.state for one in views} == {JobState.DONE}
    assert {one.site for one in views} == {"PIC", "CSCS"}
    assert {one.epoch for one in views} == {1}, "the death costs no attempt"
    made = rig.made()
    assert len(made) == 2 * count + 1
    assert {tuple(one.copies) for one in made.values()} == {("beta",)}
    assert {one.state for one in made.values()} == {FileState.AVAILABLE.value}
    for did, one in made.items():
        content = (rig.beta.files / one.copies["beta"][0]).read_bytes()
        known = rig.client.file(did).file
        assert (len(content), f"{zlib.adler32(content):08x}") == (known.bytes, known.adler32)
    assert rig.lying("beta") == rig.named("beta"), "nothing is doubled"
    said = (rig.beta.folder / "said.log").read_text(errors="replace")
    assert re.search("XrootdXeq: .* login as", said), "the last run was read by roots"
    left = rig.lying("alpha")
    assert left, "an upload was cut"

    rig.alpha.start()
    rig.central.options = {**rig.central.options, "data.sweep_after_s": "1"}
    rig.central.restart()
    eventually(lambda: not rig.lying("alpha"), what=f"a sweep of {left}")
    assert rig.lying("beta") == rig.named("beta")

    eventually(lambda: not list(rig.client.outbox()), what="an empty outbox")
    assert list(rig.client.outbox(clashes=True)) == []
    check_rucio(rig, made)

    (merged,) = [one for one in made.values() if one.metadata.get("merged") == 1]
    rig.client.get_file(merged.did, tmp_path / "merged.dl2.h5")
    report = read(tmp_path / "merged.dl2.h5", tmp_path / "report.json")
    assert sorted(report.observations) == list(RUNS)
    for shower in report.showers:
        assert apart_deg(shower.true_deg, shower.found_deg) < APART_MAX_DEG
    rig.watch.look()
    assert rig.watch.found == set()
    assert rig.watch.commands > 100 and rig.watch.files > 10


def check_rucio(rig: Rig, made: Mapping[str, FoundFile]) -> None:
    """Check that Rucio has every output once: its bytes, copy, metadata and dataset."""
    names = {did: f"/{did.partition(':')[2]}" for did in made}
    dids = [{"scope": OUT, "name": one} for one in names.values()]
    rows = rig.rucio.ask("POST", "/replicas/list", {"dids": dids})
    told = rig.rucio.ask("POST", "/dids/bulkmeta", {"dids": dids, "plugin": "JSON"})
    metas = {one["name"]: one for one in told}
    found = {one["name"]: one for one in rows}
    listed = rig.rucio.ask("GET", f"/dids/{OUT}/dids/search?type=file")
    assert sorted(listed) == sorted(names.values()) == sorted(found)
    assert len(rows) == len(told) == len(made)
    inside: Counter[str] = Counter()
    for dataset in sorted({name for one in made.values() for name in one.datasets}):
        held = rig.rucio.ask("GET", f"/dids/{OUT}//{dataset}/dids")
        inside.update(f"/{dataset} {one['name']}" for one in held)
    expected = [f"/{dataset} {names[did]}" for did, one in made.items() for dataset in one.datasets]
    assert inside == Counter(expected) and len(expected) >= len(made)
    for did, one in made.items():
        known, row = rig.client.file(did).file, found[names[did]]
        assert (row["bytes"], row["adler32"]) == (known.bytes, known.adler32)
        (copy,) = row["rses"]["CHAIN-BETA"]
        assert list(row["rses"]) == ["CHAIN-BETA"] and copy.endswith(one.copies["beta"][0])
        assert metas[names[did]]["data_level"] == one.metadata["data_level"]


def mirrored(rig: Rig) -> int:
    (found,) = rig.client.rucio_server("main").inputs
    return found.files


def is_complete(rig: Rig, production: int) -> bool:
    view = rig.client.production(production).view
    assert view.state in (ProductionState.ACTIVE, ProductionState.COMPLETED)
    return view.state is ProductionState.COMPLETED
