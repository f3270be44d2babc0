"""Why a job waits: the matcher's own rule, against the offers of the pilots that live now."""

import msgspec

from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.api import Explanation
from pilotage.proto.job import Job
from pilotage.proto.job_states import JobState

from ..auth.callers import Caller, User
from ..auth.policy import Action
from ..ports import Clock
from .checking import check, check_characters, community_of, group_of
from .idle import IdleClasses
from .memory import Memory
from .queries import Queries


class Explainer:
    """Explains stored jobs and jobs that are not submitted yet."""

    def __init__(
        self,
        *,
        memory: Memory,
        idle: IdleClasses,
        queries: Queries,
        clock: Clock,
        silent_s: float,
    ) -> None:
        self._queue, self._pilots, self._queries = memory.queue, memory.pilots, queries
        self._idle = idle
        self._owners, self._clock, self._silent_s = memory.owners, clock, silent_s

    async def job(self, caller: Caller, job_id: int) -> Explanation:
        """Say why a job waits, or in which state it is."""
        row = await self._queries.row(caller, job_id, Action.JOB_READ)
        await self._idle.load([row.class_id])
        spec = self._queue.classes[row.class_id].spec
        waiting = job_id if row.state is JobState.WAITING else None
        explained = self._explain(waiting, spec, row.priority)
        notes = explained.notes
        if row.state is not JobState.WAITING:  # what would help a job that waits helps no other
            why = f" ({row.reason})" if row.reason else ""
            notes = [f"the job does not wait: it is {row.state.value}{why}"]
        return msgspec.structs.replace(explained, job=job_id, state=row.state.value, notes=notes)

    async def unsubmitted(self, caller: Caller, job: Job) -> Explanation:
        """Say what would become of a job. Raises Refused where it could not be submitted."""
        assert isinstance(caller, User)
        check(job, "job")
        check_characters(msgspec.to_builtins(job), "job")
        spec = ClassSpec(
            class_id=0,
            community=community_of(caller),
            group=group_of(caller, job, "job"),
            owner=self._owners.word(caller.issuer, caller.subject),
            type=job.type,
            needs=job.needs,
            preference=job.preference,
        )
        explained = self._explain(None, spec, job.priority)
        return msgspec.structs.replace(explained, state="not submitted")

    def _explain(self, job: int | None, spec: ClassSpec, priority: int) -> Explanation:
        offers = [offer for offer in self.offers() if offer.community == spec.community]
        now = self._clock.monotonic()
        return self._queue.matcher.explain(job, spec, offers, now, priority=priority)

    def offers(self) -> list[LiveOffer]:
        """Return what every living pilot could offer if it were empty."""
        offers: list[LiveOffer] = []
        for presence in self._pilots.all():
            silent = self._clock.monotonic() - presence.heard
            if presence.offer is None or presence.drain or silent > self._silent_s:
                continue
            whole = msgspec.structs.replace(
                presence.live_offer(
                    presence.offer, cores_taken=0, memory_taken_mb=0, scratch_taken_mb=0
                ),
                cores_free=presence.offer.cores,
                memory_free_mb=presence.offer.memory_mb,
                scratch_free_mb=max(presence.offer.scratch_mb, presence.offer.scratch_free_mb),
            )
            offers.append(whole)
        return offers
