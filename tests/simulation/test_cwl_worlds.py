"""Worlds in which people run a CWL document: each tool is one job, whatever dies, and when."""

from collections import Counter
from typing import Any

import pytest

from pilotage.central.cwl_runs import record as run_records
from pilotage.central.cwl_runs.task_maker import RunTaskMaker
from pilotage.central.transformations import record as transformation_records
from pilotage.central.transformations.reuse.known_results import KnownResults

from . import seeds
from .campaign import campaign, replay
from .cwl_story import CwlStory, with_run
from .world import run

SEEDS, OF_LEADERS = 15, 5
LONG_FIRST, LONG_SEEDS, LONG_OF_LEADERS = 20_000, 2_000, 500
WITHIN = 60
KINDS, APART, NOT_REUSED = (1, 2, 5, 8), 4, 1
# What each of these worlds has found.
FOUND = {
    88: "an attempt whose inputs are fetched as the guard dies stays for ever",
    1363: "an estimated end is so far away that no date can hold it",
}
FOUND_OF_LEADERS = {1482271345: "a leader that stood still says that a new attempt is over"}


@pytest.mark.parametrize("start", seeds.starts(SEEDS))
def test_each_tool_is_one_job(start: int) -> None:
    _keep(seeds.first() + start, seeds.A_CASE)


def test_each_tool_is_one_job_where_centrals_take_over() -> None:
    _keep(seeds.first(), OF_LEADERS, leaders=True)


@pytest.mark.parametrize("seed", FOUND)
def test_a_world_that_has_found_a_fault_finds_none(seed: int) -> None:
    _keep(seed, 1)


@pytest.mark.parametrize("seed", FOUND_OF_LEADERS)
def test_a_world_of_leaders_that_has_found_a_fault_finds_none(seed: int) -> None:
    _keep(seed, 1, leaders=True)


@pytest.mark.long
@pytest.mark.parametrize(("worlds", "leaders"), [(LONG_SEEDS, False), (LONG_OF_LEADERS, True)])
def test_each_tool_is_one_job_in_many_worlds(worlds: int, leaders: bool) -> None:
    _keep(LONG_FIRST, worlds, leaders=leaders, processes=2)


def test_the_same_seed_gives_the_same_trace() -> None:
    one, other = run(1, prepare=with_run), run(1, prepare=with_run)

    assert one.trace == other.trace
    assert one.steps == other.steps > 1_000


def test_all_kinds_of_corrections_are_drawn_and_evaluators_end() -> None:
    kinds, ends = Counter[str](), 0
    for seed in KINDS:
        world = run(seed, prepare=with_run)
        assert isinstance(world.story, CwlStory)
        kinds[world.story.corrects] += 1
        ends += sum("the evaluator ends" in line for line in world.trace)

    assert kinds.keys() == {"", "while it runs", "at a pause", "at its end"}
    assert ends


# -- the tester is tested ----------------------------------------------------------------------


def test_keys_that_are_stored_after_their_jobs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, keyed = RunTaskMaker.make, run_records._keyed

    def without_keys(session: Any, production_id: int, *args: Any) -> Any:
        return transformation_records.make_tasks(session, *args[:-1])

    without_keys.__name__ = "make_tasks"

    async def make(self: Any, production_id: int, row: Any, jobs: Any) -> Any:
        made = await plain(self, production_id, row, jobs)
        await self._store.write(keyed, production_id, [one.key for one in jobs], made)
        return made

    monkeypatch.setattr(run_records, "make_tasks", without_keys)
    monkeypatch.setattr(RunTaskMaker, "make", make)

    assert "one job per tool" in _first_violation(APART)


def test_results_that_are_not_reused_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def of(self: Any, recipes: Any) -> dict[str, int]:
        return {}

    monkeypatch.setattr(KnownResults, "of", of)

    assert "one job per tool" in _first_violation(NOT_REUSED)


def _first_violation(seed: int) -> str:
    """Return what a seed shows, or where the draws have moved the first of some."""
    found = campaign(seed, 1, runs=True, processes=1)
    if not found.violations:
        found = campaign(1, WITHIN, runs=True, processes=1, stop=True)
    print(*found.violations)
    return " ".join(found.violations.values())


def _keep(first: int, worlds: int, *, leaders: bool = False, processes: int = 1) -> None:
    found = campaign(first, worlds, leaders=leaders, runs=True, processes=processes)

    assert not found.violations, "\n".join(
        f"seed {seed}: {why}\n  {replay(seed, leaders=leaders, runs=True)}"
        for seed, why in found.violations.items()
    )
    assert found.seeds == worlds
