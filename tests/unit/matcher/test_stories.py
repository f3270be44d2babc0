"""Stories of jobs that come, are handed out, and go: order, places, bulk."""

import gc
import tracemalloc

import pytest

from pilotage.matcher import Matcher
from pilotage.matcher.errors import BadTags, UnknownClass
from pilotage.matcher.index import class_index as index
from pilotage.matcher.index.class_index import ClassIndex
from pilotage.matcher.queue import owner_ranking as ranked
from pilotage.matcher.rules import Rules
from pilotage.proto.documents.job import Need
from tests.matcher.invariants import check

from .makes import offer, spec

# A word is a step: +4 adds job 4 (+4/9 with priority 9), > takes the next and expects that job,
# <4 puts 4 back, -4 removes it, !4 confirms, x4 drops, 4^9 sets its priority. The class of a job
# is its number modulo 3, so that order among classes shows.
STORIES = {
    "oldest first among all classes": "+3 +1 +2 >1 >2 >3 >none",
    "priority first, then age": "+1/5 +2/7 +3/5 +4/7 >2 >4 >1 >3",
    "priority 0 comes last and 10 first": "+1/0 +2/10 +3/1 >2 >3 >1",
    "put back keeps the place": "+1 +2 +3 >1 >2 <1 >1 >3 <2 >2",
    "put back behind an older one": "+1 +2 +4 +7 >1 >2 >4 <4 <1 >1 >4 >7",
    "older job that comes late": "+6 +9 +3 >3 >6 >9",
    "a late one that is younger than the head": "+3 +9 +6 >3 >6 >9",
    "removed and never seen again": "+1 +2 -1 >2 >none",
    "removed from the middle": "+3 +6 +9 -6 >3 >9 >none",
    "removed and added again counts once": "+3 +6 -3 +3 >3 >6 >none",
    "added twice counts once": "+1 +1 >1 >none",
    "confirmed is gone and may come again": "+1 >1 !1 >none +1 >1",
    "dropped is gone and may come again": "+1 >1 x1 >none +1 >1",
    "a pending job is not added a second time": "+1 >1 +1 >none <1 >1",
    "a pending job is not removed": "+1 >1 -1 <1 >1",
    "put back twice counts once": "+1 >1 <1 <1 >1 >none",
    "put back after confirm is nothing": "+1 >1 !1 <1 >none",
    "raised to the front": "+1 +2 +3 3^9 >3 >1 >2",
    "lowered and raised again": "+3 +6 3^1 3^5 >3 >6 >none",
    "raised while pending, comes back raised": "+1 +2 +3 >1 1^9 +4/7 <1 >1 >4 >2",
    "a class runs empty and fills again": "+1 >1 !1 >none +4 >4 !4 +7 >7",
}


def play(matcher: Matcher, step: str) -> None:
    sign, rest = step[0], step[1:]
    if sign == "+":
        job, _, priority = rest.partition("/")
        matcher.add(int(job) % 3, int(priority or 5), [int(job)])
    elif sign == ">":
        found = [match.job for match in matcher.match(offer(), 1, 0.0)]
        assert found == ([] if rest == "none" else [int(rest)])
    elif sign == "<":
        matcher.put_back(int(rest))
    elif sign == "-":
        matcher.remove(int(rest))
    elif sign == "!":
        matcher.confirm(int(rest))
    elif sign == "x":
        matcher.drop(int(rest))
    else:
        job, _, priority = step.partition("^")
        assert matcher.set_priority(int(job), int(priority))


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_the_story_goes_as_told(story: str) -> None:
    matcher = Matcher()
    for class_id in range(3):
        matcher.add_class(spec(class_id))
    for step in story.split():
        play(matcher, step)
        check(matcher)


def test_several_jobs_of_one_call_fit_together() -> None:
    matcher = Matcher(Rules(large_memory_per_core_mb=6000))  # so that none is scarce
    matcher.add_class(spec(1, Need(cores_min=3, memory_mb=1000, scratch_mb=4000)))
    matcher.add_class(spec(2, Need(cores_min=1, memory_per_core_mb=6000)))
    matcher.add(1, 5, range(1, 10))
    matcher.add(2, 5, range(10, 20))

    found = matcher.match(offer(), 10, 0.0)

    assert [match.job for match in found] == [1, 2, 10, 11]
    assert sum(match.grant.cores for match in found) == 8
    assert sum(match.grant.memory_mb for match in found) == 14_000
    assert sum(match.grant.scratch_mb for match in found) == 8_000


