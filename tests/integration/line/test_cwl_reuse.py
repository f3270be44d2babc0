"""Runs of CWL documents reuse the results of earlier runs."""

import asyncio
import hashlib
import random
from collections import Counter
from typing import Any

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.productions.reuse_reasons import NEW, OFF
from pilotage.proto.api.productions import NewProduction, ProductionDetail
from pilotage.proto.documents.cwl import CwlDocument, CwlFile
from tests.fakes import FakeInstallation

from .test_cwl_runs import (
    FAILS,
    WANTED,
    WORDS,
    added,
    argvs,
    completed,
    document,
    ended,
    put,
    tale,
    uploaded,
)


async def reused(world: FakeInstallation, named: str) -> dict[str, dict[str, int]]:
    found = await world.central.services.productions.report(world.user(), named)
    return {one.step: one.reused for one in found.steps if one.reused}


async def not_reused(world: FakeInstallation, named: str) -> dict[str, dict[str, int]]:
    found = await world.central.services.productions.report(world.user(), named)
    return {one.step: one.not_reused for one in found.steps if one.not_reused}


async def ran(world: FakeInstallation, doc: CwlDocument, name: str, **fields: Any) -> Any:
    """Run a document to its end; return its outputs."""
    await uploaded(world)
    body = NewProduction(cwl=doc, name=name, **fields)
    made = await world.central.services.productions.add(world.user(), body)
    assert isinstance(made, ProductionDetail)
    found = await ended(world, name)
    assert found.status == "success", found
    await completed(world, name)
    return found.outputs


def test_a_second_run_reuses_all_results_and_says_so() -> None:
    async def tell(world: FakeInstallation) -> None:
        doc = document(WORDS, words=["a", "b", "c"])
        first = await ran(world, doc, "first")

        second = await ran(world, doc, "second")

        assert second == first
        assert argvs(world) == WANTED
        assert await reused(world, "first") == {}
        assert await not_reused(world, "first") == {"say": {NEW: 3}, "again": {NEW: 3}}
        assert await not_reused(world, "second") == {}
        assert await reused(world, "second") == {
            "say": {"transformation 1 (first-say)": 3},
            "again": {"transformation 2 (first-again)": 3},
        }
        view = (await completed(world, "second")).view
        assert [(one.tasks_made, one.done) for one in view.steps] == [(3, 1.0), (3, 1.0)]

    tale(tell)


def test_a_person_reuses_only_results_of_their_own_jobs() -> None:
    async def tell(world: FakeInstallation) -> None:
        doc = document(WORDS, words=["a"])
        await ran(world, doc, "first")
        other = msgspec.structs.replace(world.user(), subject="somebody else")

        await uploaded(world, other)
        await world.central.services.productions.add(other, NewProduction(cwl=doc, name="second"))

        assert (await ended(world, "second")).status == "success"
        assert argvs(world) == Counter({("echo", "a"): 2, ("echo", "a-again"): 2})

    tale(tell)


@pytest.mark.parametrize("is_theirs", [False, True])
def test_files_that_the_submitter_has_not_uploaded_are_refused_by_name(is_theirs: bool) -> None:
    text = """\
cwlVersion: v1.2
class: ExpressionTool
requirements: {InlineJavascriptRequirement: {}}
inputs: {file: {type: File, loadContents: true}}
outputs: {text: string}
expression: '${return {text: inputs.file.contents};}'
"""

    async def tell(world: FakeInstallation) -> None:
        place = "/pilotage-cwl/given/0/secret"
        content = b"secret"
        sha256 = hashlib.sha256(content).hexdigest()
        if is_theirs:
            await put(world, world.user(), content)
        other = msgspec.structs.replace(world.user(), subject="somebody else", groups=("g2",))
        await uploaded(world, other)
        given = {"class": "File", "location": f"file://{place}"}
        doc = msgspec.structs.replace(
            document(text, file=given), files={place: CwlFile(sha256=sha256, size_bytes=6)}
        )

        with pytest.raises(Refused) as refused:
            await world.central.services.productions.add(other, NewProduction(cwl=doc, name="a"))

        assert refused.value.field == "cwl.files"
        assert f"{place!r} was not uploaded" in str(refused.value)

    tale(tell)


def test_only_new_work_runs() -> None:
    async def tell(world: FakeInstallation) -> None:
        await ran(world, document(WORDS, words=["a", "b", "c"]), "first")

        outputs = await ran(world, document(WORDS, words=["c", "d", "a"]), "second")

        assert outputs["all"] == "c-again d-again a-again"
        assert argvs(world) == WANTED + Counter([("echo", "d"), ("echo", "d-again")])

    tale(tell)


def test_a_run_without_reuse_runs_everything() -> None:
    async def tell(world: FakeInstallation) -> None:
        doc = document(WORDS, words=["a", "b", "c"])
        await ran(world, doc, "first")

        await ran(world, doc, "second", reuse=False)

        assert argvs(world) == WANTED + WANTED
        assert await reused(world, "second") == {}
        assert await not_reused(world, "second") == {"say": {OFF: 3}, "again": {OFF: 3}}

    tale(tell)


