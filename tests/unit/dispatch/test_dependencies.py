"""The graph of jobs that wait for each other, without a store."""

import random

import pytest

from pilotage.central.dispatch.dependencies.graph import DependencyGraph
from pilotage.central.dispatch.dependencies.releases import READ_MAX, pages
from pilotage.central.jobs.record_dependencies import Dependent, Verdict
from pilotage.proto.documents.job import When
from pilotage.proto.job_states import JobState

DONE, FAILED, KILLED = JobState.DONE, JobState.FAILED, JobState.KILLED
WAITING, HELD = JobState.WAITING, JobState.HELD
MANY = 1_000_000
STATES = {"w": WAITING, "r": JobState.RUNNING, "h": HELD, "d": DONE, "f": FAILED, "k": KILLED}

#  condition of job 9, policy, states of the jobs 1, 2, 3; verdict
TABLE = """
    1-1:ok    -     w--   WAIT
    1-1:ok    -     r--   WAIT
    1-1:ok    -     h--   WAIT
    1-1:ok    -     d--   RUN
    1-1:ok    -     f--   HOLD
    1-1:ok    hold  k--   HOLD
    1-1:ok    skip  f--   SKIP
    1-1:any   -     r--   WAIT
    1-1:any   -     f--   RUN
    1-1:any   -     d--   RUN
    1-1:fail  -     w--   WAIT
    1-1:fail  -     f--   RUN
    1-1:fail  -     k--   RUN
    1-1:fail  -     d--   SKIP
    1-1:fail  hold  d--   HOLD
    1-3:ok    -     ddw   WAIT
    1-3:ok    -     ddd   RUN
    1-3:ok    -     dfw   HOLD
    1-3:any   -     dfw   WAIT
    1-3:any   -     dfk   RUN
    1-3:fail  -     ffw   WAIT
    1-3:fail  -     ddf   RUN
    1-3:fail  -     ddd   SKIP
"""


def graph_of(*dependents: Dependent) -> DependencyGraph:
    graph = DependencyGraph()
    graph.add(dependents)
    graph.watch(MANY)
    return graph


def dependent(job: int, *parents: tuple[int, int, When], policy: str = "") -> Dependent:
    return Dependent(job, 1, policy, parents)


def tell(graph: DependencyGraph, states: str) -> None:
    for job, letter in enumerate(states, start=1):
        if letter != "-":
            graph.heard(job, STATES[letter])


@pytest.mark.parametrize("row", [row.split() for row in TABLE.strip().splitlines()], ids=" ".join)
def test_a_verdict_follows_from_the_states_of_the_parents(row: list[str]) -> None:
    condition, policy, states, verdict = row
    ids, _, when = condition.partition(":")
    first, last = map(int, ids.split("-"))
    parents = (first, last - first + 1, when)
    graph = graph_of(Dependent(9, 1, policy.strip("-"), (parents,)))  # type: ignore[arg-type]
    tell(graph, states)

    assert graph.verdict(9) is Verdict[verdict]


def test_one_failure_is_enough_for_all_conditions_that_want_one() -> None:
    graph = graph_of(dependent(9, (1, 1, "fail"), (3, 1, "fail")))
    tell(graph, "d-w")
    one_left = graph.verdict(9), [str(one) for one in graph.open_conditions(9)[0]]
    tell(graph, "--f")
    failed = graph.verdict(9)
    tell(graph, "--d")

    assert one_left == (Verdict.WAIT, ["it waits for job 3 to end with a failure"])
    assert (failed, graph.verdict(9)) == (Verdict.RUN, Verdict.SKIP)


def test_states_that_are_read_count_unless_newer_ones_were_heard() -> None:
    graph = graph_of(dependent(9, (1, 3, "ok")))
    graph.heard(2, JobState.RUNNING)
    graph.read([(1, 3)], [(1, "Done"), (2, "Done"), (3, "Done")], graph.made)
    before = graph.verdict(9)
    graph.heard(2, DONE)

    assert (before, graph.verdict(9)) == (Verdict.WAIT, Verdict.RUN)


def test_a_job_waits_while_a_state_of_a_parent_is_unknown() -> None:
    graph = graph_of(dependent(9, (1, 2, "any")))
    graph.heard(1, DONE)
    before = graph.verdict(9)
    graph.read([(1, 2)], [(1, "Waiting"), (2, "Done")], graph.made)

    assert (before, graph.verdict(9)) == (Verdict.WAIT, Verdict.RUN)


