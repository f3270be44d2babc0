"""Deletes old jobs, evidence, tokens and pilots."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from pilotage.proto.ids import ID_MAX
from pilotage.proto.job_states import FINAL, JobState

from ..catalogue.record_remnants import look_at_storing
from ..store.engine import weighs
from ..store.opening import removes_unnamed
from ..store.session import Session, json_list
from .record_search import ZONE_BITS
from .record_token_classes import remove_token_classes
from .record_types import EndedJob

PRUNED_MAX: Final = 500  # jobs removed in one transaction
ZONES_SWEPT: Final = 2  # zones read for ended jobs at a time

_FINAL: Final = json_list(sorted(state.value for state in FINAL))

CLASSES_FORGOTTEN_MAX: Final = 20_000  # classes that a start removes


def ended_jobs(session: Session, *, after: int, before: float) -> tuple[list[EndedJob], int | None]:
    """Return jobs with ids above `after` that ended before `before`, and the id to continue after.

    One call looks at some thousand ids. The second value is None at the end.
    """
    span: dict[str, object] = {"from": (after + 1) >> ZONE_BITS, "to": ID_MAX >> ZONE_BITS}
    zones = [row[0] for row in session.rows("zones", {**span, "states": _FINAL})]
    some = json_list(zones[:ZONES_SWEPT])
    rows = session.rows("ended_in_zones", {"zones": some, "before": before})
    found = [_ended_job_of(row) for row in rows if row[0] > after]
    if len(zones) <= ZONES_SWEPT:
        return found, None
    return found, (zones[ZONES_SWEPT - 1] << ZONE_BITS) + (1 << ZONE_BITS) - 1


@weighs(4)
def prune_jobs(
    session: Session, jobs: Sequence[tuple[int, float] | tuple[int, float, float]]
) -> list[tuple[int, bool]]:
    """Remove jobs given as (id, end time), at most PRUNED_MAX, if that end time is still theirs.

    A third value keeps a job whose result a task has reused since that time. Jobs of runs of CWL
    documents stay until the run ends.

    Return the removed ids, each with whether it was marked deleted. Bodies, attempts, notes and
    evidence of the jobs are removed as well. The key of a submission stays.
    """
    if len(jobs) > PRUNED_MAX:
        raise ValueError(f"cannot remove {len(jobs)} jobs at once: the maximum is {PRUNED_MAX}")
    rows = session.rows("still_ended", {"jobs": json_list(jobs)})
    going = [row[0] for row in rows]
    look_at_storing(session, going)  # without their rows, nothing would find the files they left
    ids = json_list(going)
    for statement in (
        "remove_storing_of_jobs",
        "remove_dependents_of_jobs",
        "remove_dependencies_of_jobs",
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


def prune_evidence(session: Session, before: float, *, limit: int) -> int:
    """Remove at most `limit` rows of the oldest evidence; return the number."""
    return session.run("remove_old_evidence", {"before": before, "limit": limit}).rowcount


def prune_tokens(session: Session, before: float, *, limit: int) -> int:
    """Remove at most `limit` tokens that expired before `before`, also revoked ones.

    Return the number.
    """
    return session.run("remove_expired_tokens", {"before": before, "limit": limit}).rowcount


def never_registered(session: Session, now: float, *, limit: int) -> list[str]:
    """Return pilots whose secrets expired unused."""
    rows = session.rows("never_registered", {"now": now, "limit": limit})
    return [row[0] for row in rows]


def ended_pilots(session: Session, *, after: str, before: float, limit: int) -> list[str]:
    """Return pilots that ended before `before`, in order of their name."""
    fields = {"after": after, "before": before, "limit": limit}
    return [row[0] for row in session.rows("ended_pilots", fields)]


@weighs(2)
def prune_pilots(session: Session, pilots: Sequence[str], before: float) -> None:
    """Remove the given pilots that ended before `before`, with their secrets and slots."""
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


@removes_unnamed
def remove_unnamed_classes(session: Session) -> None:
    """Remove classes without jobs, at most CLASSES_FORGOTTEN_MAX."""
    given = {"limit": CLASSES_FORGOTTEN_MAX}
    gone = [row[0] for row in session.rows("remove_unnamed_classes", given)]
    session.run("remove_zones_of_classes", {"classes": json_list(gone)})
    remove_token_classes(session, gone)
