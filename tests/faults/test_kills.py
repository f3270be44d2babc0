"""kill -9 and SIGSTOP at random moments under load: nothing is lost, nothing counts twice."""

import asyncio
import random
import signal
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pilotage.pilot.talk import bus
from tests.services.mosquitto import missing

from .campaign import Stage, a_broker, under_load
from .crowd import Truth
from .ledger import audit

LEASE_S = 5.0  # so long that a busy machine is no reason to lose one
OPTIONS = {"lease.lease_s": f"{LEASE_S}"}
KILLS, KILLS_LONG = 10, 300
ANSWERING_S = 30.0  # beside whatever else the machine does; P7 is measured on a quiet one


async def killed_again_and_again(folder: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    away_s: list[float] = []
    async with under_load(
        folder, {"lease.lease_s": "20"}, seed=seed, pilots=20, job_s=0.3
    ) as stage:
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            stage.central.kill9()
            killed = time.monotonic()
            await asyncio.sleep(chance.choice((0.0, 0.0, 0.3)))
            await stage.restart()
            away_s.append(time.monotonic() - killed)
    print(f"{kills} kills, away for at most {max(away_s):.1f} s")

    assert max(away_s) < ANSWERING_S
    assert stage.jobs > 10 * kills
    assert stage.crowd.truth.begun_again() == [], "an attempt was lost"
    said = tampered(stage.central.data, stage.submitted, stage.crowd.truth)
    assert [one.split(":")[0] for one in said] == ["lost", "counted twice", "lost"]


def tampered(data: Path, submitted: Mapping[str, Sequence[int]], truth: Truth) -> list[str]:
    """Do to a store what must never happen, and return what the audit says: it is no fool."""
    (job, epoch), *_, (other, its_epoch) = sorted(truth.acknowledged)
    connection = sqlite3.connect(data / "store.sqlite", isolation_level=None)
    changed: dict[str, str] = {"attempt_id": "1 << 40", "epoch": "epoch + 1"}
    names_of: list[str] = [row[1] for row in connection.execute("PRAGMA table_info(attempt)")]
    twin = ", ".join(changed.get(name, name) for name in names_of)
    said: list[str] = []
    for harm, names in (
        ("UPDATE attempt SET how = NULL WHERE job_id = ? AND epoch = ?", (job, epoch)),
        (
            f"INSERT INTO attempt SELECT {twin} FROM attempt WHERE job_id = ? AND epoch = ?",  # noqa: S608
            (other, its_epoch),
        ),
        ("UPDATE submission SET complete = 0 WHERE submission_id = 1", ()),
    ):
        before = audit(data, submitted, truth)
        connection.execute(harm, names)
        said += [one for one in audit(data, submitted, truth) if one not in before][:1]
    connection.close()
    return said


async def test_a_central_that_is_killed_under_load_loses_nothing_and_counts_nothing_twice(
    tmp_path: Path,
) -> None:
    await killed_again_and_again(tmp_path, KILLS, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
async def test_hundreds_of_kills_of_the_central_lose_nothing(tmp_path: Path, seed: int) -> None:
    await killed_again_and_again(tmp_path, KILLS_LONG // 10, seed=seed + 100)


async def test_a_central_that_stands_still_loses_no_attempt(tmp_path: Path) -> None:
    """Grey failure: connections stay open and nothing answers, for longer than a lease."""
    async with under_load(tmp_path, OPTIONS, job_s=2.5, pause_s=2.0, pilots=20) as stage:
        await asyncio.sleep(2.0)
        stage.central.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.5 * LEASE_S)
        stage.central.process.send_signal(signal.SIGCONT)

    assert stage.crowd.truth.begun_again() == []


async def all_back(stage: Stage) -> None:
    """Wait until all pilots are on the bus."""
    async with asyncio.timeout(60.0):
        while True:
            heard = [member.heard for member in stage.crowd.members]
            if all(one.get("bus_up", 0.0) > one.get("bus_down", 0.0) for one in heard):
                return
            await asyncio.sleep(0.1)


async def broken_bus(folder: Path, times: int, seed: int) -> None:
    """Kill and freeze the broker in turn, so often; no attempt may be lost by that."""
    chance = random.Random(seed)
    async with a_broker(folder / "broker") as (broker, options):
        async with under_load(
            folder / "it", options | OPTIONS, job_s=1.0, pause_s=0.5, seed=seed
        ) as stage:
            for number in range(times):
                await asyncio.sleep(chance.uniform(0.5, 2.0))
                if number % 2:
                    broker.send(signal.SIGSTOP)
                    await asyncio.sleep(chance.uniform(0.5, 1.5) * LEASE_S)
                    broker.send(signal.SIGCONT)
                else:
                    broker.kill()
                    await asyncio.sleep(chance.uniform(0.0, 1.0))
                    await broker.start()
            await all_back(stage)

        assert stage.crowd.truth.begun_again() == []


@pytest.mark.skipif(bool(missing()), reason=f"needs {missing()}")
async def test_a_broker_that_is_killed_or_stands_still_costs_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "SPREAD_S", 1.0)  # they shall be back before the next one
    await broken_bus(tmp_path, 3, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
async def test_a_broker_that_is_killed_or_stands_still_two_hundred_times_costs_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(bus, "SPREAD_S", 1.0)
    await broken_bus(tmp_path, 20, seed=seed + 100)
