"""An honest store in memory: the same meaning as the real ones, no thread and no file.

It passes the contract suite of the stores. Every verb does its work at once, then awaits `synced`,
which a test may override to delay or fail. With `full` every write fails before it does anything.
"""

import copy
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import msgspec

from pilotage.central.store.actions import Keep
from pilotage.central.store.errors import KeyReused, StillArriving, StoreError, SubmissionDropped
from pilotage.central.store.protocol import NOTES_MAX, Room
from pilotage.central.store.records import (
    AttemptRow,
    Change,
    CountRow,
    End,
    JobBody,
    JobClass,
    JobRow,
    Left,
    LiveAttempt,
    Move,
    NewAttempt,
    NewJob,
    NewSubmission,
    Note,
    Owner,
    Progress,
    Requeue,
    Search,
    Standing,
    Start,
    SubmissionRecord,
    TakeBack,
    Want,
)
from pilotage.proto.job_states import ACTIVE, FINAL, JobState
from pilotage.proto.messages import Why

from .fake_store_actions import ActionData
from .fake_store_arrivals import FakeArrivals
from .fake_store_data_jobs import FakeDataJobs
from .fake_store_failover import FailoverData, FakeFailover
from .fake_store_files import CatalogueData
from .fake_store_interning import FakeInterning
from .fake_store_logs import LogData
from .fake_store_marks import MarkData
from .fake_store_productions import FakeProductions, ProductionData
from .fake_store_quotas import FakeQuotas, QuotaData
from .fake_store_remnants import RemnantData
from .fake_store_rows import Data, Job, check_chunk
from .fake_store_rules import FakeRules, RuleData
from .fake_store_series import FakeSeries, SeriesData
from .fake_store_slots import SlotData

PROGRESS_MAX = 100
KEPT = (
    "_data _pilot_data _series_data _log_data _slot_data _mark_data _catalogue_data _rule_data "
    "_action_data _failover_data _remnant_data _quota_data"
)
SLICE = 16_384  # jobs that `waiting` yields at a time


