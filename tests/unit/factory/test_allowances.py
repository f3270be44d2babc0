"""Jobs that a limit of running jobs bars bring no pilots."""

import random

from pilotage.central.factory.planning.allowances import AllowedJobs
from pilotage.matcher.types import Ceiling
from pilotage.proto.documents.job import Need

from .test_factory import Stage, a_class, an_element

PLACES = {"PIC": 0b0011, "PIC/ce1": 0b0001, "CSCS": 0b1100}


def ceiling(number: int, where: str, jobs: int) -> Ceiling:
    return Ceiling(number=number, where=where, room=jobs)


def test_jobs_are_wanted_as_far_as_limits_let_them_run() -> None:
    allowed = AllowedJobs(PLACES.__getitem__)
    pic, ce1 = ceiling(0, "PIC", 5), ceiling(1, "PIC/ce1", 2)

    first = list(allowed.parts(4, 0b0011, [pic, ce1]))
    second = list(allowed.parts(9, 0b1111, [pic]))
    third = list(allowed.parts(9, 0b0011, [pic]))

    assert first == [(2, 0b0011), (2, 0b0010)], "two at ce1, the others beside it"
    assert second == [(1, 0b1111), (8, 0b1100)], "one more at PIC for all together"
    assert third == []


def test_nowhere_more_than_a_limit_has_room_for_whatever_the_order() -> None:
    chance = random.Random(7)
    for _ in range(200):
        ceilings = [
            ceiling(number, where, chance.randint(0, 6)) for number, where in enumerate(PLACES)
        ]
        allowed = AllowedJobs(PLACES.__getitem__)
        parts = [
            part
            for _ in range(chance.randint(1, 5))
            for part in allowed.parts(chance.randint(0, 9), chance.randint(0, 15), ceilings)
        ]

        for one in ceilings:
            inside = sum(jobs for jobs, places in parts if places & PLACES[one.where])
            assert inside <= one.jobs


async def test_pilots_come_for_jobs_that_may_start_and_for_no_others() -> None:
    (pic, driver), (cscs, elsewhere) = an_element(), an_element(site="CSCS")
    stage = Stage(pic, cscs)
    stage.work.jobs |= {Need(sites=("PIC",)): 50, Need(sites=("PIC",), os="el9"): 50}
    stage.work.limits = [ceiling(0, "PIC/slurm", 3)]
    await stage.factory.cycle()
    some = len(driver.pilots)
    stage.work.jobs[Need()] = 4
    await stage.factory.cycle()
    for one in list(driver.pilots.values()):
        await stage.register(one.request.stamp)
    stage.work.limits = [ceiling(0, "PIC/slurm", 0)]
    await stage.factory.cycle()
    (told,) = stage.factory.prospects(a_class(Need(sites=("PIC",))))

    assert "no pilot comes: PIC/slurm has limits that leave no room for such jobs" in told
    assert some == 3
    assert (len(driver.pilots), len(elsewhere.pilots)) == (3, 4)
