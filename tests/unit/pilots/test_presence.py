"""What a pilot says, in the terms of the matcher."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from pilotage.central.identity.scope import CountKey
from pilotage.central.jobs.leases import EPOCH_BITS, Lease, LeasePhase, PendingEnd
from pilotage.central.offers import core_work_left_hs23_s
from pilotage.central.pilots.presence import Pilots, Presence
from pilotage.central.sites.record import MarkKind, PlaceMark
from pilotage.central.sites.site_marks import SiteMarks
from pilotage.matcher.types import Grant, NodeFacts
from pilotage.proto.limits import check
from pilotage.proto.messages import Node, Offer
from pilotage.proto.pilot_states import PilotState

# The word of a pilot from before there were GPUs, types and levels.
OLD = b'{"cores":8,"cores_free":8,"memory_mb":16000,"memory_free_mb":16000,"wall_left_s":3600}'


def presence(**node: Any) -> Presence:
    return Presence(
        pilot="p1",
        community="ctao",
        site="PIC",
        element="ce1",
        session=1,
        state=PilotState.RUNNING,
        node=Node(host="wn1", **node),
        registered_at=0.0,
        heard=0.0,
    )


def test_an_old_pilot_offers_what_it_says_and_no_more() -> None:
    offer = msgspec.json.decode(OLD, type=Offer)
    check(offer)
    live = presence().live_offer(offer)

    assert (live.cores_free, live.memory_free_mb, live.gpus, live.gpus_free) == (8, 16_000, 0, 0)
    assert (live.types, live.core_work_left_hs23_s) == (frozenset(), 0.0)
    assert live.node == NodeFacts()


def test_what_is_free_is_less_what_was_given_and_never_less_than_nothing() -> None:
    offer = Offer(4, 4, 8_000, 8_000, 3_600.0, scratch_free_mb=100, gpus=2, gpus_free=2)
    offer = replace(offer, amounts={"net": 9, "shm": 1}, amounts_free={"net": 6, "shm": 1})
    taken = Grant(1, 1_000, 200, 60.0, 1, amounts={"net": 4, "licence.x": 1})
    live = presence().live_offer(offer, taken)

    assert (live.cores_free, live.memory_free_mb, live.scratch_free_mb) == (3, 7_000, 0)
    assert (live.gpus, live.gpus_free) == (2, 1)
    assert live.amounts_free == {"net": 2, "shm": 1}
    assert presence().live_offer(offer, Grant(0, 0, 0, 60.0, 3)).gpus_free == 0
    assert live.whole is None, "something of it is taken"


def test_versions_are_numbers_and_vendors_are_written_small() -> None:
    offer = Offer(1, 1, 1, 1, 1.0, gpu_vendor="NVIDIA", gpu_driver="535.104.05", gpu_memory_mb=7)
    there = presence(glibc="2.34", architecture_level=3, user_namespaces=True)

    assert there.live_offer(offer).node == NodeFacts(
        architecture_level=3,
        glibc=(2, 34),
        user_namespaces=True,
        gpu_vendor="nvidia",
        gpu_memory_mb=7,
        gpu_driver=(535, 104, 5),
    )


def test_pilots_that_are_alike_share_what_they_say_until_one_is_another() -> None:
    first, second = presence(os="el9", glibc="2.34"), presence(os="el9", glibc="2.34")
    other, banned = presence(os="el9", glibc="2.28"), presence(os="el9", glibc="2.34")
    places = SiteMarks()
    places.put(PlaceMark(place=banned.site, mark=MarkKind.BANNED, who="ada", reason="", at=1.0))
    assert banned.restrict(places)
    lives = [one.live_offer(_said("cvmfs")) for one in (first, second, other, banned)]
    said_more = second.live_offer(_said("cvmfs", "sw"))

    assert lives[0].tags is lives[1].tags and lives[0].node is lives[1].node
    assert [live.node.glibc for live in lives] == [(2, 34), (2, 34), (2, 28), (2, 34)]
    assert [live.types for live in lives] == [frozenset()] * 3 + [frozenset({"Test"})]
    assert said_more.tags == {"cvmfs", "sw"} and lives[0].tags == {"cvmfs"}


def test_a_pilot_without_namespaces_takes_no_job_where_its_site_requires_them() -> None:
    bare, apart = presence(), presence(namespaces=True)
    places = SiteMarks()
    places.isolating = frozenset({bare.site})

    assert [one.restrict(places) for one in (bare, apart)] == [True, False]
    (only,) = bare.live_offer(_said()).types
    assert only == "(none: its site requires isolation: namespaces)"
    assert apart.live_offer(_said()).types == frozenset()
    places.isolating = frozenset()
    assert bare.restrict(places)
    assert bare.live_offer(_said()).types == frozenset()


def test_a_pilot_of_release_0_1_says_nothing_of_namespaces_whatever_its_rung() -> None:
    old = msgspec.json.decode(b'{"host": "node", "isolation": "bubblewrap"}', type=Node)

    assert not old.namespaces


def _said(*tags: str) -> Offer:
    said = Offer(4, 4, 8_000, 8_000, 3_600.0, tags=tags)
    return msgspec.json.decode(msgspec.json.encode(said), type=Offer)


def test_what_a_pilot_says_fills_every_field_that_jobs_are_matched_by() -> None:
    offer = Offer(
        8,
        8,
        16_000,
        16_000,
        3_600.0,
        scratch_free_mb=50,
        tags=("cvmfs",),
        required_tags=("gpu",),
        groups=("sim",),
        owners=("ada",),
        types=("User",),
        gpus=2,
        gpus_free=2,
        cpu_work_left_hs23_s=1_000.0,
        gpu_vendor="nvidia",
        gpu_memory_mb=40_000,
        gpu_compute_capability="8.6",
        gpu_driver="535.104",
        amounts={"net": 10},
        amounts_free={"net": 8},
    )
    there = presence(
        os="el9",
        architecture="x86_64",
        architecture_level=3,
        glibc="2.34",
        user_namespaces=True,
        namespaces=True,
    )
    live = there.live_offer(offer)

    assert unfilled(live) == []
    assert unfilled(live.node) == []


def unfilled(made: msgspec.Struct) -> list[str]:
    """Return the fields that say no more than that nothing is known."""
    defaults = [(field.name, field.default) for field in msgspec.structs.fields(made)]
    return [
        name
        for name, default in defaults
        if getattr(made, name) in (default, "", 0, (), frozenset())
    ]


#   work left of all 4 cores, wall left, HS23 per core → work left on each core
WORK = """
    0      3600  0     0
    4000   3600  0     1000
    0      3600  10    36000
    4000   3600  10    1000
    400000 3600  10    36000
