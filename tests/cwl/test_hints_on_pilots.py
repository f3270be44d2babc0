"""Documents of the shapes that CTAO uses, with its hints, on a central and a pilot."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.cli.cwl.pilot_runs import document_of
from pilotage.central.client.client import AsyncClient
from pilotage.central.client.errors import Refused
from pilotage.central.cwl.loaded import load_with_inputs
from pilotage.proto.api.productions import CwlOutputs, NewProduction, ProductionDetail
from tests.acceptance.running import RunningCentral, running_central

pytestmark = pytest.mark.xdist_group("cwl on pilots")
SITE, STORAGE = "Berlin", "Disk"
TOOL = "cwlVersion: v1.2\nclass: CommandLineTool\n"
SCHEDULED = f"""\
  - class: dirac:Scheduling
    sites: {SITE}
    priority: 7
    platform: ANY
"""
STORES = f"""\
{TOOL}
inputs: []
outputs: {{data: {{type: File, outputBinding: {{glob: "data*"}}}}}}
baseCommand: [echo, stored]
stdout: data.txt
hints:
  - class: dirac:ExecutionHooks
    hook_plugin: QueryBasedPlugin
    output_paths: {{data: "lfn:/tests/{{job}}/"}}
    output_se: [{STORAGE}]
{SCHEDULED}"""
KEEPS = f"""\
{TOOL}
inputs: []
outputs: {{kept: {{type: File, outputBinding: {{glob: "kept*"}}}}}}
baseCommand: [echo, kept]
stdout: kept.txt
hints:
  dirac:ExecutionHooks: {{output_sandbox: [kept]}}
  dirac:Scheduling: {{sites: [{SITE}, Elsewhere]}}
"""
READS = f"""\
{TOOL}
$namespaces: {{dirac: "https://example.org/dirac#"}}
inputs:
  files: {{type: "File[]", default: ["input.txt"], inputBinding: {{}}}}
outputs: {{same: {{type: File, outputBinding: {{glob: "same*"}}}}}}
baseCommand: [cat]
stdout: same.txt
hints:
{SCHEDULED}"""
CHAIN = f"""\
cwlVersion: v1.2
class: Workflow
inputs:
  script: {{type: "File[]", default: script.sh}}
outputs:
  fits: {{type: "File[]", outputSource: [fit/fit], linkMerge: merge_flattened}}
  logs: {{type: "File[]?", outputSource: [fit/log], linkMerge: merge_flattened}}
hints:
  dirac:ExecutionHooks:
    output_paths: {{fits: "lfn:users:fits"}}
    output_se: {STORAGE}
steps:
  make:
    run:
      class: CommandLineTool
      inputs: {{script: {{type: "File[]", default: script.sh, inputBinding: {{}}}}}}
      outputs: {{data: {{type: "File[]", outputBinding: {{glob: "*.txt"}}}}}}
      baseCommand: [sh]
    in: {{script: script}}
    out: [data]
    hints:
      dirac:ExecutionHooks: {{output_paths: {{data: "lfn:/made/"}}, output_se: {STORAGE}}}
  fit:
    run:
      class: CommandLineTool
      inputs: {{data: {{type: "File[]", inputBinding: {{}}}}}}
      outputs:
        fit: {{type: "File[]", outputBinding: {{glob: ["fit.txt"]}}}}
        log: {{type: "File[]", outputBinding: {{glob: ["fit.log"]}}}}
      baseCommand: [wc, -c]
      stdout: fit.txt
    in: {{data: make/data}}
    out: [fit, log]
