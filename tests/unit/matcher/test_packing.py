"""Scarce demands first, wide jobs that reserve, and sites that are preferred for a while."""

from pilotage.matcher import Matcher
from pilotage.matcher.queue.job_classes import job_of
from pilotage.matcher.rules import Rules
from pilotage.matcher.types import LiveOffer, Match
from pilotage.proto.documents.job import Need, Preference
from tests.matcher.invariants import check

from .makes import offer, spec

DAY_S = 86_400.0
NARROW = spec(1, Need(wall_s=3600), owner="ada")
WIDE = spec(2, Need(cores_min=8, wall_s=1000), owner="bob")


def jobs(matches: list[Match]) -> list[int]:
    return [match.job for match in matches]


# -- scarce demands ---------------------------------------------------------------------------


def test_an_offer_that_meets_a_scarce_demand_serves_it_first() -> None:
    matcher = Matcher()
    matcher.add_class(spec(1, owner="ada"))
    matcher.add_class(spec(2, Need(gpus_min=1), owner="bob"))
    matcher.add(1, 5, range(1, 11))
    matcher.add(2, 5, range(11, 21))

    with_gpu = matcher.match(offer(gpus=2, gpus_free=2), 3, 0.0)
    without = matcher.match(offer("p2"), 2, 0.0)

    assert jobs(with_gpu) == [11, 12, 1]
    assert jobs(without) == [2, 3]


def test_a_scarce_demand_goes_ahead_of_its_share_only_so_far() -> None:
    matcher = Matcher(Rules(long_wall_s=1000.0, ahead_core_s=10_000.0))
    matcher.add_class(spec(1, Need(wall_s=1000), owner="ada"))
    matcher.add_class(spec(2, Need(wall_s=2000), owner="bob"))
    matcher.add(1, 5, range(10_000))
    matcher.add(2, 5, range(10_000, 20_000))
    served: list[int] = []
    for now in range(3_000):
        (match,) = matcher.match(offer(), 1, float(now))
        matcher.confirm(match.job)
        served.append(match.class_id)

    assert served[:5] == [2] * 5
    assert abs(served.count(1) / served.count(2) - 2.0) < 0.02  # the same core time for both


# -- reservations -----------------------------------------------------------------------------


class Pilot:
    """A pilot of eight cores that asks each time one of its jobs ends."""

    def __init__(self, matcher: Matcher, name: str, left_s: float = 10 * DAY_S) -> None:
        self.matcher, self.name = matcher, name
        self.left_s = left_s
        self.running: dict[int, tuple[int, float]] = {}  # job → cores, end

    def offer(self, now: float) -> LiveOffer:
        taken = sum(cores for cores, _ in self.running.values())
        return offer(
            self.name, cores=8, cores_free=8 - taken, wall_left_s=max(0.0, self.left_s - now)
        )

    def ask(self, now: float) -> list[int]:
        for job, (_, end) in list(self.running.items()):
            if end <= now:
                del self.running[job]
                self.matcher.ended(job)
        found = self.matcher.match(self.offer(now), 8, now)
        for match in found:
            self.matcher.confirm(match.job)
            self.running[match.job] = (match.grant.cores, now + match.grant.wall_s)
        check(self.matcher)
        return [match.class_id for match in found]


def busy_pilot(reserve_after_s: float = 600.0) -> tuple[Matcher, Pilot]:
    """Return a pilot whose eight narrow jobs end one after another, and narrow ones that wait."""
    matcher = Matcher(Rules(reserve_after_s=reserve_after_s))
    for its in (NARROW, WIDE):
        matcher.add_class(its)
    pilot = Pilot(matcher, "p1")
    for core in range(8):
        matcher.add(1, 5, [core])
        pilot.ask(core * 450.0)
    matcher.add(1, 5, range(100, 1000))
    return matcher, pilot


def wait_for_wide(pilot: Pilot, until: float) -> float | None:
    now = 3600.0
    while now <= until:
        if 2 in pilot.ask(now):
            return now
        now += 450.0
    return None


def test_a_wide_job_that_waited_gets_an_offer_of_which_the_others_keep_off() -> None:
    matcher, pilot = busy_pilot()
    matcher.add(2, 5, [5000])

    began = wait_for_wide(pilot, 20_000.0)

    # It waits 600 s, then at most until the jobs that run have used their hour.
    assert began is not None and began <= 3600.0 + 900.0 + 3600.0


def test_without_reservation_it_waits_for_ever() -> None:
    matcher, pilot = busy_pilot(reserve_after_s=1e9)
    matcher.add(2, 5, [5000])

    assert wait_for_wide(pilot, 40_000.0) is None


def test_jobs_that_end_before_still_run_on_a_reserved_offer() -> None:
    matcher, pilot = busy_pilot()
    matcher.add_class(spec(3, Need(wall_s=400), owner="ada"))
    matcher.add(2, 5, [5000])
    matcher.add(3, 5, range(2000, 2100))
    began: list[int] = []
    now = 3600.0
    while 2 not in began:
        began.extend(pilot.ask(now))
        now += 450.0

    held_from = began.index(3) if 3 in began else 0
    assert 3 in began[held_from:]
    assert began[-1] == 2


