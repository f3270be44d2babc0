"""Checks the jobs that new jobs wait for, and finds their ids."""

from collections.abc import Iterable, Sequence
from typing import Final

from pilotage.proto.documents.job import DEPENDENCIES_MAX, Dependency, Job
from pilotage.proto.problems import Code

from ...errors import Refused
from ...identity.callers import User
from ...identity.policy import Permission
from ...identity.scope import Owners, scope
from ...jobs import record as job_records, record_submissions as submission_records
from ...jobs.record_dependencies import spans
from ...jobs.record_types import NewDependency
from ...store.engine import CHUNK_MAX, Store

OF_A_SUBMISSION_MAX: Final = 1_000_000  # ranges of parents of all its jobs together
_TOO_MANY: Final = f"a submission may wait for at most {OF_A_SUBMISSION_MAX} jobs or ranges of jobs"
_WAYS: Final = ("job", "submission", "index")


class ParentJobs:
    """The parents of the jobs of one submission."""

    def __init__(self, store: Store, caller: User, owners: Owners) -> None:
        self._store, self._caller, self._owners = store, caller, owners
        self._jobs: dict[int, bool] = {}  # whether the caller may see the job
        self._ranges: dict[int, tuple[tuple[int, int], ...]] = {}  # of visible submissions
        self._each: dict[int, str] = {}  # submissions that need as many jobs, with their field
        self._number = 0

    async def learn(self, jobs: Iterable[Job]) -> None:
        """Read the parents of these jobs. Call it before `of`."""
        after = [one for job in jobs if job.after for one in job.after]
        wanted = {_ids(one) for one in after if one.job}
        unknown = sorted({job for ids in wanted for job in ids} - self._jobs.keys())
        if len(unknown) + len(self._jobs) > OF_A_SUBMISSION_MAX:
            raise Refused(Code.TOO_LARGE, f"after: {_TOO_MANY}: name submissions", field="jobs")
        submissions = {one.submission for one in after if one.submission} - self._ranges.keys()
        for submission_id in sorted(submissions):
            found = await self._store.read(submission_records.submission, submission_id)
            ranges = found.ranges if found is not None and found.complete else ()
            self._ranges[submission_id] = ranges
            # The jobs of a submission have one owner; removed jobs come first.
            unknown += [first + count - 1 for first, count in ranges[-1:]]
        bounds = scope(self._caller, Permission.JOB_READ, self._owners)
        for start in range(0, len(unknown), CHUNK_MAX):
            some = unknown[start : start + CHUNK_MAX]
            rows = await self._store.read(job_records.jobs, some)
            for job in some:
                self._jobs[job] = job in rows and bounds.covers_row(rows[job])
        for submission_id in submissions:
            ranges = self._ranges[submission_id]
            if ranges and not self._jobs[sum(ranges[-1]) - 1]:
                self._ranges[submission_id] = ()

    def of(self, job: Job, where: str, place: int | None) -> tuple[NewDependency, ...]:
        """Return the parents of a job, without repetitions. Raises Refused with the wrong field.

        `place` is that of the job in its submission, from 0; None: of a whole array.
        """
        found: list[NewDependency] = []
        for number, one in enumerate(job.after):
            try:
                found += self._parents(one, place)
            except _WrongParent as why:
                field = f"{where}.after[{number}]{why.field}"
                raise Refused(Code.INVALID, f"{field}: {why}", field=field) from None
            if one.each:
                self._each[one.submission] = f"{where}.after[{number}].each"
        kept = tuple(dict.fromkeys(found))
        self.count(len(kept), where)
        return kept

    def count(self, number: int, where: str) -> None:
        """Count ranges of parents. Raises Refused if the submission has too many."""
        self._number += number
        if self._number > OF_A_SUBMISSION_MAX:
            field = f"{where}.after"
            raise Refused(Code.TOO_LARGE, f"{field}: {_TOO_MANY}: split it", field=field)

    def _parents(self, one: Dependency, place: int | None) -> Sequence[NewDependency]:
        if (one.job > 0) + (one.submission > 0) + (one.index > 0) != 1:
            said = " and ".join(way for way in _WAYS if getattr(one, way)) or "none of them"
            raise _WrongParent("", f"found {said}, expected one of job, submission and index")
        if one.each and not one.submission:
            raise _WrongParent(".each", "it needs a submission: one parent for each job")
        if one.last and one.submission:
            raise _WrongParent(".last", "a submission is taken as a whole: leave it out")
        if one.last and one.last < (one.job or one.index):
            first = one.job or one.index
            raise _WrongParent(".last", f"found {one.last}, expected {first} or more")
        if one.job:
            ids = _ids(one)
            if len(ids) != max(one.last - one.job, 0) + 1:
                why = f"a range has at most {DEPENDENCIES_MAX} jobs: name submissions instead"
                raise _WrongParent(".last", why)
            unknown = next((job for job in ids if not self._jobs[job]), 0)
            if unknown:
                raise _WrongParent(".job", f"there is no job {unknown}")
            return (NewDependency(one.job, len(ids), one.when),)
        if one.index:
            if place is None:
                raise _WrongParent(".index", "a template has no places: list the jobs instead")
            last = one.last or one.index
            if last > place:
                why = f"found {last}, expected the place of an earlier job"
                raise _WrongParent(".index", f"{why}; this job has place {place + 1}")
            count = last - one.index + 1
            return (NewDependency(one.index - 1, count, one.when, is_place=True),)
        ranges = self._ranges[one.submission]
        if not ranges:
            raise _WrongParent(".submission", f"there is no submission {one.submission}")
        if not one.each:
            return [NewDependency(first, count, one.when) for first, count in ranges]
        if place is None:
            return ()
        its = _count(ranges)
        if place >= its:
            raise _WrongParent(".each", _other_number(one.submission, its, f"at least {place + 1}"))
        return [NewDependency(*span, one.when) for span in spans(ranges, place)]

    def check_count(self, count: int) -> None:
        """Refuse a submission of `count` jobs if it waits, job by job, for another number."""
        for submission_id, where in self._each.items():
            its = _count(self._ranges[submission_id])
            if its != count:
                why = _other_number(submission_id, its, str(count))
                raise Refused(Code.INVALID, f"{where}: {why}", field=where)


class _WrongParent(Exception):
    """A dependency is wrong: its field, and why."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field


def _ids(one: Dependency) -> range:
    """Return the ids of a range of jobs; of one that is too long, the first."""
    count = min(max(one.last - one.job, 0) + 1, DEPENDENCIES_MAX)
    return range(one.job, one.job + count)


def _count(ranges: Sequence[tuple[int, int]]) -> int:
    return sum(count for _, count in ranges)


def _other_number(submission: int, its: int, here: str) -> str:
    found = f"submission {submission} has {its} jobs, and this one has {here}"
    return f"{found}: give as many, or leave out `each`"
