"""Ends Completing jobs after their outputs have left the outbox."""

from collections.abc import Mapping

from pilotage.proto.job_states import JobEvent, JobState, next_state

from ..jobs.intents import Unchanged
from ..jobs.record_types import JobMove, JobStanding
from ..ports import Clock
from .control import JobControl


class CompletingJobs:
    """Jobs that wait until an outside catalogue has their outputs."""

    def __init__(self, control: JobControl, clock: Clock) -> None:
        self._control, self._clock = control, clock

    async def end(self, settled: Mapping[int, str]) -> None:
        """End jobs, at most CHUNK_MAX of them. A reason fails its job, an empty text ends it well.

        Jobs that are not Completing any more stay as they are.
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

        await self._control.enforce(list(settled), decide)
