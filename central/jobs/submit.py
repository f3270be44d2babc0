"""Submission: checked, interned, stored all or none, queued once it is durable."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec

from pilotage.proto.api import JOBS_A_SUBMISSION_MAX, IdRange, Submission, Submitted
from pilotage.proto.job import Job
from pilotage.proto.job_states import JobState
from pilotage.proto.problems import Code

from ..auth.callers import User
from ..decode import decode
from ..errors import Refused
from ..observe.events import Log
from ..ports import Clock
from ..store.errors import KeyReused
from ..store.protocol import CHUNK_MAX, Store
from ..store.records import JobClass, NewJob, NewSubmission, Owner, SubmissionRecord
from .checking import check, community_of, group_of
from .memory import Memory
from .queue import ClassInfo, class_info
from .rendering import (
    Entry,
    decode_job,
    decode_parameters,
    filled_text,
    names_in,
)

_encode = msgspec.json.encode
FED_MAX = 1_000  # jobs of one submission that are told to followers one by one


@dataclass(frozen=True)
class _Ready:
    """Checked jobs, as they will be stored: the class of each, and its row."""

    infos: Sequence[ClassInfo]
    rows: Sequence[NewJob]


class Submissions:
    """Takes jobs in."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._queue, self._owners = store, memory.queue, memory.owners
        self._counters, self._feed = memory.counters, memory.feed
        self._clock, self._log = clock, log
        self._classes: dict[tuple[str, str, int, str, bytes, bytes], ClassInfo] = {}
        self._arriving: dict[tuple[str, int, str], asyncio.Event] = {}

    def learn(self, row: JobClass, info: ClassInfo) -> None:
        """Make a stored class known, so that equal needs are not stored again."""
        self._classes[_class_key(row)] = info

    async def submit(self, caller: User, body: Submission, *, body_hash: str) -> Submitted:
        """Store all jobs of one request, or none.

        Raises Refused with the field that is wrong: INVALID, FORBIDDEN, KEY_REUSED, STORE_FULL.
        """
        if (body.template is None) != (not body.parameters) or bool(body.jobs) == bool(
            body.template
        ):
            raise Refused(
                Code.INVALID,
                "give either jobs, or template and parameters, with at least one entry",
                field="jobs",
            )

        async def entries() -> AsyncIterator[Sequence[msgspec.Raw]]:
            rows = body.parameters if body.template is not None else body.jobs
            for start in range(0, len(rows), CHUNK_MAX):
                yield rows[start : start + CHUNK_MAX]

        return await self._take(caller, body, entries(), lambda: body_hash)

    async def stream(
        self,
        caller: User,
        header: Submission,
        lines: AsyncIterator[bytes],
        body_hash: Callable[[], str],
    ) -> Submitted:
        """Store jobs that arrive line by line. `body_hash` is asked when all have come."""
        if header.jobs or header.parameters:
            raise Refused(
                Code.INVALID, "jobs and parameters follow the first line, one a line", field="jobs"
            )

        async def entries() -> AsyncIterator[Sequence[msgspec.Raw]]:
            chunk: list[msgspec.Raw] = []
            async for line in lines:
                chunk.append(msgspec.Raw(line))
                if len(chunk) == CHUNK_MAX:
                    yield chunk
                    chunk = []
            if chunk:
                yield chunk

        return await self._take(caller, header, entries(), body_hash)

    # -- one submission -------------------------------------------------------------------------

    async def _take(
        self,
        caller: User,
        header: Submission,
        chunks: AsyncIterator[Sequence[msgspec.Raw]],
        body_hash: Callable[[], str],
    ) -> Submitted:
        owner = await self._owners.get(community_of(caller), caller)
        maker = _Maker(self, caller, owner, header)
        key = (caller.community, owner.owner_id, header.key)
        while key in self._arriving:  # the same key is being written: wait for the first
            await self._arriving[key].wait()
        done = self._arriving[key] = asyncio.Event()
        try:
            return await self._write(maker, header, chunks, body_hash)
        finally:
            done.set()
            del self._arriving[key]

    async def _write(
        self,
        maker: "_Maker",
        header: Submission,
        chunks: AsyncIterator[Sequence[msgspec.Raw]],
        body_hash: Callable[[], str],
    ) -> Submitted:
        first = await anext(chunks, None)
        if not first:
            raise Refused(Code.INVALID, "there are no jobs in this submission", field="jobs")
        ready = await maker.ready(first, start=0)
        second = await anext(chunks, None) if len(first) == CHUNK_MAX else None
        new = NewSubmission(
            community=maker.owner.community,
            owner_id=maker.owner.owner_id,
            key=header.key,
            body_hash=body_hash() if second is None else "",
            name=header.name,
            template=_encode(header.template) if header.template is not None else None,
            at=self._clock.wall(),
        )
        if second is None:
            record = await self._store.submit(new, ready.rows)
            if record.repeated:
                return _submitted(record, repeated=True)
            arrived = _Arrived()
            arrived.add(record.ranges[0][0], ready)
        else:
            known = await self._store.submission_by_key(new.community, new.owner_id, new.key)
            if known is not None:
                return await self._repeated(known, chunks, body_hash, header.key)
            record, arrived = await self._bulk(maker, new, ready, second, chunks, body_hash)
        self._queue_up(arrived)
        self._log(
            "submitted",
            submission=record.submission_id,
            count=_count(record),
            owner=self._owners.by_id(record.owner_id),
        )
        return _submitted(record, repeated=False)

    async def _bulk(
        self,
        maker: "_Maker",
        new: NewSubmission,
        ready: _Ready,
        following: Sequence[msgspec.Raw] | None,
        chunks: AsyncIterator[Sequence[msgspec.Raw]],
        body_hash: Callable[[], str],
    ) -> tuple[SubmissionRecord, "_Arrived"]:
        """Write chunk by chunk under a submission that becomes visible with its end."""
        record = await self._store.begin_submission(new)
        arrived, count = _Arrived(), 0
        try:
            while True:
                first = await self._store.add_jobs(record.submission_id, ready.rows)
                arrived.add(first, ready)
                count += len(ready.rows)
                if not following:
                    break
                if count + len(following) > JOBS_A_SUBMISSION_MAX:
                    raise Refused(
                        Code.TOO_LARGE,
                        f"a submission holds at most {JOBS_A_SUBMISSION_MAX} jobs: split it",
                        field="jobs",
                    )
                ready = await maker.ready(following, start=count)
                following = await anext(chunks, None)
            record = await self._store.finish_submission(record.submission_id, body_hash())
        except BaseException:
            await asyncio.shield(self._store.drop_submission(record.submission_id))
            raise
        return record, arrived

    async def _repeated(
        self,
        known: SubmissionRecord,
        chunks: AsyncIterator[Sequence[msgspec.Raw]],
        body_hash: Callable[[], str],
        key: str,
    ) -> Submitted:
        async for _ in chunks:  # the hash covers the whole body
            pass
        if body_hash() != known.body_hash:
            raise KeyReused(key)
        return _submitted(known, repeated=True)

    def _queue_up(self, arrived: "_Arrived") -> None:
        """The jobs are durable: let them be matched."""
        told = 0
        for info, priority, first, count in arrived.runs:
            self._queue.add(info.spec.class_id, priority, range(first, first + count))
            self._counters.add(info.kind, "", JobState.WAITING, count)
            for job in range(first, first + min(count, FED_MAX - told)):
                self._feed.job(info.kind, job, JobState.WAITING)
            told += min(count, FED_MAX - told)
        for job, until in arrived.limits:
            self._queue.limit(job, until)
        self._queue.wake()

    # -- classes --------------------------------------------------------------------------------

    async def class_of(self, row: JobClass) -> ClassInfo:
        """Return the class with these needs; a new one is stored."""
        key = _class_key(row)
        known = self._classes.get(key)
        if known is None:
            class_id = (await self._store.classes([row]))[0]
            stored = msgspec.structs.replace(row, class_id=class_id)
            known = self._classes[key] = class_info(stored, self._owners.by_id(row.owner_id))
            self._queue.learn(known)
        return known

    def until(self, job: Job) -> float | None:
        """Return when the job's time in the queue is over (wall clock)."""
        return self._clock.wall() + job.queue_s if job.queue_s else None