def test_a_rerun_without_reuse_runs_everything() -> None:
    async def tell(world: FakeInstallation) -> None:
        await ran(world, document(WORDS, words=["a"]), "first")

        body = NewProduction(rerun_of="first", name="second", reuse=False)
        await world.central.services.productions.add(world.user(), body)

        assert (await ended(world, "second")).status == "success"
        assert argvs(world) == Counter({("echo", "a"): 2, ("echo", "a-again"): 2})

    tale(tell)


def test_an_expression_that_reads_a_file_of_the_catalogue_ends_the_run() -> None:
    text = """\
cwlVersion: v1.2
class: ExpressionTool
requirements: {InlineJavascriptRequirement: {}}
inputs: {file: {type: File, loadContents: true}}
outputs: {text: string}
expression: '${return {text: inputs.file.contents};}'
"""

    async def tell(world: FakeInstallation) -> None:
        place = "/pilotage-cwl/given/lfn/0/first"
        given = {"class": "File", "location": f"file://{place}", "basename": "first"}
        doc = msgspec.structs.replace(
            document(text, file=given), files={place: CwlFile(did="dpps:first")}
        )
        await added(world, doc)

        end = await ended(world)

        assert (end.status, "only uploaded files" in end.why) == ("permanentFail", True)

    tale(tell)


def test_a_tool_that_forbids_reuse_runs_again_and_what_it_feeds_with_the_same_bytes_does_not() -> (
    None
):
    forbids = WORDS.replace(
        "    scatter: w\n    in: {w: words}",
        "    requirements: {WorkReuse: {enableReuse: false}}\n    scatter: w\n    in: {w: words}",
    )

    async def tell(world: FakeInstallation) -> None:
        doc = document(forbids, words=["a"])
        await ran(world, doc, "first")

        await ran(world, doc, "second")

        assert argvs(world)[("echo", "a")] == 2
        assert argvs(world)[("echo", "a-again")] == 1

    tale(tell)


def test_a_result_whose_files_are_gone_is_not_reused() -> None:
    async def tell(world: FakeInstallation) -> None:
        doc = document(WORDS, words=["a"])
        await ran(world, doc, "first")
        del world.blobs.blobs[hashlib.sha256(b"a").hexdigest()]  # what the first tool said

        await ran(world, doc, "second")

        assert argvs(world)[("echo", "a")] == 2

    tale(tell)


def corrected(text: str) -> str:
    """Return the document with another second tool: it says one word more."""
    return text.replace("$(self)-again", "$(self)-better")


def test_a_corrected_document_runs_its_changed_tools_under_the_same_production() -> None:
    async def tell(world: FakeInstallation) -> None:
        await ran(world, document(WORDS, words=["a", "b"]), "run")

        outputs = await ran(
            world, document(corrected(WORDS), words=["a", "b"]), "run", correct=True
        )

        assert outputs["all"] == "a-better b-better"
        words = [("echo", one) for one in ("a", "b", "a-again", "b-again", "a-better", "b-better")]
        assert argvs(world) == Counter(words)
        view = (await completed(world, "run")).view
        assert (view.id, [one.tasks_made for one in view.steps]) == (1, [2, 2])
        assert await reused(world, "run") == {"say": {"transformation 1 (run-say-until-2)": 2}}

    tale(tell)


def test_a_failed_run_begins_again_with_the_same_document() -> None:
    async def tell(world: FakeInstallation) -> None:
        doc = document(FAILS, word="x")
        await added(world, doc)
        assert (await ended(world)).status == "permanentFail"
        view = (await completed(world)).view
        assert (view.steps[0].done, view.progress < 1.0) == (0.0, True)

        body = NewProduction(cwl=doc, name="run", correct=True)
        made = await world.central.services.productions.add(world.user(), body)

        assert isinstance(made, ProductionDetail)
        assert (made.was_there, made.view.run) == (False, "")
        assert (await ended(world)).status == "permanentFail"
        assert argvs(world) == Counter({("false", "x"): 2})

    tale(tell)


def test_a_document_that_still_runs_is_not_corrected() -> None:
    async def tell(world: FakeInstallation) -> None:
        await uploaded(world)
        await added(world, document(WORDS, words=["a"]))
        await asyncio.sleep(0.2)
        body = NewProduction(cwl=document(corrected(WORDS), words=["a"]), name="run", correct=True)

        with pytest.raises(Refused, match="jobs of the production still run"):
            await world.central.services.productions.add(world.user(), body)

        assert (await ended(world)).outputs["all"] == "a-again"

    tale(tell)


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_central_loses_nothing_of_a_correction(seed: int) -> None:
    chance = random.Random(seed)

    async def tell(world: FakeInstallation) -> None:
        await ran(world, document(WORDS, words=["a", "b"]), "run")
        body = NewProduction(
            cwl=document(corrected(WORDS), words=["a", "b"]), name="run", correct=True
        )
        await world.central.services.productions.add(world.user(), body)
        for _ in range(6):
            await asyncio.sleep(chance.random())
            await world.kill()
            await asyncio.sleep(chance.random())
            await world.start()

        assert (await ended(world)).outputs["all"] == "a-better b-better"
        words = [("echo", one) for one in ("a", "b", "a-again", "b-again", "a-better", "b-better")]
        assert argvs(world) == Counter(words)

    tale(tell)
