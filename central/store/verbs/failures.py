"""Failures: a part of the store."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import msgspec

from ..failures import (
    HOUR_S,
    KEEP_HOURS,
    ROWS_READ_MAX,
    FailedEnd,
    FailureRow,
    FailureSearch,
    Sum,
)
from .opened import Opened
from .session import Session, json_list

_decode_ids = msgspec.json.Decoder(list[int]).decode
_decode_words = msgspec.json.Decoder(dict[str, int]).decode


class FailuresVerbs(Opened):
    """The verbs of `store.failures`."""

    async def keep_failures(
        self, at: float, ends: Sequence[FailedEnd], *, drop: bool = True
    ) -> None:
        write = partial(_keep, hour=int(at) // HOUR_S, ends=ends, drop=drop)
        await self._writer.run(write, rows=1 + len(ends))

    async def failures(self, search: FailureSearch, *, limit: int) -> list[FailureRow]:
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
            for failure, site, attempts, jobs in await self._reader.rows(
                "count_failures", {**fields, "limit": limit}
            )
        }
        more = await self._reader.rows("examples_of_failures", {**fields, "limit": ROWS_READ_MAX})
        for failure, site, examples, words in more:
            known = found.get((failure, site))
            if known is not None:
                known.merge(Sum(examples=_decode_ids(examples), words=_decode_words(words)))
        return [one.row(failure, site) for (failure, site), one in found.items()]

    async def jobs_of_input(self, transformation_id: int, file_id: int, *, limit: int) -> list[int]:
        given = {"transformation_id": transformation_id, "file_id": file_id, "limit": limit}
        return [row[0] for row in reversed(await self._reader.rows("jobs_of_input", given))]


# -- on the writer's session --------------------------------------------------------------------


def _keep(session: Session, hour: int, ends: Sequence[FailedEnd], *, drop: bool) -> None:
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


def _drop_old(session: Session, before: int) -> None:
    """Remove the oldest hour that is too old: after a long stop all are, and others shall go on."""
    oldest = session.one("oldest_failures")[0]
    if oldest is not None and oldest < before:
        session.run("drop_failures", {"before": min(before, oldest + 1)})