def test_a_wide_offer_keeps_only_what_the_wide_job_needs() -> None:
    matcher = Matcher(Rules(reserve_after_s=10.0))
    for its in (NARROW, spec(2, Need(cores_min=4, wall_s=1000), owner="bob")):
        matcher.add_class(its)
    matcher.add(1, 5, range(16))
    there = offer(cores=16, cores_free=16, memory_free_mb=64_000)
    for match in matcher.match(there, 16, 0.0):
        matcher.confirm(match.job)
    matcher.add(2, 5, [500])
    matcher.add(1, 5, range(100, 200))
    matcher.ended(0)
    one_free = offer(cores=16, cores_free=1, memory_free_mb=64_000)
    assert len(matcher.match(one_free, 16, 100.0)) == 1  # too early to reserve: it is the first ask

    assert matcher.reservations.by_pilot.keys() == {"p1"}
    matcher.ended(1)
    # Twelve of the sixteen are for anyone, and all that run are narrow: one more of them may.
    assert len(matcher.match(one_free, 16, 200.0)) == 1
    check(matcher)


def test_a_reservation_is_told_and_ends_when_the_class_is_served_elsewhere() -> None:
    matcher, pilot = busy_pilot()
    matcher.add(2, 5, [5000])
    for now in (3600.0, 4050.0, 4500.0):
        pilot.ask(now)
    said = matcher.explain(5000, WIDE, [pilot.offer(4500.0)], 4500.0)
    told = [note for note in said.notes if note.startswith("pilot p1 is reserved")]
    narrow = matcher.backlog.classes.get(1).entry
    assert narrow is not None
    there = offer("p1", cores=8, cores_free=1, wall_left_s=90_000.0)
    of_others = matcher.explain(job_of(narrow[0]), NARROW, [there], 4500.0)
    of_offer = matcher.explain_offer(pilot.offer(4500.0), 4500.0)
    assert jobs(matcher.match(offer("other"), 1, 4600.0)) != []

    assert len(told) == 1
    assert of_others.next_on == 0, "it may not end before the wide job needs the offer"
    assert any(note.startswith("it is reserved for a larger job") for note in of_offer.notes)


def test_an_offer_with_gpus_is_reserved_for_who_asks_for_some() -> None:
    matcher = Matcher(Rules(reserve_after_s=10.0))
    for its in (NARROW, WIDE, spec(3, Need(cores_min=2, gpus_min=1, wall_s=1000), owner="eve")):
        matcher.add_class(its)
    matcher.add(1, 5, range(9))
    there = offer(cores=8, cores_free=8, gpus=1, gpus_free=1)
    for match in matcher.match(there, 8, 0.0):
        matcher.confirm(match.job)
    matcher.add(2, 5, [500])
    matcher.add(3, 5, [501])
    matcher.ended(0)
    matcher.match(offer(cores=8, cores_free=1, gpus=1, gpus_free=1), 8, 100.0)

    assert [held.class_id for held in matcher.reservations.by_pilot.values()] == [3]
    check(matcher)


def test_a_pilot_that_goes_gives_its_reservation_up() -> None:
    matcher, pilot = busy_pilot()
    matcher.add(2, 5, [5000])
    for now in (3600.0, 4050.0, 4500.0):
        pilot.ask(now)
    assert matcher.reservations.by_class
    for job in pilot.running:
        matcher.ended(job)
    for now in (4600.0, 4601.0, 4700.0):
        matcher.wake(now)

    assert not matcher.reservations.by_class
    check(matcher)


# -- preferences ------------------------------------------------------------------------------


def preferring(matcher: Matcher, class_id: int, site: str, for_s: int) -> None:
    preference = Preference(sites=(site,), for_s=for_s)
    matcher.add_class(spec(class_id, owner="ada", preference=preference))


def test_other_sites_serve_a_job_with_a_preference_after_all_others_for_its_time() -> None:
    matcher = Matcher()
    matcher.match(offer(), 1, 100.0)
    preferring(matcher, 1, "CSCS", 60)
    matcher.add_class(spec(2, owner="ada"))
    matcher.add(1, 5, [1, 2, 3, 4])
    matcher.add(2, 5, [5, 6, 7])

    assert jobs(matcher.match(offer(), 1, 101.0)) == [5]
    assert jobs(matcher.match(offer(site="CSCS"), 1, 102.0)) == [1]
    assert jobs(matcher.match(offer(), 1, 160.0 + 1.0)) == [2]


def test_a_preference_excludes_nobody() -> None:
    matcher = Matcher()
    preferring(matcher, 1, "CSCS", 60)
    matcher.add(1, 5, [1])

    assert jobs(matcher.match(offer(), 1, 0.0)) == [1]


def test_parked_offers_of_preferred_sites_are_woken_first() -> None:
    matcher = Matcher()
    preferring(matcher, 1, "CSCS", 60)
    matcher.park(offer("tight", cores_free=1), 1, 0.0)
    matcher.park(offer("liked", site="CSCS"), 1, 0.0)
    matcher.add(1, 5, [1])

    assert [one.pilot for one in matcher.wake(0.0)] == ["liked"]


def test_a_job_that_waits_for_its_sites_is_told_so() -> None:
    matcher = Matcher()
    preferring(matcher, 1, "CSCS", 60)
    matcher.add(1, 5, [1])
    its = spec(1, owner="ada", preference=Preference(sites=("CSCS",), for_s=60))

    said = matcher.explain(1, its, [offer()], 20.0)

    assert (
        "it prefers CSCS for 40 s more: other sites may run it, because no other job waits there"
        in (said.notes)
    )
    assert "its preferred site CSCS has no live offer" in said.notes

    matcher.add_class(spec(2, owner="ada"))
    matcher.add(2, 5, [2])
    said = matcher.explain(1, its, [offer()], 20.0)

    assert said.next_on == 0
    assert said.notes[-1] == (
        "it prefers CSCS for 40 s more: until then, all other jobs precede it on 1 of the offers"
    )
