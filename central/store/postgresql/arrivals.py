"""Submissions of other processes on PostgreSQL.

Whoever does not keep the queue writes a row beside each submission, with the number of its
transaction. What is new since a moment (a snapshot) is what was not visible in that one: a
transaction that commits late is found when it has committed, whatever came before or after it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from ..arrivals import Arrival, Run
from ..records import CountRow
from ..verbs import submissions
from ..verbs.arrivals import ArrivalsVerbs
from ..verbs.rows import count_of
from ..verbs.session import Session, json_list
from .hints import Hints

SILENT_S: Final = 60.0  # a process that writes nothing to a submission for so long has left it
ABANDONED_MAX: Final = 100  # that are removed in one call

_ranges = msgspec.json.Decoder(tuple[tuple[int, int], ...]).decode


class PostgresqlArrivals(ArrivalsVerbs):
    """The verbs of `store.arrivals`."""

    _hints: Hints

    async def counted(self) -> tuple[list[CountRow], str]:
        rows, moment = await self._moments.run(_counts)
        return [count_of(row) for row in rows], moment

    async def arrivals(self, since: str) -> tuple[list[Arrival], str]:
        rows = await self._reader.rows("arrivals", {"since": since})
        found = [Arrival(row[1], _ranges(row[2]), row[3]) for row in rows if row[1] is not None]
        return found, rows[0][0]

    async def arrived_runs(self, ranges: Sequence[tuple[int, int]]) -> list[Run]:
        rows = await self._reader.rows("arrived_runs", {"ranges": json_list(ranges)})
        return [_run(row) for row in rows]

    async def forget_arrivals(self, before: str) -> None:
        await self._writer.run(lambda session: session.run("forget_arrivals", {"before": before}))

    async def arrival_hint(self, within_s: float) -> None:
        await self._hints.wait(within_s)

    async def drop_abandoned(self, submission_id: int | None = None) -> int:
        fields = {
            "submission_id": submission_id,
            "silent_s": SILENT_S,
            "limit": ABANDONED_MAX,
        }
        taken = await self._writer.run(lambda session: session.rows("take_abandoned", fields))
        for (one,) in taken:
            while await self._writer.run(_drop(one), rows=2_000):
                pass
        return len(taken)


def _drop(submission_id: int) -> Callable[[Session], bool]:
    return partial(submissions.drop_some, submission_id=submission_id)


def _counts(session: Session) -> tuple[list[Any], str]:
    return session.rows("counts", {}), session.one("moment")[0]


def _run(row: Any) -> Run:
    return Run(
        class_id=row[0],
        priority=row[1],
        epoch=row[2],
        queue_until=row[3],
        waits=row[4],
        first=row[5],
        count=row[6],
    )
