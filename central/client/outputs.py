"""Outputs of jobs, and their downloads."""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pilotage.proto.api.jobs import PAGE_MAX, JobFilter, Outputs, OutputView
from pilotage.proto.api.outputs import JobOutputs, OutputsPage

from .downloads.output_archive import OutputArchive
from .downloads.output_folder import OutputFolder
from .downloads.output_plan import EACH_JOB, OutputPlan, WantedOutput
from .downloads.output_transfer import OutputTransfer
from .errors import NotFound, NotWritten
from .files import Downloaded, FetchedOutput, inside, is_fetched, write_checked
from .filters import query_of
from .pace import Pace
from .transfers.parallel import OnBytes
from .transport import Transport

_IDS_A_PAGE: Final = 200


class OutputCalls:
    """The methods of the client for outputs of jobs."""

    _transport: Transport
    _pace: Pace
    _patience_s: float

    async def outputs(self, job: int) -> Outputs:
        """Return the files that a job kept."""
        return await self._transport.ask(Outputs, "GET", f"/v1/jobs/{job:d}/outputs")

    async def download(
        self, job: int, name: str, to: Path | str = ".", *, force: bool = False
    ) -> Path:
        """Fetch an output into a file, or into a folder under its own name; return the path.

        The hash is verified: BadDownload means that nothing was written. A file with the same bytes
        stays. Raises FileThere for a file with other bytes, unless `force` is set.
        """
        kept = [one for one in (await self.outputs(job)).outputs if one.name == name]
        if not kept:
            raise NotFound("not_found", _no_output(job, name), "name", 404)
        folder, place = _folder_and_place(Path(to), name)
        return await self._download_into(folder, place, job, kept[-1], force=force)

    async def outputs_of(self, jobs: JobFilter | Iterable[int]) -> AsyncIterator[JobOutputs]:
        """Yield jobs with the files that they kept, in order of the id. Unknown ids are omitted."""
        filters = [jobs] if isinstance(jobs, JobFilter) else list(_by_ids(jobs))
        for one in filters:
            after: int | None = 0
            while after is not None:
                query = query_of(one, after=after, limit=PAGE_MAX)
                page = await self._transport.ask(
                    OutputsPage, "GET", "/v1/jobs/outputs", query=query
                )
                for job in page.jobs:
                    yield job
                after = page.after

    async def download_all(
        self,
        jobs: JobFilter | Iterable[int],
        to: Path | str,
        *,
        names: Iterable[str] = (),
        template: str = EACH_JOB,
        force: bool = False,
        on_progress: OnBytes | None = None,
    ) -> Downloaded:
        """Fetch the outputs of ended jobs into a folder.

        `names` are names or patterns. `template` names the files, by default in a folder for each
        job; it may use {job}, {index} (place in the submission, from 1), {name}, and parameters.
        Nothing is written if two outputs clash (FilesClash) or if a file exists with other bytes
        (FileThere), unless `force` is set. Files with the same bytes stay, so a repeated call
        fetches only what lacks.
        """
        folder = OutputFolder(Path(to), force=force)
        found = await self._planned(jobs, names, template, Path(to))
        return await self._taken(found, folder, on_progress)

    async def archive_all(
        self,
        jobs: JobFilter | Iterable[int],
        file: Path | str,
        *,
        names: Iterable[str] = (),
        template: str = EACH_JOB,
        force: bool = False,
        on_progress: OnBytes | None = None,
    ) -> Downloaded:
        """Fetch the outputs of ended jobs into a .tar.zst, .tar.gz or .tar, as `download_all` does.

        An existing archive raises FileThere, unless `force` is set. The order is that of the jobs.
        """
        archive = OutputArchive(Path(file), force=force)
        found = await self._planned(jobs, names, template, Path(file))
        with _local_errors(), archive:
            return await self._taken(found, archive, on_progress)

    async def _planned(
        self,
        jobs: JobFilter | Iterable[int],
        names: Iterable[str],
        template: str,
        where: Path,
    ) -> tuple[OutputPlan, list[int]]:
        """Return the plan, and the ids of unknown jobs."""
        plan = OutputPlan(names, template)
        asked = jobs if isinstance(jobs, JobFilter) else list(dict.fromkeys(jobs))
        async for one in self.outputs_of(asked):
            plan.add(one)
        plan.check(where)
        ids = () if isinstance(asked, JobFilter) else asked
        return plan, [one for one in ids if one not in plan.seen]

    async def _taken(
        self,
        found: tuple[OutputPlan, list[int]],
        sink: OutputFolder | OutputArchive,
        on_progress: OnBytes | None,
    ) -> Downloaded:
        plan, missing = found
        with _local_errors():
            lacking = await asyncio.to_thread(sink.lacking, plan.wanted)
        transfer = OutputTransfer(self._transport, self._pace, sink, patience_s=self._patience_s)
        with _local_errors():
            await transfer.run(lacking, on_progress)
        lost = {(one.job, one.name) for one in transfer.lost}
        files = [
            FetchedOutput(one.job, one.name, sink.path_of(one))
            for one in plan.wanted
            if (one.job, one.name) not in lost
        ]
        return Downloaded(files, plan.unfinished, plan.empty, missing, sorted(lost))

    async def download_output(self, job: int, view: OutputView, target: Path) -> Path:
        """Fetch a listed output into a file. Raises FileThere for a file with other bytes."""
        return await self._download_into(target.parent, target.name, job, view, force=False)

    async def download_blob(self, sha256: str, target: Path) -> Path:
        """Fetch an uploaded input into a file. Raises FileThere for a file with other bytes."""
        what = f"input {sha256}"
        if not await asyncio.to_thread(is_fetched, target, what, sha256, force=False):
            async with self._transport.stream(f"/v1/blobs/{sha256}", idle_s=60.0) as answer:
                await write_checked(answer.aiter_bytes(), target, name=what, sha256=sha256)
        return target

    async def _download_into(
        self, folder: Path, place: str, job: int, view: OutputView, *, force: bool
    ) -> Path:
        """Fetch an output to a place below a folder, never through a link below it."""
        one = WantedOutput(job, view.name, view.size_bytes, view.sha256, place, "")
        sink = OutputFolder(folder, force=force)
        transfer = OutputTransfer(self._transport, self._pace, sink, patience_s=self._patience_s)
        with _local_errors():
            await transfer.run(await asyncio.to_thread(sink.lacking, [one]), None)
        if transfer.lost:
            raise NotFound("not_found", f"the central no longer has {one}", "name", 404)
        return sink.path_of(one)


@contextmanager
def _local_errors() -> Generator[None]:
    """Raise NotWritten for errors of local files, such as a full disk."""
    try:
        yield
    except OSError as why:
        where = f"{why.filename}: " if why.filename else ""
        raise NotWritten(f"{where}{why.strerror or why}: nothing half-written is left") from None


def _folder_and_place(to: Path, name: str) -> tuple[Path, str]:
    """Return the folder and the path in it: `to` is a folder, or the path of the file."""
    return (to, str(inside(Path(), name))) if to.is_dir() else (to.parent, to.name)


def _by_ids(ids: Iterable[int]) -> Iterator[JobFilter]:
    """Yield filters for ids, also of deleted jobs. A URL holds the ids of one filter."""
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), _IDS_A_PAGE):
        yield JobFilter(ids=tuple(wanted[start : start + _IDS_A_PAGE]), include_deleted=True)


def _no_output(job: int, name: str) -> str:
    """Return that a job has no such output. A number was probably meant as another job."""
    also = "; name the jobs first, such as 12 20-29" if name.isdecimal() else ""
    return f"job {job} has no output {name!r}{also}"
