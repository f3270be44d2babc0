"""Shares as the public calls show them: who is served how often, how soon, and after what.

Offers come one after another, each match is confirmed, runs and ends. `served` counts core time.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from itertools import pairwise

import pytest

from pilotage.matcher import Matcher
from pilotage.matcher.limits.fair_shares import Shares
from pilotage.matcher.matcher import less
from pilotage.matcher.rules import Rules
from pilotage.proto.documents.job import Need
from tests.matcher.again import again as again_of, held

from .makes import offer, spec

MANY = 40_000  # jobs of a class: more than are ever matched here
STEP_S = 1.0
WALL_S = 1_000
SLOTS = 20  # jobs that run at a time

# shares of the owners in two groups         what each is due
LEVELS = {
    "one group of two to one": ("g=1", "g/a=2 g/b=1", "a=2/3 b=1/3"),
    "ten to one": ("g=1", "g/a=10 g/b=1", "a=10/11 b=1/11"),
    "two groups of three to one": ("g=3 h=1", "g/a=1 h/b=1", "a=3/4 b=1/4"),
    "a group's share is not the number of its owners": (
        "g=1 h=1",
        "g/a=1 g/b=1 g/c=2 h/d=1",
        "a=1/8 b=1/8 c=2/8 d=4/8",
    ),
    "three to two to one, each with unequal owners": (
        "g=3 h=2 i=1",
        "g/a=2 g/b=1 h/c=1 h/d=3 i/e=1",
        "a=2/6 b=1/6 c=1/12 d=3/12 e=1/6",
    ),
}


class Site:
    """Slots that are always filled again, and a matcher with owners that always have jobs."""

    def __init__(self, shares: Mapping[str, float], ahead_core_s: float = 691_200.0) -> None:
        self.matcher = Matcher(Rules(shares=dict(shares), ahead_core_s=ahead_core_s))
        self.owners: dict[int, str] = {}
        self.served: list[str] = []  # the owner of each match
        self.used: Counter[str] = Counter()
        self.now = 0.0
        self._running: deque[tuple[int, float]] = deque()
        self.jobs = 0

    def come(
        self,
        owner: str,
        *,
        group: str = "g",
        jobs: int = MANY,
        need: Need | None = None,
        community: str = "ctao",
    ) -> None:
        """Let jobs of an owner wait, in a class of their own."""
        class_id = len(self.owners) + 1
        self.owners[class_id] = owner
        need = need or Need(wall_s=WALL_S)
        self.matcher.add_class(spec(class_id, need, group=group, owner=owner, community=community))
        self.matcher.add(class_id, 5, range(self.jobs, self.jobs + jobs))
        self.jobs += jobs

    def serve(self, matches: int, part_used: Mapping[str, float] | None = None) -> None:
        """Match so often. A job uses this part of the wall time that it asked for."""
        parts = part_used or {}
        for _ in range(matches):
            self.now += STEP_S
            if len(self._running) == SLOTS:
                self.matcher.ended(*self._running.popleft())
            found = self.matcher.match(offer(wall_left_s=1e6), 1, self.now)
            assert found, "all offers fit all jobs"
            match = found[0]
            self.matcher.confirm(match.job)
            owner = self.owners[match.class_id]
            used = match.grant.cores * match.grant.wall_s * parts.get(owner, 1.0)
            self._running.append((match.job, used))
            self.served.append(owner)
            self.used[owner] += round(used)

    def parts(self, first: int = 0, last: int | None = None) -> dict[str, float]:
        """Return each owner's part of these matches."""
        counts = Counter(self.served[first:last])
        return {owner: count / counts.total() for owner, count in counts.items()}

    def used_parts(self) -> dict[str, float]:
        """Return each owner's part of the core time."""
        return {owner: used / self.used.total() for owner, used in self.used.items()}


def numbers(row: str) -> dict[str, float]:
    """Return `a=2 b=1/3` as a dict."""
    return {
        name: float(over) / float(under or 1)
        for name, (over, _, under) in (
            (name, value.partition("/"))
            for name, value in (word.split("=") for word in row.split())
        )
    }


