"""Outputs of jobs, and their downloads."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from urllib.parse import quote

from pilotage.proto.api.jobs import Outputs, OutputView

from .errors import FilesClash, NotFound
from .files import FetchedOutput, clash_in, inside, is_fetched, target_of, write_checked
from .transport import Transport


class OutputCalls:
    """The methods of the client for outputs of jobs."""

    _transport: Transport

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
        return await self._download(job, kept[-1], target_of(Path(to), name), force)

    async def download_all(
        self,
        jobs: Iterable[int],
        to: Path | str,
        *,
        names: Iterable[str] = (),
        by_job: bool = False,
        force: bool = False,
    ) -> AsyncIterator[FetchedOutput]:
        """Fetch the outputs of jobs into one folder, and yield each.

        `names` selects outputs. With `by_job` each job has its own folder, named by its id. Nothing
        is written if two outputs clash (FilesClash), if a job has no output of a name (NotFound),
        or, without `force`, if a file exists with other bytes (FileThere).
        """
        folder, wanted = Path(to), tuple(dict.fromkeys(names))
        found: list[tuple[int, OutputView, Path]] = []
        for job in dict.fromkeys(jobs):
            kept = {one.name: one for one in (await self.outputs(job)).outputs}
            for name in wanted or kept:
                if name not in kept:
                    raise NotFound("not_found", _no_output(job, name), "name", 404)
                base = folder / str(job) if by_job else folder
                found.append((job, kept[name], inside(base, name)))
        clash = clash_in(
            (_what(job, view), target.relative_to(folder).as_posix()) for job, view, target in found
        )
        if clash is not None:
            raise FilesClash(_clash_text(clash, folder, by_job=by_job))
        for job, view, target in found:
            await asyncio.to_thread(is_fetched, target, _what(job, view), view.sha256, force=force)
        for job, view, target in found:
            path = await self._download(job, view, target, force)
            yield FetchedOutput(job, view.name, path)

    async def download_output(self, job: int, view: OutputView, target: Path) -> Path:
        """Fetch a listed output into a file. Raises FileThere for a file with other bytes."""
        return await self._download(job, view, target, False)

    async def download_blob(self, sha256: str, target: Path) -> Path:
        """Fetch an uploaded input into a file. Raises FileThere for a file with other bytes."""
        what = f"input {sha256}"
        if not await asyncio.to_thread(is_fetched, target, what, sha256, force=False):
            async with self._transport.stream(f"/v1/blobs/{sha256}", idle_s=60.0) as answer:
                await write_checked(answer.aiter_bytes(), target, name=what, sha256=sha256)
        return target

    async def _download(self, job: int, view: OutputView, target: Path, force: bool) -> Path:
        what = _what(job, view)
        if await asyncio.to_thread(is_fetched, target, what, view.sha256, force=force):
            return target
        path = f"/v1/jobs/{job:d}/outputs/{quote(view.name)}"
        async with self._transport.stream(path, idle_s=60.0) as answer:
            await write_checked(answer.aiter_bytes(), target, name=view.name, sha256=view.sha256)
        return target


def _what(job: int, view: OutputView) -> str:
    return f"output {view.name} of job {job}"


def _clash_text(clash: tuple[str, str], folder: Path, *, by_job: bool) -> str:
    """Return which outputs clash, and the remedy."""
    remedy = "fetch them one by one into different folders (--to)"
    if not by_job:
        remedy = "--by-job (in Python: by_job=True) gives each job a folder of its own"
    return f"{clash[0]} and {clash[1]} clash in {folder}; nothing was fetched: {remedy}"


def _no_output(job: int, name: str) -> str:
    """Return that a job has no such output. A number was probably meant as another job."""
    also = "; give several jobs as a range, such as 12-15" if name.isdecimal() else ""
    return f"job {job} has no output {name!r}{also}"
