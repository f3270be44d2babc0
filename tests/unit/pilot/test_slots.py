"""What of a node is booked and what is free."""

from pilotage.pilot.mind.slots import FreeCapacity, Slots
from pilotage.proto.messages import Grant

BIG = Grant(cores=1, memory_mb=2_000, wall_s=60, scratch_mb=80_000)
SMALL = Grant(cores=1, memory_mb=2_000, wall_s=60, scratch_mb=20_000)


def test_cores_memory_and_disk_are_booked_and_given_back() -> None:
    slots = Slots(4, 8_000, 100_000)
    slots.book(1, BIG)

    assert slots.free() == FreeCapacity(3, 6_000, 20_000)
    assert slots.fits(SMALL) and not slots.fits(BIG)

    slots.release(1)

    assert slots.free() == FreeCapacity(4, 8_000, 100_000)


#   what the disk has free in turn, the booking of 80,000 held from the first to the last; → offered
DISK = """
    what a payload has written counts once                100000 60000       20000
    a payload that writes more than it booked             100000 15000       15000
    a disk that others have filled                        100000 5000        5000
    room that others have made                            100000 130000      50000
    that room, used again                                 100000 130000 40000   40000
"""


def test_of_the_disk_the_rest_beside_all_bookings_is_free_and_never_more_than_there_is() -> None:
    for row in DISK.strip().splitlines():
        name, numbers = row[:54].strip(), [int(word) for word in row[54:].split()]
        first, *measured, offered = numbers
        slots = Slots(4, 8_000, first)
        slots.book(1, BIG)
        for free_mb in measured:
            slots.scratch_measured(free_mb)

        assert slots.free().scratch_mb == offered, name


def test_without_payloads_the_disk_is_taken_as_it_is_found() -> None:
    slots = Slots(4, 8_000, 100_000)
    slots.scratch_measured(40_000)
    slots.book(1, SMALL)
    slots.scratch_measured(40_000)

    assert slots.free().scratch_mb == 20_000
    assert slots.fits(SMALL) and not slots.fits(BIG)


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
        cores, memory_mb, scratch_mb, *others = map(int, numbers)
        offered, free = (
            FreeCapacity(cores, memory_mb, scratch_mb),
            FreeCapacity(others[0], others[1], others[2]),
        )

        assert free.is_news_after(offered) is (word == "yes"), row


def test_a_gpu_is_given_once() -> None:
    slots = Slots(8, 8_000, 100_000, gpus=2)
    one = Grant(cores=1, memory_mb=0, wall_s=60, gpus=1)
    slots.book(1, one)
    slots.book(2, one)

    assert slots.free().gpus == 0
    assert not slots.fits(one)

    slots.release(1)

    assert slots.fits(one)
    assert FreeCapacity(8, 0, 0, 1).is_news_after(FreeCapacity(8, 0, 0, 0))


def test_named_amounts_are_booked_and_given_back() -> None:
    slots = Slots(4, 8_000, 100_000, amounts={"net": 10})
    one = Grant(cores=1, memory_mb=0, wall_s=60, amounts={"net": 6, "licence.x": 1})
    before = slots.free()
    slots.book(1, one)

    assert slots.free().amounts == {"net": 4} and not slots.fits(one)
    assert before.less(one).amounts == {"net": 4}
    assert slots.free().is_news_after(FreeCapacity(3, 8_000, 100_000, amounts={"net": 10}))

    slots.release(1)

    assert slots.free() == before