"""


@pytest.mark.parametrize("row", WORK.strip().splitlines())
def test_the_least_of_what_is_known_of_the_work_left_counts(row: str) -> None:
    left, wall_s, power, expected = map(float, row.split())
    offer = Offer(4, 4, 1, 1, wall_s, cpu_work_left_hs23_s=left)

    assert core_work_left_hs23_s(offer, Node(host="wn1", hs23_per_core=power)) == expected


def test_what_a_pilot_could_offer_empty_is_made_once_an_ask() -> None:
    there = presence()
    assert there.empty_offer() is None

    there.offer = Offer(
        4, 0, 8_000, 100, 3_600.0, scratch_free_mb=5, scratch_mb=50, gpus=2, gpus_free=0,
        amounts={"net": 9}, amounts_free={"net": 1},
    )  # fmt: skip
    empty = there.empty_offer()

    assert empty is not None and empty is there.empty_offer()
    assert (empty.cores_free, empty.memory_free_mb, empty.scratch_free_mb) == (4, 8_000, 50)
    assert (empty.gpus_free, empty.whole) == (2, (4, 8_000, 0.0))
    assert empty.amounts_free == {"net": 9}

    there.offer = Offer(4, 4, 8_000, 8_000, 1_800.0)
    later = there.empty_offer()

    assert later is not None and later.wall_left_s == 1_800.0


def lease(
    job: int, *, phase: LeasePhase = LeasePhase.LIVE, settling: PendingEnd | None = None
) -> Lease:
    return Lease(
        attempt_id=job,
        job=job,
        epoch=1,
        class_id=1,
        priority=5,
        kind=CountKey(community="ctao", group="sim", owner="ada", type="User"),
        pilot="p1",
        session=1,
        ask=1,
        site="PIC",
        element="ce1",
        grant=Grant(2, 1_000, 10, 60.0, 1),
        matched=0.0,
        phase=phase,
        settling=settling,
    )


def test_what_was_handed_out_since_the_last_ask_is_not_free() -> None:
    there = presence()
    assert there.free_offer([]) is None

    there.offer = Offer(8, 6, 16_000, 9_000, 3_600.0, scratch_free_mb=50, gpus=2, gpus_free=2)
    there.known = frozenset([1 << EPOCH_BITS | 1])
    leases = [
        lease(1),
        lease(2),
        lease(3, phase=LeasePhase.OPEN),
        lease(4, settling=PendingEnd.RESULT),
        lease(5, phase=LeasePhase.PENDING),
    ]
    free = there.free_offer(leases)
    said = there.free_offer(leases[:1])

    assert free is not None and said is not None
    assert (said.cores_free, said.memory_free_mb) == (6, 9_000), "it knew of job 1"
    assert (free.cores_free, free.memory_free_mb, free.gpus_free) == (4, 8_000, 1)
    assert said is there.free_offer([]), "made once an ask"


def test_an_offer_with_nothing_on_it_is_the_same_free_and_empty() -> None:
    there = presence()
    there.offer = Offer(8, 8, 16_000, 16_000, 3_600.0)

    assert there.free_offer([]) is there.empty_offer()


def test_how_many_pilots_stand_where_is_kept() -> None:
    pilots, first, second, again = Pilots(), presence(), presence(), presence()
    first.pilot, second.pilot, again.pilot = "a", "b", "b"
    pilots.put(first)
    pilots.put(second)
    pilots.moved(first, PilotState.LOST)
    pilots.put(again)  # its next session
    pilots.moved(second, PilotState.DONE)  # the session before speaks for nobody
    pilots.forget("a")
    pilots.forget("a")

    assert {state: n for state, n in pilots.states.items() if n} == {PilotState.RUNNING: 1}
