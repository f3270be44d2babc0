"""A backup is restored while many pilots live: what they did in the lost time line never counts."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from pilotage.central.client import AsyncClient
from pilotage.central.operate.backup.backups import backup, restore
from tests.acceptance.running import RunningCentral, running_central

from .campaign import Person, a_job, all_final, unforeseen
from .crowd import Crowd, working

OPTIONS = {"lease.lease_s": "6"}
PILOTS = 8
ENDED_S = 60.0


def a_crowd(central: RunningCentral) -> Crowd:
    crowd = Crowd(central.url, 2)
    crowd.enlist(central.client, PILOTS)
    return crowd


async def all_gone(crowd: Crowd) -> None:
    while True:
        if crowd.truth.events["pilot_ended"] == len(crowd.members):
            return
        await asyncio.sleep(0.1)


def counted(data: Path, pilots: Sequence[str], after: float) -> list[tuple[int, int]]:
    """Return the results of these pilots that were taken after a moment, as job and epoch."""
    connection = sqlite3.connect(f"file:{data / 'store.sqlite'}?mode=ro", uri=True)
    rows = connection.execute(
        "SELECT pilot, job_id, epoch FROM attempt WHERE how = 'exited' AND ended_at > ?", (after,)
    ).fetchall()
    connection.close()
    return [(job, epoch) for pilot, job, epoch in rows if pilot in pilots]


def swap(central: RunningCentral, copy: Path) -> None:
    """Lose the central's data, and put what the backup holds in its place."""
    central.kill9()
    again = central.folder / "again"
    restore(copy, again, told=lambda _: None)
    central.data.rename(central.folder / "lost")
    again.rename(central.data)
    central.restart()


async def test_results_of_a_lost_time_line_never_count_and_its_pilots_end(tmp_path: Path) -> None:
    with running_central(tmp_path / "it", OPTIONS) as central:
        old = a_crowd(central)
        token = (central.data / "admin.token").read_text().strip()
        async with AsyncClient(central.url, token) as client, working(old):
            person = Person(client, "before")
            await person.submit("before", [a_job(0.4)] * 120)
            await asyncio.sleep(1.5)
            await asyncio.to_thread(backup, central.data, tmp_path / "copy", told=lambda _: None)
            copied = time.time()
            lost = await person.submit("lost", [a_job(0.4)] * 40)
            del person.acknowledged["lost"]
            await asyncio.sleep(1.5)
            done_in_vain = set(old.truth.acknowledged)
            await asyncio.to_thread(swap, central, tmp_path / "copy")
            new = await asyncio.to_thread(a_crowd, central)
            async with working(new):
                later = await person.submit("after", [a_job()] * 10)
                async with asyncio.timeout(ENDED_S):
                    await all_final(client)
                    await all_gone(old)
        pilots = [member.pilot for member in old.members]

        assert len(done_in_vain) > 20
        assert counted(central.data, pilots, copied) == []
        assert min(later) > max(lost), "an id was given twice"
        assert {view.id for view in central.client.search()} == {
            job for ids in person.acknowledged.values() for job in ids
        }
        assert new.truth.acknowledged
        assert unforeseen(central.log) == []
