"""`check`: derive every redundant structure of a matcher anew and compare."""

from collections import Counter, defaultdict

from pilotage.matcher.index.class_index import ClassIndex
from pilotage.matcher.limits.fair_shares import ShareNode
from pilotage.matcher.limits.running_limits import Limit
from pilotage.matcher.matcher import Matcher
from pilotage.matcher.queue.backlog import Backlog
from pilotage.matcher.queue.job_classes import JobClass, QueueEntry, rank
from pilotage.matcher.queue.ledger import (
    ABSENT,
    KEPT,
    PAGE_BITS,
    PENDING,
    WAITING,
    mark_of,
    priority_of,
    state_of,
)
from pilotage.matcher.reservations.reservation_table import counted
from pilotage.matcher.types import LiveOffer
from tests.matcher.rule import misfits

_MOMENT_S = 1e-6


def check(matcher: Matcher) -> None:
    """Raise AssertionError where a structure is not what the others say. Slow: for tests."""
    standing = _standing(matcher.backlog)
    _check_queues(matcher.backlog, standing)
    _check_reservations(matcher)
    for index in matcher.index.all():
        _check_index(matcher.backlog, index)
    _check_shares(matcher)
    _check_limits(matcher)
    _check_out(matcher, standing)
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
    for cls in backlog.classes.all():
        entry: QueueEntry | None = None
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
            waiting += len(jobs)
            entry = (rank(priority, jobs[0]), cls.slot) if jobs and not cls.is_shut else entry
        assert cls.waiting == waiting, f"{cls.spec.class_id}: {cls.waiting} != {waiting}"
        here = sum(slot == cls.slot for _, slot in standing.values())
        assert cls.here == here, f"{cls.spec.class_id}: {cls.here} jobs counted, {here} are here"
        assert cls.entry == entry, f"{cls.spec.class_id}: {cls.entry} != {entry}"


def _check_reservations(matcher: Matcher) -> None:
    """Who may reserve, and the sums of what is reserved."""
    backlog, claims = matcher.backlog, matcher.reservations.claims
    wide = [cls for cls in backlog.classes.all() if cls.is_wide and cls.entry is not None]
    owners = Counter(cls.owner for cls in wide)
    for community in matcher.shares.root.children:
        its = {
            owner: count for owner, count in owners.items() if counted(owner)[1].name == community
        }
        assert backlog.wide.owners(community) == its, f"wide classes of {community}"
    assert all(cls.ripens or cls.is_hungry for cls in wide), "a wide class that never gets hungry"
    counts: Counter[ShareNode] = Counter()
    for held in claims.by_pilot.values():
        assert held in claims.by_class[held.class_id], f"{held.pilot} is reserved for nobody"
        counts.update(counted(held.owner))
    assert claims.counts == counts, "claims"
    assert sum(map(len, claims.by_class.values())) == len(claims.by_pilot), "reserved twice"


def _check_index(backlog: Backlog, index: ClassIndex) -> None:
    """The sets of rows and the order within each owner, from the classes."""
    live: Counter[ShareNode] = Counter()
    classes: defaultdict[ShareNode, list[JobClass]] = defaultdict(list)
    for cls in backlog.classes.all():
        if cls.entry is None or cls.watcher is not index:
            continue
        rows, group = cls.needs << cls.first_row, cls.owner.parent
        assert group is not None and group.parent is index.community
        classes[cls.owner].append(cls)
        live[cls.owner] += rows
        live[group] += rows
        index.check_class(cls)
    index.check_rows()
    for group in index.community.children.values():
        assert group.live == live[group], f"live rows of {group.path}"
        for owner in group.children.values():
            assert owner.live == live[owner], f"live rows of {owner.path}"
    assert index.live == sum(group.live for group in index.community.children.values())
    for owner, ranked in index.ranked().items():
        its = [(rank, index.class_of(code)) for rank, code in ranked]
        order = sorted(classes[owner], key=_rank)
        assert its == [(_rank(cls), cls) for cls in order], f"order of the classes of {owner.path}"


def _rank(cls: JobClass) -> int:
    return cls.entry[0] if cls.entry is not None else -1


def _check_shares(matcher: Matcher) -> None:
    """Who is busy, and in which order, from the classes that have waiting jobs."""
    busy: Counter[ShareNode] = Counter()
    for cls in matcher.backlog.classes.all():
        if cls.entry is not None:
            busy[cls.owner] += 1
    users = Counter(cls.owner for cls in matcher.backlog.classes.all())
    users.update(out.owner for out in matcher.attempts.by_job.values())
    pending = [matcher.shares.root]
    while pending:
        node = pending.pop()
        children = list(node.children.values())
        pending.extend(children)
        if children:
            its = [child for child in children if child.busy]
            assert node.busy == len(its), f"{node.path}: {node.busy} busy children, not {len(its)}"
            order = sorted(its, key=lambda child: (child.level, child.serial))
            assert list(node.order) == order, f"order below {node.path}"
            assert len({child.serial for child in children}) == len(children)
        else:
            assert node.busy == busy[node], f"{node.path}: {node.busy} busy classes"
        assert node.users == users[node], f"{node.path}: {node.users} classes and jobs"


