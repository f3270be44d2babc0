"""How far a production is: at the start as planned, later as its steps really do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from pilotage.central.productions.progress import ProductionProgress, StepStanding, progress
from pilotage.central.workflows.plan import plan
from pilotage.proto.documents.workflow import Workflow
from pilotage.proto.transformation_states import InputState as I, TaskState as T
from tests.unit.workflows.written_here import workflow

CHAIN = """
    workflow: chain
    steps:
      make:
        tasks: 20
        job: {command: [make]}
        outputs: {raw: {pattern: "*", files: 3}}
      use:
        inputs: {raw: make.raw}
        grouping: 4
        job: {command: [use]}
        outputs: {o: "*"}
      by-key:
        inputs: {raw: {from: make.raw, where: {n: 1}}}
        grouping: {rule: key, keys: [n], size: 5}
        job: {command: [use]}
      merge:
        inputs: {o: use.o}
        grouping: all
        job: {command: [merge]}
""".replace("files: 3}", "files: 3, sets: {n: [1, 2]}}")
STEPS = ("make", "use", "by-key", "merge")


@pytest.fixture
def chain(tmp_path: Path) -> Workflow:
    return workflow(tmp_path, CHAIN)


def stood(chain: Workflow, **stands: StepStanding) -> ProductionProgress:
    given: dict[str, StepStanding] = {"make": StepStanding(tasks_wanted=20), **stands}
    known = {name: given.get(name.replace("-", "_"), StepStanding()) for name in STEPS}
    return progress(chain, plan(chain), known)


def expected(found: ProductionProgress) -> dict[str, int | None]:
    return {name: one.expected for name, one in found.steps.items()}


def test_at_the_start_the_plan_is_what_is_known(chain: Workflow) -> None:
    found = stood(chain)

    assert expected(found) == {"make": 20, "use": 15, "by-key": 6, "merge": 1}
    assert found.whole == 0.0
    assert [name for name, one in found.steps.items() if one.exact] == ["make"]


def test_what_parents_really_make_counts_more_with_each_task(chain: Workflow) -> None:
    """Each task makes six files, not three."""
    seen: list[int] = []
    for done in (1, 5, 10, 20):
        stands = {
            "make": StepStanding(tasks_wanted=20, tasks={T.DONE: done}),
            "use": StepStanding(inputs={I.UNUSED: 6 * done}),
        }
        found = stood(chain, **stands).steps["use"]
        assert found.expected is not None
        seen.append(found.expected)

    assert seen == sorted(seen) and seen[0] < 25 and seen[-1] == 30
    assert stood(chain, **stands).steps["use"].done == 0.0


def test_a_step_that_is_over_is_done_and_its_children_know_exactly(chain: Workflow) -> None:
    over = StepStanding(is_over=True, tasks_wanted=20, tasks={T.DONE: 19, T.FAILED: 1})
    use = StepStanding(inputs={I.PROCESSED: 56, I.STUCK: 1}, tasks={T.DONE: 14, T.FAILED: 3})
    found = stood(chain, make=over, use=use, merge=StepStanding(inputs={I.UNUSED: 14}))

    assert found.steps["make"].done == 0.95  # a task that failed is not done
    assert (found.steps["use"].expected, found.steps["use"].exact) == (15, True)
    assert found.steps["use"].done == pytest.approx(14 / 15)  # a file is stuck
    assert found.steps["merge"].expected == 1
    assert 0.5 < found.whole < 1.0


def test_steps_weigh_as_long_as_their_tasks_run(chain: Workflow) -> None:
    done = {T.DONE: 20}
    slow = stood(chain, make=StepStanding(tasks_wanted=20, tasks=done, task_s=1_000.0))
    assert expected(slow) == {"make": 20, "use": 0, "by-key": 0, "merge": 0}, "no file came"
    fast = stood(
        chain,
        make=StepStanding(tasks_wanted=20, tasks=done, task_s=1.0),
        use=StepStanding(task_s=1_000.0),
    )

    assert slow.whole == pytest.approx(20 / 23, abs=0.01), "of the others nothing is known"
    assert fast.whole < 0.01


def test_all_over_is_all_done(chain: Workflow) -> None:
    over = {name.replace("-", "_"): StepStanding(is_over=True, tasks={T.DONE: 3}) for name in STEPS}
    over["make"] = StepStanding(is_over=True, tasks={T.DONE: 20}, tasks_wanted=20)

    assert stood(chain, **over).whole == pytest.approx(1.0)


def test_without_a_catalogue_nothing_is_known_of_what_comes_from_it(tmp_path: Path) -> None:
    text = """
        workflow: w
        keys: {k: number}
        steps:
          a: {inputs: {i: {query: {k: 1}}}, grouping: 2, job: {command: [x]}, outputs: {o: "*"}}
          b: {inputs: {i: a.o}, job: {command: [x]}}
    """
    found = workflow(tmp_path, text)

    before = progress(found, plan(found), {"a": StepStanding(), "b": StepStanding()})
    after = progress(
        found,
        plan(found),
        {"a": StepStanding(inputs={I.UNUSED: 6}, tasks={T.DONE: 1}), "b": StepStanding()},
    )

    assert expected(before) == {"a": None, "b": None} and before.whole == 0.0
    assert expected(after)["a"] == 4


counts = st.integers(0, 50)


@st.composite
def stands(draw: Any) -> Mapping[str, StepStanding]:
    return {
        name: StepStanding(
            is_over=draw(st.booleans()),
            inputs=draw(st.dictionaries(st.sampled_from(list(I)), counts))
            if name != "make"
            else {},
            tasks=draw(st.dictionaries(st.sampled_from(list(T)), counts)),
            tasks_wanted=draw(counts) if name == "make" else 0,
            task_s=draw(st.none() | st.floats(0.1, 1e6)),
        )
        for name in STEPS
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stands())
def test_however_steps_stand_parts_lie_between_nothing_and_all(
    chain: Workflow, given_stands: Mapping[str, StepStanding]
) -> None:
    found = progress(chain, plan(chain), given_stands)

    assert 0.0 <= found.whole <= 1.0
    for name, one in found.steps.items():
        assert 0.0 <= one.done <= 1.0
        assert one.expected is None or one.expected >= given_stands[name].done
    make = given_stands["make"]
    assert found.steps["make"].expected == max(make.tasks_wanted, make.done)
