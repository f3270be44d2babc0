"""Explanations: what stands in the way, how far off it is, and what would help."""

from pilotage.matcher import Matcher
from pilotage.proto.job import Need

from .makes import offer, spec

OFFERS = [
    offer("p1", site="PIC", memory_free_mb=8_000),
    offer("p2", site="PIC", memory_free_mb=16_000),
    offer("p3", site="PIC", memory_free_mb=16_000),
    offer("p4", site="CSCS", memory_free_mb=16_000, cores_free=0),
    offer("p5", site="DESY", memory_free_mb=64_000, wall_left_s=600.0),
]


def test_each_clause_says_how_many_it_excludes_and_how_near_the_nearest_comes() -> None:
    its = spec(1, Need(memory_mb=32_000, sites=("PIC", "CSCS"), wall_s=3600))

    said = Matcher().explain(None, its, OFFERS, 0.0)

    assert (said.job, said.state, said.offers, said.fitting) == (None, "", 5, 0)
    table = [(it.clause, it.wanted, it.excludes, it.best, it.would_fit) for it in said.obstacles]
    assert table == [
        ("memory", "32000 MB", 4, "16000 MB", 3),
        ("sites", "PIC or CSCS", 1, "DESY", 0),
        ("cores", "1", 1, "0", 0),
        ("wall", "3600 s", 1, "600 s", 0),
    ]
    assert "with memory ≤ 16000 MB: 2 offers" in said.notes
    assert "wide enough, but taken by other jobs: 1 offer" in said.notes


def test_what_would_fit_without_a_demand_that_is_no_number_is_said_too() -> None:
    its = spec(1, Need(tags="gpu & cvmfs", os="el9"))
    there = [offer("p1", tags=frozenset(["cvmfs", "avx"])), offer("p2", tags=frozenset())]

    said = Matcher().explain(None, its, there, 0.0)

    (obstacle,) = said.obstacles
    assert (obstacle.clause, obstacle.wanted) == ("tags", "gpu & cvmfs")
    assert (obstacle.excludes, obstacle.best, obstacle.would_fit) == (2, "avx, cvmfs", 2)
    assert said.notes == ["without its demand on tags: 2 offers"]


def test_of_alternatives_the_nearest_is_shown() -> None:
    its = spec(1, Need(sites=("ESRIN",), cores_min=64), Need(memory_mb=16_001))

    said = Matcher().explain(None, its, OFFERS[1:3], 0.0)

    assert [it.clause for it in said.obstacles] == ["memory"]
    assert "of its 2 alternative needs the nearest is shown: number 2" in said.notes


def test_jobs_ahead_are_those_that_the_same_offers_could_run() -> None:
    matcher = Matcher()
    mine = spec(1, Need(sites=("PIC",)))
    matcher.add_class(mine)
    matcher.add_class(spec(2, Need(sites=("PIC", "DESY"))))
    matcher.add_class(spec(3, Need(sites=("CSCS",))))
    matcher.add(1, 5, [150, 160])
    matcher.add(2, 5, range(1, 100))
    matcher.add(2, 9, range(200, 210))
    matcher.add(3, 9, range(300, 400))
    matcher.remove(7)

    said = matcher.explain(160, mine, OFFERS, 0.0)

    assert (said.state, said.fitting) == ("Waiting", 3)
    assert said.ahead == 1 + 98 + 10


def test_a_job_that_is_next_pending_kept_or_unknown_is_told_so() -> None:
    matcher = Matcher()
    mine = spec(1)
    matcher.add_class(mine)
    matcher.add(1, 5, [1, 2, 3])
    matcher.match(offer("p1"), 1, 0.0)
    matcher.park(offer("p2"), 1, 0.0)
    matcher.wake(0.0)

    def told(job: int) -> tuple[str, list[str]]:
        said = matcher.explain(job, mine, OFFERS[:3], 0.0)
        return said.state, said.notes

    assert told(1) == ("Matched", ["it is being handed to a pilot"])
    assert told(2) == ("Waiting", ["it is kept for a pilot that was woken for it"])
    assert told(3) == ("Waiting", ["it is the next for the offers that fit"])
    assert told(4)[0] == ""


def test_without_offers_the_reason_is_that_there_are_none() -> None:
    said = Matcher().explain(None, spec(1), [], 0.0)

    assert (said.offers, said.obstacles) == (0, [])
    assert said.notes == ["no pilot offers anything now"]


def test_offers_for_others_are_counted_by_what_they_accept() -> None:
    there = [
        offer("p1", community="lhcb"),
        offer("p2", groups=frozenset(["dpps"])),
        offer("p3", owners=frozenset(["bob"])),
        offer("p4", required_tags=frozenset(["gpu"])),
    ]

    said = Matcher().explain(None, spec(1), there, 0.0)

    table = {it.clause: (it.wanted, it.best) for it in said.obstacles}
    assert table == {
        "community": ("ctao", "lhcb"),
        "group": ("sim", "dpps"),
        "owner": ("ada", "bob"),
        "required_tags": ("asks for no tag", "requires gpu"),
    }
