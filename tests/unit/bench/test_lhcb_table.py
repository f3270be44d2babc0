"""The joint table of LHCb has the marginals that were counted."""

from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from tests.bench.waiting import FILE, WaitingClass, generate, lhcb

TABLE = lhcb()
SHARE = 0.02
FEW = 2  # where 2 % is less than the files of one moment differ among themselves


def platforms(one: WaitingClass) -> Iterable[str]:
    return [TABLE.platforms[at] for at in TABLE.platform_sets.get(one.platform, ())]


def sites(one: WaitingClass) -> Iterable[str]:
    return [TABLE.sites[at] for at in one.sites]


MARGINALS: dict[tuple[str, str], Callable[[WaitingClass], Iterable[str]]] = {
    ("jobtype_distribution", "job_type"): lambda one: [one.type],
    ("cputime_distribution", "cpu_segment_seconds"): lambda one: [str(one.cpu_s)],
    ("owner_distribution", "OwnerGroup"): lambda one: [one.group],
    ("platform_distribution", "platform"): platforms,
    ("site_distribution", "site"): sites,
    ("banned_sites", "banned_site"): lambda one: one.banned_sites,
}


def summed(name: str, column: str) -> dict[str, tuple[int, int]]:
    """Return what a file counts; values that stand in several rows are added up."""
    classes, jobs = Counter[str](), Counter[str]()
    for row in generate.rows(name):
        classes[row[column]] += int(row["n_tqs"])
        jobs[row[column]] += int(row["total_jobs"])
    return {value: (classes[value], jobs[value]) for value in jobs}


def is_near(had: int, wanted: int) -> bool:
    return abs(had - wanted) <= max(SHARE * wanted, FEW)


@pytest.mark.parametrize("marginal", MARGINALS, ids=lambda marginal: marginal[0])
def test_a_marginal_holds_within_two_percent(marginal: tuple[str, str]) -> None:
    classes, jobs = Counter[str](), Counter[str]()
    for one in TABLE.classes:
        for value in set(MARGINALS[marginal](one)):
            classes[value] += 1
            jobs[value] += one.jobs
    wanted = summed(*marginal)
    if marginal[0] == "platform_distribution":  # known for pilots, but without waiting jobs
        wanted = {value: count for value, count in wanted.items() if count[1]}
    wrong = {
        value: (classes[value], jobs[value], count)
        for value, count in wanted.items()
        if not is_near(classes[value], count[0]) or not is_near(jobs[value], count[1])
    }

    assert not wrong
    assert jobs.keys() == {value for value, count in wanted.items() if value and count[1]}


def test_the_sizes_of_classes_are_those_of_the_task_queues() -> None:
    listed = [int(row["n_jobs"]) for row in generate.rows("jobs_per_tq")]

    assert [one.jobs for one in TABLE.classes][: len(listed)] == listed


def test_totals_are_exact() -> None:
    (scale,) = generate.rows("scale_overview")

    assert len(TABLE.classes) == int(scale["active_tqs"])
    assert sum(one.jobs for one in TABLE.classes) == int(scale["waiting_jobs"])
    assert len(TABLE.sites) == int(scale["distinct_sites"])
    assert len(TABLE.platforms) == int(scale["distinct_platforms"])
    assert len({one.type for one in TABLE.classes}) == int(scale["distinct_job_types"])


def test_one_class_runs_anywhere_and_no_other() -> None:
    (anywhere,) = generate.rows("site_any")

    assert [one.jobs for one in TABLE.classes if not one.sites] == [int(anywhere["jobs_any_site"])]


def test_generating_again_gives_the_same_bytes() -> None:
    committed = (generate.HERE / FILE).read_bytes()

    assert generate.encode(generate.waiting()) == committed
