"""Why a job waits: the matcher's own rule, against the offers of the pilots that live now."""

from collections.abc import Callable

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

Prospects = Callable[[ClassSpec], list[str]]  # what there is to say of pilots to come


def _no_prospects(spec: ClassSpec) -> list[str]:
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
    ) -> None:
        self._queue, self._pilots, self._queries = memory.queue, memory.pilots, queries
        self._leases, self._hosts, self._prospects = memory.leases, memory.hosts, prospects
        self._late = memory.late
        self._idle, self._pilot_service = idle, pilots
        self._owners, self._clock, self._silent_s = memory.owners, clock, silent_s

    async def job(self, caller: Caller, job_id: int) -> Explanation:
        """Say why a job waits, or in which state it is."""
        row = await self._queries.row(caller, job_id, Permission.JOB_READ)
        if row.state is not JobState.WAITING:  # what would help a job that waits helps no other
            notes = [_state_of(row), *self._late_notes(job_id)]
            return Explanation(job=job_id, state=row.state.value, offers=0, fitting=0, notes=notes)
        await self._idle.load([row.class_id])
        spec = self._queue.classes[row.class_id].spec
        explained = self._explain(job_id, spec, row.priority)
        return msgspec.structs.replace(explained, state=row.state.value)

    def _late_notes(self, job_id: int) -> list[str]:
        """Say that the result of a job is not delivered, if that is known or likely."""
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
            f"its wall limit of {lease.grant.wall_s:.0f} s was over long ago, and its pilot still"
            " beats: the payload stood still for a time, or the pilot cannot deliver the result"
        ]

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
            needs=needs_of(job),
            preference=job.preference,
        )
        explained = self._explain(None, spec, job.priority)
        return msgspec.structs.replace(explained, state="not submitted")

    def unfit(self, community: str, group: str, owner: str, job: Job) -> str:
        """Return which clauses no living pilot meets, in words; empty: a pilot fits the job.

        Its parameters and files may be open: they change no clause.
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
        """Say why a pilot gets nothing, or what it could run with what is free of it now."""
        view = await self._pilot_service.get(caller, pilot)
        presence = self._pilots.find(pilot)
        if presence is None or view.state not in LIVING:
            return _nothing(pilot, f"the pilot asks for nothing: it is {view.state.value}")
        free, empty = self._free(presence), presence.empty_offer()
        if free is None or empty is None:
            return _nothing(pilot, "the pilot has not asked for anything yet")
        now = self._clock.monotonic()
        explained = self._queue.matcher.explain_offer(free, now, empty=empty)
        notes: list[str] = []
        if presence.drain:
            notes.append("it is draining: it finishes what it holds and is given nothing more")
        elif now - presence.heard > self._silent_s:
            notes.append(f"nothing was heard of it for {now - presence.heard:.0f} s")
        if self._hosts.is_held(presence.site, presence.element, presence.host):
            notes.append(
                f"jobs failed one after another on its host {presence.host}, or at its element: "
                f"it gets none, then one to see; pilotage site show {presence.site}"
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
        """Say how many pilots get no jobs because of their hosts; empty: none."""
        count = sum(
            one.community == community
            and one.state in LIVING
            and self._hosts.is_held(one.site, one.element, one.host)
            for one in self._pilots.all()
        )
        if not count:
            return ""
        return (
            f"left out {'is 1 pilot' if count == 1 else f'are {count} pilots'} on suspended hosts"
        )

    def offers(self) -> list[LiveOffer]:
        """Return what every living pilot could offer if it were empty."""
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
        """Return what is free of the pilot that would offer this if it were empty."""
        presence = self._pilots.find(empty.pilot)
        free = self._free(presence) if presence is not None else None
        return free if free is not None else empty

    def _free(self, presence: Presence) -> LiveOffer | None:
        return presence.free_offer(self._leases.of_pilot(presence.pilot))


def _lacks(explained: Explanation) -> str:
    """Name the clauses that keep a job from the offers that come nearest."""
    if not explained.offers:
        return "no pilot of the community is there"
    nearest = [one for one in explained.obstacles if one.would_fit]
    everywhere = [one for one in explained.obstacles if one.excludes == explained.offers]
    return ", ".join(
        f"{one.clause} {one.wanted}"
        + (f" (the nearest of those that it excludes has {one.best})" if one.best else "")
        for one in nearest or everywhere or explained.obstacles
    )


def _nothing(pilot: str, why: str) -> OfferExplanation:
    return OfferExplanation(pilot=pilot, waiting=0, fitting=0, notes=[why])


def _state_of(row: JobRow) -> str:
    """Say in which state a job is that does not wait, and where."""
    why = f" ({row.reason})" if row.reason else ""
    where = f" at {row.site} on pilot {row.pilot}" if row.pilot else ""
    if row.state in FINAL and where:
        where = f"; it was{where}"
    elif row.state is JobState.HELD:
        where = "; released, it waits again"
    return f"the job does not wait: it is {row.state.value}{why}{where}"


def _use_of(free: LiveOffer, empty: LiveOffer, jobs: int) -> list[str]:
    """Say what of an offer is taken."""
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
