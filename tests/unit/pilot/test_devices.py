"""Which GPUs each payload has."""

import random
from dataclasses import replace

import pytest

from pilotage.pilot.gpus import NO_GPUS, Gpus
from pilotage.pilot.mind.devices import Devices
from pilotage.proto.messages import Assignment, Body, Grant

FOUR = Gpus(count=4, vendor="nvidia", devices=("GPU-a", "GPU-b", "GPU-c", "GPU-d"))


def attempt(number: int, gpus: int, **environment: str) -> Assignment:
    grant = Grant(cores=1, memory_mb=1, wall_s=1, gpus=gpus)
    body = Body(command=("true",), environment=environment)
    return Assignment(number, 1, number, 120.0, "t", grant, body)


def seen(devices: Devices, number: int, gpus: int) -> str | None:
    given = devices.give(attempt(number, gpus)).body.environment
    return given.get("CUDA_VISIBLE_DEVICES")


def test_no_two_payloads_have_the_same_gpu_and_what_is_given_back_is_given_again() -> None:
    devices = Devices(FOUR)

    told = [seen(devices, 1, 2), seen(devices, 2, 1), seen(devices, 3, 0)]
    devices.take_back(1)
    devices.take_back(1)
    told += [seen(devices, 4, 3)]

    assert told == ["GPU-a,GPU-b", "GPU-c", "", "GPU-a,GPU-b,GPU-d"]


def test_gpus_of_amd_have_a_variable_of_their_own_and_a_job_cannot_choose() -> None:
    devices = Devices(Gpus(count=2, vendor="amd", devices=("2", "3")))

    given = devices.give(attempt(1, 1, ROCR_VISIBLE_DEVICES="7", OTHER="x"))

    assert given.body.environment == {"ROCR_VISIBLE_DEVICES": "2", "OTHER": "x"}
    assert replace(given, body=attempt(1, 1).body) == attempt(1, 1)


@pytest.mark.parametrize(
    "gpus",
    [NO_GPUS, replace(FOUR, devices=()), replace(FOUR, vendor="intel"), replace(FOUR, count=5)],
)
def test_where_gpus_have_no_names_the_environment_stays_as_it_is(gpus: Gpus) -> None:
    assert Devices(gpus).give(attempt(1, 1)) == attempt(1, 1)


def test_at_random_no_gpu_is_given_twice() -> None:
    chance, devices = random.Random(5), Devices(FOUR)
    held: dict[int, set[str]] = {}
    for number in range(2_000):
        if held and chance.random() < 0.5:
            gone = chance.choice(sorted(held))
            devices.take_back(gone)
            del held[gone]
        free = 4 - sum(len(names) for names in held.values())
        wanted = chance.randint(0, free)
        names = (seen(devices, number, wanted) or "").split(",") if wanted else []
        assert not set(names) & {name for others in held.values() for name in others}
        held[number] = set(names)
