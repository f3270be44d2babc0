"""Failed attempts, counted by hour."""

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from ..engine import takes_long
from ..failures import (
    HOUR_S,
    KEEP_HOURS,
    ROWS_READ_MAX,
    FailedEnd,
    FailureRow,
    FailureSearch,
    Sum,
)
from .session import Session, json_list

_decode_ids = msgspec.json.Decoder(list[int]).decode
_decode_words = msgspec.json.Decoder(dict[str, int]).decode


def keep_failures(
    session: Session, at: float, ends: Sequence[FailedEnd], *, drop: bool = True
) -> None:
    """Add to the hour of `at`; each job is counted for its transformation, if it has one.

    With `drop` goes what is older than KEEP_HOURS, some of it at a time.
    """
    hour = int(at) // HOUR_S
    ids = json_list([end.job_id for end in ends if end.job_id])
    of = dict(session.rows("transformations_of_jobs", {"ids": ids}))
    sums: defaultdict[tuple[str, str, int, int, str, str], Sum] = defaultdict(Sum)
    for end in ends:
        one = of.get(end.job_id, 0)
        sums[end.community, end.group, end.owner_id, one, end.site, end.failure].add(end)
    for (community, group, owner_id, transformation_id, site, failure), made in sums.items():
        key = {
            "hour": hour,
            "community": community,
            "group": group,
            "owner_id": owner_id,
            "transformation_id": transformation_id,
            "site": site,
            "failure": failure,
        }
        known = session.one("get_failures", key)
        if known is not None:
            attempts, jobs, examples, words = known
            made.merge(Sum(attempts, jobs, _decode_ids(examples), _decode_words(words)))
        given = {
            "attempts": made.attempts,
            "jobs": made.jobs,
            "examples": json_list(made.examples),
            "words": msgspec.json.encode(made.words).decode(),
        }
        session.run("put_failures", {**key, **given})
    if drop:
        _drop_old(session, hour - KEEP_HOURS)


@takes_long
def failures(session: Session, search: FailureSearch, *, limit: int) -> list[FailureRow]:
    """Return them by class and site, the most frequent first."""
    fields: dict[str, object] = {
        "since": search.since,
        "community": search.community,
        "owners": None if search.owner_ids is None else json_list(search.owner_ids),
        "groups": None if search.groups is None else json_list(search.groups),
        "site": search.site,
        "transformation_id": search.transformation_id,
    }
    found = {
        (failure, site): Sum(attempts=attempts, jobs=jobs)
        for failure, site, attempts, jobs in session.rows(
            "count_failures", {**fields, "limit": limit}
        )
    }
    more = session.rows("examples_of_failures", {**fields, "limit": ROWS_READ_MAX})
    for failure, site, examples, words in more:
        known = found.get((failure, site))
        if known is not None:
            known.merge(Sum(examples=_decode_ids(examples), words=_decode_words(words)))
    return [one.row(failure, site) for (failure, site), one in found.items()]


def jobs_of_input(
    session: Session, transformation_id: int, file_id: int, *, limit: int
) -> list[int]:
    """Return the jobs of the last tasks of a transformation that had a file, oldest first."""
    given = {"transformation_id": transformation_id, "file_id": file_id, "limit": limit}
    return [row[0] for row in reversed(session.rows("jobs_of_input", given))]


def _drop_old(session: Session, before: int) -> None:
    """Remove the oldest hour that is too old: after a long stop all are, and others shall go on."""
    oldest = session.one("oldest_failures")[0]
    if oldest is not None and oldest < before:
        session.run("drop_failures", {"before": min(before, oldest + 1)})
