"""`check`: derive every redundant structure of a matcher anew and compare."""

from .backlog import Backlog
from .classes import Entry, JobClass, rank
from .fit import misfits
from .index import Index, Shortlist
from .ledger import ABSENT, KEPT, PAGE_BITS, PENDING, WAITING, mark_of, priority_of, state_of
from .matcher import Matcher
from .types import LiveOffer


def check(matcher: Matcher) -> None:
    """Raise AssertionError where a structure is not what the others say. Slow: for tests."""
    standing = _standing(matcher.backlog)
    _check_queues(matcher.backlog, standing)
    _check_index(matcher.backlog, matcher.index)
    _check_rows(matcher)
    _check_parked(matcher)
    _check_keeps(matcher, standing)
    _check_settled(matcher)


def _standing(backlog: Backlog) -> dict[int, tuple[int, int]]:
    """Return mark and slot of each job in the ledger."""
    standing: dict[int, tuple[int, int]] = {}
    for number, page in backlog.ledger.pages.items():
        here = [place for place, mark in enumerate(page.marks) if mark != ABSENT]
        assert page.count == len(here) > 0, f"page {number} counts {page.count} jobs"
        for place in here:
            standing[(number << PAGE_BITS) + place] = (page.marks[place], page.slots[place])
    waiting = sum(state_of(mark) != PENDING for mark, _ in standing.values())
    assert backlog.waiting == waiting, f"{backlog.waiting} jobs counted, {waiting} wait"
    return standing


def _check_queues(backlog: Backlog, standing: dict[int, tuple[int, int]]) -> None:
    for cls in backlog.classes.by_slot:
        entry: Entry | None = None
        waiting = 0
        for priority in range(11):
            mark = (mark_of(WAITING, priority), cls.slot)
            jobs = sorted(job for job, its in standing.items() if its == mark)
            queue = cls.queues.get(priority)
            if queue is None:
                assert not jobs, f"{cls.spec.class_id}: jobs without a queue"
                continue
            assert queue.ids() == jobs, f"{cls.spec.class_id} at {priority}: {queue.ids()} {jobs}"
            assert queue.waiting == len(jobs), f"{cls.spec.class_id} at {priority}: count"
            assert queue.head() == (jobs[0] if jobs else None)
            assert len(queue) <= 2 * len(jobs) + 130, "dead entries were not swept"
            waiting += len(jobs)
            entry = (rank(priority, jobs[0]), cls.slot) if jobs else entry
        assert cls.waiting == waiting, f"{cls.spec.class_id}: {cls.waiting} != {waiting}"
        here = sum(slot == cls.slot for _, slot in standing.values())
        assert cls.here == here, f"{cls.spec.class_id}: {cls.here} jobs counted, {here} are here"
        assert cls.entry == entry, f"{cls.spec.class_id}: {cls.entry} != {entry}"


def _check_index(backlog: Backlog, index: Index) -> None:
    """Each shortlist, after it has heard the news, knows all of its classes by their best job."""
    assert index.size == sum(len(cls.spec.needs) for cls in backlog.classes.by_slot)
    for key, shortlist in index.shortlists():
        if shortlist.rows_known == index.size:
            assert shortlist.rows == index.accepting(key), "rows of a shortlist"
        if shortlist.noted == backlog.improved.end:
            _check_heap(shortlist, index.classes_of(shortlist.rows))


def _check_heap(shortlist: Shortlist, classes: list[JobClass]) -> None:
    heap = shortlist.heap
    assert all(heap[(at - 1) // 2] <= heap[at] for at in range(1, len(heap))), "heap order"
    first: dict[int, int] = {}
    for rank_, slot in heap:
        first[slot] = min(rank_, first.get(slot, rank_))
    for cls in classes:
        if cls.entry is not None:
            assert first.get(cls.slot, cls.entry[0] + 1) <= cls.entry[0], "a class is overlooked"


def _check_rows(matcher: Matcher) -> None:
    """Index and exact rule agree on every parked offer and every need."""
    for parked in matcher.parked.by_pilot.values():
        rows = matcher.index.accepting(matcher.index.key(parked.offer))
        for cls in matcher.backlog.classes.by_slot:
            takes = matcher.index.needs_among(rows, cls)
            assert takes == _needs_by_rule(matcher, cls, parked.offer), cls.spec.class_id


def _needs_by_rule(matcher: Matcher, cls: JobClass, offer: LiveOffer) -> int:
    return sum(
        1 << place
        for place, need in enumerate(cls.spec.needs)
        if not misfits(need, offer, clauses=matcher.clauses, spec=cls.spec)
    )


def _check_parked(matcher: Matcher) -> None:
    free: set[str] = set()
    for key, kind in matcher.parked.kinds.items():
        assert kind.free and kind.key == key, "a kind without offers, or under another's key"
        assert kind.free == sorted(kind.free), "order of the free offers"
        for place in kind.free:
            parked = matcher.parked.by_pilot[place[2]]
            assert parked.kind is kind and not parked.woken and place[2] not in free
            assert parked.place == place and matcher.index.kind(parked.offer) == key
            free.add(place[2])
    for pilot, parked in matcher.parked.by_pilot.items():
        assert parked.woken == (pilot not in free), f"{pilot} is neither free nor woken, or both"
    assert set(matcher.parked.unsettled) <= free, "only free offers can be unsettled"


def _check_keeps(matcher: Matcher, standing: dict[int, tuple[int, int]]) -> None:
    wakes = matcher.wakes
    kept = {job for job, (mark, _) in standing.items() if state_of(mark) == KEPT}
    assert set(wakes.by_job) == kept, "kept jobs"
    assert {keep.pilot: keep for keep in wakes.by_job.values()} == wakes.by_pilot
    for keep in wakes.by_job.values():
        assert keep in wakes.running and keep.parked.woken
        assert matcher.parked.by_pilot[keep.pilot] is keep.parked
    ends = [keep.until for keep in wakes.running]
    assert ends == sorted(ends), "keeps end in the order in which they began"
    ending = {id(parked) for _, _, parked in wakes.resting}
    for parked in matcher.parked.by_pilot.values():
        assert not parked.woken or id(parked) in ending, "woken for ever"
    assert all(priority_of(mark) <= 10 for mark, _ in standing.values())


def _check_settled(matcher: Matcher) -> None:
    """What `wake` would not look at holds nothing for it: no waiting job fits a free offer."""
    parked = matcher.parked
    for cls in matcher.backlog.classes.by_slot:
        if cls.entry is None or cls.slot in matcher.backlog.roused:
            continue
        for pilot, its in parked.by_pilot.items():
            if not its.woken and pilot not in parked.unsettled:
                fits = _needs_by_rule(matcher, cls, its.offer)
                assert not fits, (
                    f"a job of {cls.spec.class_id} would fit {pilot} and was overlooked"
                )
