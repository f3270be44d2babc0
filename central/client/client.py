"""The client of the HTTP API of a central, with types.

`blocking.py` is generated from this module and the modules of its parts.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, cast

from msgspec import structs

from pilotage.proto.api.explanations import Explanation
from pilotage.proto.api.health import Health
from pilotage.proto.api.jobs import (
    PAGE_MAX,
    Action,
    ActionName,
    ActionRefusal,
    ActionReply,
    Blob,
    BlobAnswer,
    BlobQuery,
    Curve,
    CurvePoint,
    Event,
    History,
    IdRange,
    JobDetail,
    JobFilter,
    JobPage,
    JobView,
    Peek,
    Submitted,
    Summary,
    SummaryBy,
)
from pilotage.proto.api.notifications import NotifyEvent
from pilotage.proto.attempts import Stream
from pilotage.proto.curve import sample_of
from pilotage.proto.documents.job import Input, Job
from pilotage.proto.tasks import Tasks, time_limit

from .accounting import AccountingCalls
from .credentials import CentralLogin, find_connection
from .data import DataCalls
from .data_files import DataFileCalls
from .documents.need_changes import need_changes
from .errors import NotFound, TimedOut, TooManyRequests, Unavailable, Unreachable
from .files import HashedFile, LocalFile, hash_file, pieces, too_large
from .filters import query_of
from .graphs import AsyncJobGraph
from .handles import AsyncJobHandle, AsyncSubmissionHandle
from .identity import IdentityCalls
from .jdl import JdlCalls
from .notebooks.job_tables import JobTable
from .notifications import NotificationCalls, events_of
from .operators import OperatorCalls
from .outputs import OutputCalls
from .pace import Pace, RealPace, pauses
from .productions import ProductionCalls
from .submissions.job_shapes import (
    NO_INPUT,
    JobLike,
    ParameterSet,
    check_job,
    full_job,
    local_inputs,
)
from .submissions.submission_bodies import (
    STREAM_ABOVE,
    LineBody,
    OnProgress,
    reporting,
    submission,
    whole_body,
)
from .transformations import TransformationCalls
from .transport import OnRetry, Transport
from .waiting.event_lines import events_in
from .waiting.job_ends import ended
from .waiting.job_output import OnPart, follow as follow_job, so_far
from .waiting.outstanding_jobs import Outstanding

if TYPE_CHECKING:
    import httpx

_IDS_AN_ACTION = 100_000
_HASHES_A_QUERY = 10_000
_UPLOADS_AT_ONCE = 4
_SUBMIT_ANSWER_S = 600.0
_SIGN_OF_LIFE_S = 45.0  # three times the central's own interval
_ANSWER_LATER_S = 30.0  # added to the time that the central itself waits


class AsyncClient(
    OutputCalls,
    AccountingCalls,
    OperatorCalls,
    IdentityCalls,
    DataCalls,
    DataFileCalls,
    TransformationCalls,
    ProductionCalls,
    JdlCalls,
    NotificationCalls,
):
    """A client of a central.

    Without arguments it finds the central and the token as in `credentials`. Without an answer it
    retries a request for `patience_s` seconds, and calls `on_retry` before each retry.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        data: Path | None = None,
        patience_s: float = 30.0,
        on_retry: OnRetry | None = None,
        http: "httpx.AsyncBaseTransport | None" = None,
        pace: Pace | None = None,
    ) -> None:
        def found() -> CentralLogin:
            return find_connection(os.environ, url=url, token=token, data=data)

        self._pace, self._patience_s = pace or RealPace(), patience_s
        self._transport = Transport(
            found(),
            pace=self._pace,
            patience_s=patience_s,
            http=http,
            on_retry=on_retry,
            find_again=found,
        )

    @property
    def url(self) -> str:
        """The URL of the central."""
        return self._transport.url

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. The client and its handles cannot be used afterwards."""
        await self._transport.close()

    # -- submission -----------------------------------------------------------------------------

    async def submit(
        self,
        jobs: JobLike | Iterable[JobLike] | None = None,
        *,
        template: JobLike | None = None,
        parameters: Iterable[ParameterSet] | None = None,
        key: str | None = None,
        name: str = "",
        group: str = "",
        running_max: int = 0,
        notify: Iterable[NotifyEvent | str] | str = "",
        progress: OnProgress | None = None,
    ) -> AsyncSubmissionHandle:
        """Submit jobs, all or none, and return once they are durable.

        Give either `jobs` (one or many), or a `template` with one job for each entry of
        `parameters`. The same `key` again gives the same jobs; without a key each call has its own,
        which also covers its retries. Long lists and iterators are streamed, and `progress` gets
        the number of sent jobs. `group` is for jobs without a group. At most `running_max` of the
        jobs run at once; 0: no limit. `notify` lists events to be notified of, such as `end,fail`.

        A path in `inputs` is a local file to upload, and a text in `outputs` a pattern.
        """
        key = key or uuid.uuid4().hex
        header, items = submission(
            jobs, template, parameters, key=key, name=name, group=group, running_max=running_max
        )
        header = structs.replace(header, notify=events_of(notify))
        if header.template is not None:
            (whole,) = await self._full([header.template])
            header = structs.replace(header, template=cast(Job, whole))
        elif isinstance(items, Sequence):
            items = await self._full(cast(Sequence[JobLike], items))
        else:
            loop = asyncio.get_running_loop()
            items = self._full_lazily(items, loop)
        if isinstance(items, Sequence) and len(items) <= STREAM_ABOVE:
            body = whole_body(header, items)
            submitted = await self._transport.ask(
                Submitted,
                "POST",
                "/v1/submissions",
                content=reporting(body, len(items), progress),
                headers={"content-length": str(len(body)), "content-type": "application/json"},
                answer_s=_SUBMIT_ANSWER_S,
            )
        else:
            submitted = await self._submit_lines(LineBody(header, items, progress))
        return AsyncSubmissionHandle(self, submitted)

    async def _full(self, jobs: Sequence[JobLike]) -> Sequence[JobLike]:
        """Return the jobs in the form of the API. Their local inputs are uploaded."""
        paths = dict.fromkeys(path for job in jobs for path in local_inputs(job))
        if not paths:
            return [full_job(job, {}) for job in jobs]
        for job in jobs:  # before anything is sent
            check_job(full_job(job, dict.fromkeys(paths, NO_INPUT)))
        files = [LocalFile(Path(path)) for path in paths]
        uploaded = dict(zip(paths, await self.upload(files), strict=True))
        return [full_job(job, uploaded) for job in jobs]

    def _full_lazily(
        self, jobs: Iterable[JobLike], loop: asyncio.AbstractEventLoop
    ) -> Iterator[JobLike]:
        """Yield the jobs as `_full` returns them. This runs in a thread beside the loop."""
        for job in jobs:
            if any(local_inputs(job)):
                yield from asyncio.run_coroutine_threadsafe(self._full([job]), loop).result()
            else:
                yield full_job(job, {})

    async def _submit_lines(self, body: LineBody) -> Submitted:
        try:
            return await self._transport.ask(
                Submitted,
                "POST",
                "/v1/submissions",
                content=body.chunks,
                headers={"content-type": "application/x-ndjson"},
                answer_s=_SUBMIT_ANSWER_S,
            )
        finally:
            body.close()

    def graph(self) -> AsyncJobGraph:
        """Return an empty graph of jobs, to which a program adds jobs before it submits all."""
        return AsyncJobGraph(self)

    async def upload(
        self, files: Iterable[LocalFile | Path | str] | LocalFile | Path | str
    ) -> list[Input]:
        """Upload files, or a single one, to the central. Return them as inputs of a job.

        Files that the central has are not sent again. A folder is sent as an archive, which the
        pilot unpacks. Raises Invalid, before anything is sent, if a file is too large.
        """
        several = [files] if isinstance(files, LocalFile | Path | str) else files
        local = [one if isinstance(one, LocalFile) else LocalFile(Path(one)) for one in several]
        hashed = [await asyncio.to_thread(hash_file, one) for one in local]
        try:
            by_hash = {one.input.sha256: one for one in hashed}
            missing, bytes_max = await self._missing(list(by_hash))
            for file, one in zip(local, hashed, strict=True):
                if one.input.sha256 in missing and 0 < bytes_max < one.input.size_bytes:
                    raise too_large(file.path, one.input.size_bytes, bytes_max)
            gate = asyncio.Semaphore(_UPLOADS_AT_ONCE)
            async with Tasks() as tasks:
                for sha256 in missing:
                    tasks.start(self._put(by_hash[sha256], gate))
        finally:
            for one in hashed:
                if one.temporary:
                    one.path.unlink(missing_ok=True)
        return [one.input for one in hashed]

    async def _missing(self, hashes: list[str]) -> tuple[list[str], int]:
        """Return the hashes that the central lacks, and the size of the largest file there."""
        missing, bytes_max = list[str](), 0
        for start in range(0, len(hashes), _HASHES_A_QUERY):
            query = BlobQuery(sha256=tuple(hashes[start : start + _HASHES_A_QUERY]))
            answer = await self._transport.ask(BlobAnswer, "POST", "/v1/blobs/missing", body=query)
            missing += answer.missing
            bytes_max = answer.bytes_max
        return missing, bytes_max

    async def _put(self, file: HashedFile, gate: asyncio.Semaphore) -> None:
        async with gate:
            await self._transport.ask(
                Blob,
                "PUT",
                f"/v1/blobs/{file.input.sha256}",
                content=lambda: pieces(file.path),
                headers={
                    "content-length": str(file.input.size_bytes),
                    "content-type": "application/octet-stream",
                },
                answer_s=_SUBMIT_ANSWER_S,
            )

    # -- jobs -----------------------------------------------------------------------------------

    def job(self, id: int) -> AsyncJobHandle:
        """Return a handle of a job, without a request to the central."""
        return AsyncJobHandle(self, id)

    async def submission(self, id: int) -> AsyncSubmissionHandle:
        """Return a handle of an earlier submission. It reads the ids. Raises NotFound."""
        ranges: list[IdRange] = []
        async for view in self.search(JobFilter(submission=id, include_deleted=True)):
            last = ranges[-1] if ranges else IdRange(first=view.id, count=0)
            if ranges and view.id == last.first + last.count:
                ranges.pop()
            else:
                last = IdRange(first=view.id, count=0)
            ranges.append(IdRange(first=last.first, count=last.count + 1))
        if not ranges:
            why = f"there is no submission {id} that this token may see"
            raise NotFound("not_found", why, "submission", 404)
        count = sum(part.count for part in ranges)
        return AsyncSubmissionHandle(self, Submitted(submission=id, count=count, ids=ranges))

    async def page(
        self, filter: JobFilter | None = None, *,
        after: int = 0, limit: int = PAGE_MAX, since: float = 0.0,
    ) -> JobPage:  # fmt: skip
        """Return one page of jobs, in order of the id. `after` is the cursor of the last page.

        Jobs that ended before `since` (seconds since 1970) are left out.
        """
        query = query_of(filter or JobFilter(), after=after, limit=limit)
        query += [("since", f"{since:.3f}")] if since else []
        return await self._transport.ask(JobPage, "GET", "/v1/jobs", query=query)

    async def search(self, filter: JobFilter | None = None) -> AsyncIterator[JobView]:
        """Yield all matching jobs in order of the id."""
        after: int | None = 0
        while after is not None:
            page = await self.page(filter, after=after)
            for view in page.jobs:
                yield view
            after = page.after

    async def table(self, filter: JobFilter | None = None) -> JobTable:
        """Return the matching jobs as a table for pandas, polars and notebooks."""
        return JobTable([view async for view in self.search(filter)])

    async def count(self, filter: JobFilter) -> int:
        """Count the matching jobs. It reads all of them."""
        count = 0
        async for _ in self.search(filter):
            count += 1
        return count

    async def summary(self, by: SummaryBy = SummaryBy.STATE) -> Summary:
        """Count the jobs in each state, as a whole or by site, type, group or owner."""
        return await self._transport.ask(
            Summary, "GET", "/v1/jobs/summary", query=[("by", SummaryBy(by).value)]
        )

    async def detail(self, job: int) -> JobDetail:
        """Return everything about one job."""
        return await self._transport.ask(JobDetail, "GET", f"/v1/jobs/{job:d}")

    async def history(self, job: int) -> History:
        """Return the history of a job, oldest first."""
        return await self._transport.ask(History, "GET", f"/v1/jobs/{job:d}/history")

    async def explain(self, job: int | JobLike) -> Explanation:
        """Return why a job waits, or whether a job that is not submitted would fit."""
        if isinstance(job, int):
            return await self._transport.ask(Explanation, "GET", f"/v1/jobs/{job:d}/explain")
        (whole,) = await self._full([job])
        check_job(whole)
        return await self._transport.ask(Explanation, "POST", "/v1/jobs/explain", body=whole)

    async def log(
        self,
        job: int,
        stream: Stream = Stream.OUT,
        *,
        follow: bool = False,
        on_part: OnPart | None = None,
    ) -> AsyncIterator[bytes]:
        """Yield the output of the payload so far; with `follow`, until the job has ended.

        Before the first byte, `on_part` gets the attempt and the number of missing bytes. The
        central keeps the last 10^6 bytes of an ended stream. The pilot of a running job sends its
        last 65,536 bytes, within 15 s. With `follow`, a Held job raises JobsHeld.
        """
        read = follow_job if follow else so_far
        found = read(
            self,
            self._transport,
            job,
            stream,
            pace=self._pace,
            patience_s=self._patience_s,
            on_part=on_part,
        )
        async with aclosing(found) as received:
            async for piece in received:
                yield piece

    async def curve(self, job: int, *, epoch: int | None = None) -> Curve:
        """Return the usage of an attempt over time (default: the newest one with a curve)."""
        query = [] if epoch is None else [("epoch", str(epoch))]
        return await self._transport.ask(Curve, "GET", f"/v1/jobs/{job:d}/curve", query=query)

    async def points(self, job: int) -> AsyncIterator[CurvePoint]:
        """Yield the points of the resource curve of a job live, until the job has ended."""
        text = b""
        async for piece in self.log(job, Stream.USAGE, follow=True):
            *lines, text = (text + piece).split(b"\n")
            for line in lines:
                sample = sample_of(line.decode("utf-8", "replace"))
                if sample is not None:
                    yield CurvePoint(**sample._asdict())

    async def peek(self, job: int, *, bytes: int = 4_096, wait_s: float = 15.0) -> Peek:
        """Return the end of both streams of a job; for a running job, as it is now.

        `wait_s` is the time in seconds that its pilot has to send it.
        """
        query = [("bytes", str(bytes)), ("wait_s", str(wait_s))]
        path = f"/v1/jobs/{job:d}/peek"
        return await self._transport.ask(
            Peek, "GET", path, query=query, answer_s=wait_s + _ANSWER_LATER_S
        )

    # -- actions --------------------------------------------------------------------------------

    async def kill(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Kill jobs for good. A running job ends when its pilot confirms it."""
        return await self.act(ActionName.KILL, ids, filter=filter, expected=expected, reason=reason)

    async def hold(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Hold jobs until they are released."""
        return await self.act(ActionName.HOLD, ids, filter=filter, expected=expected, reason=reason)

    async def release(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Release held jobs, so that they run again."""
        return await self.act(
            ActionName.RELEASE, ids, filter=filter, expected=expected, reason=reason
        )

    async def reschedule(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Run jobs again from the start, even ended ones."""
        return await self.act(
            ActionName.RESCHEDULE, ids, filter=filter, expected=expected, reason=reason
        )

    async def delete(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Hide ended jobs from lists."""
        return await self.act(
            ActionName.DELETE, ids, filter=filter, expected=expected, reason=reason
        )

    async def prioritise(
        self,
        priority: int,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
    ) -> ActionReply:
        """Set the priority of unfinished jobs, from 0 to 10; higher runs earlier."""
        return await self.act(
            ActionName.PRIORITY, ids, filter=filter, expected=expected, priority=priority
        )

    async def set(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        needs: Mapping[str, object] | None = None,
        priority: int | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Change the needs and the priority of Waiting and Held jobs.

        `needs` has the names of a job file: {"memory": "8GB", "sites": ["PIC"]}. A size or time
        can be a factor: {"wall": "x1.5"}.
        """
        return await self.act(
            ActionName.SET, ids, filter=filter, expected=expected,
            needs=needs, priority=priority, reason=reason,
        )  # fmt: skip

    async def retry(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        needs: Mapping[str, object] | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Run Failed and Held jobs again, with changed needs: see `set`."""
        return await self.act(
            ActionName.RETRY, ids, filter=filter, expected=expected, needs=needs, reason=reason
        )

    async def act(
        self,
        action: ActionName,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        priority: int | None = None,
        reason: str = "",
        key: str | None = None,
        needs: Mapping[str, object] | None = None,
        dry_run: bool = False,
    ) -> ActionReply:
        """Carry out an action on jobs with these ids, or on all jobs that match the filter.

        With a filter exactly `expected` jobs must match, else it raises CountChanged and does
        nothing. Without `expected` it counts them first. The same `key` again gives the same answer
        and does nothing; without a key each call has its own, which also covers its retries. A dry
        run answers what would be done, and does nothing.
        """
        values, times = need_changes(needs or {})
        one = Action(
            action=action, needs=values, times=times, priority=priority, reason=reason,
            dry_run=dry_run,
        )  # fmt: skip
        key = key or uuid.uuid4().hex
        if filter is not None:
            if expected is None:
                expected = await self.count(filter)
            return await self._act(structs.replace(one, filter=filter, expected=expected, key=key))
        all_ids = tuple(ids)
        done, unchanged, refused = 0, 0, list[ActionRefusal]()
        for start in range(0, len(all_ids), _IDS_AN_ACTION):
            part = all_ids[start : start + _IDS_AN_ACTION]
            own = key if start == 0 else f"{key}+{start}"
            reply = await self._act(structs.replace(one, ids=part, key=own))
            done, unchanged = done + reply.done, unchanged + reply.unchanged
            refused += reply.refused
        return ActionReply(done=done, unchanged=unchanged, refused=refused)

    async def _act(self, action: Action) -> ActionReply:
        return await self._transport.ask(ActionReply, "POST", "/v1/jobs/actions", body=action)

    # -- events ---------------------------------------------------------------------------------

    async def events(
        self, *, submission: int | None = None, after: int | None = None
    ) -> AsyncIterator[Event]:
        """Yield events live. `after` is the number of the last event that you have seen.

        After a broken connection it continues with the event after the last one. An event of kind
        `gap` means that events were lost: read the jobs again.
        """
        rests = pauses(self._pace)
        while True:
            try:
                async with aclosing(self.signs(submission=submission, after=after)) as signs:
                    async for event in signs:
                        rests = pauses(self._pace)
                        if event is not None:
                            after = event.seq
                            yield event
            except (Unreachable, Unavailable, TooManyRequests):
                pass
            await self._pace.sleep(next(rests))

    async def signs(
        self, *, submission: int | None, after: int | None
    ) -> AsyncGenerator[Event | None, None]:
        """Yield the events of one connection, and None for each keep-alive of the central.

        The first None means that the stream is open. Raises Unreachable when it breaks.
        """
        query: list[tuple[str, str]] = []
        if submission is not None:
            query.append(("submission", str(submission)))
        if after is not None:
            query.append(("after", str(after)))
        async with self._transport.stream(
            "/v1/events", query=query, idle_s=_SIGN_OF_LIFE_S
        ) as answer:
            yield None
            async with aclosing(events_in(answer.aiter_lines())) as events:
                async for event in events:
                    yield event

    def ended(self, awaited: Outstanding) -> AsyncGenerator[int, None]:
        """Yield the awaited jobs as they end."""
        return ended(self, awaited, self._pace)

    async def wait_for(
        self,
        awaited: Outstanding,
        what: str,
        timeout_s: float | None = None,
        progress: OnProgress | None = None,
    ) -> None:
        """Wait until all awaited jobs have ended. Raises TimedOut and JobsHeld."""
        try:
            async with time_limit(timeout_s), aclosing(self.ended(awaited)) as jobs:
                async for _ in jobs:
                    if progress is not None:
                        progress(awaited.total - awaited.left)
        except asyncio.TimeoutError:
            raise TimedOut(what, timeout_s or 0.0, awaited.left) from None

    # -- tokens and health ----------------------------------------------------------------------

    async def health(self) -> Health:
        """Return the health of the central."""
        return await self._transport.ask(Health, "GET", "/health")