def with_community(*rows: str) -> dict[str, float]:
    return {f"ctao/{name}": share for row in rows for name, share in numbers(row).items()}


def longest_gap(served: Iterable[str], owner: str) -> int:
    """Return the most matches from one of this owner to his next."""
    places = [place for place, name in enumerate(served) if name == owner]
    return max(later - earlier for earlier, later in pairwise(places))


@pytest.mark.parametrize(("groups", "owners", "due"), LEVELS.values(), ids=LEVELS.keys())
def test_any_ten_thousand_matches_are_shared_within_a_hundredth(
    groups: str, owners: str, due: str
) -> None:
    site = Site(with_community(groups, owners))
    for path in numbers(owners):
        group, owner = path.split("/")
        site.come(owner, group=group)

    site.serve(15_000)

    for first in (0, 1_234, 5_000):
        assert site.parts(first, first + 10_000) == pytest.approx(numbers(due), rel=0.01)


def test_a_hundred_owners_of_equal_shares_get_the_same_within_one_match() -> None:
    site = Site({})
    for number in range(100):
        site.come(f"owner{number}", jobs=200)

    site.serve(10_000)

    counts = Counter(site.served)
    assert len(counts) == 100
    assert max(counts.values()) - min(counts.values()) <= 1


def test_communities_never_mix_whatever_one_of_them_has_used() -> None:
    site = Site({"ctao": 1.0, "other": 9.0})
    site.come("a")
    site.come("b", community="other")

    site.serve(100)

    assert set(site.served) == {"a"}


def test_core_time_is_what_is_shared_and_not_jobs() -> None:
    site = Site(with_community("g=1", "g/a=2 g/b=1"))
    site.come("a", need=Need(wall_s=WALL_S, cores_min=4))
    site.come("b", need=Need(wall_s=2 * WALL_S))

    site.serve(10_000)

    assert site.used_parts() == pytest.approx(numbers("a=2/3 b=1/3"), rel=0.01)


@pytest.mark.parametrize(
    ("need", "charged"),
    [
        (Need(wall_s=100, memory_mb=2_000), 100),
        (Need(wall_s=100, memory_mb=12_000), 600),
        (Need(wall_s=100, cores_min=3, memory_mb=4_000), 300),
        (Need(wall_s=100, scratch_mb=7_500), 600),
        (Need(wall_s=100, cores_min=2, gpus_min=2), 400),
        (Need(wall_s=100, whole_node=True), 800),
    ],
    ids=["cores", "memory", "more cores than memory", "scratch", "GPUs", "all of it"],
)
def test_who_takes_most_of_any_amount_of_a_pilot_pays_for_the_cores_beside_it(
    need: Need, charged: float
) -> None:
    matcher = Matcher()
    matcher.add_class(spec(1, need))
    matcher.add(1, 5, [1, 2])
    there = offer(gpus=4, gpus_free=4)
    (match,) = matcher.match(there, 1, 0.0)
    matcher.confirm(match.job)
    matcher.match(less(there, match.grant), 1, 0.0)  # what is out counts as memory of the pilot
    levels = [matcher.shares.levels(0.0)["ctao/sim"]]
    matcher.drop(2)
    again = again_of(matcher.rules, held(matcher), 0.0)
    for it in (matcher, again):
        it.ended(match.job, match.grant.cores * 50.0)
        levels.append(it.shares.levels(0.0)["ctao/sim"])

    fits_twice = charged <= 400
    assert levels == pytest.approx([charged * (1 + fits_twice), charged / 2, charged / 2])


def test_what_was_really_used_counts_and_not_what_was_asked_for() -> None:
    site = Site({})
    site.come("frugal")
    site.come("thorough")

    site.serve(10_000, {"frugal": 0.25})

    assert site.used_parts() == pytest.approx(numbers("frugal=1/2 thorough=1/2"), rel=0.01)
    assert site.parts() == pytest.approx(numbers("frugal=4/5 thorough=1/5"), rel=0.01)


