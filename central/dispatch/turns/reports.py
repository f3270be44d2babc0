"""Judges the reports of pilots and answers them (PROTOCOL C9)."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pilotage.proto.messages import Answer, How, Report, What, Why

from ...accounts.holdings import Holdings
from ...jobs import record as job_records, verdicts
from ...jobs.failure_class import BY_ITSELF, with_memory_words
from ...jobs.leases import Lease, LeasePhase, PendingEnd
from ...jobs.output.standard_error import stderr_end
from ...jobs.record_types import (
    AdriftEnd,
    ApplicationStatus,
    AttemptChange,
    AttemptResult,
    AttemptRow,
    AttemptStart,
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
STRAYS_MAX: Final = 32  # stray reports that are kept from one pilot while the central runs
_ENDS: Final = (AttemptResult, Requeue, AdriftEnd)


class JudgedReport(msgspec.Struct, eq=False):
    """A report with its answer, or with the change that must be written before the answer."""

    report: Report
    answer: Answer | None = None
    lease: Lease | None = None
    change: AttemptChange | None = None
    missing: tuple[str, ...] = ()

    @property
    def ends(self) -> bool:
        """Whether the change ends the attempt."""
        return isinstance(self.change, _ENDS)

    def reply(self) -> ReportAnswer | None:
        """Return the answer to the pilot; None: the pilot repeats the report later."""
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
    """Return the JSON of a report that does not count, shortened for storage as evidence."""
    whole = msgspec.json.encode(report)
    if len(whole) <= EVIDENCE_BYTES_MAX:
        return whole
    detail = report.detail[: EVIDENCE_BYTES_MAX // 16]
    lists = dict.fromkeys(("outputs", "published", "removed", "leftovers"), ())
    short = altered(report, detail=detail, status="", **lists)
    return msgspec.json.encode(short)


class ReportJudge:
    """Judges reports, and updates memory after their changes are written."""

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
        """Return a judgement of each report, without changing jobs or attempts."""
        hashes = [out.sha256 for report in reports for out in report.outputs]
        absent = set(await self._blobs.missing(hashes)) if hashes else set[str]()
        sizes = await self._sizes(presence, reports, absent) if hashes else {}
        judged: list[JudgedReport] = []
        read = [await self._with_words(presence, report, sizes) for report in reports]
        for report in read:
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
        """Return by job the true sizes of outputs that are stored and held for the job.

        The same content may be held by another owner, or by the owner in another group. The pilot
        must upload it again then, so that its readers can read it and the right group is charged.
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

    async def _with_words(
        self, presence: Presence, report: Report, sizes: Mapping[int, Mapping[str, int]]
    ) -> Report:
        """Return a report of a failed payload with what its standard error says about memory."""
        lease = self._lease_of(presence, report)
        held = sizes.get(report.job, {})
        outputs = [one for one in report.outputs if one.sha256 in held]
        is_bad = lease is not None and report.exit_code not in lease.success_codes
        if report.how not in BY_ITSELF or not outputs or not is_bad:
            return report
        stderr = await stderr_end(
            self._blobs, self._log, outputs, job=report.job, epoch=report.epoch
        )
        detail = with_memory_words(report.detail, stderr)
        return report if detail is report.detail else altered(report, detail=detail)

    def _lease_of(self, presence: Presence, report: Report) -> Lease | None:
        """Return the lease of the reported attempt, if it is this pilot's and its job's newest."""
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
            return JudgedReport(report)  # another request writes the end: the pilot repeats this
        lived_s = max(0.0, self._clock.monotonic() - lease.matched)
        received = report
        report = verdicts.believed(received, lived_s=lived_s, cores=lease.grant.cores)
        if report is not received:
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
                report = altered(report, detail=presence.told)  # the pilot does not know the reason
            return self._judge_ended(lease, report, at)
        if lease.phase is not LeasePhase.LIVE:
            # The pilot repeats it until a beat renews the attempt or a new one makes it stale.
            return JudgedReport(report)
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
                    image=report.image,
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
        change: AttemptChange
        if not no_result:
            change = verdicts.result(lease, report, at=at)
        elif lease.phase is LeasePhase.LIVE:
            change = verdicts.without_result(lease, report, at=at, limits=self._losses)
        else:
            change = verdicts.left(lease, report)
        return JudgedReport(report, lease=lease, change=change)

    async def _stranger(self, presence: Presence, report: Report) -> JudgedReport:
        """Answer a report that does not count, so that the pilot stops repeating it.

        Ends of attempts are stored as evidence. Only STRAYS_MAX reports per pilot are stored about
        attempts that it never had or whose jobs are deleted: else a pilot could fill the disk.
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
        """Return the reported attempt, if this pilot ever had it."""
        for attempt in await self._store.read(job_records.attempts, report.job):
            if attempt.epoch == report.epoch and attempt.pilot == presence.pilot:
                return attempt
        return None

    def follow(self, judged: Sequence[JudgedReport], written: Sequence[bool]) -> None:
        """Update memory. `written` has one bool for each report with a change, in order.

        A report whose change lost a race stays without an answer.
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
        """Mark the attempts whose ends are about to be written, until `settled` is called.

        No other request ends a marked attempt. Return the attempts that were not marked before.
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
        """Remove the marks, after the write has succeeded or failed."""
        for lease in leases:
            lease.settling = None
