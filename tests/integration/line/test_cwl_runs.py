"""Runs of CWL documents on fakes: each tool runs once, whatever ends the central."""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.callers import User
from pilotage.pilot.cwl.tool_job import RESULT
from pilotage.proto.api.productions import (
    CwlOutputs,
    NewProduction,
    ProductionAction,
    ProductionActionName,
    ProductionDetail,
)
from pilotage.proto.documents.cwl import CwlDocument
from pilotage.proto.documents.job import Input, Job
from pilotage.proto.messages import Assignment
from pilotage.proto.production_states import ProductionState as P
from pilotage.proto.transformation_states import TransformationState as S
from tests.fake_evaluator import EvaluatorHere, plays_tools, spec_of
from tests.fake_pilot import Script
from tests.fakes import FakeInstallation

from .test_data_transformations import ready, story

TOOL = b"# runs a tool"
TOOL_SHA256 = hashlib.sha256(TOOL).hexdigest()
MAIN = "file:///pilotage-cwl/doc/words.cwl"
SAY = """\
    run:
      class: CommandLineTool
      baseCommand: {program}
      inputs: {{w: {{type: string, inputBinding: {{}}}}}}
      outputs: {{out: {{type: stdout}}}}
      stdout: said.txt
"""
WORDS = f"""\
cwlVersion: v1.2
class: Workflow
requirements:
  ScatterFeatureRequirement: {{}}
  StepInputExpressionRequirement: {{}}
  InlineJavascriptRequirement: {{}}
inputs: {{words: "string[]"}}
outputs:
  all: {{type: string, outputSource: end/text}}
  files: {{type: "File[]", outputSource: say/out}}
steps:
  say:
{SAY.format(program="echo")}
    scatter: w
    in: {{w: words}}
    out: [out]
  again:
{SAY.format(program="echo")}
    scatter: w
    in:
      file: say/out
      w: {{source: words, valueFrom: "$(self)-again"}}
    out: [out]
  end:
    run:
      class: ExpressionTool
      inputs: {{files: {{type: "File[]", loadContents: true}}}}
      outputs: {{text: string}}
      expression: '${{return {{text: inputs.files.map(f => f.contents).join(" ")}};}}'
    in: {{files: again/out}}
    out: [text]
"""
FAILS = f"""\
cwlVersion: v1.2
class: Workflow
inputs: {{word: string}}
outputs: {{out: {{type: File, outputSource: say/out}}}}
steps:
  say:
{SAY.format(program="['false']")}
    in: {{w: word}}
    out: [out]
"""


def forged(**fields: Any) -> bytes:
    """Return a result of a tool with other fields."""
    right = {"code": 0, "status": "success", "why": "", "files": []}
    return msgspec.json.encode({**right, **fields})


def document(text: str, **inputs: Any) -> CwlDocument:
    return CwlDocument(
        main=MAIN,
        texts={MAIN: text},
        inputs=inputs,
        tool=Input(name="tool_job.py", sha256=TOOL_SHA256, size_bytes=len(TOOL)),
    )


def tale(
    tell: Callable[[FakeInstallation], Awaitable[None]],
    script: Callable[[Assignment], Script] = plays_tools,
) -> None:
    """Run a central that can evaluate CWL, with two pilots, while `tell` says what happens."""

    async def with_evaluator(world: FakeInstallation) -> None:
        await world.kill()
        world.evaluator = EvaluatorHere()
        await world.start()
        await ready(world)
        await tell(world)

    story(with_evaluator, script=script)


async def uploaded(world: FakeInstallation, person: User | None = None) -> None:
    """Upload what stands for the program that runs tools."""
    await put(world, person or world.user(), TOOL)


async def put(world: FakeInstallation, person: User, content: bytes) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield content

    sha256 = hashlib.sha256(content).hexdigest()
    await world.central.services.sandbox.put(person, sha256, parts(), len(content))


async def added(world: FakeInstallation, doc: CwlDocument, name: str = "run") -> ProductionDetail:
    await uploaded(world)
    made = await world.central.services.productions.add(
        world.user(), NewProduction(cwl=doc, name=name)
    )
    assert isinstance(made, ProductionDetail)
    return made


async def ended(world: FakeInstallation, named: str = "run") -> CwlOutputs:
    for _ in range(4_000):
        await asyncio.sleep(0.5)
        if world.is_down:
            continue
        found = await world.central.services.productions.outputs(world.user(), named)
        if found.status:
            return found
    raise AssertionError("the run does not end")


async def completed(world: FakeInstallation, named: str = "run") -> ProductionDetail:
    for _ in range(400):
        await asyncio.sleep(0.5)
        found = await world.central.services.productions.show(world.user(), named)
        if found.view.state is P.COMPLETED:
            return found
    raise AssertionError(f"the production is {found.view.state}: {found.view.steps}")


def argvs(world: FakeInstallation) -> Counter[tuple[str, ...]]:
    """Count the jobs of the store by the words of their tools."""
    bodies = world.store.by_hand("SELECT body FROM body ORDER BY job_id")
    jobs = (msgspec.json.decode(row[0], type=Job) for row in bodies)
    return Counter(tuple(spec_of(one.command)["argv"]) for one in jobs)


WANTED = Counter(
    [("echo", one) for one in ("a", "b", "c")] + [("echo", f"{one}-again") for one in "abc"]
)