def test_no_more_jobs_are_handed_out_than_asked_for() -> None:
    matcher = Matcher()
    matcher.add_class(spec(1))
    matcher.add(1, 5, range(1, 10))

    assert len(matcher.match(offer(), 3, 0.0)) == 3
    assert matcher.match(offer(), 0, 0.0) == []
    assert len(matcher) == 6


def test_what_is_here_is_counted_and_known() -> None:
    matcher = Matcher()
    matcher.add_class(spec(1))
    matcher.add(1, 5, [1, 2, 3])
    matcher.match(offer(), 1, 0.0)

    assert len(matcher) == 2
    assert [job in matcher for job in (1, 2, 3, 4)] == [True, True, True, False]
    assert (matcher.remove(1), matcher.remove(2), matcher.remove(2)) == (False, True, False)
    assert not matcher.set_priority(2, 7)


def test_a_class_is_made_known_once_and_jobs_of_unknown_ones_are_refused() -> None:
    matcher = Matcher()
    matcher.add_class(spec(1))
    matcher.add_class(spec(1))
    matcher.add(1, 5, [7])

    with pytest.raises(UnknownClass, match="class 2"):
        matcher.add(2, 5, [1])


def test_a_class_with_a_bad_expression_is_refused_as_a_whole() -> None:
    matcher = Matcher()

    with pytest.raises(BadTags):
        matcher.add_class(spec(1, Need(), Need(tags="a &")))
    with pytest.raises(UnknownClass):
        matcher.add(1, 5, [1])
    check(matcher)


def test_a_class_that_comes_later_is_seen_by_offers_that_asked_before() -> None:
    matcher = Matcher()
    matcher.add_class(spec(1, Need(memory_mb=4000)))
    assert matcher.match(offer(), 1, 0.0) == []
    matcher.add_class(spec(2, Need(memory_mb=2000)))
    matcher.add_class(spec(3, Need(memory_mb=8000)))
    matcher.add(3, 5, [1])
    matcher.add(2, 5, [2])

    small = matcher.match(offer(memory_free_mb=3000), 5, 0.0)
    large = matcher.match(offer(memory_free_mb=9000), 5, 0.0)

    assert [match.job for match in small + large] == [2, 1]
    check(matcher)


def test_large_ranges_come_in_any_order_and_leave_in_order() -> None:
    matcher = Matcher()
    matcher.add_class(spec(1))
    matcher.add(1, 5, range(50_000, 60_000))
    matcher.add(1, 5, range(10_000, 20_000))
    matcher.add(1, 5, reversed(range(30_000, 40_000)))
    matcher.add(1, 5, range(15_000, 35_000))

    wide = offer(cores=60_000, cores_free=60_000, memory_free_mb=0)
    found = [match.job for match in matcher.match(wide, 60_000, 0.0)]

    assert found == [*range(10_000, 40_000), *range(50_000, 60_000)]


def test_a_queue_does_not_keep_what_was_removed() -> None:
    matcher = Matcher()
    matcher.add_class(spec(1))
    matcher.add(1, 5, range(1, 20_001))
    for job in range(1, 20_001, 10):
        for other in range(job + 1, job + 10):
            assert matcher.remove(other)

    check(matcher)
    found = matcher.match(offer(cores_free=4000), 4000, 0.0)
    assert [match.job for match in found] == list(range(1, 20_001, 10))


def test_a_hundred_thousand_put_back_in_turn_stay_in_order_and_small() -> None:
    matcher = Matcher()
    matcher.add_class(spec(1))
    matcher.add(1, 5, range(1, 101))
    for _ in range(1_000):
        for match in matcher.match(offer(), 3, 0.0):
            matcher.put_back(match.job)

    check(matcher)
    assert [match.job for match in matcher.match(offer(), 3, 0.0)] == [1, 2, 3]