"""
SCATTER = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {names: "string[]", script: File}
outputs: {all: {type: "File[]", outputSource: second/out}}
steps:
  name:
    run:
      class: ExpressionTool
      inputs: {name: string}
      outputs: {made: string}
      expression: '${return {made: "gamma_" + inputs.name};}'
    in: {name: names}
    out: [made]
    scatter: name
    scatterMethod: flat_crossproduct
  first:
    run:
      class: CommandLineTool
      hints: {DockerRequirement: {dockerPull: "registry.example.org/python:3.12"}}
      inputs:
        script: {type: File, inputBinding: {position: 1}}
        name: {type: string, inputBinding: {position: 2}}
      outputs:
        out: {type: File, outputBinding: {glob: '$(inputs.name + ".txt")'}}
      baseCommand: sh
    in: {script: script, name: name/made}
    out: [out]
    scatter: name
    scatterMethod: flat_crossproduct
  second:
    run:
      class: CommandLineTool
      inputs: {in: {type: File, inputBinding: {}}}
      outputs:
        out:
          type: File
          outputBinding: {glob: '$(inputs.in.basename.replace(".txt", ".done"))'}
      baseCommand: [cat]
      stdout: $(inputs.in.nameroot).done
    in: {in: first/out}
    out: [out]
    scatter: in
    scatterMethod: flat_crossproduct
"""


@pytest.fixture
def central(tmp_path: Path) -> Iterator[RunningCentral]:
    data = tmp_path / "central" / "central"
    (data / "storages").mkdir(parents=True)
    data.chmod(0o700)
    (tmp_path / "disk").mkdir()
    (data / "storages" / f"{STORAGE}.yaml").write_text(
        f"type: file\nurl: file://{tmp_path / 'disk'}\ndefault: true\n"
    )
    with running_central(tmp_path / "central") as central:
        central.pilot(SITE, cores=8, memory_mb=16_000, isolation="session")
        yield central


class Author:
    """Submits documents, and fetches what they put out."""

    def __init__(self, client: AsyncClient, folder: Path) -> None:
        self._client, self._folder = client, folder

    async def submit(
        self, name: str, text: str, inputs: Mapping[str, Any] | None = None
    ) -> ProductionDetail:
        file, given = self._folder / f"{name}.cwl", self._folder / f"{name}.json"
        file.write_text(text)
        given.write_text(json.dumps(inputs or {}))
        found = await asyncio.to_thread(load_with_inputs, file, given)
        document = await document_of(self._client, found)
        made = await self._client.add_production(NewProduction(cwl=document, name=name))
        assert isinstance(made, ProductionDetail)
        return made

    async def end(self, name: str) -> CwlOutputs:
        found = await self._client.wait_for_outputs(name)
        assert found.status == "success", found.why
        return found

    async def fetched(self, name: str) -> dict[str, str]:
        """Return what is in the fetched files."""
        folder = self._folder / f"{name}.out"
        await self._client.download_production(name, folder)
        return {one.name: one.read_text() for one in sorted(folder.rglob("*")) if one.is_file()}


