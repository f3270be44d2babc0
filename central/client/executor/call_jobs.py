"""The jobs of an `Executor`: sent in batches, awaited together, fetched in batches."""

import asyncio
import itertools
import logging
import struct
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage.proto.api.jobs import JobFilter, JobView
from pilotage.proto.documents.job import JOB_NAME_MAX, Input, Job, OutputPattern
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.tasks import Tasks

from ..errors import CallFailed, ClientError, JobsHeld
from ..files import LocalFile
from ..waiting.outstanding_jobs import Outstanding
from .call_files import Pack, packs_of, write_runner
from .call_worker import CALLS_FILE, FUNCTION_FILE, RESULTS_FILE

if TYPE_CHECKING:
    from ..client import AsyncClient

_COLLECT_S: Final = 0.005  # calls made within this time share one submission
_SENT_MAX: Final = 1_000  # jobs of a submission
_FETCHED_MAX: Final = 200  # jobs of a request for results
_COMMON_S: Final = 600.0  # then the central is asked again whether it has the common inputs
_SAID_BYTES: Final = 2_000  # of the standard error of a failed job
_KILLED: Final = "cancelled by its Executor"


class CallJob(ABC):
    """Calls that run as one job."""

    job = 0  # its id, once it is submitted
    is_cancelled = False

    def __init__(self, name: str, function: bytes, calls: bytes) -> None:
        self.name, self.function, self.calls = name, function, calls

    @abstractmethod
    def began(self) -> None:
        """The job runs. This may be called again."""

    @abstractmethod
    def ended(self) -> None:
        """The job has ended: ask for its results by `CallJobs.fetch`. This may be called again."""

    @abstractmethod
    def came(self, results: Path) -> None:
        """The file of results is here. This is called outside the event loop."""

    @abstractmethod
    def failed(self, why: Exception) -> None:
        """There will be no results. This is called outside the event loop."""


class _Queue:
    """Jobs that wait for one step."""

    def __init__(self) -> None:
        self._waiting: deque[CallJob] = deque()
        self._news = asyncio.Event()

    def put(self, jobs: Iterable[CallJob]) -> None:
        self._waiting.extend(jobs)
        self._news.set()

    async def take(self, most: int, collect_s: float = 0.0) -> list[CallJob]:
        """Wait for jobs, and a little longer for more; return at most `most`."""
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        await asyncio.sleep(collect_s)
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]