class FakeStore(
    FakeSeries,
    FakeQuotas,
    FakeProductions,
    FakeFailover,
    FakeDataJobs,
    FakeRules,
    FakeArrivals,
    FakeInterning,
):
    """The `Store` in memory."""

    def __init__(self, *, clock_wall: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__(clock_wall=clock_wall)
        self._data: Data = Data()
        self._series_data, self._log_data, self._slot_data = SeriesData(), LogData(), SlotData()
        self._mark_data: MarkData = {}
        self._quota_data = QuotaData()
        self._transformation_data = ProductionData()
        self._catalogue_data = CatalogueData()
        self._rule_data, self._failover_data = RuleData(), FailoverData()
        self._action_data: ActionData = {}
        self._remnant_data = RemnantData(made_at=clock_wall())

    def reopened(self) -> "FakeStore":
        """Return the store as the next process finds it: unfinished submissions are gone."""
        again = type(self)(clock_wall=self._clock_wall)
        for name in KEPT.split():
            setattr(again, name, copy.deepcopy(getattr(self, name)))
        again._transformation_data = self._transformation_data.again()
        for record in list(again._data.submissions.values()):
            if not record.complete:
                again._drop(record.submission_id)
        again.forget_classes()
        return again

    @property
    def generation(self) -> str:
        return self._data.generation

    async def close(self) -> None:
        """Nothing is queued."""

    # -- submission -----------------------------------------------------------------------------

    async def submit(self, new: NewSubmission, jobs: Sequence[NewJob]) -> SubmissionRecord:
        self.begin_write()
        known = self._by_key(new.community, new.owner_id, new.key)
        if known is not None and not known.complete:
            raise StillArriving(known.submission_id, new.key)
        if known is not None and known.body_hash != new.body_hash:
            raise KeyReused(new.key)
        if known is None:
            check_chunk(jobs)
            known = self._open(new)
            if jobs:
                self._append_or_drop(known.submission_id, jobs)
            known = self._finish(known.submission_id, new.body_hash)
            await self.synced()
            return known
        await self.synced()
        return msgspec.structs.replace(known, repeated=True)

    async def begin_submission(self, new: NewSubmission) -> SubmissionRecord:
        self.begin_write()
        known = self._by_key(new.community, new.owner_id, new.key)
        record = msgspec.structs.replace(known, repeated=True) if known else self._open(new)
        await self.synced()
        return record

    async def add_jobs(self, submission_id: int, jobs: Sequence[NewJob]) -> int:
        self.begin_write()
        check_chunk(jobs)
        first = self._append(submission_id, jobs)
        await self.synced()
        return first

    async def finish_submission(self, submission_id: int, body_hash: str) -> SubmissionRecord:
        self.begin_write()
        record = self._finish(submission_id, body_hash)
        await self.synced()
        return record

    async def drop_submission(self, submission_id: int) -> None:
        self.begin_write()
        self._drop(submission_id)
        await self.synced()

    def _open(self, new: NewSubmission) -> SubmissionRecord:
        record = SubmissionRecord(
            submission_id=self._data.next_submission,
            complete=False,
            ranges=(),
            **msgspec.structs.asdict(new),
        )
        self._data.next_submission += 1
        self._data.submissions[record.submission_id] = record
        return record

    def _append(self, submission_id: int, jobs: Sequence[NewJob]) -> int:
        record = self._data.submissions.get(submission_id)
        if record is None or record.complete:
            raise SubmissionDropped(submission_id)
        self.charge_jobs(jobs, sum(count for _, count in record.ranges))
        first = self._data.next_job
        self._data.next_job += len(jobs)
        for job_id, new in enumerate(jobs, first):
            self._data.jobs[job_id] = Job(job_id, submission_id, new, new.priority)
            self.keep_inputs(self._data.jobs[job_id])
        ranges = [*record.ranges, (first, len(jobs))]
        if record.ranges and sum(record.ranges[-1]) == first:
            ranges[-2:] = [(record.ranges[-1][0], record.ranges[-1][1] + len(jobs))]
        self._keep(msgspec.structs.replace(record, ranges=tuple(ranges)))
        return first

    def _finish(self, submission_id: int, body_hash: str) -> SubmissionRecord:
        record = self._data.submissions.get(submission_id)
        if record is None:
            raise SubmissionDropped(submission_id)
        if not record.complete:
            record = msgspec.structs.replace(record, complete=True, body_hash=body_hash)
            self._keep(record)
        return record

    def _drop(self, submission_id: int) -> None:
        record = self._data.submissions.get(submission_id)
        if record is not None and not record.complete:
            del self._data.submissions[submission_id]
            for first, count in record.ranges:
                for job_id in range(first, first + count):
                    self.discharge_job(self._data.jobs.pop(job_id))

    def _keep(self, record: SubmissionRecord) -> None:
        self._data.submissions[record.submission_id] = record

    # -- looking at a job -----------------------------------------------------------------------

    def _visible(self, job_id: int) -> Job | None:
        job = self._data.jobs.get(job_id)
        if job is None or not self._data.submissions[job.submission_id].complete:
            return None
        return job

    def _all_visible(self) -> Iterable[Job]:
        return (job for job_id in sorted(self._data.jobs) if (job := self._visible(job_id)))

    def _last(self, job: Job) -> AttemptRow | None:
        return self._data.attempts[job.attempts[-1]] if job.attempts else None

    def _live(self, job: Job) -> AttemptRow | None:
        last = self._last(job)
        return last if last is not None and last.live else None

    def _state(self, job: Job) -> JobState:
        live = self._live(job)
        return live.state if live is not None and live.state is not None else job.state

    def _attempt(self, attempt_id: int, job_id: int) -> AttemptRow | None:
        found = self._data.attempts.get(attempt_id)
        return found if found is not None and found.job_id == job_id else None

    def _set(self, attempt: AttemptRow, **fields: object) -> None:
        changed = msgspec.structs.replace(attempt, **fields)
        self._data.attempts[attempt.attempt_id] = changed

    def _close(self, job: Job) -> None:
        last = self._last(job)
        if last is not None and not last.live:
            self._set(last, open=False)

    def _note(self, job_id: int, at: float, who: str, event: str, detail: str) -> None:
        note = Note(job_id=job_id, at=at, who=who, event=event, detail=detail)
        self._data.notes.append(note)

    # -- jobs -----------------------------------------------------------------------------------

    async def standing(self, job_ids: Sequence[int]) -> dict[int, Standing]:
        found = {i: self._standing(job) for i in job_ids if (job := self._visible(i))}
        await self.synced()
        return found

    def _standing(self, job: Job) -> Standing:
        last = self._last(job)
        shown = last if last is not None and last.open else None
        return Standing(
            job_id=job.job_id,
            state=self._state(job),
            epoch=last.epoch if last else 0,
            round=job.round,
            class_id=job.new.class_id,
            priority=job.priority,
            retries=job.new.retries,
            failures=job.failures,
            losses=job.losses,
            queue_until=job.new.queue_until,
            attempt_id=shown.attempt_id if shown else None,
            live=shown is not None and shown.live,
            wanted=shown.wanted if shown else None,
            deleted=job.deleted,
            pilot=shown.pilot if shown else None,
            session=shown.session if shown else None,
            site=last.site if last else "",
        )

    async def move(self, moves: Sequence[Move], keep: Keep | None = None) -> list[bool]:
        self.begin_write()
        if any(one.new in ACTIVE for one in moves):
            raise StoreError("a job is Matched or Running through its attempt only")
        again = [one.job_id for one in moves if one.runs_again and self._may_move(one)]
        self.charge_jobs([self._data.jobs[job_id].new for job_id in again], 0)
        won = [self._move(one) for one in moves]
        self.keep(keep, won)
        await self.synced()
        return won

    def _may_move(self, move: Move) -> bool:
        job = self._visible(move.job_id)
        if job is None or job.deleted or job.state is not move.old:
            return False
        return not self._live(job)

    def _move(self, move: Move) -> bool:
        if not self._may_move(move):
            return False
        job = self._data.jobs[move.job_id]
        job.state, job.reason = move.new, move.reason
        job.ended_at = move.at if move.new in FINAL else None
        if move.new_round:
            job.round, job.failures, job.losses = job.round + 1, 0, 0
            job.new = msgspec.structs.replace(job.new, queue_until=None)
            self.may_leave(job.job_id)
        if move.close:
            self._close(job)
        self._note(job.job_id, move.at, move.who, move.event, move.reason)
        return True

    async def want(self, wants: Sequence[Want], keep: Keep | None = None) -> list[bool]:
        self.begin_write()
        won = [self._want(one) for one in wants]
        self.keep(keep, won)
        await self.synced()
        return won

    def _want(self, want: Want) -> bool:
        attempt = self._attempt(want.attempt_id, want.job_id)
        if attempt is None or not attempt.live or attempt.wanted is Why.KILL:
            return False
        self._set(attempt, wanted=want.wanted, reason=want.reason)
        self._note(want.job_id, want.at, want.who, want.wanted.value, want.reason)
        return True

    async def delete(
        self, job_ids: Sequence[int], at: float, who: str, keep: Keep | None = None
    ) -> list[bool]:
        self.begin_write()
        won: list[bool] = []
        for job_id in job_ids:
            job = self._visible(job_id)
            won.append(job is not None and job.state in FINAL and not job.deleted)
            if job is not None and won[-1]:
                job.deleted = True
                self._note(job_id, at, who, "deleted", "")
        self.keep(keep, won)
        await self.synced()
        return won

    async def set_priority(
        self,
        job_ids: Sequence[int],
        priority: int,
        at: float,
        who: str,
        keep: Keep | None = None,
    ) -> list[bool]:
        self.begin_write()
        won: list[bool] = []
        for job_id in job_ids:
            job = self._visible(job_id)
            won.append(job is not None and job.state not in FINAL)
            if job is not None and won[-1]:
                job.priority = priority
                self._note(job_id, at, who, "priority", str(priority))
        self.keep(keep, won)
        await self.synced()
        return won

    async def bodies(self, job_ids: Sequence[int]) -> dict[int, JobBody]:
        return {i: self._body(job) for i in job_ids if (job := self._visible(i))}

    def _body(self, job: Job) -> JobBody:
        return JobBody(
            job_id=job.job_id,
            template=self._data.submissions[job.submission_id].template,
            body=job.new.body,
            round=job.round,
            retries=job.new.retries,
            failures=job.failures,
            losses=job.losses,
        )

    async def job(self, job_id: int) -> JobRow | None:
        job = self._visible(job_id)
        return None if job is None else self._row(job)

    async def jobs(self, job_ids: Sequence[int]) -> dict[int, JobRow]:
        return {i: self._row(job) for i in job_ids if (job := self._visible(i))}

    def _row(self, job: Job) -> JobRow:
        submission = self._data.submissions[job.submission_id]
        kind = self._data.classes[job.new.class_id]
        last, live = self._last(job), self._live(job)
        return JobRow(
            job_id=job.job_id,
            submission_id=job.submission_id,
            submission_name=submission.name,
            class_id=job.new.class_id,
            community=kind.community,
            group=kind.group,
            owner=self._data.owners[kind.owner_id].subject,
            owner_id=kind.owner_id,
            type=kind.type,
            name=job.new.name,
            state=self._state(job),
            epoch=last.epoch if last else 0,
            round=job.round,
            priority=job.priority,
            failures=job.failures,
            losses=job.losses,
            reason=live.reason if live else job.reason,
            status=last.progress[-1][1] if last and last.progress else "",
            site=last.site if last else "",
            pilot=last.pilot if last else "",
            wanted=live.wanted if live else None,
            exit_code=last.exit_code if last else None,
            submitted_at=submission.at,
            started_at=last.started_at if last else None,
            ended_at=job.ended_at,
            deleted=job.deleted,
        )

    async def search(self, search: Search, *, after: int, limit: int) -> list[JobRow]:
        found = (self._row(job) for job in self._all_visible() if job.job_id > after)
        return list(itertools.islice((row for row in found if self._fits(search, row)), limit))

    async def ids(self, search: Search, *, limit: int) -> list[int]:
        return [row.job_id for row in await self.search(search, after=0, limit=limit)]

    def _fits(self, search: Search, row: JobRow) -> bool:
        return (
            search.community in (None, row.community)
            and search.owner_id in (None, row.owner_id)
            and (not search.groups or row.group in search.groups)
            and (not search.states or row.state in search.states)
            and (not search.ids or row.job_id in search.ids)
            and search.submission_id in (None, row.submission_id)
            and search.owner in ("", row.owner)
            and search.type in ("", row.type)
            and search.site in ("", row.site)
            and (not search.name or search.name == self._name(row))
            and (search.include_deleted or not row.deleted)
        )

    def _name(self, row: JobRow) -> str | None:
        template = self._data.submissions[row.submission_id].template
        if row.name is not None or template is None:
            return row.name
        try:
            found = msgspec.json.decode(template, type=dict[str, msgspec.Raw])
            return msgspec.json.decode(found["name"], type=str)
        except (msgspec.DecodeError, KeyError):
            return None

    async def counts(self) -> list[CountRow]:
        found: Counter[tuple[str, str, int, str, str, str, JobState]] = Counter()
        for job in self._all_visible():
            if not job.deleted:
                row = self._row(job)
                who = (row.community, row.group, row.owner_id, row.owner)
                found[(*who, row.type, row.site, row.state)] += 1
        names = ("community", "group", "owner_id", "owner", "type", "site", "state")
        return [
            msgspec.convert({**dict(zip(names, key, strict=True)), "count": count}, CountRow)
            for key, count in found.items()
        ]

    async def notes(self, job_id: int) -> list[Note]:
        return [note for note in self._data.notes if note.job_id == job_id][-NOTES_MAX:]

    # -- attempts -------------------------------------------------------------------------------

    async def ids_given(self) -> dict[str, int]:
        data = self._data
        return {
            "attempt": data.next_attempt,
            "job": data.next_job,
            "submission": data.next_submission,
        }

    async def reserve_attempts(self, count: int) -> int:
        self.begin_write()
        first = self._data.next_attempt
        self._data.next_attempt += count
        await self.synced()
        return first

    async def match(self, attempts: Sequence[NewAttempt]) -> list[JobBody | None]:
        self.begin_write()
        found = [self._match(one) for one in attempts]
        await self.synced()
        return found

    def _match(self, new: NewAttempt) -> JobBody | None:
        job = self._visible(new.job_id)
        if job is None or job.state is not JobState.WAITING or self._live(job):
            return None
        last = self._last(job)
        if new.epoch != (last.epoch if last else 0) + 1 or new.attempt_id in self._data.attempts:
            return None
        self._close(job)
        job.attempts.append(new.attempt_id)
        fields = msgspec.structs.asdict(new)
        matched_at = fields.pop("at")
        self._data.attempts[new.attempt_id] = AttemptRow(
            **fields,
            round=job.round,
            state=JobState.MATCHED,
            live=True,
            open=True,
            wanted=None,
            matched_at=matched_at,
            started_at=None,
            ended_at=None,
            how=None,
            exit_code=None,
            detail="",
            isolation="",
            usage=None,
            outputs=(),
            progress=(),
        )
        return self._body(job)

    async def turn(
        self, changes: Sequence[Change], attempts: Sequence[NewAttempt], room: Room | None = None
    ) -> tuple[list[bool], list[JobBody | None]]:
        self.begin_write()
        won = [self._change(one) for one in changes]
        if room is not None:
            jobs = [self._visible(one.job_id) for one in attempts]
            attempts = attempts[: room([self._body(job) if job else None for job in jobs])]
        found = [self._match(one) for one in attempts]
        await self.synced()
        return won, found

    async def change(self, changes: Sequence[Change]) -> list[bool]:
        self.begin_write()
        won = [self._change(one) for one in changes]
        await self.synced()
        return won

    def _change(self, change: Change) -> bool:
        attempt = self._attempt(change.attempt_id, change.job_id)
        if attempt is None:
            return False
        job = self._data.jobs[change.job_id]
        match change:
            case Start():
                return self._start(change, attempt)
            case Progress():
                return self._progress(change, attempt)
            case TakeBack():
                return self._take_back(change, attempt, job)
            case Requeue():
                return self._requeue(change, attempt, job)
            case End():
                return self._end(change, attempt, job)
            case Left():
                return self._left(change, attempt)

    def _start(self, start: Start, attempt: AttemptRow) -> bool:
        if attempt.state is not JobState.MATCHED:
            return False
        self._set(attempt, state=JobState.RUNNING, started_at=start.at, isolation=start.isolation)
        return True

    def _progress(self, progress: Progress, attempt: AttemptRow) -> bool:
        if not attempt.live:
            return False
        kept = (*attempt.progress, (progress.at, progress.status))
        self._set(attempt, progress=kept[-PROGRESS_MAX:])
        return True

    def _take_back(self, change: TakeBack, attempt: AttemptRow, job: Job) -> bool:
        if not attempt.open or attempt.live or job.state is not JobState.WAITING:
            return False
        self._set(
            attempt,
            live=True,
            state=JobState.RUNNING,
            started_at=change.at if attempt.started_at is None else attempt.started_at,
            ended_at=None,
            how=None,
            event="",
            reason="",
        )
        return True

    def _requeue(self, change: Requeue, attempt: AttemptRow, job: Job) -> bool:
        known = (attempt.live, attempt.epoch, attempt.wanted)
        if known != (True, change.epoch, change.wanted):
            return False
        self._set(
            attempt,
            live=False,
            state=None,
            open=not change.close,
            ended_at=change.at,
            how=change.how,
            event=change.event,
            reason=change.reason,
            detail=change.detail,
            isolation=change.isolation or attempt.isolation,
            usage=change.usage,
            outputs=change.outputs,
        )
        job.losses += change.lost
        self._settle(change, job)
        return True

    def _left(self, change: Left, attempt: AttemptRow) -> bool:
        if (attempt.open, attempt.live, attempt.epoch) != (True, False, change.epoch):
            return False
        self._set(
            attempt,
            open=False,
            how=change.how,
            detail=change.detail,
            isolation=change.isolation or attempt.isolation,
            usage=change.usage,
            outputs=change.outputs,
        )
        return True

    def _end(self, change: End, attempt: AttemptRow, job: Job) -> bool:
        if not attempt.open or attempt.epoch != change.epoch or attempt.wanted is Why.KILL:
            return False
        if job.state is not JobState.WAITING:
            return False
        change = self.published(change)
        self.swept(change)
        self._set(
            attempt,
            live=False,
            state=None,
            open=False,
            ended_at=change.at,
            how=change.how,
            exit_code=change.exit_code,
            event=change.event,
            reason=change.reason,
            detail=change.detail,
            isolation=change.isolation or attempt.isolation,
            usage=change.usage,
            outputs=change.outputs,
            started_at=change.started_at if attempt.started_at is None else attempt.started_at,
        )
        job.failures += change.failed
        self._settle(change, job)
        return True

    async def prune_jobs(self, jobs: Sequence[tuple[int, float]]) -> list[tuple[int, bool]]:
        self.note_storing([job_id for job_id, at in jobs if self._has_ended(job_id, at)])
        return await super().prune_jobs(jobs)

    def _settle(self, change: End | Requeue, job: Job) -> None:
        job.state, job.reason = change.new, change.reason
        job.ended_at = change.at if change.new in FINAL else None

    async def attempts(self, job_id: int) -> list[AttemptRow]:
        job = self._visible(job_id)
        return [] if job is None else [self._data.attempts[i] for i in job.attempts]

    # -- rebuild --------------------------------------------------------------------------------

    async def waiting(self) -> AsyncIterator[list[tuple[int, int, int, int, float | None]]]:
        found: list[tuple[int, int, int, int, float | None]] = []
        for job in self._all_visible():
            if self._state(job) is JobState.WAITING:
                last = self._last(job)
                epoch = last.epoch if last else 0
                new = job.new
                found.append((new.class_id, job.priority, job.job_id, epoch, new.queue_until))
        for start in range(0, len(found), SLICE):
            yield found[start : start + SLICE]

    async def live_attempts(self) -> list[LiveAttempt]:
        found: list[LiveAttempt] = []
        for job in self._all_visible():
            last = self._last(job)
            if last is not None and last.open and job.state is JobState.WAITING:
                found.append(self._live_attempt(job, last))
        return found

    def _live_attempt(self, job: Job, attempt: AttemptRow) -> LiveAttempt:
        new = job.new
        kept = {
            name: value
            for name, value in msgspec.structs.asdict(attempt).items()
            if name in LiveAttempt.__struct_fields__
        }
        return LiveAttempt(
            **kept,
            class_id=new.class_id,
            priority=job.priority,
            started=attempt.started_at is not None,
            retries=new.retries,
            failures=job.failures,
            losses=job.losses,
            queue_until=new.queue_until,
            community=self._data.classes[new.class_id].community,
        )

    async def live_classes(self) -> list[JobClass]:
        states = {*ACTIVE, JobState.WAITING}
        live = {job.new.class_id for job in self._all_visible() if self._state(job) in states}
        return [one for class_id, one in self._data.classes.items() if class_id in live]

    async def classes_given(self, class_ids: Sequence[int]) -> list[JobClass]:
        return [one for class_id, one in self._data.classes.items() if class_id in class_ids]

    async def owners(self) -> list[Owner]:
        return list(self._data.owners.values())