def test_documents_of_ctaos_shapes_run_with_their_hints(
    central: RunningCentral, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILOTAGE_TOKEN_FILE", str(central.data / "admin.token"))
    asyncio.run(_documents_run(central, tmp_path))


async def _documents_run(central: RunningCentral, folder: Path) -> None:
    (folder / "given.txt").write_text("from the catalogue\n")
    (folder / "make.sh").write_text("echo one >a.txt; echo two >b.txt\n")
    (folder / "name.sh").write_text('echo "of $1" >"$1.txt"\n')
    async with AsyncClient(central.url) as client:
        author = Author(client, folder)
        await client.put_file(folder / "given.txt", "users:tests/given.txt", storage=STORAGE)
        await author.submit("stores", STORES)
        await author.submit("keeps", KEEPS)
        await author.submit(
            "reads", READS, {"files": [{"class": "File", "location": "LFN:/tests/given.txt"}]}
        )
        await author.submit("chain", CHAIN, {"script": [{"class": "File", "path": "make.sh"}]})
        await author.submit(
            "scatter",
            SCATTER,
            {"names": ["x", "y"], "script": {"class": "File", "path": "name.sh"}},
        )

        stored = (await author.end("stores")).outputs["data"]
        kept = (await author.end("keeps")).outputs["kept"]
        chain = (await author.end("chain")).outputs
        for name in ("reads", "scatter"):
            await author.end(name)

        did = stored["location"].removeprefix("lfn:")
        job = (await client.file(did)).file.job
        assert did == f"users:tests/{job}/data.txt"
        assert job is not None
        body = (await client.detail(job)).job
        assert body is not None
        assert (body.needs[0].sites, body.priority) == ((SITE,), 7)
        assert await author.fetched("stores") == {"data.txt": "stored\n"}
        assert kept["location"].startswith("job:")
        assert await author.fetched("keeps") == {"kept.txt": "kept\n"}
        assert await author.fetched("reads") == {"same.txt": "from the catalogue\n"}
        assert chain["logs"] == []
        assert [one["location"] for one in chain["fits"]] == ["lfn:users:fits/fit.txt"]
        made = [one.file.did async for one in client.list_files("users:made/*")]
        assert made == ["users:made/a.txt", "users:made/b.txt"]
        assert [line.split()[0] for line in (await author.fetched("chain"))["fit.txt"].splitlines()]
        assert await author.fetched("scatter") == {
            "gamma_x.done": "of gamma_x\n",
            "gamma_y.done": "of gamma_y\n",
        }

        for text, said in {
            STORES.replace(f"[{STORAGE}]", "[Dist]"): r"output_se: unknown storage 'Dist'; .*Disk",
            STORES.replace("platform: ANY", "platform: x86_65-el9"): r"platform.*x86_64-el9",
        }.items():
            with pytest.raises(Refused, match=said):
                await author.submit("wrong", text)


PRODUCTION = """\
cwlVersion: v1.2
class: Workflow
inputs: {run: {type: int, default: 1}, script: File}
outputs: {all: {type: File, outputSource: join/all}}
steps:
  make:
    run:
      class: CommandLineTool
      inputs:
        script: {type: File, inputBinding: {position: 1}}
        run: {type: int, inputBinding: {position: 2}}
      outputs: {out: {type: File, outputBinding: {glob: "$(inputs.run).txt"}}}
      baseCommand: sh
    in: {script: script, run: run}
    out: [out]
    hints:
      pilotage:Transformation:
        tasks: 4
        input: {port: run}
        output: {out: {name: "made/{task}.txt", metadata: {run: "{task}"}}}
  copy:
    run:
      class: CommandLineTool
      inputs: {in: {type: File, inputBinding: {}}}
      outputs: {out: {type: File, outputBinding: {glob: $(inputs.in.nameroot).copy}}}
      baseCommand: cat
      stdout: $(inputs.in.nameroot).copy
    in: {in: make/out}
    out: [out]
    hints: {pilotage:Transformation: {input: {port: in, query: {run: {">": 1}}}}}
  join:
    run:
      class: CommandLineTool
      inputs: {files: {type: "File[]", inputBinding: {}}}
      outputs: {all: {type: File, outputBinding: {glob: all.txt}}}
      baseCommand: cat
      stdout: all.txt
    in: {files: {source: [copy/out], linkMerge: merge_flattened}}
    out: [all]
    hints:
      pilotage:Transformation:
        input: {port: files, grouping: {rule: all}}
        output: {all: {dataset: "users:joined", name: joined.txt}}
"""


def test_a_workflow_with_transformations_is_a_production(
    central: RunningCentral, tmp_path: Path
) -> None:
    """The same file runs here too, where its steps have one task each."""
    file, inputs = tmp_path / "flow.cwl", tmp_path / "inputs.json"
    file.write_text(PRODUCTION)
    inputs.write_text('{"script": {"class": "File", "path": "name.sh"}}')
    (tmp_path / "name.sh").write_text('echo "$1" >"$1.txt"\n')

    central.type("prod", "submit", "--local", "--folder", str(tmp_path / "here"), str(file),
                 str(inputs))  # fmt: skip
    wrong = tmp_path / "wrong.cwl"
    wrong.write_text(PRODUCTION.replace('query: {run: {">": 1}}', "query: {runs: 1}"))
    said = central.type("prod", "check", str(wrong), code=2)
    central.type("prod", "submit", str(file), str(inputs))
    again = central.type("prod", "submit", str(file), str(inputs))
    central.type("prod", "wait", "flow")
    central.type("data", "get", "users:joined.txt", "--to", str(tmp_path))

    assert (tmp_path / "here" / "all.txt").read_text() == "1\n"
    assert "exists already" in again
    assert "step copy: inputs.in_files.where.runs" in said
    assert sorted((tmp_path / "joined.txt").read_text().split()) == ["2", "3", "4"]