def test_an_offer_that_slept_through_thousands_of_changes_still_finds_the_best() -> None:
    matcher = Matcher()
    matcher.add_class(spec(1))
    matcher.add_class(spec(2, Need(cores_min=2)))
    assert matcher.match(offer(cores_free=1), 1, 0.0) == []
    for job in range(1, 8_192):
        matcher.add(2, 5, [job])
        matcher.match(offer(cores_free=2), 1, 0.0)
        matcher.confirm(job)
        if job == 10:
            matcher.add(1, 5, [1_000_000])

    assert [match.job for match in matcher.match(offer(cores_free=1), 1, 0.0)] == [1_000_000]
    check(matcher)


def test_many_classes_take_room_in_proportion() -> None:
    """50 000 classes that share nothing took 745 MB: each kept a bit for every other one."""

    def room_of(count: int) -> int:
        tracemalloc.start()
        matcher = Matcher()
        for class_id in range(1, count + 1):
            matcher.add_class(spec(class_id, Need(memory_mb=class_id, tags=f"t{class_id}")))
        matcher.match(offer(), 1, 0.0)
        room = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return room

    assert room_of(8_000) < 5 * room_of(2_000)


def test_classes_that_were_forgotten_give_their_room_back() -> None:
    matcher = Matcher()
    for class_id in range(1, 1_001):
        matcher.add_class(spec(class_id, Need(memory_mb=class_id)))
        matcher.add(class_id, 5, [class_id])
    matcher.park(offer("p2", memory_free_mb=0), 1, 0.0)
    for job in range(1, 991):
        matcher.remove(job)
        assert matcher.forget_class(job)

    check(matcher)
    assert matcher.index.size < 100
    assert not matcher.forget_class(991)
    assert [match.job for match in matcher.match(offer(cores_free=40), 10, 0.0)] == [
        *range(991, 1_001)
    ]


def indexes_in_memory() -> int:
    gc.collect()
    return sum(isinstance(it, ClassIndex) for it in gc.get_objects())


def test_of_classes_that_were_forgotten_nothing_stays_in_memory() -> None:
    before, matcher, sizes = indexes_in_memory(), Matcher(), list[int]()
    for number in range(1, 1_001):
        matcher.add_class(spec(number, Need(memory_mb=number)))
        matcher.match(offer(memory_free_mb=number), 0, 0.0)
    for number in range(1, 990):
        assert matcher.forget_class(number)
        if matcher.index.size not in sizes:
            sizes.append(matcher.index.size)
    check(matcher)

    assert len(sizes) > 2, "a new index each time that more was forgotten than is known"
    assert indexes_in_memory() <= before + 2, "the present one, and one that is going"


#  cores free, GPUs of the offer   cores and time of the match
BY_NEED = """
   8  1   8  100
   4  1   4  200
   2  1   2  300
   8  0   2  300
   1  1   -
"""


@pytest.mark.parametrize("walk_max", [index.WALK_MAX, 0], ids=["walked", "taken apart"])
@pytest.mark.parametrize("row", BY_NEED.strip().splitlines())
def test_a_job_is_handed_out_for_the_first_of_its_needs_that_fits(
    row: str, walk_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not walk_max:
        monkeypatch.setattr(index, "WALK_MAX", 0)
        monkeypatch.setattr(index, "EACH", 0)
        monkeypatch.setattr(ranked, "PART_MAX", 1)
    cores, gpus, *expected = row.split()
    matcher = Matcher()
    matcher.add_class(spec(1, Need(cores_min=64)))
    matcher.add_class(
        spec(
            2,
            Need(cores_min=8, wall_s=100, gpus_min=1),
            Need(cores_min=4, wall_s=200, gpus_min=1),
            Need(cores_min=2, wall_s=300),
        )
    )
    matcher.add(1, 5, [1])
    matcher.add(2, 5, [2])

    found = matcher.match(offer(cores_free=int(cores), gpus=1, gpus_free=int(gpus)), 1, 0.0)

    assert [(match.grant.cores, match.grant.wall_s) for match in found] == (
        [] if expected == ["-"] else [(int(expected[0]), int(expected[1]))]
    )
    check(matcher)