def test_shares_are_kept_again_after_a_burst_of_one_owner_alone() -> None:
    site = Site(with_community("g=1", "g/a=2 g/b=1"))
    site.come("a")
    site.serve(5_000)
    site.come("b")

    site.serve(15_000)

    settled = site.parts(5_000 + 5_000)
    assert settled == pytest.approx(numbers("a=2/3 b=1/3"), rel=0.01)


def test_a_burst_of_one_owner_is_over_when_its_jobs_are() -> None:
    site = Site({})
    site.come("steady")
    site.serve(2_000)
    site.come("burst", jobs=300)

    site.serve(5_000)

    assert site.served.count("burst") == 300
    assert set(site.served[-3_000:]) == {"steady"}


@pytest.mark.parametrize("others", [1, 10, 100])
def test_a_new_owner_gets_a_slot_within_a_round(others: int) -> None:
    site = Site({})
    for number in range(others):
        site.come(f"owner{number}", jobs=200)
    site.serve(50 * others)
    site.come("new", jobs=1)

    site.serve(others + 1)

    assert "new" in site.served


def test_who_comes_back_after_a_pause_has_saved_up_no_more_than_what_is_remembered() -> None:
    site = Site({})
    site.come("a")
    site.come("b", jobs=100)
    site.serve(5_000)
    site.come("b")

    site.serve(6_000)

    assert site.parts(5_000 + 1_000) == pytest.approx(numbers("a=1/2 b=1/2"), rel=0.01)


@pytest.mark.parametrize("bait", ["fits nowhere", "comes last", "asks for a year"])
def test_no_job_that_waits_or_runs_meanwhile_saves_idle_time_up(bait: str) -> None:
    site = Site({}, ahead_core_s=1_000.0)
    if bait == "asks for a year":
        site.come("a", jobs=1, need=Need(wall_s=31_000_000))
        site.matcher.match(offer("long", wall_left_s=1e8), 1, site.now)
        site.matcher.confirm(0)
    elif bait == "fits nowhere":
        site.come("a", jobs=1, need=Need(wall_s=WALL_S, sites=("nowhere",)))
    else:
        site.come("a", jobs=1)
        site.matcher.set_priority(0, 0)
    site.come("b")
    site.serve(5_000)
    if bait == "comes last":
        site.matcher.add(1, 5, range(MANY + 1, 2 * MANY))
    else:
        site.come("a")
    site.matcher.ended(0, 5_000.0)

    site.serve(1_000)

    assert site.parts(5_000) == pytest.approx(numbers("a=1/2 b=1/2"), rel=0.01)


def test_what_was_used_counts_after_a_restart_and_what_runs_counts_once() -> None:
    before = Site({}, ahead_core_s=1_000.0)
    before.come("a")
    before.serve(3_000)
    before.come("b")
    before.serve(500)
    state = held(before.matcher)
    after = again_of(before.matcher.rules, state, before.now)

    assert after.shares.levels(before.now) == pytest.approx(
        before.matcher.shares.levels(before.now)
    )
    site = Site({}, ahead_core_s=1_000.0)
    site.matcher, site.now, site.jobs = after, before.now, 2 * MANY
    site.owners = dict(before.owners)
    site.come("new")
    site.serve(3_000)
    assert site.parts() == pytest.approx(numbers("a=1/3 b=1/3 new=1/3"), rel=0.02)


def test_the_longest_time_without_a_match_is_a_round() -> None:
    site = Site({f"ctao/g/owner{number}": 1.0 + number for number in range(20)})
    for number in range(20):
        site.come(f"owner{number}")

    site.serve(10_000)

    weights = sum(1.0 + number for number in range(20))
    gaps = {
        number: longest_gap(site.served, f"owner{number}") / (weights / (1.0 + number))
        for number in range(20)
    }
    assert max(gaps.values()) <= 2.0  # in rounds of its own: as often as its share says


