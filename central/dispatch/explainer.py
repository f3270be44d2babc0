"""Explains why a job waits: checks its needs against the offers of all living pilots.

The check uses the same rules as the matcher.
"""

from collections.abc import Awaitable, Callable

import msgspec

from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.api.explanations import Explanation, OfferExplanation
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.pilot_states import LIVING, PilotState

from ..identity.callers import Caller, User
from ..identity.policy import Permission
from ..jobs.definition.checks import check, check_characters, community_of, group_of
from ..jobs.definition.software import needs_of
from ..jobs.leases import LeasePhase
from ..jobs.queries import Queries
from ..jobs.record_types import JobRow
from ..jobs.undelivered_results import is_over_wall
from ..pilots.presence import Presence
from ..pilots.service import PilotService
from ..ports import Clock
from .idle_classes import IdleClasses
from .memory import Memory

Prospects = Callable[[ClassSpec], list[str]]  # notes on future pilots for jobs of a class
AwaitedOutputs = Callable[[int], Awaitable[list[str]]]  # notes on what a Completing job waits for


def _no_prospects(spec: ClassSpec) -> list[str]:
    return []


async def _no_outputs(job_id: int) -> list[str]:
    return []


class Explainer:
    """Explains stored jobs and jobs that are not submitted yet."""

    def __init__(
        self,
        *,
        memory: Memory,
        idle: IdleClasses,
        queries: Queries,
        pilots: PilotService,
        clock: Clock,
        silent_s: float,
        prospects: Prospects = _no_prospects,
        awaited: AwaitedOutputs = _no_outputs,
    ) -> None:
        self._queue, self._pilots, self._queries = memory.queue, memory.pilots, queries
        self._leases, self._hosts, self._prospects = memory.leases, memory.hosts, prospects
        self._late, self._awaited = memory.late, awaited
        self._idle, self._pilot_service = idle, pilots
        self._owners, self._clock, self._silent_s = memory.owners, clock, silent_s

    async def job(self, caller: Caller, job_id: int) -> Explanation:
        """Explain why a job waits. If it does not wait, return a note on its state."""
        row = await self._queries.row(caller, job_id, Permission.JOB_READ)
        parents, is_stopped = self._parent_notes(job_id)
        if parents or row.state is not JobState.WAITING:
            notes = (
                parents
                if row.state is JobState.WAITING
                else [_state_of(row, is_stopped=is_stopped), *parents]
            )
            notes += self._late_notes(job_id)
            if row.state is JobState.COMPLETING:
                notes += await self._awaited(job_id)
            return Explanation(job=job_id, state=row.state.value, offers=0, fitting=0, notes=notes)
        await self._idle.load([row.class_id])
        spec = self._queue.classes[row.class_id].spec
        explained = self._explain(job_id, spec, row.priority)
        return msgspec.structs.replace(explained, state=row.state.value)

    def _parent_notes(self, job_id: int) -> tuple[list[str], bool]:
        """Return a note on each condition that its parents do not meet, and if they stop the job.

        The parents are the jobs that it waits for.
        """
        shown, count = self._queue.dependencies.open_conditions(job_id)
        more = f"and for {count - len(shown)} more: `pilotage show {job_id}` lists them"
        notes = [*map(str, shown), *([more] if count > len(shown) else [])]
        return notes, self._queue.dependencies.is_stopped(job_id)

    def _late_notes(self, job_id: int) -> list[str]:
        """Return a note if the result of a job is known or likely to be undelivered."""
        late = self._late.of_job(job_id, self._clock.monotonic())
        if late is not None:
            ago = f"its payload ended {late.for_s:.0f} s ago"
            if not late.why:
                return [f"{ago}; the pilot is bringing its outputs"]
            return [f"{ago}, and the pilot cannot deliver the result yet: {late.why}"]
        lease = self._leases.of_job(job_id)
        if lease is None or lease.phase is not LeasePhase.LIVE:
            return []
        if not is_over_wall(lease, self._clock.wall()):
            return []
        return [
            f"its wall limit of {lease.grant.wall_s:.0f} s passed long ago, but its pilot still"
            " sends heartbeats: the payload was suspended for a time, or the pilot cannot deliver"
            " the result"
        ]

    async def unsubmitted(self, caller: Caller, job: Job) -> Explanation:
        """Explain a job as if it were submitted now. Raises Refused if it is not valid."""
        assert isinstance(caller, User)
        check(job, "job")
        check_characters(msgspec.to_builtins(job), "job")
        spec = ClassSpec(
            class_id=0,
            community=community_of(caller),
            group=group_of(caller, job, "job"),
            owner=self._owners.word(caller.issuer, caller.subject),
            type=job.type,
            needs=needs_of(job),
            preference=job.preference,
        )
        explained = self._explain(None, spec, job.priority)
        return msgspec.structs.replace(explained, state="not submitted")

    def unfit(self, community: str, group: str, owner: str, job: Job) -> str:
        """Return a text that names the clauses that no living pilot meets.

        The text is empty if a pilot fits the job. Parameters and files of the job may be
        undefined: no clause depends on them.
        """
        spec = ClassSpec(
            class_id=0,
            community=community,
            group=group,
            owner=owner,
            type=job.type,
            needs=needs_of(job),
            preference=job.preference,
        )
        explained = self._explain(None, spec, job.priority)
        if explained.fitting:
            return ""
        to_come = self._prospects(spec)[:1]
        return "; ".join([f"no pilot fits: {_lacks(explained)}", *to_come])

    async def pilot(self, caller: Caller, pilot: str) -> OfferExplanation:
        """Explain why a pilot gets no job, or which jobs fit its free resources."""
        view = await self._pilot_service.get(caller, pilot)
        presence = self._pilots.find(pilot)
        if presence is None or view.state not in LIVING:
            return _nothing(pilot, f"the pilot does not ask for jobs: it is {view.state.value}")
        free, empty = self._free(presence), presence.empty_offer()
        if free is None or empty is None:
            return _nothing(pilot, "the pilot has not asked for jobs since this central started")
        now = self._clock.monotonic()
        explained = self._queue.matcher.explain_offer(free, now, empty=empty)
        notes: list[str] = []
        if presence.drain:
            notes.append("it is draining: it finishes its jobs and gets no more")
        elif now - presence.heard > self._silent_s:
            notes.append(f"it has sent no message for {now - presence.heard:.0f} s")
        if self._hosts.is_held(presence.site, presence.element, presence.host):
            notes.append(
                f"jobs failed one after another on its host {presence.host} or at its element: "
                "it gets no jobs for a while, then a single one as a test; "
                f"see `pilotage site show {presence.site}`"
            )
        held = [one for one in self._leases.of_pilot(pilot) if one.phase is LeasePhase.LIVE]
        notes += _use_of(free, empty, len(held))
        return msgspec.structs.replace(explained, notes=[*notes, *explained.notes])

    def _explain(self, job: int | None, spec: ClassSpec, priority: int) -> Explanation:
        offers = [offer for offer in self.offers() if offer.community == spec.community]
        now = self._clock.monotonic()
        explained = self._queue.matcher.explain(
            job, spec, offers, now, priority=priority, free=self._free_now
        )
        notes = [] if explained.with_room else self._prospects(spec)
        if suspended := self._suspended(spec.community):
            notes.append(f"{suspended}: jobs failed there one after another")
        return msgspec.structs.replace(explained, notes=[*explained.notes, *notes])

    def _suspended(self, community: str) -> str:
        """Return a text with the number of pilots on suspended hosts; empty: there are none."""
        count = sum(
            one.community == community
            and one.state in LIVING
            and self._hosts.is_held(one.site, one.element, one.host)
            for one in self._pilots.all()
        )
        if not count:
            return ""
        if count == 1:
            return "1 pilot on suspended hosts is left out"
        return f"{count} pilots on suspended hosts are left out"

    def offers(self) -> list[LiveOffer]:
        """Return the offer that each living pilot would make if it were empty."""
        offers: list[LiveOffer] = []
        now = self._clock.monotonic()
        for presence in self._pilots.all():
            is_given = presence.state is PilotState.RUNNING and not presence.drain
            if not is_given or now - presence.heard > self._silent_s:
                continue
            if self._hosts.is_held(presence.site, presence.element, presence.host):
                continue
            empty = presence.empty_offer()
            if empty is not None:
                offers.append(empty)
        return offers

    def _free_now(self, empty: LiveOffer) -> LiveOffer:
        """Return the current offer of the pilot that has this offer when it is empty."""
        presence = self._pilots.find(empty.pilot)
        free = self._free(presence) if presence is not None else None
        return free if free is not None else empty

    def _free(self, presence: Presence) -> LiveOffer | None:
        return presence.free_offer(self._leases.of_pilot(presence.pilot))


