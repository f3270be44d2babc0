"""The evaluator of CWL documents ends, or answers nonsense: its runs begin again, a few times."""

import asyncio
from collections.abc import Callable

import pytest

from pilotage.central.cwl.messages import (
    Advance,
    Advanced,
    Answer,
    Begin,
    Broken,
    Call,
    Needs,
    Noted,
    WantedJob,
)
from pilotage.central.cwl_runs.evaluator_link import EvaluatorEnded
from pilotage.central.cwl_runs.runs import TRIES_MAX
from tests.fake_evaluator import EvaluatorHere
from tests.fakes import FakeInstallation

from .test_cwl_runs import FAILS, WANTED, WORDS, added, argvs, completed, document, ended, tale

NOWHERE = WantedJob(key="1", step="nowhere", spec={"stage": []})


class Ends(EvaluatorHere):
    """It ends as it is asked to advance a run, if `ends` says so of the number of the call."""

    def __init__(self, ends: Callable[[int], bool]) -> None:
        super().__init__()
        self._ends, self.calls, self.ended = ends, 0, 0

    async def ask(self, call: Call) -> Answer:
        if isinstance(call, Advance) and not call.more:
            self.calls += 1
            if self._ends(self.calls):
                self.ended += 1
                self.forget()
                raise EvaluatorEnded("the test says so")
        return await super().ask(call)


@pytest.mark.parametrize(
    ("ends", "status", "times"),
    [
        (lambda call: call % 3 != 0, "success", range(6, 100)),  # twice in a row, again and again
        (lambda call: call > 2, "permanentFail", range(3, 4)),
    ],
)
def test_a_run_fails_only_if_the_evaluator_ends_three_times_in_a_row(
    ends: Callable[[int], bool], status: str, times: range
) -> None:
    async def tell(world: FakeInstallation) -> None:
        await world.kill()
        evaluator = world.evaluator = Ends(ends)
        await world.start()
        await added(world, document(WORDS, words=["a", "b", "c"]))

        found = await ended(world)

        assert found.status == status, found
        assert evaluator.ended in times
        if status == "success":
            assert argvs(world) == WANTED
        else:
            assert found.why == "the document cannot be evaluated: the test says so"

    tale(tell)


class Answers(EvaluatorHere):
    """It has one answer to all calls of a kind; an error stands for a fault of the central."""

    def __init__(self, kind: type[Call], answer: Answer | Exception) -> None:
        super().__init__()
        self._kind, self._answer, self.times = kind, answer, 0

    async def ask(self, call: Call) -> Answer:
        if not isinstance(call, self._kind):
            return await super().ask(call)
        self.times += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("kind", "answer", "why"),
    [
        (Begin, Broken(why="no such field"), "the document cannot be evaluated: no such field"),
        (Begin, Advanced(), "cannot be evaluated: its answer is Advanced("),
        (Advance, Noted(), "cannot be evaluated: its answer is Noted("),
        (Advance, Needs(paths=()), "cannot be evaluated: it asks again for ()"),
        (Advance, ValueError("half"), "the central cannot carry out this run: ValueError: half"),
        (Advance, Advanced(jobs=(NOWHERE,)), "cannot carry out this run: KeyError: 'nowhere'"),
    ],
)
def test_a_run_that_always_meets_an_error_fails_with_it(
    kind: type[Call], answer: Answer | Exception, why: str
) -> None:
    async def tell(world: FakeInstallation) -> None:
        await world.kill()
        wrong = world.evaluator = Answers(kind, answer)
        await world.start()
        await added(world, document(WORDS, words=["a"]))

        found = await ended(world)

        assert found.status == "permanentFail"
        assert why in found.why
        assert wrong.times == TRIES_MAX
        assert (await completed(world)).view.marks == ("its run has failed",)

    tale(tell)


def test_a_run_whose_document_cannot_be_read_fails_with_the_reason() -> None:
    async def tell(world: FakeInstallation) -> None:
        await added(world, document(FAILS, word="a"))
        await world.kill()
        world.store.by_hand("UPDATE production SET definition = x'7b'")
        await world.start()
        await asyncio.sleep(5.0)

        ((why,),) = world.store.by_hand("SELECT why FROM cwl_run")

        assert why.startswith("the central cannot carry out this run: "), why

    tale(tell)
