"""Counts the failures in the steps of a production, by class at the end of each attempt."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from pilotage.proto.api.productions import StepFailures
from pilotage.proto.failures import FailureClass

from ..accounts import record_failures as failure_records
from ..accounts.record_failures import FailureRow, FailureSearch
from ..jobs import record as job_records
from ..jobs.failure_class import class_of
from ..jobs.record_types import AttemptRow
from ..store.engine import Store
from ..transformations.record import TransformationRow

ROWS_MAX: Final = 1_000  # pairs of class and site
EXAMPLES: Final = 5  # jobs named for each class
QUOTED_MAX: Final = 100  # classes of all steps whose standard error is read

LastLine = Callable[[AttemptRow], Awaitable[str]]


async def failures_of(
    store: Store, rows: Sequence[TransformationRow], last_line: LastLine | None
) -> list[list[StepFailures]]:
    """Return the failures of transformations, for each the most frequent class first.

    `last_line` reads the last line of the first example of a class; None: nothing is quoted.
    """
    found: list[list[StepFailures]] = []
    left = QUOTED_MAX
    for row in rows:
        classes = await _counted(store, row)
        attempts = await store.read(
            job_records.attempts_of_jobs, [job for one in classes for job in one.examples]
        )
        shown: list[StepFailures] = []
        for one in classes:
            ordered, attempt = _to_look_at(one, attempts)
            if attempt is not None and last_line is not None and left:
                left -= 1
                ordered = msgspec.structs.replace(ordered, stderr=await last_line(attempt))
            shown.append(ordered)
        found.append(shown)
    return found


async def _counted(store: Store, row: TransformationRow) -> list[StepFailures]:
    wanted = FailureSearch(
        since=0, community=row.community, transformation_id=row.transformation_id
    )
    classes: defaultdict[str, list[FailureRow]] = defaultdict(list)
    for one in await store.read(failure_records.failures, wanted, limit=ROWS_MAX):
        classes[one.failure].append(one)
    found = [
        StepFailures(
            failure=FailureClass(name),
            attempts=sum(one.attempts for one in some),
            jobs=sum(one.jobs for one in some),
            examples=tuple(job for one in some for job in one.examples)[:EXAMPLES],
            said=max(some, key=lambda one: one.word_count).word,
        )
        for name, some in classes.items()
    ]
    return sorted(found, key=lambda one: -one.attempts)


def _to_look_at(
    found: StepFailures, attempts: dict[int, list[AttemptRow]]
) -> tuple[StepFailures, AttemptRow | None]:
    """Move an example whose output shows the failure to the front; return its attempt too.

    The output of a job is that of its newest attempt. An example does not help if that attempt
    succeeded, failed for another reason, or was removed. Without a good example, the order stays.
    """
    tell = [
        job
        for job in found.examples
        if attempts.get(job) and class_of(attempts[job][-1]) is found.failure
    ]
    if not tell:
        return found, None
    first = max(tell)
    others = tuple(job for job in found.examples if job != first)
    return msgspec.structs.replace(found, examples=(first, *others)), attempts[first][-1]
