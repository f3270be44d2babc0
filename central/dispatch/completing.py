"""Ends Completing jobs after their outputs have left the outbox."""

from collections.abc import Mapping

from pilotage.proto.job_states import JobEvent, JobState, next_state

from ..jobs import record as job_records
from ..jobs.intents import Unchanged
from ..jobs.record_types import JobMove, JobStanding
from ..ports import Clock
from ..store.engine import Store
from .control import JobControl


class CompletingJobs:
    """Jobs that wait until an outside catalogue has their outputs."""

    def __init__(self, store: Store, control: JobControl, clock: Clock) -> None:
        self._store, self._control, self._clock = store, control, clock

    async def end(self, settled: Mapping[int, str]) -> list[int]:
        """End jobs, at most CHUNK_MAX of them. A reason fails its job, an empty text ends it well.

        Return the jobs that are not Completing any more, including those that were not before.
        """
        at = self._clock.wall()

        def decide(job: JobStanding) -> JobMove | Unchanged:
            if job.state is not JobState.COMPLETING:
                return Unchanged()
            why = settled[job.job_id]
            event = JobEvent.NOT_PUBLISHED if why else JobEvent.PUBLISHED
            return JobMove(
                job_id=job.job_id,
                old=job.state,
                new=next_state(job.state, event),
                at=at,
                event=event.value,
                who="central",
                reason=why,
                close=False,
            )

        jobs = list(settled)
        await self._control.enforce(jobs, decide)
        found = await self._store.write(job_records.standing, jobs)
        return [
            job for job in jobs if job not in found or found[job].state is not JobState.COMPLETING
        ]
