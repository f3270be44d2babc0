"""Pending and running jobs, and their charges.

A job that uses half of the memory, scratch or GPUs of a pilot is charged with half of its cores,
even if it has only one, because no other job can use the rest. Most jobs end long before the time
that they ask for. Until a job ends, it is therefore charged with the share of its request that its
owner's jobs usually use.
"""

from collections.abc import Iterable

from pilotage.proto.documents.job import Need

from ..types import LiveOffer
from .active_job import ActiveJob
from .fair_shares import Shares
from .running_limits import LimitTable


class PilotAttempts:
    """The pending and running jobs of one pilot."""

    __slots__ = ("jobs", "memory_mb", "scratch_mb")

    def __init__(self) -> None:
        self.jobs: dict[int, ActiveJob] = {}
        self.memory_mb = self.scratch_mb = 0  # of all of them


class Attempts:
    """All pending and running jobs, with their use of limits and shares."""

    def __init__(self, shares: Shares, limits: LimitTable) -> None:
        self._shares, self._limits = shares, limits
        self.by_job: dict[int, ActiveJob] = {}
        self._by_pilot: dict[str, PilotAttempts] = {}

    def held(self, pilot: str) -> PilotAttempts | None:
        """Return the jobs of a pilot; None if it has none."""
        return self._by_pilot.get(pilot)

    def begin(self, job: int, out: ActiveJob) -> None:
        """Record a job as matched or running, and charge its owner.

        Its limits were taken before.
        """
        older = self.by_job.get(job)
        if older is not None:  # its end was never reported: `out` replaces it, without its charge
            self._shares.settle(older.owner, _charged_core_s(older), 0.0, older.at)
            self._forget(job, older, started=True, now=out.at)
        part = out.part = out.part or out.owner.part_used
        self._shares.charge(out.owner, _asked_core_s(out) * part, out.at)
        self.by_job[job] = out
        out.owner.users += 1
        if out.cap is not None:
            out.cap.count(1)
        if out.pilot:
            held = self._by_pilot.get(out.pilot)
            if held is None:
                held = self._by_pilot[out.pilot] = PilotAttempts()
            held.jobs[job] = out
            held.memory_mb += out.grant.memory_mb
            held.scratch_mb += out.grant.scratch_mb

    def confirm(self, job: int) -> bool:
        """Record that the match of a pending job is stored: it runs.

        False if the job is not pending.
        """
        out = self.by_job.get(job)
        if out is None or out.is_running:
            return False
        out.is_running = True
        return True

    def undo(self, job: int, now: float) -> None:
        """Undo a match: give back what it took, including its start."""
        out = self.by_job.get(job)
        if out is not None:
            self._shares.settle(out.owner, _charged_core_s(out), 0.0, out.at)
            self._forget(job, out, started=False, now=now)

    def end(self, job: int, used_core_s: float | None, now: float) -> None:
        """Record the end of a running job, and correct its charge to the real use.

        If the real use is unknown, the job counts with its full request.
        """
        out = self.by_job.get(job)
        if out is None or not out.is_running:
            return
        used = asked = _asked_core_s(out)
        if used_core_s is not None:
            used = _charge_of(out, used_core_s)
            self._shares.learn(out.owner, asked, used, out.at)
        self._shares.settle(out.owner, asked * out.part, used, out.at)
        self._forget(job, out, started=True, now=now)

    def of_pilot(self, pilot: str) -> Iterable[ActiveJob]:
        """Return the pending and running jobs of a pilot."""
        held = self._by_pilot.get(pilot)
        return held.jobs.values() if held is not None else ()

    def _forget(self, job: int, out: ActiveJob, *, started: bool, now: float = 0.0) -> None:
        del self.by_job[job]
        out.owner.users -= 1
        if out.cap is not None:
            out.cap.count(-1)
        if out.limits:
            self._limits.give_back(out.limits, out.grant.amounts, now, started=started)
        if out.pilot:
            held = self._by_pilot[out.pilot]
            del held.jobs[job]
            held.memory_mb -= out.grant.memory_mb
            held.scratch_mb -= out.grant.scratch_mb
            if not held.jobs:
                del self._by_pilot[out.pilot]


def _asked_core_s(out: ActiveJob) -> float:
    """Return the charge of a job that uses all the time that it asks for."""
    grant = out.grant
    return (grant.charged_cores or grant.cores) * grant.wall_s


def _charged_core_s(out: ActiveJob) -> float:
    """Return the charge that a job got when it was matched."""
    return _asked_core_s(out) * out.part


def _charge_of(out: ActiveJob, used_core_s: float) -> float:
    """Return the charge for the real use of the job's own cores."""
    grant = out.grant
    if not grant.charged_cores or not grant.cores:
        return used_core_s
    return used_core_s * grant.charged_cores / grant.cores


def charged_cores(
    offer: LiveOffer, held: PilotAttempts | None, cores: int, memory_mb: int, need: Need, gpus: int
) -> float:
    """Return how many of a pilot's cores a job is charged with: its largest share of any resource.

    `held`: resources of the pilot that other jobs hold; None: nothing.
    """
    charged, scratch_mb = float(cores), need.scratch_mb
    if memory_mb:
        all_mb = offer.memory_free_mb + (held.memory_mb if held is not None else 0)
        charged = max(charged, offer.cores * memory_mb / all_mb)
    if scratch_mb:
        all_mb = offer.scratch_free_mb + (held.scratch_mb if held is not None else 0)
        charged = max(charged, offer.cores * scratch_mb / all_mb)
    if gpus:
        charged = max(charged, offer.cores * gpus / max(gpus, offer.gpus))
    if need.amounts:
        for name, amount in need.amounts.items():
            if amount and name in offer.amounts_free:
                outs = held.jobs.values() if held is not None else ()
                taken = sum([out.grant.amounts.get(name, 0) for out in outs])
                charged = max(charged, offer.cores * amount / (offer.amounts_free[name] + taken))
    return charged