def _lacks(explained: Explanation) -> str:
    """Return a text with the clauses that exclude the closest offers."""
    if not explained.offers:
        return "the community has no living pilot"
    nearest = [one for one in explained.obstacles if one.would_fit]
    everywhere = [one for one in explained.obstacles if one.excludes == explained.offers]
    return ", ".join(
        f"{one.clause} {one.wanted}" + (f" (the closest pilot has {one.best})" if one.best else "")
        for one in nearest or everywhere or explained.obstacles
    )


def _nothing(pilot: str, why: str) -> OfferExplanation:
    return OfferExplanation(pilot=pilot, waiting=0, fitting=0, notes=[why])


def _state_of(row: JobRow, *, is_stopped: bool) -> str:
    """Return a text with the state of a job that does not wait, and its place."""
    why = f" ({row.reason})" if row.reason else ""
    if row.state is JobState.COMPLETING:
        return f"its payload ended well at {row.site}, and it is Completing: its outputs go out"
    where = f" at {row.site} on pilot {row.pilot}" if row.pilot else ""
    if row.state in FINAL and where:
        where = f"; it was{where}"
    elif row.state is JobState.HELD:
        where = "; after a release it waits again"
        if is_stopped:
            where = "; it continues after a reschedule of that job, or after its own release"
    return f"the job does not wait: it is {row.state.value}{why}{where}"


def _use_of(free: LiveOffer, empty: LiveOffer, jobs: int) -> list[str]:
    """Return texts on the free and the taken parts of an offer."""
    by = "1 job" if jobs == 1 else f"{jobs} jobs"
    if free.cores_free <= 0:
        taken = free.cores - free.cores_free
        return [f"it is full: {taken} of {free.cores} cores taken by {by}"]
    parts = [
        f"{what} {now} of {all_}{unit}"
        for what, now, all_, unit in (
            ("cores", free.cores_free, empty.cores_free, ""),
            ("memory", free.memory_free_mb, empty.memory_free_mb, " MB"),
            ("scratch", free.scratch_free_mb, empty.scratch_free_mb, " MB"),
            ("GPUs", free.gpus_free, empty.gpus_free, ""),
        )
        if now < all_
    ]
    return [f"free now: {', '.join(parts)}; the rest is taken by {by}"] if parts and jobs else []