def _check_limits(matcher: Matcher) -> None:
    """What is left of each limit, from the jobs that are out or kept."""
    used: Counter[Limit] = Counter()
    counted = [(it.limits, it.grant.amounts) for it in matcher.attempts.by_job.values()]
    counted += [(it.limits, it.amounts) for it in matcher.wakes.by_job.values()]
    for limits, amounts in counted:
        for limit in limits:
            used[limit] += amounts[limit.kind[1]] if limit.is_amount else 1
    for limit in matcher.limits.all():
        if not limit.is_rate:
            assert limit.room == limit.most - used[limit], f"{limit.kind} at {limit.where}"
    _check_caps(matcher)
    for place in matcher.limits.places():
        before = place.closed
        # At the moment itself rounding decides: a bucket that lacks hardly anything is open.
        if not place.is_stale and matcher.backlog.now + _MOMENT_S < place.opens_at:
            place.doubt()
            assert place.look(matcher.backlog.now) == before, f"closed at {place.site}"


def _check_caps(matcher: Matcher) -> None:
    """What is out of each submission with a limit, from the jobs that are out or kept."""
    counted = Counter(id(out.cap) for out in matcher.attempts.by_job.values() if out.cap)
    counted.update(id(matcher.backlog.class_of(job).cap) for job in matcher.wakes.by_job)
    for cap in matcher.backlog.caps.values():
        assert cap.out == counted[id(cap)], "jobs of a submission"
        assert cap.is_used_up == (cap.out >= cap.most)
        for slot in cap.slots:
            assert matcher.backlog.classes.by_slot[slot].is_shut == cap.is_used_up


def _check_out(matcher: Matcher, standing: dict[int, tuple[int, int]]) -> None:
    """Each pending job is out, and what is out and not pending runs."""
    pending = {job for job, (mark, _) in standing.items() if state_of(mark) == PENDING}
    out = matcher.attempts.by_job
    assert {job for job, its in out.items() if not its.is_running} == pending, "pending jobs"


def _check_rows(matcher: Matcher) -> None:
    """Index and exact rule agree on every parked offer and every need of what waits."""
    for parked in matcher.parked.by_pilot.values():
        index = matcher.index.of(parked.offer.community)
        rows = 0
        if index is not None:
            for shape in parked.shapes:
                rows |= index.startable(shape, closed=True)
        for cls in matcher.backlog.classes.all():
            if cls.watcher is not index:
                continue
            takes = rows >> cls.first_row & cls.needs
            rule = 0
            for shape in parked.shapes if cls.entry is not None else ():
                rule |= _needs_by_rule(matcher, cls, shape)
            assert takes == rule, cls.spec.class_id
            if cls.entry is not None:
                assert takes == matcher.parked.needs_met(parked, cls), cls.spec.class_id


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
            assert parked.standing == place and matcher.index.kind(parked.offer) == kind.facts
            free.add(place[2])
    standings = sorted(matcher.parked.by_pilot[pilot].standing for pilot in free)
    assert list(matcher.parked.free.all(0)) == standings, "order of all free offers"
    for site in {parked.offer.site for parked in matcher.parked.by_pilot.values()}:
        its = [one for one in standings if matcher.parked.by_pilot[one[2]].offer.site == site]
        assert matcher.parked.free.of_site(site) == its, f"free offers of {site}"
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
    for cls in matcher.backlog.classes.all():
        if cls.entry is None or cls.slot in matcher.backlog.roused:
            continue
        for pilot, its in parked.by_pilot.items():
            if not its.woken and pilot not in parked.unsettled and not _opens(matcher, its.offer):
                fits = any(matcher.index.place_for(cls, it) is not None for it in its.shapes)
                assert not fits, (
                    f"a job of {cls.spec.class_id} would fit {pilot} and was overlooked"
                )


def _opens(matcher: Matcher, offer: LiveOffer) -> bool:
    """Whether `wake` looks at a place because limits let jobs start there again."""
    place = matcher.limits.place(offer.community, offer.site, offer.element)
    if place is None:
        return False
    is_opening = place in matcher.limits.opened or place in matcher.wakes.opening
    return is_opening or place.reopened or matcher.backlog.now >= place.opens_at