class _Arrived:
    """What is stored of a submission so far, in runs of jobs that are alike."""

    def __init__(self) -> None:
        self.runs: list[tuple[ClassInfo, int, int, int]] = []  # class, priority, first id, count
        self.limits: list[tuple[int, float]] = []

    def add(self, first: int, ready: _Ready) -> None:
        """Note that these jobs have consecutive ids from `first` on."""
        start = 0
        for (_, priority), alike in groupby(zip(ready.infos, ready.rows, strict=True), _alike):
            count = sum(1 for _ in alike)
            self._join(ready.infos[start], priority, first + start, count)
            start += count
        self.limits += [
            (job, row.queue_until)
            for job, row in enumerate(ready.rows, first)
            if row.queue_until is not None
        ]

    def _join(self, info: ClassInfo, priority: int, first: int, count: int) -> None:
        if self.runs:
            before, its_priority, its_first, its_count = self.runs[-1]
            if before is info and its_priority == priority and its_first + its_count == first:
                self.runs[-1] = (info, priority, its_first, its_count + count)
                return
        self.runs.append((info, priority, first, count))


def _alike(pair: tuple[ClassInfo, NewJob]) -> tuple[int, int]:
    return id(pair[0]), pair[1].priority


class _Maker:
    """Turns entries of one submission into checked rows."""

    def __init__(
        self, service: Submissions, caller: User, owner: Owner, header: Submission
    ) -> None:
        self._service, self._caller, self.owner = service, caller, owner
        self._template = header.template
        self._names: frozenset[str] = frozenset()
        if self._template is not None:
            check(self._template, "template")
            self._names = names_in(self._template)

    async def ready(self, entries: Sequence[msgspec.Raw], *, start: int) -> _Ready:
        """Return the rows of these entries. Raises Refused naming the entry and field."""
        if self._template is not None:
            return await self._filled(self._template, entries, start)
        infos: list[ClassInfo] = []
        rows: list[NewJob] = []
        for number, entry in enumerate(entries, start):
            where = f"jobs[{number}]"
            job = self._decoded(entry, where)
            check(job, where)
            infos.append(await self._class(job, where))
            rows.append(self._row(job, infos[-1], bytes(entry), job.name or None))
        return _Ready(infos, rows)

    async def _filled(self, template: Job, entries: Sequence[msgspec.Raw], start: int) -> _Ready:
        """The jobs of a template differ in their parameters alone."""
        info = await self._class(template, "template")
        class_id, priority, retries = info.spec.class_id, template.priority, template.retries
        until = self._service.until(template)
        own_names = "{" in template.name or "}" in template.name
        rows: list[NewJob] = []
        for number, entry in enumerate(entries, start):
            given = self._parameters(entry, number)
            rows.append(
                NewJob(
                    class_id=class_id,
                    body=bytes(entry),
                    priority=priority,
                    retries=retries,
                    queue_until=until,
                    name=filled_text(template.name, given) if own_names else None,
                )
            )
        return _Ready([info] * len(rows), rows)

    def _parameters(self, entry: msgspec.Raw, number: int) -> Entry:
        try:
            given = decode_parameters(entry)
        except msgspec.DecodeError:
            given = decode(entry, Entry, where=f"parameters[{number}]")  # says what is wrong
        if not self._names <= given.keys():
            where = f"parameters[{number}]"
            lacking = ", ".join(sorted(self._names - given.keys()))
            raise Refused(Code.INVALID, f"{where}: the template also uses {lacking}", field=where)
        return given

    def _decoded(self, entry: msgspec.Raw, where: str) -> Job:
        try:
            return decode_job(entry)
        except msgspec.DecodeError:
            return decode(entry, Job, where=where)  # says what is wrong, and the nearest right name

    def _row(self, job: Job, info: ClassInfo, body: bytes, name: str | None) -> NewJob:
        return NewJob(
            class_id=info.spec.class_id,
            body=body,
            priority=job.priority,
            retries=job.retries,
            queue_until=self._service.until(job),
            name=name,
        )

    async def _class(self, job: Job, where: str) -> ClassInfo:
        return await self._service.class_of(
            JobClass(
                community=self.owner.community,
                group=group_of(self._caller, job, where),
                owner_id=self.owner.owner_id,
                type=job.type,
                needs=_encode(job.needs),
                preference=_encode(job.preference),
            )
        )


def _class_key(row: JobClass) -> tuple[str, str, int, str, bytes, bytes]:
    return (row.community, row.group, row.owner_id, row.type, row.needs, row.preference)


def _count(record: SubmissionRecord) -> int:
    return sum(count for _, count in record.ranges)


def _submitted(record: SubmissionRecord, *, repeated: bool) -> Submitted:
    return Submitted(
        submission=record.submission_id,
        count=_count(record),
        ids=[IdRange(first=first, count=count) for first, count in record.ranges],
        repeated=repeated,
    )
