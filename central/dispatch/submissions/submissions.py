"""Accepts submissions: checks the jobs, stores all or none, and queues them once durable."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, suppress

import msgspec

from pilotage.proto.api.jobs import JOBS_A_SUBMISSION_MAX, IdRange, Submission, Submitted
from pilotage.proto.problems import Code

from ...accounts.disk_room import DiskRoom
from ...accounts.quotas import Quotas
from ...catalogue.input_resolution import InputResolver
from ...catalogue.storages import Storages
from ...errors import Refused
from ...identity.bans.ban_list import BanList
from ...identity.callers import User
from ...jobs import record_submissions as submission_records
from ...jobs.definition.checks import community_of
from ...jobs.record_types import NewSubmission, SubmissionRecord
from ...observe.events import Log
from ...pauses import by_and_by
from ...ports import Clock
from ...rucio.outgoing import RucioEntries, no_servers
from ...store.engine import CHUNK_MAX, Store
from ...store.errors import KeyReused, StillArriving, StoreError
from .. import record_arrivals as arrival_records
from ..memory import Memory
from .intake import ArrivedJobs, CheckedJobs, RowMaker
from .parents import ParentJobs

Queued = Callable[[ArrivedJobs], None]
CheckNotify = Callable[[int], Awaitable[None]]
_Key = tuple[str, int, str]  # community, owner, key of the submission

_encode = msgspec.json.encode
CHUNK_BYTES = 1 << 20  # of jobs that are checked together and held in memory
NEW_A_TURN = 16  # new classes for the matcher before other tasks run
OTHERS_S = 20.0  # to wait for another process that stores the same key
OTHERS_LOOK_S = 0.1
ROW_BYTES = 256  # of a job's row and its index entries, without the body


async def notifies_nobody(owner_id: int) -> None:
    """Refuse notifications."""
    raise Refused(Code.ILLEGAL_STATE, "this central sends no notifications", field="notify")


class Submissions:
    """Accepts submissions."""

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
        bans: BanList,
        queued: Queued,
        rucio: RucioEntries = no_servers,
        check_notify: CheckNotify = notifies_nobody,
    ) -> None:
        """`queued` is called with the jobs of a submission once they are durable.

        `rucio` returns the servers that get outputs. `check_notify` raises Refused if an owner
        cannot be notified.
        """
        self._check_notify = check_notify
        self._storages, self._quotas, self._room = storages, quotas, room
        self._bans, self._rucio = bans, rucio
        self._store, self._queue, self._owners = store, memory.queue, memory.owners
        self._clock, self._log, self._queued = clock, log, queued
        self._classes = memory.classes
        self._arriving: dict[_Key, asyncio.Event] = {}
        self._leftovers: dict[_Key, int] = {}  # failed submissions that are not dropped yet

    async def submit(self, caller: User, body: Submission, *, body_hash: str) -> Submitted:
        """Store all jobs of one request, or none.

        Raises Refused with the invalid field: INVALID, FORBIDDEN, BANNED, KEY_REUSED, OVER_QUOTA,
        STORE_FULL.
        """
        if (body.template is None) != (not body.parameters) or bool(body.jobs) == bool(
            body.template
        ):
            raise Refused(
                Code.INVALID,
                "give either 'jobs', or 'template' and 'parameters', with at least one entry",
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
        """Store jobs that arrive line by line. `body_hash` is called after the last line."""
        if header.jobs or header.parameters:
            raise Refused(
                Code.INVALID,
                "put jobs or parameters after the first line, one on each line",
                field="jobs",
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
        self._bans.check(caller.issuer, caller.subject)  # the central may submit for an owner
        await self._room.check_new()
        owner = await self._owners.get(community_of(caller), caller)
        if header.notify:
            await self._check_notify(owner.owner_id)
        maker = RowMaker(
            self._classes,
            caller=caller,
            owner=owner,
            header=header,
            at=self._clock.wall(),
            data=InputResolver(self._store, self._storages.book, owner.community),
            rucio=self._rucio,
            parents=ParentJobs(self._store, caller, self._owners),
        )
        key = (caller.community, owner.owner_id, header.key)
        while key in self._arriving:  # another request writes the same key: wait for its end
            await self._arriving[key].wait()
        done = self._arriving[key] = asyncio.Event()
        try:
            await self._drop(key)
            return await self._write(maker, header, chunks, body_hash)
        finally:
            for info in maker.fresh:
                if info.spec.class_id not in self._queue.classes:  # no job of the class was stored
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
            raise Refused(
                Code.INVALID, "this submission has no jobs: give at least one", field="jobs"
            )
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
            notify=",".join(sorted({one.value for one in header.notify})),
        )
        if second is None:
            maker.parents.check_count(len(ready.rows))
            await self._prepare(maker)
            record = await self._submit(new, ready)
            if record.repeated:
                return self._first_answer(record)
            arrived = ArrivedJobs()
            arrived.add(record.ranges[0][0], ready)
        else:
            await self._settled(new)
            # Write even if the submission exists: the one that was read may not be durable yet.
            record = await self._store.write(submission_records.begin_submission, new)
            if record.repeated and not record.complete:  # another process was a little faster
                if await self._settled(new) is None:  # the other process has given up
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
        """Return the complete submission with this key, or None.

        Wait at most OTHERS_S while another process stores this key, then raise StillArriving.
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
        """Write the jobs in chunks. The submission becomes visible when it is complete."""
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
                        f"a submission has at most {JOBS_A_SUBMISSION_MAX} jobs: split it",
                        field="jobs",
                    )
                ready = await maker.ready(following, start=count)
                following = await anext(chunks, None)
            maker.parents.check_count(count)
            await self._prepare(maker)
            record = await self._store.write(
                submission_records.finish_submission, record.submission_id, body_hash()
            )
        except BaseException:
            key = (new.community, new.owner_id, new.key)
            self._leftovers[key] = record.submission_id
            with suppress(StoreError):  # still full: the next submission or pass drops it
                await asyncio.shield(self._drop(key))
            raise
        return record, arrived

    async def drop_leftovers(self) -> None:
        """Drop the remains of submissions that failed while the store was full.

        Raises StoreFull if it still is.
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
        return self._first_answer(known)

    async def _prepare(self, maker: RowMaker) -> None:
        """Add new classes to the matcher before the jobs are stored: unusual ones take a while.

        Classes that get no job are forgotten like other idle classes.
        """
        async for info in by_and_by(maker.fresh, self._clock, a_turn=NEW_A_TURN):
            self._queue.learn(info)
            self._queue.prepare(info.spec.class_id)

    def take_up(self, first: int, ready: CheckedJobs) -> None:
        """Queue jobs that another part has stored, with ids from `first` on."""
        arrived = ArrivedJobs()
        arrived.add(first, ready)
        self._queued(arrived)

    def _first_answer(self, record: SubmissionRecord) -> Submitted:
        """Return the answer to a repeated key: the jobs of the first submission."""
        self._log(
            "submitted_again",
            submission=record.submission_id,
            owner=self._owners.by_id(record.owner_id),
        )
        return _submitted(record, repeated=True)


def cut(rows: Sequence[msgspec.Raw]) -> Iterator[Sequence[msgspec.Raw]]:
    """Yield chunks of rows, each to be checked and written together."""
    start = size = 0
    for end, row in enumerate(rows, start=1):
        size += len(memoryview(row))
        if end - start == CHUNK_MAX or size >= CHUNK_BYTES:
            yield rows[start:end]
            start, size = end, 0
    if start < len(rows):
        yield rows[start:]


def _size(ready: CheckedJobs) -> int:
    """Return about how many bytes these jobs take in the store."""
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
