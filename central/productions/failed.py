"""What failed in a step, by class: as it was counted when it ended."""

from collections import defaultdict
from typing import Final

from pilotage.proto.api_productions import StepFailures
from pilotage.proto.failures import FailureClass

from ..store.failures import FailureCounts, FailureRow, FailureSearch
from ..store.transformations import TransformationRow

ROWS_MAX: Final = 1_000  # classes at sites
EXAMPLES: Final = 5  # jobs that are named of each class


async def failures_of(store: FailureCounts, row: TransformationRow) -> list[StepFailures]:
    """Return the failures of a transformation, the most frequent class first."""
    wanted = FailureSearch(
        since=0, community=row.community, transformation_id=row.transformation_id
    )
    classes: defaultdict[str, list[FailureRow]] = defaultdict(list)
    for one in await store.failures(wanted, limit=ROWS_MAX):
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
