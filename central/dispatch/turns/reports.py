"""What pilots report: judged, written, answered (PROTOCOL C9)."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pilotage.proto.messages import Answer, How, Report, What, Why

from ...accounts.holdings import Holdings
from ...jobs import record as job_records, verdicts
from ...jobs.leases import Lease, LeasePhase, PendingEnd
from ...jobs.record_types import (
    AdriftEnd,
    ApplicationStatus,
    AttemptResult,
    AttemptRow,
    AttemptStart,
    Change,
    Requeue,
    UncountedReport,
)
from ...observe.events import Log
from ...pilots.presence import Presence
from ...ports import Blobs, Clock
from ...received_messages import altered
from ...sent_messages import ReportAnswer
from ...settings import LeaseSettings
from ...store.engine import Store
from ..follow_up import FollowUp
from ..memory import Memory
from .data_reports import DataReports, as_written

EVIDENCE_BYTES_MAX: Final = 16_384  # of one report
STRAYS_MAX: Final = 32  # kept of one pilot while the central lives
_ENDS: Final = (AttemptResult, Requeue, AdriftEnd)


class JudgedReport(msgspec.Struct, eq=False):
    """One report: its answer at once, or the change that must be written first."""

    report: Report
    answer: Answer | None = None
    lease: Lease | None = None
    change: Change | None = None
    missing: tuple[str, ...] = ()

    @property
    def ends(self) -> bool:
        """Whether its change ends the attempt."""
        return isinstance(self.change, _ENDS)

    def reply(self) -> ReportAnswer | None:
        """Return what the pilot hears; None: it repeats the report, and it is judged anew."""
        if self.answer is None:
            return None
        report = self.report
        return ReportAnswer(
            job=report.job,
            epoch=report.epoch,
            n=report.n,
            answer=self.answer,
            missing=self.missing,
        )


def _short(report: Report) -> bytes:
    """Return a report as it is kept where it does not count."""
    whole = msgspec.json.encode(report)
    if len(whole) <= EVIDENCE_BYTES_MAX:
        return whole
    detail = report.detail[: EVIDENCE_BYTES_MAX // 16]
    short = altered(report, detail=detail, outputs=(), published=(), removed=(), status="")
    return msgspec.json.encode(short)


class ReportJudge:
    """Judges reports in memory; follows what was written of them."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        follow_up: FollowUp,
        data: DataReports,
        blobs: Blobs,
        holdings: Holdings,
        clock: Clock,
        log: Log,
        settings: LeaseSettings,
    ) -> None:
        self._store, self._queue, self._leases = store, memory.queue, memory.leases
        self._follow_up, self._blobs, self._clock, self._log = follow_up, blobs, clock, log
        self._data, self._holdings, self._owners = data, holdings, memory.owners
        self._losses = verdicts.Losses(settings.lost_max, settings.matched_max)

    async def judge(self, presence: Presence, reports: Sequence[Report]) -> list[JudgedReport]:
        """Say of each report what it means; nothing is changed by that."""
        hashes = [out.sha256 for report in reports for out in report.outputs]
        absent = set(await self._blobs.missing(hashes)) if hashes else set[str]()
        sizes = await self._sizes(presence, reports, absent) if hashes else {}
        judged: list[JudgedReport] = []
        for report in reports:
            lease = self._lease_of(presence, report)
            if lease is None:
                judged.append(await self._stranger(presence, report))
                continue
            one = self._judge_one(presence, lease, report, sizes.get(lease.job, {}))
            if (report.published or report.bad_copies or report.removed) and one.ends:
                await self._look_at_data(lease, one)
            judged.append(one)
        return judged

    async def _sizes(
        self, presence: Presence, reports: Sequence[Report], absent: set[str]
    ) -> dict[int, dict[str, int]]:
        """Return the true sizes of outputs that are here and held for the job, by job.

        Others may have brought the same, or the owner in another group. Then the pilot brings it
        too, so that those who see the job can read it and its group is charged.
        """
        found: dict[int, dict[str, int]] = {}
        for report in reports:
            lease = self._lease_of(presence, report) if report.outputs else None
            if lease is None:
                continue
            info = self._queue.classes[lease.class_id]
            kind = info.kind
            if not absent:
                named = [one.sha256 for one in report.outputs]
                fresh = self._holdings.fresh(info.owner_id, kind.group, named)
                if fresh is not None:
                    found[lease.job] = fresh
                    continue
            hashes = {one.sha256 for one in report.outputs} - absent
            holder = self._owners.holder(kind.community, kind.group, info.owner_id)
            sizes = await self._holdings.held(holder, sorted(hashes))
            if len(sizes) < len(hashes):
                sizes |= await self._holdings.adopt(holder, sorted(hashes - sizes.keys()))
            found[lease.job] = sizes
        return found

    def _lease_of(self, presence: Presence, report: Report) -> Lease | None:
        """Return the attempt that a pilot reports of, if it has it and it is its job's newest."""
        lease = self._leases.find(report.job, report.epoch)
        return lease if lease is not None and lease.pilot == presence.pilot else None

    async def _look_at_data(self, lease: Lease, one: JudgedReport) -> None:
        assert one.change is not None
        at = self._clock.wall() - one.report.ago_s
        one.change = await self._data.looked_at(lease, one.report, one.change, at)

    def _judge_one(
        self, presence: Presence, lease: Lease, report: Report, sizes: Mapping[str, int]
    ) -> JudgedReport:
        if lease.settling is not None:
            return JudgedReport(report)  # being written by another request: the pilot repeats it
        lived_s = max(0.0, self._clock.monotonic() - lease.matched)
        told, report = report, verdicts.believed(report, lived_s=lived_s, cores=lease.grant.cores)
        if report is not told:
            self._log("doubted", job=lease.job, epoch=lease.epoch, pilot=lease.pilot)
        at = self._clock.wall() - report.ago_s
        if report.what is What.ENDED:
            missing = [out.sha256 for out in report.outputs if out.sha256 not in sizes]
            if missing:
                return JudgedReport(report, Answer.MISSING, missing=tuple(sorted(set(missing))))
            sized = verdicts.sized(report, sizes, lived_s=lived_s)
            if sized is not report:
                self._log("doubted", job=lease.job, epoch=lease.epoch, pilot=lease.pilot)
                report = sized
            report = verdicts.over_quota(report)
            if report.how is How.DRAINED and presence.told:
                report = altered(report, detail=presence.told)  # a pilot is not told by whom
            return self._judge_ended(lease, report, at)
        if lease.phase is not LeasePhase.LIVE:
            return JudgedReport(
                report
            )  # a beat takes the job back, or a new attempt makes this stale
        if report.what is What.STARTED:
            if lease.started:
                return JudgedReport(report, Answer.ALREADY)
            return JudgedReport(
                report,
                lease=lease,
                change=AttemptStart(
                    attempt_id=lease.attempt_id,
                    job_id=lease.job,
                    at=at,
                    isolation=report.isolation,
                ),
            )
        return JudgedReport(
            report,
            lease=lease,
            change=ApplicationStatus(
                attempt_id=lease.attempt_id, job_id=lease.job, at=at, status=report.status
            ),
        )

    def _judge_ended(self, lease: Lease, report: Report, at: float) -> JudgedReport:
        how = report.how or How.OTHER
        no_result = how in verdicts.WITHOUT_RESULT or lease.wanted is Why.KILL
        if how is How.CHECKPOINTED and not verdicts.goes_on(lease, report, self._losses):
            no_result = lease.wanted is Why.KILL
        change: Change
        if not no_result:
            change = verdicts.result(lease, report, at=at)
        elif lease.phase is LeasePhase.LIVE:
            change = verdicts.without_result(lease, report, at=at, limits=self._losses)
        else:
            change = verdicts.left(lease, report)
        return JudgedReport(report, lease=lease, change=change)

    async def _stranger(self, presence: Presence, report: Report) -> JudgedReport:
        """Keep what does not count as evidence, and give an answer that ends its repetition.

        Of attempts that it never had, or that are gone with their jobs, a pilot may say a little:
        with all of it it could fill the disk.
        """
        if report.what is not What.ENDED:
            return JudgedReport(report, Answer.STALE)
        attempt = await self._attempt(presence, report)
        if attempt is None:
            if presence.strays >= STRAYS_MAX:
                self._log("stray", job=report.job, epoch=report.epoch, pilot=presence.pilot)
                return JudgedReport(report, Answer.STALE)
            presence.strays += 1
        elif attempt.how is not None and not attempt.open:
            return JudgedReport(report, Answer.ALREADY)
        why = "not the job's last open attempt"
        await self._store.write(
            job_records.keep_evidence,
            [
                UncountedReport(
                    job_id=report.job,
                    epoch=report.epoch,
                    at=self._clock.wall(),
                    pilot=presence.pilot,
                    why=why,
                    report=_short(report),
                )
            ],
        )
        self._log("evidence", job=report.job, epoch=report.epoch, pilot=presence.pilot, why=why)
        return JudgedReport(report, Answer.STALE)

    async def _attempt(self, presence: Presence, report: Report) -> AttemptRow | None:
        """Return the attempt that a report of this pilot is about, if it ever had it."""
        for attempt in await self._store.read(job_records.attempts, report.job):
            if attempt.epoch == report.epoch and attempt.pilot == presence.pilot:
                return attempt
        return None

    def follow(self, judged: Sequence[JudgedReport], written: Sequence[bool]) -> None:
        """Let memory follow: one bool for each report that had a change, in order.

        A report whose row had changed stays without an answer.
        """
        changed = [one for one in judged if one.change is not None]
        for one, done in zip(changed, written, strict=True):
            assert one.lease is not None and one.change is not None
            if done:
                one.answer = Answer.OK
                self._follow_up.of_change(one.lease, as_written(one.change))
        self._queue.wake()

    @staticmethod
    def settle(judged: Sequence[JudgedReport]) -> list[Lease]:
        """The ends of attempts are being written: until they are `settled` nobody else ends them.

        Return those that another request does not write already.
        """
        mine = [
            one.lease
            for one in judged
            if one.lease is not None and one.lease.settling is None and one.ends
        ]
        for lease in mine:
            lease.settling = PendingEnd.RESULT
        return mine

    @staticmethod
    def settled(leases: Sequence[Lease]) -> None:
        """What ends these attempts is written, or was not."""
        for lease in leases:
            lease.settling = None
