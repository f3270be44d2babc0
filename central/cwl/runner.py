"""`pilotage-cwl-runner`: the command line that CWL's conformance tests call."""

import argparse
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Final

try:
    from cwl_utils.sandboxjs import set_js_engine
except ModuleNotFoundError as why:
    raise SystemExit(f"pilotage-cwl-runner: {why}: run pip install '.[cwl]' in a clone") from None
from cwltool import main as cwltool_main
from cwltool.context import RuntimeContext
from cwltool.executors import JobExecutor
from cwltool.process import Process
from cwltool.utils import visit_class
from schema_salad.exceptions import ValidationException
from schema_salad.ref_resolver import file_uri, uri_file_path

from pilotage.pilot.cwl import tool_job

from .documents import loading, noting
from .javascript import QuickJs
from .known_files import RUNS, RunFiles
from .local_results import LocalResults
from .run import CwlRun
from .tools import FOLDERS, JobContext, ToolJob

_FLAGS: Final = ("--disable-js-validation", "--relax-path-checks")


class LocalExecutor(JobExecutor):
    """Runs the jobs on this machine."""

    def __init__(self, folder: Path, cores: int, results: LocalResults) -> None:
        super().__init__()
        self._folder, self._cores, self._results = folder, cores, results
        self._folders: dict[str, Path] = {}  # of jobs, by key
        self.reused = 0

    def run_jobs(
        self,
        process: Process,
        job_order_object: Any,
        logger: logging.Logger,
        runtime_context: RuntimeContext,
    ) -> None:
        files = RunFiles(self._content, sees_disk=True)
        context = JobContext({**vars(runtime_context), **FOLDERS})
        context.trees = {"*": "/"} if shutil.which("bwrap") else {}
        run = CwlRun(process, job_order_object, files, context)
        with ThreadPoolExecutor(self._cores) as pool:
            open_: dict[Future[Any], ToolJob] = {}
            while True:
                is_more = False  # known results may lead to more jobs
                for job in run.advance():
                    result = self._begun(job)
                    if result is None:
                        open_[pool.submit(self._run, job)] = job
                    else:
                        run.done(job.key, result)
                        is_more = True
                if is_more:
                    continue
                if run.status and not open_:
                    break
                done, _ = wait(open_, return_when=FIRST_COMPLETED)
                for one in done:
                    job = open_.pop(one)
                    try:
                        result = one.result()
                        if self._folders[job.key] == self._results.folder(job):
                            self._results.keep(job, result)
                    except OSError as why:
                        run.failed(job.key, str(why))
                    else:
                        if result["why"]:
                            logger.error("%s", result["why"])
                        run.done(job.key, result)
        for said in run.why:
            logger.error("%s", said)
        outputs = run.outputs
        visit_class(outputs, ("File", "Directory"), self._on_disk)
        self.output_callback(outputs, run.status)

    def _begun(self, job: ToolJob) -> Any:
        """Choose the folder of a job; return its result if it is known."""
        known = self._results.of(job)
        if known is not None:
            self._folders[job.key], result = known
            self.reused += 1
            return result
        where = self._results.folder(job)
        if where is None or where in self._folders.values():  # an equal job runs
            where = self._folder / job.key
        else:
            self._results.begin(job)
        self._folders[job.key] = where
        return None

    def _run(self, job: ToolJob) -> Any:
        sources = {
            one["source"]: str(self._path(one["source"]))
            for one in job.spec["stage"]
            if one["kind"] in ("file", "folder")
        }
        folder = self._folders[job.key]
        for _ in range(tool_job.RETRIES):
            result = tool_job.run(job.spec, folder, sources)
            if result["status"] != tool_job.TEMPORARY:
                return result
            shutil.rmtree(folder)
        return tool_job.run(job.spec, folder, sources)

    def _path(self, path: str) -> Path:
        if path.startswith("file://"):
            path = uri_file_path(path)
        if not path.startswith(RUNS + "/"):
            return Path(path)
        key, _, rest = path[len(RUNS) + 1 :].partition("/")
        return self._folders[key] / "out" / rest

    def _content(self, path: str) -> bytes | None:
        return self._path(path).read_bytes()

    def _on_disk(self, one: Any) -> None:
        location = one.get("location", "")
        if location.startswith("file://"):
            one["location"] = file_uri(os.path.realpath(self._path(location)))


def _on_pilots(given: argparse.Namespace, texts: dict[str, str], folder: Path) -> JobExecutor:
    from ..client.client import AsyncClient
    from .pilot_runs import PilotExecutor

    return PilotExecutor(
        lambda: AsyncClient(given.url),
        texts,
        folder,
        given.name or folder.name,
        reuse=not given.no_reuse,
    )


def _colours() -> list[str]:
    """Return arguments that keep colours out of files and pipes."""
    return [] if sys.stderr.isatty() else ["--disable-color"]


def _temporary(folder: str) -> list[str]:
    """Return arguments that keep the temporary folders of the library in ours.

    The library makes one for each run, and leaves it there if the run cannot begin.
    """
    where = os.path.join(folder, "library-")
    return [f"--tmpdir-prefix={where}", f"--tmp-outdir-prefix={where}"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a CWL document; return 0, 1 if it failed, or 33 if a requirement is not supported."""
    parser = argparse.ArgumentParser(prog="pilotage-cwl-runner", allow_abbrev=False)
    parser.add_argument("--local", action="store_true")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--url")  # of a central: its pilots run the tools
    parser.add_argument("--name", default="")
    parser.add_argument("--cachedir", type=Path)  # keeps results of tools, for later runs
    parser.add_argument("--no-reuse", action="store_true")
    given, rest = parser.parse_known_args(sys.argv[1:] if argv is None else argv)
    if given.local and given.url:
        parser.error("give either --local or --url")
    if given.cachedir and given.url:
        parser.error("--cachedir is for runs on this machine: pilots reuse results without it")
    set_js_engine(QuickJs())
    texts: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="pilotage-cwl-", ignore_cleanup_errors=True) as folder:
        context = loading()
        results = LocalResults(given.cachedir, takes=not given.no_reuse)
        here = LocalExecutor(Path(folder), given.cores, results)
        executor: JobExecutor = here
        if given.url:
            context.fetcher_constructor = noting(texts)
            executor = _on_pilots(given, texts, Path(folder))
        try:
            found: int = cwltool_main.main(
                [*_FLAGS, *_colours(), *_temporary(folder), *rest],
                executor=executor,
                loadingContext=context,
                custom_schema_callback=lambda: (
                    None
                ),  # keep the schemas that a warm process has loaded
                stdout=sys.stdout,
            )
        except ValidationException as why:
            print(f"pilotage-cwl-runner: {why}", file=sys.stderr)
            return 1
    sys.stdout.write("\n")
    if here.reused:
        print(f"pilotage-cwl-runner: results reused: {here.reused}", file=sys.stderr)
    return found


if __name__ == "__main__":
    sys.exit(main())
