"""Which job a report names of each cause, and of which it reads standard error."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from pilotage.central.accounts import record_failures as failure_records
from pilotage.central.accounts.record_failures import FailureRow, FailureSearch
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.record_types import AttemptRow
from pilotage.central.productions import step_failures as failed
from pilotage.central.productions.step_failures import LastLine, failures_of
from pilotage.central.store.engine import Store
from pilotage.central.transformations.record import TransformationRow
from pilotage.proto.api.productions import StepFailures
from pilotage.proto.job_states import JobEvent
from pilotage.proto.messages import How
from tests.memory_store import MemoryStore, way
from tests.unit.jobs.test_failure_class import attempt

FAILED = attempt(How.EXITED, JobEvent.PAYLOAD_FAILED.value, exit_code=2)
WELL = attempt(How.EXITED, JobEvent.SUCCEEDED.value, exit_code=0)
ALIVE = attempt(None, "", ended_at=None, live=True)


class Stored(MemoryStore):
    """Has failures of one class, and attempts of some of its jobs."""

    def __init__(self, jobs: Sequence[int], attempts: dict[int, list[AttemptRow]]) -> None:
        super().__init__()
        self.jobs, self.attempts = tuple(jobs), attempts

    @way(failure_records.failures)
    async def failures(self, plain: Any, search: FailureSearch, *, limit: int) -> list[FailureRow]:
        return [
            FailureRow(failure="payload", site="PIC", attempts=9, jobs=4, examples=self.jobs)
        ]  # fmt: skip

    @way(job_records.attempts_of_jobs)
    async def attempts_of_jobs(
        self, plain: Any, jobs: Sequence[int]
    ) -> dict[int, list[AttemptRow]]:
        return {job: self.attempts[job] for job in jobs if job in self.attempts}


def row(transformation_id: int = 1) -> TransformationRow:
    given: dict[str, Any] = dict.fromkeys(TransformationRow.__struct_fields__)
    given |= {"transformation_id": transformation_id, "community": "ctao"}
    return TransformationRow(**given)


async def told(
    jobs: Sequence[int], attempts: dict[int, list[AttemptRow]], *, steps: int = 1
) -> list[StepFailures]:
    """Return what is told of each step, where of each attempt its exit code stands as its words."""

    async def last_line(of: AttemptRow) -> str:
        return f"exit code {of.exit_code}"

    stored = cast("Store", Stored(jobs, attempts))
    rows = [row(number) for number in range(steps)]
    return [one for (one,) in await failures_of(stored, rows, last_line)]


CASES: dict[str, tuple[list[int], dict[int, list[AttemptRow]], tuple[int, ...], str]] = {
    "the newest": ([3, 4, 2], {n: [FAILED] for n in (2, 3, 4)}, (4, 3, 2), "exit code 2"),
    "did well since": ([4, 3], {4: [FAILED, WELL], 3: [FAILED]}, (3, 4), "exit code 2"),
    "runs again": ([4, 3], {4: [FAILED, ALIVE], 3: [WELL, FAILED]}, (3, 4), "exit code 2"),
    "all did well since": ([4, 3], {4: [FAILED, WELL], 3: [FAILED, WELL]}, (4, 3), ""),
    "one is gone": ([4, 3], {3: [FAILED]}, (3, 4), "exit code 2"),
    "all are gone": ([4, 3], {}, (4, 3), ""),
    "none was named": ([], {}, (), ""),
}


@pytest.mark.parametrize("case", CASES)
async def test_the_first_example_is_the_newest_whose_output_tells_of_it(case: str) -> None:
    jobs, attempts, examples, stderr = CASES[case]
    (found,) = await told(jobs, attempts)

    assert (found.examples, found.stderr) == (examples, stderr)


async def test_only_so_many_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed, "QUOTED_MAX", 2)
    found = await told([4], {4: [FAILED]}, steps=3)

    assert [one.stderr for one in found] == ["exit code 2", "exit code 2", ""]
    assert {one.examples for one in found} == {(4,)}


async def test_who_may_not_read_it_is_told_the_job_alone() -> None:
    nothing: LastLine | None = None
    stored = cast("Store", Stored([4], {4: [FAILED]}))
    ((found,),) = await failures_of(stored, [row()], nothing)

    assert (found.examples, found.stderr) == ((4,), "")