def test_a_workflow_runs_and_gives_its_outputs() -> None:
    async def tell(world: FakeInstallation) -> None:
        made = await added(world, document(WORDS, words=["a", "b", "c"]))
        assert [(one.step, one.parents) for one in made.view.steps] == [
            ("say", ()),
            ("again", ("say",)),
        ]

        found = await ended(world)

        assert (found.status, found.why) == ("success", "")
        assert found.outputs["all"] == "a-again b-again c-again"
        places = [one["location"] for one in found.outputs["files"]]
        assert len(set(places)) == 3
        assert all(one.startswith("job:") and one.endswith("/kept/said.txt") for one in places)
        assert argvs(world) == WANTED
        view = (await completed(world)).view
        assert [one.state for one in view.steps] == [S.COMPLETED, S.COMPLETED]
        assert [one.done for one in view.steps] == [1.0, 1.0]
        assert (view.run, view.marks) == ("success", ())

    tale(tell)


def test_a_tool_that_fails_fails_the_run_and_says_why() -> None:
    async def tell(world: FakeInstallation) -> None:
        await added(world, document(FAILS, word="x"))

        found = await ended(world)

        assert found.status == "permanentFail"
        assert "say: job 1 is Failed: exit code 1" in found.why
        view = (await completed(world)).view
        assert (view.run, view.marks) == ("permanentFail", ("its run has failed",))

    tale(tell)


@pytest.mark.parametrize(
    ("program", "code", "times", "attempts", "status"),
    [
        ("busy", 75, 3, 4, "success"),
        ("busy", 75, 4, 4, "permanentFail"),
        ("busy", 75, 0, 1, "success"),
        ("'false'", 75, 0, 1, "permanentFail"),  # it ends with 1
    ],
)
def test_only_a_temporary_failure_is_retried(
    program: str, code: int, times: int, attempts: int, status: str
) -> None:
    text = FAILS.replace("['false']", f"{program}\n      temporaryFailCodes: [{code}]")

    async def tell(world: FakeInstallation) -> None:
        await added(world, document(text, word=str(times)))

        found = await ended(world)

        assert found.status == status, found
        made = world.store.by_hand("SELECT count(*) FROM attempt")
        assert made[0][0] == attempts
        await completed(world)

    tale(tell)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "truncated"),
        (b"[" * 100_000, "cannot be read"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `code`"),
        (forged(files=5), "`$.files`"),
        (forged(files=[{"path": "x"}]), "`kind`"),
        (forged(files=[{"path": "x", "kind": "file", "head": "0"}]), "`$.files[0].head`"),
        (forged(files=[{"path": "x", "kind": "file", "bytes": -1}]), "`$.files[0].bytes`"),
        (forged(status="fine"), "`$.status`"),
        (forged(stored=5), "`$.stored`"),
    ],
    ids=["none", "deep", "list", "empty", "files", "kind", "head", "bytes", "status", "stored"],
)
def test_a_tool_that_forges_its_result_fails_its_run(said: bytes, why: str) -> None:
    def plays(assignment: Assignment) -> Script:
        played = plays_tools(assignment)
        return replace(played, files={**played.files, RESULT: said})

    async def tell(world: FakeInstallation) -> None:
        await added(world, document(FAILS.replace("'false'", "'echo'"), word="a"))

        found = await ended(world)

        assert found.status == "permanentFail"
        assert "job 1: cwl-result.json cannot be read" in found.why
        assert why in found.why

    tale(tell, plays)


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_central_loses_and_repeats_nothing(seed: int) -> None:
    chance = random.Random(seed)

    async def tell(world: FakeInstallation) -> None:
        await added(world, document(WORDS, words=["a", "b", "c"]))
        for _ in range(8):
            await asyncio.sleep(chance.random() * 2.0)
            await world.kill()
            if chance.random() < 0.5:
                assert isinstance(world.evaluator, EvaluatorHere)
                world.evaluator.forget()
            await asyncio.sleep(chance.random())
            await world.start()

        found = await ended(world)

        assert found.outputs["all"] == "a-again b-again c-again", found
        assert argvs(world) == WANTED
        await completed(world)

    tale(tell)


def test_a_paused_production_makes_no_jobs() -> None:
    async def said(world: FakeInstallation, action: ProductionActionName) -> None:
        body = ProductionAction(action=action)
        await world.central.services.productions.act(world.user(), "run", body)

    async def tell(world: FakeInstallation) -> None:
        doc = document(WORDS, words=["a", "b", "c"])
        await uploaded(world)
        body = NewProduction(cwl=doc, name="run", start=False)
        await world.central.services.productions.add(world.user(), body)
        await asyncio.sleep(5.0)
        assert not argvs(world)
        await said(world, ProductionActionName.START)
        await asyncio.sleep(0.1)
        await said(world, ProductionActionName.PAUSE)
        await asyncio.sleep(30.0)
        assert len(argvs(world)) <= 3
        await said(world, ProductionActionName.RESUME)

        assert (await ended(world)).status == "success"
        assert argvs(world) == WANTED

    tale(tell)


def test_a_wrong_document_is_refused_and_nothing_is_stored() -> None:
    async def tell(world: FakeInstallation) -> None:
        for text, why in (
            ("cwlVersion: v1.2\nclass: Workflow\ninputs: {}\nsteps: {}\n", "outputs"),
            ("class: [", "words.cwl"),
            (WORDS.replace("say/out", "sai/out"), "sai"),
        ):
            with pytest.raises(Refused, match=why):
                await added(world, document(text))
        assert not world.store.by_hand("SELECT production_id FROM production")

    tale(tell)
