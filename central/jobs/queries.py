"""Answers users' queries about jobs. It changes nothing."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

import msgspec

from pilotage.proto.api.jdl import JdlContext, JdlRules
from pilotage.proto.api.jobs import (
    PAGE_MAX,
    History,
    JobDetail,
    JobFilter,
    JobPage,
    JobView,
    Occurrence,
    Outputs,
    OutputView,
    Summary,
    SummaryBy,
)
from pilotage.proto.api.outputs import JobOutputs, OutputChoice, OutputsPage
from pilotage.proto.documents.job import Mark
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import KEPT_FOLDER, Stream, Why
from pilotage.proto.pieces import piece
from pilotage.proto.problems import Code

from ..accounts.counters import Counters
from ..catalogue import record_read as catalogue_read
from ..errors import Refused
from ..identity.callers import Caller, User
from ..identity.policy import Permission
from ..identity.scope import Owners, Scope, scope
from ..observe.times import shown
from ..ports import Blobs, Clock
from ..store.engine import Store
from ..store.errors import JobNotFound
from . import (
    record as job_records,
    record_dependencies as dependency_records,
    record_search as job_search,
    record_submissions as submission_records,
    record_tasks as task_records,
)
from .attempt_view import attempt_views, class_word, kept_stream, written
from .classes import JobClasses
from .definition.need_changes import current
from .definition.rendering import (
    UNREADABLE,
    NotReadable,
    TemplateEntry,
    decode_parameters,
    readable,
)
from .leases import Lease, LeasePhase, LeaseTable
from .output.live_logs import LiveLogs
from .output.stream_output import StreamContent
from .record_types import AttemptRow, JobBody, JobRow, JobSearch
from .restricted_view import sealed
from .verdicts import brought_result

_UNSAFE: Final = re.compile("[^A-Za-z0-9._-]+")  # in a name of a folder
REASON_MAX: Final = 500  # characters of the reason why a job is unreadable
PARENTS: Final = 100  # ranges of parents shown for a job
FILES: Final = 100  # files of the catalogue shown for a job
OUTPUTS_A_PAGE: Final = 10_000  # a page of outputs ends with the job that reaches this number
JOBS_TOGETHER: Final = 200  # jobs whose attempts are read at once

KEPT = KEPT_FOLDER + "/"  # files that the pilot stores in addition to the job's outputs
_NO_GROUP = ("",)  # matches no group; for the store, () means any group
_WANTED_MARKS = {
    Why.KILL: Mark.KILLING,
    Why.HOLD: Mark.HOLDING,
    Why.RESCHEDULE: Mark.RESCHEDULING,
}


def search_of(wanted: JobFilter, bounds: Scope) -> JobSearch:
    """Return a search for the store, restricted to what the caller may see."""
    groups: tuple[str, ...] = ()
    if bounds.groups is not None:
        groups = tuple(sorted(bounds.groups)) or _NO_GROUP
    if wanted.group:
        groups = (wanted.group,) if not groups or wanted.group in groups else _NO_GROUP
    return JobSearch(
        community=bounds.community or None,
        owner_id=bounds.owner_id,
        groups=groups,
        states=wanted.states,
        ids=wanted.ids,
        submission_id=wanted.submission,
        owner=wanted.owner,
        type=wanted.type,
        site=wanted.site,
        name=wanted.name,
        submission_name=wanted.submission_name,
        include_deleted=wanted.include_deleted,
    )


def jobs_by_id(store: Store) -> Callable[[int], Awaitable[JobRow | None]]:
    """Return a function that finds a job by its id, without checking a caller."""

    async def job_of(job_id: int) -> JobRow | None:
        return await store.read(job_records.job, job_id)

    return job_of


class JobMemory(Protocol):
    """The tables in memory that this module uses."""

    @property
    def leases(self) -> LeaseTable: ...
    @property
    def owners(self) -> Owners: ...
    @property
    def classes(self) -> JobClasses: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def logs(self) -> LiveLogs: ...


class Queries:
    """Answers queries about jobs, within the caller's scope."""

    def __init__(
        self,
        *,
        store: Store,
        memory: JobMemory,
        blobs: Blobs,
        clock: Clock,
        beat_s: float,
        jdl: JdlRules,
    ) -> None:
        self._store, self._leases, self._owners = store, memory.leases, memory.owners
        self._classes = memory.classes
        self._counters, self._blobs, self._logs = memory.counters, blobs, memory.logs
        self._clock, self._stalled_s = clock, 1.5 * beat_s
        self._jdl = jdl

    async def search(
        self, caller: Caller, wanted: JobFilter, after: int, limit: int, *, since: float = 0.0
    ) -> JobPage:
        """Return one page of jobs in order of their id, without those that ended before `since`."""
        if not 1 <= limit <= PAGE_MAX:
            raise Refused(
                Code.INVALID, f"limit: found {limit}, expected 1 to {PAGE_MAX}", field="limit"
            )
        found = search_of(wanted, scope(caller, Permission.JOB_READ, self._owners))
        rows = await self._store.read(job_search.search, found, after=after, limit=limit)
        await self._owners.meet(row.owner_id for row in rows)
        views = [self.view(row) for row in rows if (row.ended_at or since) >= since]
        return JobPage(jobs=views, after=rows[-1].job_id if len(rows) == limit else None)

    def jdl_context(self, caller: User) -> JdlContext:
        """Return what a description in JDL of this caller needs to become a job."""
        return JdlContext(
            **msgspec.structs.asdict(self._jdl),
            group=caller.groups[0] if caller.groups else "",
            user=_UNSAFE.sub("_", caller.name or caller.subject),
        )

    async def summary(self, caller: Caller, by: SummaryBy) -> Summary:
        """Return numbers of jobs, from memory."""
        bounds = scope(caller, Permission.JOB_READ, self._owners)
        return self._counters.summary(
            by, community=bounds.community, groups=bounds.groups, owner=bounds.owner
        )

    async def job(self, caller: Caller, job_id: int) -> JobDetail:
        """Return everything about one job. Without JOB_OUTPUT, file hashes and values of
        environment variables are hidden.
        """
        row = await self.row(caller, job_id, Permission.JOB_READ)
        body = (await self._store.read(job_records.bodies, [job_id])).get(job_id)
        if body is None:  # the job was removed between the two reads
            raise JobNotFound(job_id)
        attempts = await self._store.read(job_records.attempts, job_id)
        usage = attempts[-1].usage if attempts else None
        task = (await self._store.read(task_records.tasks_of_jobs, [job_id])).get(job_id)
        after, after_count = await self._store.read(
            dependency_records.dependencies, job_id, limit=PARENTS
        )
        job, unreadable = None, ""
        try:
            job = readable(body.template, body.body)
        except NotReadable as why:
            unreadable = str(why)[:REASON_MAX]
        (its_class,) = await self._classes.read([row.class_id])
        detail = JobDetail(
            view=self.view(row),
            job=current(job, its_class.spec.needs) if job is not None else None,
            unreadable=unreadable,
            outputs=_outputs(attempts),
            usage=msgspec.to_builtins(usage) if usage is not None else {},
            attempts=attempt_views(attempts),
            transformation=row.submission_name if task is not None else "",
            transformation_id=task.transformation_id if task is not None else 0,
            task=task.number if task is not None else 0,
            reads=await self._reads(job_id),
            made=[
                str(one.did)
                for one in await self._store.read(
                    catalogue_read.files_of_jobs, [job_id], limit=FILES
                )
            ],
            running_max=its_class.spec.running_max,
            submission_name=row.submission_name,
            after=[_parents(*one) for one in after],
            after_count=after_count,
        )
        opens = scope(caller, Permission.JOB_OUTPUT, self._owners).covers_row(row)
        return detail if opens else sealed(detail)

    async def _reads(self, job_id: int) -> list[str]:
        """Return the first files that a job reads, in the order of the job."""
        ids = [
            one.file_id
            for one in (await self._store.read(catalogue_read.inputs_of_job, job_id))[:FILES]
        ]
        rows = await self._store.read(catalogue_read.files_by_id, ids) if ids else {}
        return [str(rows[one].did) for one in ids if one in rows]

    async def history(self, caller: Caller, job_id: int) -> History:
        """Return the history of a job, oldest first. Only the newest notes are included."""
        row = await self.row(caller, job_id, Permission.JOB_READ)
        lines = [
            (
                row.submitted_at,
                Occurrence(at=shown(row.submitted_at), source=row.owner, event="submitted"),
            )
        ]
        for attempt in await self._store.read(job_records.attempts, job_id):
            lines += _lines(attempt)
        for note in await self._store.read(job_records.notes, job_id):
            lines.append(
                (
                    note.at,
                    Occurrence(
                        at=shown(note.at), source=note.who, event=note.event, detail=note.detail
                    ),
                )
            )
        lines.sort(key=lambda line: line[0])
        return History(job=job_id, occurrences=[line for _, line in lines])

    async def outputs(self, caller: Caller, job_id: int) -> Outputs:
        """Return the files that the last attempt with a result has stored."""
        await self.row(caller, job_id, Permission.JOB_OUTPUT)
        return Outputs(
            job=job_id, outputs=_outputs(await self._store.read(job_records.attempts, job_id))
        )

    async def output(self, caller: Caller, job_id: int, name: str) -> OutputView:
        """Return one of these files. Raises Refused (NOT_FOUND)."""
        for one in (await self.outputs(caller, job_id)).outputs:
            if one.name == name:
                return one
        raise Refused(Code.NOT_FOUND, f"job {job_id} has no output {name!r}", field="name")

    async def outputs_of(
        self, caller: Caller, wanted: JobFilter, after: int, limit: int
    ) -> OutputsPage:
        """Return one page of jobs with their outputs, in order of the id.

        It ends after the first jobs that together have OUTPUTS_A_PAGE outputs.
        """
        found = search_of(wanted, scope(caller, Permission.JOB_OUTPUT, self._owners))
        rows = await self._store.read(job_search.search, found, after=after, limit=limit)
        await self._owners.meet(row.owner_id for row in rows)
        kept, count = list[JobOutputs](), 0
        for start in range(0, len(rows), JOBS_TOGETHER):
            some = await self._with_outputs(rows[start : start + JOBS_TOGETHER])
            kept += some
            count += sum(len(one.outputs) for one in some)
            if count >= OUTPUTS_A_PAGE:
                break
        is_last = len(rows) < limit and len(kept) == len(rows)
        return OutputsPage(jobs=kept, after=None if is_last else kept[-1].view.id)

    async def _with_outputs(self, rows: Sequence[JobRow]) -> list[JobOutputs]:
        ids = [row.job_id for row in rows]
        attempts = await self._store.read(job_records.attempts_of_jobs, ids)
        bodies = await self._store.read(job_records.bodies, ids)
        submissions = sorted({row.submission_id for row in rows})
        ranges = await self._store.read(submission_records.ranges_of, submissions)
        return [
            JobOutputs(
                view=self.view(row),
                index=_index(row.job_id, ranges.get(row.submission_id, ())),
                parameters=_parameters(bodies.get(row.job_id)),
                outputs=_outputs(attempts.get(row.job_id, [])),
            )
            for row in rows
        ]

    async def chosen_outputs(self, caller: Caller, choice: OutputChoice) -> list[str | None]:
        """Return the hash of each chosen output. None: the caller may see no such output."""
        bounds = scope(caller, Permission.JOB_OUTPUT, self._owners)
        ids = sorted({one.job for one in choice.files})
        found: dict[tuple[int, str], str] = {}
        for start in range(0, len(ids), JOBS_TOGETHER):
            rows = await self._store.read(job_records.jobs, ids[start : start + JOBS_TOGETHER])
            own = [id for id, row in rows.items() if bounds.covers_row(row)]
            attempts = await self._store.read(job_records.attempts_of_jobs, own)
            for id, several in attempts.items():
                found |= {(id, out.name): out.sha256 for out in _outputs(several)}
        return [found.get((one.job, one.name)) for one in choice.files]

    async def log(self, caller: Caller, job_id: int, stream: Stream) -> StreamContent:
        """Return the stored end of a stream, from the newest attempt that has one."""
        newest = (await self.row(caller, job_id, Permission.JOB_OUTPUT)).epoch
        attempts = await self._store.read(job_records.attempts, job_id)
        for attempt in reversed(attempts):
            kept = kept_stream(attempt, stream)
            if kept is not None:
                if await self._blobs.size(kept.sha256) is None:  # check before the answer begins
                    why = (
                        f"the {stream.value} of job {job_id} is lost: file {kept.sha256} is missing"
                    )
                    raise Refused(Code.NOT_FOUND, f"{why}; tell the operator")
                left_out = written(kept) - kept.size_bytes
                parts = self._blobs.read(kept.sha256)
                return StreamContent(parts, epoch=attempt.epoch, newest=newest, left_out=left_out)
        return StreamContent(_nothing(), epoch=0, newest=newest)

    async def follow(
        self, caller: Caller, job_id: int, stream: Stream, *, pieces: bool = False
    ) -> StreamContent:
        """Return a stream as it grows, or its stored end if the job is not running.

        With `pieces`, each part says where it begins (see `proto/pieces.py`). Raises Refused
        (TOO_MANY) if the caller follows too many streams.
        """
        await self.row(caller, job_id, Permission.JOB_OUTPUT)
        assert isinstance(caller, User)
        lease = self._leases.of_job(job_id)
        if lease is not None and lease.phase is LeasePhase.LIVE:
            live = self._logs.live(caller, job_id, stream, pieces=pieces)
            return StreamContent(live, epoch=lease.epoch, newest=lease.epoch)
        kept = await self.log(caller, job_id, stream)
        return replace(kept, parts=_placed(kept)) if pieces else kept

    def heard_at(self, lease: Lease | None) -> float:
        """Return the time of the last message from an attempt's pilot (wall clock).

        Without a lease, return the current time.
        """
        silent_s = 0.0 if lease is None else self._clock.monotonic() - lease.renewed
        return self._clock.wall() - max(0.0, silent_s)

    async def row(self, caller: Caller, job_id: int, action: Permission) -> JobRow:
        """Return a job that the caller may see. Raises JobNotFound."""
        row = await self._store.read(job_records.job, job_id)
        if row is None or not scope(caller, action, self._owners).covers_row(row):
            raise JobNotFound(job_id)
        await self._owners.meet((row.owner_id,))
        return row

    def view(self, row: JobRow) -> JobView:
        """Return the view of a job."""
        return JobView(
            id=row.job_id,
            submission=row.submission_id,
            name=row.name or row.submission_name,
            type=row.type,
            community=row.community,
            group=row.group,
            owner=self._owners.by_id(row.owner_id),
            state=row.state,
            marks=self._marks(row),
            reason=row.reason,
            status=row.status,
            priority=row.priority,
            epoch=row.epoch,
            round=row.round,
            failures=row.failures,
            losses=row.losses,
            site=row.site,
            pilot=row.pilot,
            exit_code=row.exit_code,
            submitted_at=shown(row.submitted_at),
            started_at=shown(row.started_at),
            ended_at=shown(row.ended_at),
            host=row.host,
            cores=row.cores,
            memory_mb=row.memory_mb,
            run_s=self._run_s(row),
            cpu_s=row.usage.cpu_s if row.usage is not None else 0.0,
            memory_peak_mb=row.usage.memory_peak_mb if row.usage is not None else 0.0,
        )

    def _run_s(self, row: JobRow) -> float:
        """Return how long the last attempt ran, or has run until now; 0: unknown."""
        if row.usage is not None:
            return row.usage.wall_s
        if row.state is not JobState.RUNNING or row.started_at is None:
            return 0.0
        return max(0.0, self._clock.wall() - row.started_at)

    def _marks(self, row: JobRow) -> tuple[Mark, ...]:
        marks: list[Mark] = []
        if row.wanted is not None and row.wanted in _WANTED_MARKS:
            marks.append(_WANTED_MARKS[row.wanted])
        lease = self._leases.find(row.job_id, row.epoch)
        if lease is not None and lease.phase is LeasePhase.LIVE:
            if self._clock.monotonic() - lease.renewed > self._stalled_s:
                marks.append(Mark.STALLED)
        if row.deleted:
            marks.append(Mark.DELETED)
        return tuple(marks)