def test_priority_zero_runs_only_where_nothing_else_fits() -> None:
    site = Site({})
    site.come("a", jobs=50)
    site.matcher.add_class(spec(2, Need(wall_s=WALL_S), group="g", owner="b"))
    site.owners[2] = "b"
    site.matcher.add(2, 0, range(MANY, MANY + 50))

    site.serve(100)

    assert site.served == ["a"] * 50 + ["b"] * 50


# -- what jobs usually take ---------------------------------------------------------------------


@pytest.mark.parametrize(("usual", "charged"), [(1.0, 1.0), (0.8, 0.8), (0.5, 0.5), (0.01, 0.5)])
def test_a_job_is_charged_with_what_those_of_its_owner_usually_take(
    usual: float, charged: float
) -> None:
    site = Site({})
    site.come("a")
    site.serve(1_000, {"a": usual})
    before = site.matcher.shares.levels(site.now)["ctao/g/a"]
    (match,) = site.matcher.match(offer(wall_left_s=1e6), 1, site.now)
    pending = site.matcher.shares.levels(site.now)["ctao/g/a"]
    site.matcher.put_back(match.job)
    after = site.matcher.shares.levels(site.now)["ctao/g/a"]

    assert pending - before == pytest.approx(charged * WALL_S, rel=0.001)
    assert after == pytest.approx(before)


def test_what_jobs_usually_take_is_by_their_time_and_not_by_their_number() -> None:
    site = Site({})
    site.come("a", jobs=10)
    site.serve(10)
    site.come("a", jobs=1_000, need=Need(wall_s=1))
    site.serve(1_000, {"a": 0.0})

    owner = site.matcher.shares.find("ctao", "g", "a")
    assert owner is not None and owner.part_used == pytest.approx(10_000 / 10_980, rel=0.01)


def test_who_asked_for_too_much_and_then_takes_it_all_gains_no_more_than_what_runs_at_once() -> (
    None
):
    site = Site({})
    site.come("a")
    site.come("b")
    site.serve(2_000, {"b": 0.001})
    first, used = len(site.served), Counter(site.used)
    site.serve(5_000)

    now = site.used - used
    assert now["b"] / now.total() == pytest.approx(0.5, abs=0.01)
    for last in range(first + SLOTS, len(site.served), SLOTS):
        assert site.served[first:last].count("b") <= (last - first) / 2 + SLOTS, last


def test_groups_with_a_slash_in_their_names_keep_their_use_over_a_restart() -> None:
    names = [
        ("local", "a/b", "x"),
        ("local", "a", "b/x"),
        ("local", "50%2F", "Ada / é"),
        ("l", "%", "%25"),
    ]
    before, after = Shares({}, 3_600.0, 0.0), Shares({}, 3_600.0, 0.0)
    for place, owner in enumerate(names):
        before.charge(before.owner(*owner), 1_000.0 * (place + 1), 0.0)
    after.restore(before.levels(0.0), 0.0)

    assert after.levels(0.0) == before.levels(0.0)
    for place, owner in enumerate(names):
        node = after.find(*owner)

        assert node is not None
        assert node.level == 1_000.0 * (place + 1), owner


def test_a_share_of_a_group_with_a_slash_is_not_that_of_an_owner() -> None:
    shares = Shares({"local/a%2Fb": 3.0}, 3_600.0, 0.0)

    group, owner = shares.owner("local", "a/b", "x").parent, shares.owner("local", "a", "b")

    assert group is not None
    assert (group.share, owner.share) == (3.0, 1.0)


def test_what_older_versions_kept_is_read() -> None:
    shares = Shares({}, 3_600.0, 0.0)
    shares.restore({"ctao/sim": 2.0, "ctao/sim/Ada / é": 1.0}, 0.0)
    owner = shares.find("ctao", "sim", "Ada / é")

    assert owner is not None
    assert owner.level == 1.0