def test_states_from_before_the_watch_began_do_not_count() -> None:
    graph = graph_of(dependent(9, (1, 1, "ok")))
    made = graph.made
    graph.forget(9)
    graph.add([dependent(9, (1, 1, "ok"))])
    graph.watch(MANY)
    graph.read([(1, 1)], [(1, "Done")], made)

    assert graph.verdict(9) is Verdict.WAIT
    assert graph.unread


def test_removed_parents_have_ended_well_but_release_no_stopped_job() -> None:
    graph = graph_of(dependent(9, (1, 2, "ok")))
    graph.read([(1, 2)], [(1, "Done")], graph.made)
    settlement = graph.settlement(9)

    assert settlement is not None
    assert (settlement.verdict, settlement.resumes) == (Verdict.RUN, False)


def test_a_stopped_job_is_due_again_when_its_parent_is_opened_again() -> None:
    graph = graph_of(dependent(9, (1, 1, "ok")))
    graph.heard(1, FAILED)
    graph.due.clear()
    graph.stopped(9, is_stopped=True)
    graph.heard(1, WAITING)

    assert list(graph.due) == [9]
    assert graph.verdict(9) is Verdict.WAIT


def test_a_person_who_releases_a_stopped_job_lets_it_run_without_its_parents() -> None:
    graph = graph_of(dependent(9, (1, 1, "ok")))
    graph.heard(1, FAILED)
    graph.stopped(9, is_stopped=True)
    graph.moved(9, WAITING)

    assert 9 not in graph.children


def test_a_job_that_a_person_has_held_still_waits_after_its_release() -> None:
    graph = graph_of(dependent(9, (1, 1, "ok")))
    graph.moved(9, HELD)
    graph.moved(9, WAITING)

    assert graph.verdict(9) is Verdict.WAIT


def test_the_reason_names_the_parent_that_failed() -> None:
    graph = graph_of(dependent(5_000, (1_000, 3_000, "ok")))
    graph.read([(1_000, 3_000)], [(job, "Done") for job in range(1_000, 4_000)], graph.made)
    graph.heard(2_100, KILLED)
    settlement = graph.settlement(5_000)

    assert settlement is not None
    assert settlement.reason == "job 2100 is Killed, and this job runs only after it ended well"


def test_open_conditions_are_told_in_words() -> None:
    graph = graph_of(dependent(9, (1, 1, "ok"), (2, 3, "any"), (5, 1, "fail")))
    tell(graph, "wdd--")
    shown, count = graph.open_conditions(9)
    tell(graph, "----d")
    broken, _ = graph.open_conditions(9)

    assert count == 3
    assert [str(one) for one in shown] == [
        "it waits for job 1 to end well",
        "it waits for jobs 2-4 to end (2 of 3 have ended)",
        "it waits for job 5 to end with a failure",
    ]
    assert str(broken[2]) == "it waited for job 5 to end with a failure, which is not possible now"


def test_nothing_stays_in_memory_after_the_last_dependent_is_gone() -> None:
    chance = random.Random(7)
    graph = DependencyGraph()
    for job in range(10_000, 10_200):
        first = chance.randrange(1, 9_000)
        graph.add([dependent(job, (first, chance.choice((1, 1, 900)), "any"), (5, 1, "ok"))])
    graph.watch(MANY)
    for page in pages(list(graph.unread)):
        graph.read(
            page,
            [(job, "Done") for first, n in page for job in range(first, first + n)],
            graph.made,
        )
    ready = {graph.verdict(job) for job in graph.children}
    for job in list(graph.children):
        graph.forget(job)

    assert ready == {Verdict.RUN}
    assert not (graph._buckets or graph._parents or graph.children or graph.due)


def test_pages_cover_each_id_once() -> None:
    chance = random.Random(3)
    ranges = [(chance.randrange(20_000), chance.choice((1, 1, 50, 5_000))) for _ in range(60)]
    found = list(pages(ranges))
    ids = [job for page in found for first, count in page for job in range(first, first + count)]

    assert sorted(ids) == sorted({job for first, n in ranges for job in range(first, first + n)})
    assert all(sum(count for _, count in page) <= READ_MAX for page in found)


def test_a_job_is_kept_out_before_its_parents_are_watched() -> None:
    graph = DependencyGraph()
    graph.add([dependent(9, (1, 1, "ok")), dependent(10, (1, 1, "ok"))])
    blocked = list(graph.children)
    graph.forget(9)
    graph.watch(MANY)
    tell(graph, "d")

    assert blocked == [9, 10]
    assert (list(graph.children), list(graph.due)) == ([10], [10])
