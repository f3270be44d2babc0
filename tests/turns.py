"""Halves of a turn, for tests that write only one of them."""

from collections.abc import Sequence

from pilotage.central.dispatch.record import turn
from pilotage.central.jobs.record_types import AttemptChange, JobBody, NewAttempt
from pilotage.central.store.engine import Store


async def match(store: Store, attempts: Sequence[NewAttempt]) -> list[JobBody | None]:
    """Write matches; return the body of each job, None where the job was not to be had."""
    return (await store.write(turn, [], attempts))[1]


async def change(store: Store, changes: Sequence[AttemptChange]) -> list[bool]:
    """Change attempts; return for each whether it was as the change expects."""
    return (await store.write(turn, changes, []))[0]
