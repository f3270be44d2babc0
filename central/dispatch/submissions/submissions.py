"""Submission: checked, interned, stored all or none, queued once it is durable."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, suppress

import msgspec

from pilotage.proto.api.jobs import JOBS_A_SUBMISSION_MAX, IdRange, Submission, Submitted
from pilotage.proto.problems import Code

from ...accounts.disk_room import DiskRoom
from ...accounts.quotas import Quotas
from ...catalogue.input_resolution import InputResolver
from ...catalogue.storages import Storages
from ...errors import Refused
from ...identity.callers import User
from ...jobs import record_submissions as submission_records
from ...jobs.definition.checks import community_of
from ...jobs.record_types import NewSubmission, SubmissionRecord
from ...observe.events import Log
from ...pauses import by_and_by
from ...ports import Clock
from ...store.engine import CHUNK_MAX, Store
from ...store.errors import KeyReused, StillArriving, StoreError
from .. import record_arrivals as arrival_records
from ..memory import Memory
from .intake import ArrivedJobs, CheckedJobs, RowMaker

Queued = Callable[[ArrivedJobs], None]
_Key = tuple[str, int, str]  # community, owner, the submission's own key

_encode = msgspec.json.encode
CHUNK_BYTES = 1 << 20  # of jobs that are checked in one go, and held in memory
NEW_A_TURN = 16  # classes that the matcher takes up before others get their turn
OTHERS_S = 20.0  # for what another process takes in under the same key
OTHERS_LOOK_S = 0.1
ROW_BYTES = 256  # of a job's row beside its body, with the indexes


class Submissions:
    """Takes jobs in."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        clock: Clock,
        log: Log,
        storages: Storages,
        quotas: Quotas,
        room: DiskRoom,
        queued: Queued,
    ) -> None:
        """`queued` hears of the jobs of a submission once they are durable."""
        self._storages, self._quotas, self._room = storages, quotas, room
        self._store, self._queue, self._owners = store, memory.queue, memory.owners
        self._clock, self._log, self._queued = clock, log, queued
        self._classes = memory.classes
        self._arriving: dict[_Key, asyncio.Event] = {}
        self._leftovers: dict[_Key, int] = {}  # begun, failed, and not yet dropped

    async def submit(self, caller: User, body: Submission, *, body_hash: str) -> Submitted:
        """Store all jobs of one request, or none.

        Raises Refused with the field that is wrong: INVALID, FORBIDDEN, KEY_REUSED,
        OVER_QUOTA, STORE_FULL.
        """
        if (body.template is None) != (not body.parameters) or bool(body.jobs) == bool(
            body.template
        ):
            raise Refused(
                Code.INVALID,
                "give either jobs, or template and parameters, with at least one entry",
                field="jobs",
            )

        async def entries() -> AsyncGenerator[Sequence[msgspec.Raw]]:
            for chunk in cut(body.parameters if body.template is not None else body.jobs):
                yield chunk

        async with aclosing(entries()) as chunks:
            return await self._take(caller, body, chunks, lambda: body_hash)

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

        async def entries() -> AsyncGenerator[Sequence[msgspec.Raw]]:
            chunk: list[msgspec.Raw] = []
            size = 0
            async for line in lines:
                chunk.append(msgspec.Raw(line))
                size += len(line)
                if len(chunk) == CHUNK_MAX or size >= CHUNK_BYTES:
                    yield chunk
                    chunk, size = [], 0
            if chunk:
                yield chunk

        async with aclosing(entries()) as chunks:
            return await self._take(caller, header, chunks, body_hash)

    # -- one submission -------------------------------------------------------------------------

    async def _take(
        self,
        caller: User,
        header: Submission,
        chunks: AsyncIterator[Sequence[msgspec.Raw]],
        body_hash: Callable[[], str],
    ) -> Submitted:
        await self._room.check_new()
        owner = await self._owners.get(community_of(caller), caller)
        maker = RowMaker(
            self._classes,
            caller=caller,
            owner=owner,
            header=header,
            at=self._clock.wall(),
            data=InputResolver(self._store, self._storages.book, owner.community),
        )
        key = (caller.community, owner.owner_id, header.key)
        while key in self._arriving:  # the same key is being written: wait for the first
            await self._arriving[key].wait()
        done = self._arriving[key] = asyncio.Event()
        try:
            await self._drop(key)
            return await self._write(maker, header, chunks, body_hash)
        finally:
            for info in maker.fresh:
                if info.spec.class_id not in self._queue.classes:  # no job of it came
                    self._classes.forget(info)
            done.set()
            del self._arriving[key]

    async def _write(
        self,
        maker: RowMaker,
        header: Submission,
        chunks: AsyncIterator[Sequence[msgspec.Raw]],
        body_hash: Callable[[], str],
    ) -> Submitted:
        first = await anext(chunks, None)
        if not first:
            raise Refused(Code.INVALID, "there are no jobs in this submission", field="jobs")
        ready = await maker.ready(first, start=0)
        second = await anext(chunks, None)
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
            await self._prepare(maker)
            record = await self._submit(new, ready)
            if record.repeated:
                return self._told_again(record)
            arrived = ArrivedJobs()
            arrived.add(record.ranges[0][0], ready)
        else:
            await self._settled(new)
            # Where it is there too: what was only read may not be durable yet.
            record = await self._store.write(submission_records.begin_submission, new)
            if record.repeated and not record.complete:  # another process was faster by a hair
                if await self._settled(new) is None:  # and has given up
                    raise StillArriving(record.submission_id, new.key)
                record = await self._store.write(submission_records.begin_submission, new)
            if record.repeated:
                return await self._repeated(record, chunks, body_hash, header.key)
            record, arrived = await self._bulk(maker, record, new, ready, second, chunks, body_hash)
        self._queued(arrived)
        self._log(
            "submitted",
            submission=record.submission_id,
            count=_count(record),
            owner=self._owners.by_id(record.owner_id),
        )
        return _submitted(record, repeated=False)

    async def _submit(self, new: NewSubmission, ready: CheckedJobs) -> SubmissionRecord:
        try:
            return await self._stored(new, ready)
        except StillArriving:
            await self._settled(new)
            return await self._stored(new, ready)

    async def _stored(self, new: NewSubmission, ready: CheckedJobs) -> SubmissionRecord:
        await self._room.check_new(_size(ready))
        return await self._quotas.with_room(submission_records.submit, new, ready.rows)

    async def _settled(self, new: NewSubmission) -> SubmissionRecord | None:
        """Return the complete submission of this key, None where there is none.

        Waits at most OTHERS_S while another process stores this key. Raises StillArriving.
        """
        until = self._clock.monotonic() + OTHERS_S
        while True:
            known = await self._store.read(
                submission_records.submission_by_key, new.community, new.owner_id, new.key
            )
            if known is None or known.complete:
                return known
            if not await arrival_records.drop_abandoned(self._store, known.submission_id):
                if self._clock.monotonic() >= until:
                    raise StillArriving(known.submission_id, new.key)
                await self._clock.sleep(OTHERS_LOOK_S)

    async def _bulk(
        self,
        maker: RowMaker,
        record: SubmissionRecord,
        new: NewSubmission,
        ready: CheckedJobs,
        following: Sequence[msgspec.Raw] | None,
        chunks: AsyncIterator[Sequence[msgspec.Raw]],
        body_hash: Callable[[], str],
    ) -> tuple[SubmissionRecord, ArrivedJobs]:
        """Write chunk by chunk under a submission that becomes visible with its end."""
        arrived, count = ArrivedJobs(), 0
        try:
            while True:
                await self._room.check_new(_size(ready))
                first = await self._quotas.with_room(
                    submission_records.add_jobs, record.submission_id, ready.rows
                )
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
            await self._prepare(maker)
            record = await self._store.write(
                submission_records.finish_submission, record.submission_id, body_hash()
            )
        except BaseException:
            key = (new.community, new.owner_id, new.key)
            self._leftovers[key] = record.submission_id
            with suppress(StoreError):  # full, still: its key or the next look drops it
                await asyncio.shield(self._drop(key))
            raise
        return record, arrived

    async def drop_leftovers(self) -> None:
        """Drop what submissions left that failed when nothing could be written.

        Raises StoreFull while that is still so.
        """
        for key in list(self._leftovers):
            if key not in self._arriving:
                await self._drop(key)

    async def _drop(self, key: _Key) -> None:
        if key in self._leftovers:
            await submission_records.drop_submission(self._store, self._leftovers[key])
            self._leftovers.pop(key, None)

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
        return self._told_again(known)

    async def _prepare(self, maker: RowMaker) -> None:
        """Let the matcher take up new classes while nothing waits for it: odd ones take a while.

        Those of which no job comes are forgotten like others of which none is left.
        """
        async for info in by_and_by(maker.fresh, self._clock, a_turn=NEW_A_TURN):
            self._queue.learn(info)
            self._queue.prepare(info.spec.class_id)

    def take_up(self, first: int, ready: CheckedJobs) -> None:
        """Let jobs be matched that somebody else has stored, with ids from `first` on."""
        arrived = ArrivedJobs()
        arrived.add(first, ready)
        self._queued(arrived)

    def _told_again(self, record: SubmissionRecord) -> Submitted:
        """The key was known: these are the jobs of the first one."""
        self._log(
            "submitted_again",
            submission=record.submission_id,
            owner=self._owners.by_id(record.owner_id),
        )
        return _submitted(record, repeated=True)


def cut(rows: Sequence[msgspec.Raw]) -> Iterator[Sequence[msgspec.Raw]]:
    """Yield runs of rows that are checked and written in one go."""
    start = size = 0
    for end, row in enumerate(rows, start=1):
        size += len(memoryview(row))
        if end - start == CHUNK_MAX or size >= CHUNK_BYTES:
            yield rows[start:end]
            start, size = end, 0
    if start < len(rows):
        yield rows[start:]


def _size(ready: CheckedJobs) -> int:
    """Return the bytes of jobs that are about to be stored, nearly."""
    return sum(len(row.body) + ROW_BYTES for row in ready.rows)


def _count(record: SubmissionRecord) -> int:
    return sum(count for _, count in record.ranges)


def _submitted(record: SubmissionRecord, *, repeated: bool) -> Submitted:
    return Submitted(
        submission=record.submission_id,
        count=_count(record),
        ids=[IdRange(first=first, count=count) for first, count in record.ranges],
        repeated=repeated,
    )
