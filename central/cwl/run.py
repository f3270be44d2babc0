"""A run of a CWL document: which jobs it wants next, given what the earlier ones said.

The state is a function of the document, its inputs and the results. So a run that was lost is made
again by giving it the same results: `advance` wants the same jobs by the same keys.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from cwl_utils.errors import WorkflowException
from cwltool.process import Process
from cwltool.stdfsaccess import StdFsAccess
from cwltool.utils import visit_class

from .known_files import RunAccess, RunFiles
from .mistakes import plain
from .tools import PERMANENT, JobContext, PlannedJob, ToolJob, check_values


class CwlRun:
    """One run. Not for several threads."""

    def __init__(
        self, process: Process, order: Any, files: RunFiles, context: JobContext | None = None
    ) -> None:
        self._context = JobContext() if context is None else context
        self._context.make_fs_access = _access_to(files)
        self._context.compute_checksum = False  # nodes do that: see `PlannedJob.ended`
        self._files = files
        self._open: dict[str, PlannedJob] = {}
        self._times: Counter[str] = Counter()  # how often a key was wanted
        self._jobs: Iterator[Any] = process.job(order, self._ended, self._context)
        self.outputs: Any = None
        self.has_more = False
        self.status = ""  # empty: it still runs
        self.why: list[str] = []

    def _ended(self, outputs: Any, status: str) -> None:
        wrong = self._wrong(outputs)
        if wrong:
            self.why += wrong
            outputs, status = {}, PERMANENT
        self.outputs, self.status = outputs, status

    def _wrong(self, outputs: Any) -> list[str]:
        """Return what is wrong with outputs: expressions and tools can write anything there."""
        found: list[str] = []
        try:
            check_values(outputs)
        except WorkflowException as why:
            return [str(why)]

        def look(one: Any) -> None:
            name, location = one.get("basename"), str(one.get("location", ""))
            if name is not None and ("/" in name or name in ("", ".", "..")):
                found.append(f"basename: found {name[:200]!r}, expected a name without /")
            if self._files.is_missing(location):
                found.append(f"location: found {location[:200]!r}, which is no file of this run")

        visit_class(outputs, ("File", "Directory"), look)
        return found

    def advance(self, is_over: Callable[[], bool] = lambda: False) -> list[ToolJob]:
        """Return the jobs that can run now and were not returned before.

        If the time of this call `is_over`, it ends early and sets `has_more`.

        Raises WorkflowException if the document or the inputs are wrong, UnsupportedRequirement,
        and UnknownContent.
        """
        wanted: list[ToolJob] = []
        self.has_more = False
        for job in self._jobs:
            if job is None:
                break
            if isinstance(job, PlannedJob):
                self._want(job, wanted)
            else:
                job.run(self._context)
            if is_over():
                self.has_more = True
                break
        if not self.status and not self._open and not self.has_more:
            self.status = PERMANENT
        return wanted

    def _want(self, job: PlannedJob, wanted: list[ToolJob]) -> None:
        try:
            one = job.described(self._context, self._files)
        except WorkflowException as why:
            self.why.append(f"step {job.step}: {plain(why)}")
            _callback(job)({}, PERMANENT)
            return
        self._times[one.key] += 1
        if self._times[one.key] > 1:
            key = f"{one.key}-{self._times[one.key]}"
            one = replace(one, key=key)
        self._open[one.key] = job
        wanted.append(one)

    def done(self, key: str, result: Mapping[str, Any]) -> None:
        """Take the result of a job."""
        job = self._open.pop(key)
        outputs, status = job.ended(key, result, self._files)
        if job.why:
            self.why.append(f"step {job.step}: {plain(job.why)}")
        _callback(job)(outputs, status)

    def failed(self, key: str, why: str) -> None:
        """Note that a job has failed for good without a result."""
        job = self._open.pop(key)
        self.why.append(f"step {job.step}: {why}")
        _callback(job)({}, PERMANENT)


def _access_to(files: RunFiles) -> type[StdFsAccess]:
    class Access(RunAccess):
        def __init__(self, basedir: str) -> None:
            super().__init__(basedir, files)

    return Access


def _callback(job: PlannedJob) -> Callable[[Any, str], None]:
    assert job.output_callback is not None
    return job.output_callback