async def _placed(kept: StreamContent) -> AsyncIterator[bytes]:
    at = kept.left_out
    async for part in kept.parts:
        yield piece(at, part)
        at += len(part)


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for chunk in nothing:
        yield chunk


def _parents(first: int, count: int, when: str) -> str:
    """Return a range of parents as it is written on the command line."""
    return f"{first}:{when}" if count == 1 else f"{first}-{first + count - 1}:{when}"


def _outputs(attempts: list[AttemptRow]) -> list[OutputView]:
    """Return the outputs of the last attempt with a result."""
    for attempt in reversed(attempts):
        if brought_result(attempt):
            return [
                OutputView(
                    name=out.name,
                    size_bytes=out.size_bytes,
                    sha256=out.sha256,
                    epoch=attempt.epoch,
                )
                for out in attempt.outputs
                if not out.name.startswith(KEPT)
            ]
    return []


def _index(job_id: int, ranges: Sequence[tuple[int, int]]) -> int:
    """Return the place of a job in its submission, from 1; 0 if it is unknown."""
    before = 0
    for first, count in ranges:
        if first <= job_id < first + count:
            return before + job_id - first + 1
        before += count
    return 0


def _parameters(body: JobBody | None) -> TemplateEntry:
    """Return the parameters of a job; empty for a job without a template, or of another release."""
    if body is None or body.template is None:
        return {}
    try:
        return decode_parameters(body.body)
    except UNREADABLE:
        return {}


def _lines(attempt: AttemptRow) -> list[tuple[float, Occurrence]]:
    def line(
        at: float, source: str, event: str, detail: str = "", failure: str = ""
    ) -> tuple[float, Occurrence]:
        return at, Occurrence(
            at=shown(at),
            source=source,
            event=event,
            epoch=attempt.epoch,
            detail=detail,
            failure=failure,
        )

    where = f"pilot {attempt.pilot} at {attempt.site}"
    cores = "1 core" if attempt.grant.cores == 1 else f"{attempt.grant.cores} cores"
    lines = [line(attempt.matched_at, "central", "matched", f"{where}, {cores}")]
    if attempt.started_at is not None:
        lines.append(line(attempt.started_at, "pilot", "started", attempt.isolation))
    lines += [line(at, "pilot", "progress", status) for at, status in attempt.progress]
    if attempt.ended_at is not None:
        word = attempt.how.value if attempt.how is not None else "lease_over"
        code = "" if attempt.exit_code is None else f"exit code {attempt.exit_code}"
        lines.append(
            line(
                attempt.ended_at,
                "pilot" if attempt.how else "central",
                word,
                ": ".join(part for part in (code, attempt.detail) if part),
                class_word(attempt),
            )
        )
    return lines
