"""What of a node is booked and what is free."""

from pilotage.pilot.slots import Free, Slots
from pilotage.proto.messages import Grant

BIG = Grant(cores=1, memory_mb=2_000, wall_s=60, scratch_mb=80_000)
SMALL = Grant(cores=1, memory_mb=2_000, wall_s=60, scratch_mb=20_000)


def test_cores_memory_and_disk_are_booked_and_given_back() -> None:
    slots = Slots(4, 8_000, 100_000)
    slots.book(1, BIG)

    assert slots.free() == Free(3, 6_000, 20_000)
    assert slots.fits(SMALL) and not slots.fits(BIG)

    slots.release(1)

    assert slots.free() == Free(4, 8_000, 100_000)


def test_a_disk_that_others_fill_leaves_nothing_beside_what_is_booked() -> None:
    slots = Slots(4, 8_000, 100_000)
    slots.book(1, BIG)
    slots.scratch_mb = 70_000

    assert slots.free().scratch_mb == 0
    assert slots.fits(Grant(cores=1, memory_mb=1, wall_s=60))
    assert not slots.fits(Grant(cores=1, memory_mb=1, wall_s=60, scratch_mb=1))


#    cores, memory and disk that were offered, the same now, and whether that is worth an ask
NEWS = """
     2 4000 50000    2 4000 50000    no
     2 4000 50000    2 4000 50999    no
     2 4000 50000    2 4000 51000    yes
     2 4000 50000    2 4000 1000     no
     2 4000 50000    1 4000 50000    yes
     2 4000 50000    2 4500 50000    yes
"""


def test_a_changed_offer_is_news_but_not_each_movement_of_the_disk() -> None:
    for row in NEWS.strip().splitlines():
        *numbers, word = row.split()
        offered, free = Free(*map(int, numbers[:3])), Free(*map(int, numbers[3:]))

        assert free.is_news_after(offered) is (word == "yes"), row
