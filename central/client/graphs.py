"""Graphs of jobs that are built in a program and submitted together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, cast

import msgspec

from pilotage.proto.decoding.complaints import short
from pilotage.proto.documents.job import Dependency, Job, When

from .submissions.job_shapes import JobLike, check_job
from .submissions.submission_bodies import OnProgress

if TYPE_CHECKING:
    from .client import AsyncClient
    from .handles import AsyncSubmissionHandle


class GraphJob:
    """A job of a graph."""

    def __init__(self, job: JobLike, number: int) -> None:
        self.job, self.number = job, number  # in the order of `add`, from 0
        self.parents: list[tuple[GraphJob, When]] = []

    def __repr__(self) -> str:
        return f"<job {self.name!r} of a graph>"

    @property
    def name(self) -> str:
        """The name of the job, or its number in the graph."""
        named = self.job.name if isinstance(self.job, Job) else self.job.get("name", "")
        return str(named) or f"number {self.number + 1}"


class AsyncJobGraph:
    """Jobs that wait for each other. Nothing is sent before `submit`."""

    def __init__(self, client: "AsyncClient") -> None:
        self._client = client
        self._jobs: list[GraphJob] = []

    def __repr__(self) -> str:
        return f"<graph of {len(self._jobs)} jobs>"

    def add(self, job: JobLike, after: Iterable[GraphJob] = (), *, when: When = "ok") -> GraphJob:
        """Add a job that starts after other jobs of the graph, and return it.

        `when` is `ok`: they are Done; `any`: they have ended; or `fail`: they have ended, and at
        least one has failed.
        """
        check_job(job)
        made = GraphJob(job, len(self._jobs))
        self._jobs.append(made)
        self.link(made, after, when=when)
        return made

    def link(self, job: GraphJob, after: Iterable[GraphJob], *, when: When = "ok") -> None:
        """Let a job start after more jobs of the graph."""
        for parent in after:
            for one in (job, parent):
                if not (one.number < len(self._jobs) and self._jobs[one.number] is one):
                    raise ValueError(f"job {one.name!r} is not of this graph: `add` returns jobs")
            job.parents.append((parent, when))

    async def submit(
        self,
        *,
        key: str | None = None,
        name: str = "",
        group: str = "",
        running_max: int = 0,
        progress: OnProgress | None = None,
    ) -> "AsyncSubmissionHandle":
        """Submit all jobs together, parents before their children. The arguments are as in
        `Client.submit`.

        Raises ValueError, with the names of the jobs, if some of them wait for each other.
        """
        jobs = list(_with_places(_in_order(self._jobs)))
        return await self._client.submit(
            jobs,
            key=key,
            name=name,
            group=group,
            running_max=running_max,
            progress=progress,
        )


def _in_order(jobs: Sequence[GraphJob]) -> Sequence[GraphJob]:
    """Return the jobs with parents before their children. Raises ValueError for a cycle."""
    if all(parent.number < job.number for job in jobs for parent, _ in job.parents):
        return jobs
    sorter = TopologicalSorter({job: [parent for parent, _ in job.parents] for job in jobs})
    try:
        return list(sorter.static_order())
    except CycleError as why:
        circle = " -> ".join(repr(short(one.name)) for one in why.args[1])
        raise ValueError(f"these jobs wait for each other: {circle}") from None


def _with_places(jobs: Sequence[GraphJob]) -> Iterator[JobLike]:
    """Yield the jobs with their parents as places in the submission."""
    places = {job.number: place for place, job in enumerate(jobs, start=1)}
    for one in jobs:
        after = tuple(_ranges((when, places[parent.number]) for parent, when in one.parents))
        if not after:
            yield one.job
        elif isinstance(one.job, Job):
            yield msgspec.structs.replace(one.job, after=(*one.job.after, *after))
        else:
            yield _with_after(one.job, after)


def _ranges(parents: Iterable[tuple[When, int]]) -> Iterator[Dependency]:
    """Yield dependencies on places of a submission, neighbours as one."""
    first = last = 0
    kind: When = "ok"
    for when, place in sorted(set(parents)):
        if first and (when, place) != (kind, last + 1):
            yield Dependency(index=first, last=last if last > first else 0, when=kind)
            first = 0
        first, last, kind = first or place, place, when
    if first:
        yield Dependency(index=first, last=last if last > first else 0, when=kind)


def _with_after(job: Mapping[str, object], after: Sequence[Dependency]) -> Mapping[str, object]:
    given = job.get("after")
    earlier = cast(Sequence[object], given) if isinstance(given, (list, tuple)) else ()
    return {**job, "after": [*earlier, *after]}
