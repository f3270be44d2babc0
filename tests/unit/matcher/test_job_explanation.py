"""Explanations: what stands in the way, how far off it is, and what would help."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pilotage.matcher import Matcher
from pilotage.matcher.rules import Rules
from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.documents.job import Need, Preference

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
    assert "of its 2 alternative needs, number 2 is the nearest and is shown" in said.notes


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
    assert told(3) == (
        "Waiting",
        [
            "it is next for 2 of the 3 offers with room now",
            "1 of the 3 offers with room now is kept for a job that its pilot was just woken for",
        ],
    )
    assert told(4)[0] == ""


def test_without_offers_the_reason_is_that_there_are_none() -> None:
    said = Matcher().explain(None, spec(1), [], 0.0)

    assert (said.offers, said.obstacles) == (0, [])
    assert said.notes == ["no pilot offers capacity now"]


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


# -- what is free now -------------------------------------------------------------------------


def now_of(**by_pilot: LiveOffer) -> Callable[[LiveOffer], LiveOffer]:
    return lambda empty: by_pilot.get(empty.pilot, empty)


def waiting(*needs: Need, jobs: int = 1, **changes: Any) -> tuple[Matcher, ClassSpec]:
    matcher, its = Matcher(), spec(1, *needs, **changes)
    matcher.add_class(its)
    matcher.add(1, 5, range(1, jobs + 1))
    return matcher, its


#   what is asked, what of the offer is free now → what lacks
LACKS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"cores_min": 4}, {"cores_free": 3}, "cores 3 of 8"),
    ({"gpus_min": 2}, {"gpus_free": 1}, "GPUs 1 of 2"),
    (
        {"cores_min": 4, "memory_mb": 5_000},
        {"cores_free": 0, "memory_free_mb": 4_000},
        "cores 0 of 8, memory 4000 of 16000 MB",
    ),
    ({"whole_node": True}, {"cores_free": 7}, "cores 7 of 8, and it takes the whole node"),
    ({"scratch_mb": 100}, {"scratch_free_mb": 99}, "scratch 99 of 10000 MB"),
]


@pytest.mark.parametrize(("wanted", "free", "lacks"), LACKS, ids=str)
def test_a_job_for_which_others_must_end_first_is_not_the_next(
    wanted: dict[str, Any], free: dict[str, Any], lacks: str
) -> None:
    empty = offer("p1", gpus=2, gpus_free=2)
    matcher, its = waiting(Need(**wanted))
    now = msgspec.structs.replace(empty, **free)

    said = matcher.explain(1, its, [empty], 0.0, free=now_of(p1=now))

    assert (said.fitting, said.with_room, said.next_on) == (1, 0, 0)
    assert said.notes == [
        f"the 1 fitting offer has too little free now: {lacks}; the job waits until jobs there end",
        "it is next when there is room",
    ]


def test_of_many_offers_it_is_said_how_many_have_room_and_what_the_others_lack() -> None:
    matcher, its = waiting(Need(cores_min=4))
    there = [offer("p1"), offer("p2"), offer("p3")]
    full = {"p1": offer("p1", cores_free=0), "p2": offer("p2", cores_free=2)}

    some = matcher.explain(1, its, there, 0.0, free=now_of(**full))
    none = matcher.explain(1, its, there[:2], 0.0, free=now_of(**full))

    assert (some.fitting, some.with_room, some.next_on) == (3, 1, 1)
    assert some.notes == ["it is next for the offers with room now"]
    assert (none.fitting, none.with_room, none.next_on) == (2, 0, 0)
    assert none.notes[0] == (
        "none of the 2 fitting offers has enough free now: 2 have too few free cores; "
        "the job waits until jobs there end"
    )


def test_an_alternative_has_room_only_where_it_fits() -> None:
    """The small need fits nowhere but at CSCS; at PIC the wide one has too little free."""
    matcher, its = waiting(Need(cores_min=8, sites=("PIC",)), Need(sites=("CSCS",)))
    there = [offer("p1"), offer("p2", site="DESY")]

    said = matcher.explain(1, its, there, 0.0, free=now_of(p1=offer("p1", cores_free=7)))

    assert (said.fitting, said.with_room) == (1, 0)


def test_what_is_not_submitted_yet_takes_its_place_behind_those_that_wait() -> None:
    matcher, _ = waiting(jobs=50)
    matcher.add(1, 9, range(100, 103))

    def ahead(priority: int, **changes: Any) -> int:
        new = spec(0, **changes)
        return matcher.explain(None, new, OFFERS[:3], 0.0, priority=priority).ahead

    assert [ahead(priority) for priority in (0, 5, 9, 10)] == [53, 53, 3, 0]
    assert ahead(5, owner="bob") == 0


def test_what_nothing_else_waits_for_would_start_at_once() -> None:
    said = Matcher().explain(None, spec(0), OFFERS[:3], 0.0)

    assert (said.with_room, said.next_on) == (3, 3)
    assert said.notes == ["no other job waits for the fitting offers: it would start there at once"]


def test_the_lowest_priority_is_told() -> None:
    matcher, its = waiting()
    matcher.set_priority(1, 0)
    notes = matcher.explain(1, its, OFFERS[:1], 0.0).notes

    assert notes[1] == "its priority is 0: it comes after the fitting jobs of all owners"


def test_shares_are_told_with_weight_and_use() -> None:
    matcher = Matcher(Rules(shares={"ctao/dpps": 3.0}))
    for number, group in enumerate(("sim", "dpps"), start=1):
        matcher.add_class(spec(number, Need(wall_s=36_000), group=group))
        matcher.add(number, 5, range(100 * number, 100 * number + 9))
    matcher.match(offer("p1", cores=80, cores_free=3), 3, 0.0)
    new = spec(0, group="dpps", owner="bob")
    owner = matcher.explain(None, new, OFFERS[:1], 0.0)
    said = matcher.explain(108, spec(1), OFFERS[:1], 0.0)

    assert (said.groups_ahead, said.owners_ahead) == (1, 0)
    assert (
        "by fair share, group sim is number 2 of 2 groups: share 1, usage 10 core hours; "
        "the first is dpps: share 3, usage 20 core hours"
    ) in said.notes
    assert (
        "by fair share, owner bob is number 2 of 2 owners of group dpps: no usage yet"
    ) in owner.notes


# -- what was meant ---------------------------------------------------------------------------

#   what is asked, what is had → what is said
MEANT: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"sites": ("pic",)}, {}, "the site pic: did you mean PIC?"),
    ({"element": "CE1"}, {}, "the element CE1: did you mean ce1?"),
    ({"element": "htcondor"}, {}, ""),
    ({"os": "el 9"}, {}, "the operating system el 9: did you mean el9?"),
    ({"architecture": "x86-64"}, {}, "the architecture x86-64: did you mean x86_64?"),
    (
        {"tags": "CVMFS & ~gpu"},
        {"tags": frozenset(["cvmfs"])},
        "the tag CVMFS: did you mean cvmfs?",
    ),
    ({"sites": ("ESRIN",)}, {}, ""),
]


@pytest.mark.parametrize(("wanted", "had", "hint"), MEANT, ids=str)
def test_what_was_meant_is_asked(wanted: dict[str, Any], had: dict[str, Any], hint: str) -> None:
    its = spec(1, msgspec.structs.replace(Need(), **wanted))
    notes = Matcher().explain(None, its, [offer(**had)], 0.0).notes

    assert [note for note in notes if "did you mean" in note] == (
        [f"no live offer has {hint}"] if hint else []
    )


def test_a_preferred_site_without_offers_is_told() -> None:
    matcher, its = waiting(preference=Preference(sites=("PICC",), for_s=60))
    notes = matcher.explain(1, its, OFFERS[:1], 0.0).notes

    assert "its preferred site PICC has no live offer: did you mean PIC?" in notes


def test_tags_are_shown_where_some_offer_has_any() -> None:
    there = [
        offer("p1"),
        offer("p2", tags=frozenset(["gpu"]), cores_free=0),
        offer("p3", tags=frozenset(["gpu", "avx"])),
    ]
    tags = Matcher().explain(None, spec(1, Need(tags="cvmfs")), there, 0.0).obstacles[0]
    none = Matcher().explain(None, spec(1, Need(tags="cvmfs")), there[:1], 0.0).obstacles[0]

    assert (tags.clause, tags.best, none.best) == ("tags", "gpu", "no tags")


#   the class, what the offer accepts → what would help
REMEDIES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"required_tags": frozenset(["gpuonly"])}, "if it asked for the tag gpuonly: 1 offer"),
    ({}, {"groups": frozenset(["dpps", "ops"])}, "if its group were dpps or ops: 1 offer"),
    ({}, {"types": frozenset(["Test"])}, "if its type were Test: 1 offer"),
    ({"needs": (Need(banned_sites=("PIC",)),)}, {}, "if it did not ban PIC: 1 offer"),
]


@pytest.mark.parametrize(("its", "accepts", "said"), REMEDIES, ids=str)
def test_what_to_ask_for_instead_is_said(
    its: dict[str, Any], accepts: dict[str, Any], said: str
) -> None:
    job = msgspec.structs.replace(spec(1), **its)

    assert Matcher().explain(None, job, [offer(**accepts)], 0.0).notes == [said]


# -- pilots -----------------------------------------------------------------------------------


def test_a_pilot_is_told_what_it_could_run_if_it_were_empty() -> None:
    matcher, _ = waiting(jobs=53)
    full = offer("p1", cores_free=0)

    said = matcher.explain_offer(full, 0.0, empty=offer("p1"))

    assert (said.waiting, said.fitting, said.when_empty) == (53, 0, 53)
    assert said.notes == [], "that other jobs are on it needs no advice"


#   what the offer accepts → what is said
TAKES: list[tuple[dict[str, Any], str]] = [
    (
        {"required_tags": frozenset(["gpuonly"])},
        "it takes only jobs that ask for gpuonly: 2 jobs would fit otherwise",
    ),
    (
        {"groups": frozenset(["dpps", "ops"])},
        "it takes only jobs of group dpps or ops: 2 jobs would fit otherwise",
    ),
    ({"wall_left_s": 10.0}, "without the clause wall, 2 jobs would fit"),
]


@pytest.mark.parametrize(("accepts", "said"), TAKES, ids=str)
def test_a_pilot_is_told_what_alone_keeps_jobs_from_it(accepts: dict[str, Any], said: str) -> None:
    matcher, _ = waiting(jobs=2)

    assert matcher.explain_offer(offer(**accepts), 0.0).notes == [said]
