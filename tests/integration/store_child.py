"""A process that writes to a store without pause and says what was acknowledged. To be killed.

Lines: `submitted <key> <first id> <count>`, `matched <job> <attempt>`, `ended <job> <attempt>`.
"""

import asyncio
import sys
from pathlib import Path

from pilotage.central.jobs import record as job_records, record_submissions as submission_records
from pilotage.central.store.engine import Store
from pilotage.central.store.sqlite import open_sqlite
from tests import turns
from tests.contract.store.rows import (
    a_class,
    a_submission,
    an_attempt,
    an_end,
    some_jobs,
    submitted,
)


def say(*words: object) -> None:
    print(*words, flush=True)


async def live(store: Store, worker: int) -> None:
    """Submit, match and end jobs, for ever."""
    kind = await a_class(store)
    for n in range(1_000_000):
        key = f"{worker}-{n}"
        record = await submitted(store, kind, 3, key)
        ((first, count),) = record.ranges
        say("submitted", key, first, count)
        attempt_id = await store.write(job_records.reserve_attempts, 2)
        await turns.match(
            store, [an_attempt(attempt_id, first), an_attempt(attempt_id + 1, first + 1)]
        )
        say("matched", first, attempt_id)
        say("matched", first + 1, attempt_id + 1)
        await turns.change(store, [an_end(attempt_id, first)])
        say("ended", first, attempt_id)


async def arrive(store: Store) -> None:
    """Bring chunks of submissions that are never finished."""
    kind = await a_class(store)
    for n in range(1_000_000):
        begun = await store.write(
            submission_records.begin_submission, a_submission(kind, f"arriving-{n}")
        )
        for _ in range(20):
            await store.write(
                submission_records.add_jobs, begun.submission_id, some_jobs(kind, 500)
            )


async def main(path: Path) -> None:
    store = await open_sqlite(path, clock_wall=lambda: 0.0, fatal=sys.exit)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(arrive(store))
        for worker in range(6):
            tasks.create_task(live(store, worker))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