class CallJobs:
    """Sends, awaits, fetches and kills the jobs of one executor. It belongs to the event loop."""

    def __init__(
        self,
        client: "AsyncClient",
        folder: Path,
        *,
        name: str,
        command: Sequence[str],
        modules: Sequence[str],
        fields: Mapping[str, Any],
    ) -> None:
        self._client, self._folder, self._name = client, folder, name
        self._command, self._modules, self._fields = tuple(command), tuple(modules), dict(fields)
        self._local: list[Any] = list(self._fields.pop("inputs", ()))
        self._common: tuple[Input, ...] = ()
        self._common_at = -_COMMON_S
        self._numbers = itertools.count()
        self._sending, self._fetching, self._killing = _Queue(), _Queue(), _Queue()
        self._open: set[CallJob] = set()  # somebody waits for them
        self._under_way: dict[int, CallJob] = {}
        self._awaited = self._nobody_awaited()
        self._news, self._closed = asyncio.Event(), asyncio.Event()

    def send(self, jobs: Sequence[CallJob]) -> None:
        """Submit jobs soon."""
        self._open.update(jobs)
        self._sending.put(jobs)

    def fetch(self, job: CallJob) -> None:
        """Fetch the results of an ended job soon."""
        self._fetching.put([job])

    def cancel(self, job: CallJob) -> None:
        """Kill a job, or do not send it. It hears nothing more."""
        if job not in self._open or job.is_cancelled:
            return
        job.is_cancelled = True
        if self._under_way.pop(job.job, None) is not None:
            self._awaited.drop([job.job])
            self._killing.put([job])
        elif job.job:  # it has ended
            self._close([job])

    @property
    def unsent(self) -> int:
        """The number of jobs that the central does not have yet."""
        return sum(not one.job for one in self._open)

    async def settled(self) -> None:
        """Wait until every job has its results, has failed or is killed."""
        while self._open:
            self._closed.clear()
            await self._closed.wait()

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with Tasks() as tasks:
                for work in (self._send, self._await, self._fetch, self._kill):
                    tasks.start(work())
        except BaseException as why:  # of any kind: otherwise callers would wait for ever
            error = why if isinstance(why, Exception) else ClientError("the client was closed")
            lost, self._open = self._open, set()
            for job in lost:
                job.failed(error)
            self._closed.set()
            raise

    # -- sending --------------------------------------------------------------------------------

    async def _send(self) -> None:
        while True:
            jobs = await self._sending.take(_SENT_MAX, _COLLECT_S)
            self._close([one for one in jobs if one.is_cancelled])
            wanted = [one for one in jobs if not one.is_cancelled]
            try:
                ids = await self._submitted(wanted) if wanted else []
            except Exception as why:  # refused, unreachable, no disk: the callers get it
                await self._give_up([(one, why) for one in wanted])
                continue
            for job, id in zip(wanted, ids, strict=True):
                job.job, job.calls = id, b""
            self._killing.put(one for one in wanted if one.is_cancelled)
            self._follow([one for one in wanted if not one.is_cancelled])

    async def _submitted(self, wanted: Sequence[CallJob]) -> list[int]:
        """Submit jobs with their files; return the ids."""
        if time.monotonic() > self._common_at + _COMMON_S:
            runner = await asyncio.to_thread(write_runner, self._folder)
            self._common = tuple(await self._client.upload([runner, *self._local]))
            self._common_at = time.monotonic()
        packs = packs_of([(one.function, one.calls) for one in wanted])
        files = await asyncio.to_thread(lambda: [self._written(one) for one in packs])
        uploaded = iter(await self._client.upload(itertools.chain.from_iterable(files)))
        jobs, names = list[Job](), iter(wanted)
        for pack, local in zip(packs, files, strict=True):
            inputs = (*self._common, *itertools.islice(uploaded, len(local)))
            for file in local:
                file.path.unlink()
            for place in range(len(pack.calls)):
                jobs.append(self._job(next(names).name, place, inputs))
        return list((await self._client.submit(jobs, name=self._name)).ids())

    def _written(self, pack: Pack) -> list[LocalFile]:
        """Write the files of a pack."""
        calls = self._folder / f"calls-{next(self._numbers)}"
        calls.write_bytes(pack.content())
        files = [LocalFile(calls, CALLS_FILE)]
        if pack.function:
            function = self._folder / f"function-{next(self._numbers)}"
            function.write_bytes(pack.function)
            files.append(LocalFile(function, FUNCTION_FILE))
        return files

    def _job(self, name: str, place: int, inputs: tuple[Input, ...]) -> Job:
        return Job(
            command=(*self._command, self._common[0].name, str(place), *self._modules),
            name=name[:JOB_NAME_MAX],
            inputs=inputs,
            outputs=(OutputPattern(pattern=RESULTS_FILE),),
            **self._fields,
        )

    # -- waiting --------------------------------------------------------------------------------

    def _nobody_awaited(self) -> Outstanding:
        return Outstanding(
            (), through_held=True, on_held=self._is_held, on_running=self._is_running
        )

    def _follow(self, jobs: Sequence[CallJob]) -> None:
        self._under_way.update((one.job, one) for one in jobs)
        self._awaited.add(one.job for one in jobs)
        for id in self._awaited.ended():
            self._has_ended(id)
        self._news.set()

    async def _await(self) -> None:
        while True:
            while not self._awaited.left:
                self._news.clear()
                await self._news.wait()
            try:
                async with aclosing(self._client.ended(self._awaited)) as ended:
                    async for id in ended:
                        self._has_ended(id)
            except ClientError as why:
                lost, self._under_way = list(self._under_way.values()), {}
                self._awaited = self._nobody_awaited()
                await self._give_up([(one, _unknown(one.job, why)) for one in lost])

    def _is_running(self, id: int) -> None:
        if id in self._under_way:
            self._under_way[id].began()

    def _is_held(self, id: int, _: str) -> None:
        """Take a Held job as ended: it continues only after a person releases it."""
        self._awaited.drop([id])
        self._has_ended(id)

    def _has_ended(self, id: int) -> None:
        job = self._under_way.pop(id, None)
        if job is not None:
            job.ended()

    # -- results --------------------------------------------------------------------------------

    async def _fetch(self) -> None:
        while True:
            some = await self._fetching.take(_FETCHED_MAX)
            jobs = {one.job: one for one in some if not one.is_cancelled}
            if not jobs:
                continue
            try:
                found = await self._client.download_all(
                    jobs, self._folder, names=[RESULTS_FILE], template="{job}"
                )
                here = [(jobs.pop(one.job), one.path) for one in found.files]
                await asyncio.to_thread(_hand_over, here)
                self._close([job for job, _ in here])
                if jobs:
                    await self._explain(jobs)
            except Exception as why:  # the callers get it
                await self._give_up([(one, _unknown(one.job, why)) for one in jobs.values()])

    async def _explain(self, jobs: dict[int, CallJob]) -> None:
        """Give each job the reason why it has no results, or await it again."""
        failed = list[tuple[CallJob, Exception]]()
        there = JobFilter(ids=tuple(jobs), include_deleted=True)
        views = {view.id: view async for view in self._client.search(there)}
        for id, job in list(jobs.items()):
            view = views.get(id)
            if view is None:
                failed.append((job, CallFailed(id, "the central no longer has it")))
            elif view.state is JobState.HELD:
                failed.append((job, JobsHeld({id: view.reason})))
            elif view.state in FINAL:
                failed.append((job, await failure_of(self._client, view)))
            else:  # somebody has rescheduled it
                self._follow([job])
        jobs.clear()
        await self._give_up(failed)

    async def _kill(self) -> None:
        while True:
            jobs = await self._killing.take(_SENT_MAX, _COLLECT_S)
            try:
                await self._client.kill([one.job for one in jobs], reason=_KILLED)
            except ClientError as why:
                ids = ", ".join(str(one.job) for one in jobs)
                logging.getLogger(__name__).warning("jobs %s are not killed: %s", ids, why)
            self._close(jobs)

    async def _give_up(self, jobs: Sequence[tuple[CallJob, Exception]]) -> None:
        await asyncio.to_thread(lambda: [job.failed(why) for job, why in jobs])
        self._close([job for job, _ in jobs])

    def _close(self, jobs: Iterable[CallJob]) -> None:
        self._open.difference_update(jobs)
        self._closed.set()


def _hand_over(here: Sequence[tuple[CallJob, Path]]) -> None:
    for job, path in here:
        try:
            job.came(path)
        except (OSError, struct.error) as why:  # the disk, or a file that is none of ours
            job.failed(why)


async def failure_of(client: "AsyncClient", view: JobView) -> CallFailed:
    """Return why an ended job has no results, with the end of its standard error."""
    try:
        said = (await client.peek(view.id, bytes=_SAID_BYTES, wait_s=1.0)).stderr.strip()
    except ClientError:
        said = ""
    why = view.reason or f"it kept no {RESULTS_FILE}"
    return CallFailed(view.id, f"{view.state.value}: {why}", said)


def _unknown(id: int, why: Exception) -> Exception:
    if not id or not isinstance(why, ClientError):
        return why
    error = CallFailed(id, f"{why}; if it continues, client.job({id}).result() has its result")
    error.__cause__ = why
    return error
