"""Jobs that wait for each other, in some of the worlds: which do, and when they may start."""

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pilotage.central.app.central import Central
from pilotage.central.dispatch.dependencies.releases import pages
from pilotage.central.jobs import record as job_records, record_dependencies as records
from pilotage.central.jobs.record_types import AttemptResult, JobMove, Requeue
from pilotage.proto.documents.job import Dependency, Job, When
from pilotage.proto.job_states import FINAL, JobState

from .store import step
from .violation import Violation

if TYPE_CHECKING:
    from .world import World

MANY: Final = 1_000_000
WORLDS: Final = 0.4  # of all
WAIT: Final = 0.6  # of the jobs in such a world
WHEN: Final[tuple[When, ...]] = ("ok", "ok", "ok", "any", "any", "fail")
POLICY: Final = ("", "", "hold", "skip")
PARENTS: Final = (1, 1, 2, 3)


class Graphs:
    """What waits for what in a world. It is drawn apart: all else stays as it was."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._chance = random.Random(f"graphs of world {world.seed}")
        self.are_drawn = self._chance.random() < WORLDS
        # The final states that each job has ever reached.
        self._ends: defaultdict[int, set[JobState]] = defaultdict(set)

    def linked(self, jobs: Sequence[Job], before: Sequence[int]) -> list[Job]:
        """Return the jobs, some of which wait for earlier ones or for jobs submitted before."""
        return [
            self._linked(job, place, before) if self.are_drawn else job
            for place, job in enumerate(jobs)
        ]

    def _linked(self, job: Job, place: int, before: Sequence[int]) -> Job:
        chance = self._chance
        if chance.random() > WAIT or not (place or before):
            return job
        after: list[Dependency] = []
        for _ in range(chance.choice(PARENTS)):
            when = chance.choice(WHEN)
            if before and (not place or chance.random() < 0.4):
                after.append(Dependency(job=chance.choice(before), when=when))
            else:
                after.append(Dependency(index=chance.randint(1, place), when=when))
        return msgspec.structs.replace(job, after=tuple(after), after_failed=chance.choice(POLICY))

    # -- at every commit --------------------------------------------------------------------------

    def ended(self, change: AttemptResult | Requeue | JobMove) -> None:
        """A change of a job is committed."""
        if change.new in FINAL:
            self._ends[change.job_id].add(change.new)

    def matched(self, job: int) -> None:
        """The first attempt of a job is committed: its parents have ended as it asked."""
        story = self._world.story
        if job in story.released or job in story.rescheduled:
            return  # a person let it run
        edges = self._world.central.disk.rows.by_hand(
            "SELECT first, count, condition FROM dependency WHERE job_id = ?", job
        )
        wanted: defaultdict[str, list[int]] = defaultdict(list)
        for first, count, when in edges:
            wanted[when] += range(first, first + count)
        ends = {parent: self._ends[parent] for its in wanted.values() for parent in its}
        ok = all(JobState.DONE in ends[parent] for parent in wanted["ok"])
        ended = all(ends.values())
        failed = [one for one in wanted["fail"] if ends[one] & {JobState.FAILED, JobState.KILLED}]
        if not (ok and ended and bool(failed) is bool(wanted["fail"])):
            raise Violation("dependencies", f"job {job} starts: {dict(wanted)} after {ends}")

    # -- memory -----------------------------------------------------------------------------------

    def compare(self, ours: Central, again: Central, waiting: dict[int, Any]) -> None:
        """Memory keeps out of the queue what a rebuilt one does, but for what it has let go.

        A job that was let go stays in the queue if a parent is then opened again. `waiting` are
        the jobs in our queue; those that the rebuilt one still keeps out are removed from it.
        """
        graph, rebuilt = ours.memory.queue.dependencies, again.memory.queue.dependencies
        rows = self._world.central.disk.rows
        rebuilt.watch(MANY)
        for page in pages(list(rebuilt.unread)):
            rebuilt.read(page, step(rows.read(records.states, page)), rebuilt.made)
        let_go = rebuilt.children.keys() - graph.children.keys()
        if not (graph.unwatched or graph.unread or graph.due):  # else it is about to follow
            for job in graph.children:
                if graph.verdict(job) is not rebuilt.verdict(job):
                    what = f"{graph.verdict(job)} in memory, {rebuilt.verdict(job)} rebuilt"
                    raise Violation("dependencies", f"job {job}: {what}")
            for job, row in step(rows.read(job_records.jobs, sorted(let_go))).items():
                if row.state is JobState.WAITING and job not in waiting:
                    raise Violation("dependencies", f"job {job} is forgotten")
        for job in let_go:
            waiting.pop(job, None)
