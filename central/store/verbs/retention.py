"""What goes after a time,: a part of the store."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from pilotage.proto.ids import ID_MAX
from pilotage.proto.job_states import FINAL, JobState

from ..protocol_retention import PRUNED_MAX
from ..records import EndedJob
from .opened import Opened
from .remnants import look_at_storing
from .search import ZONE_BITS
from .session import Session, json_list

ZONES_SWEPT: Final = 2  # zones of which ended jobs are read at a time

_FINAL: Final = json_list(sorted(state.value for state in FINAL))


class RetentionVerbs(Opened):
    """The verbs of `protocol_retention`."""

    async def ended_jobs(self, *, after: int, before: float) -> tuple[list[EndedJob], int | None]:
        span: dict[str, object] = {"from": (after + 1) >> ZONE_BITS, "to": ID_MAX >> ZONE_BITS}
        zones = [row[0] for row in await self._reader.rows("zones", {**span, "states": _FINAL})]
        some = json_list(zones[:ZONES_SWEPT])
        rows = await self._reader.rows("ended_in_zones", {"zones": some, "before": before})
        found = [_ended_job_of(row) for row in rows if row[0] > after]
        if len(zones) <= ZONES_SWEPT:
            return found, None
        return found, (zones[ZONES_SWEPT - 1] << ZONE_BITS) + (1 << ZONE_BITS) - 1

    async def prune_jobs(self, jobs: Sequence[tuple[int, float]]) -> list[tuple[int, bool]]:
        prune = partial(_prune_jobs, jobs=jobs, generation=self.generation)
        return await self._writer.run(prune, rows=4 * len(jobs))

    async def prune_evidence(self, before: float, *, limit: int) -> int:
        write = partial(_prune_evidence, before=before, limit=limit)
        return await self._writer.run(write, rows=limit)

    async def prune_tokens(self, before: float, *, limit: int) -> int:
        write = partial(_prune_tokens, before=before, limit=limit)
        return await self._writer.run(write, rows=limit)

    async def never_registered(self, now: float, *, limit: int) -> list[str]:
        rows = await self._reader.rows("never_registered", {"now": now, "limit": limit})
        return [row[0] for row in rows]

    async def ended_pilots(self, *, after: str, before: float, limit: int) -> list[str]:
        fields = {"after": after, "before": before, "limit": limit}
        return [row[0] for row in await self._reader.rows("ended_pilots", fields)]

    async def prune_pilots(self, pilots: Sequence[str], before: float) -> None:
        write = partial(_prune_pilots, pilots=pilots, before=before)
        await self._writer.run(write, rows=2 * len(pilots))


# -- on the writer's session --------------------------------------------------------------------


def _prune_jobs(
    session: Session, jobs: Sequence[tuple[int, float]], generation: str
) -> list[tuple[int, bool]]:
    if len(jobs) > PRUNED_MAX:
        raise ValueError(f"{len(jobs)} jobs are too many to go at a time: others would wait")
    rows = session.rows("still_ended", {"jobs": json_list(jobs)})
    going = [row[0] for row in rows]
    look_at_storing(session, going, generation)  # what they have left nobody finds without them
    ids = json_list(going)
    for statement in (
        "remove_storing_of_jobs",
        "remove_attempts_of_jobs",
        "remove_notes_of_jobs",
        "remove_evidence_of_jobs",
        "remove_bodies_of_jobs",
        "remove_ended_jobs",
    ):
        session.run(statement, {"ids": ids})
    for (class_id, state, zone), count in Counter(
        (row[1], row[2], row[0] >> ZONE_BITS) for row in rows
    ).items():
        fields = {"class_id": class_id, "state": state, "zone": zone, "jobs": count}
        session.run("lessen_zone", fields)
        session.run("remove_empty_zone", fields)
    session.run("empty_submissions", {"submissions": json_list(sorted({row[3] for row in rows}))})
    return [(row[0], bool(row[4])) for row in rows]


def _prune_evidence(session: Session, before: float, limit: int) -> int:
    return session.run("remove_old_evidence", {"before": before, "limit": limit}).rowcount


def _prune_tokens(session: Session, before: float, limit: int) -> int:
    return session.run("remove_expired_tokens", {"before": before, "limit": limit}).rowcount


def _prune_pilots(session: Session, pilots: Sequence[str], before: float) -> None:
    fields = {"pilots": json_list(pilots), "before": before}
    session.run("remove_secrets_of_pilots", fields)
    session.run("remove_slots_of_pilots", fields)
    session.run("remove_pilots", fields)


def _ended_job_of(row: Any) -> EndedJob:
    return EndedJob(
        job_id=row[0],
        class_id=row[1],
        community=row[2],
        group=row[3],
        owner_id=row[4],
        type=row[5],
        site=row[6],
        state=JobState(row[7]),
        ended_at=row[8],
        deleted=bool(row[9]),
    )


def remove_unnamed_classes(session: Session, limit: int) -> int:
    """Remove classes of which no job is left; return how many. While nobody uses the store."""
    gone = [row[0] for row in session.rows("remove_unnamed_classes", {"limit": limit})]
    session.run("remove_zones_of_classes", {"classes": json_list(gone)})
    return len(gone)
