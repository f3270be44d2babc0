"""The evaluator of CWL documents ends while it is asked: its runs begin again, a few times."""

from collections.abc import Callable

import pytest

from pilotage.central.cwl.messages import Advance, Answer, Call
from pilotage.central.cwl_runs.evaluator_link import EvaluatorEnded
from tests.fake_evaluator import EvaluatorHere
from tests.fakes import FakeInstallation

from .test_cwl_runs import WANTED, WORDS, added, argvs, document, ended, tale


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
