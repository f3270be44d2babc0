"""Runs of CWL documents reuse the results of earlier runs."""

import hashlib
from collections import Counter
from typing import Any

from pilotage.proto.api.productions import NewProduction, ProductionDetail
from pilotage.proto.documents.cwl import CwlDocument
from tests.fakes import FakeInstallation

from .test_cwl_runs import WANTED, WORDS, argvs, completed, document, ended, tale, uploaded


async def reused(world: FakeInstallation, named: str) -> dict[str, dict[str, int]]:
    found = await world.central.services.productions.report(world.user(), named)
    return {one.step: one.reused for one in found.steps if one.reused}


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
        assert await reused(world, "second") == {
            "say": {"transformation 1 (first-say)": 3},
            "again": {"transformation 2 (first-again)": 3},
        }
        view = (await completed(world, "second")).view
        assert [(one.tasks_made, one.done) for one in view.steps] == [(3, 1.0), (3, 1.0)]

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
