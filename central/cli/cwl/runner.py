"""`pilotage-cwl-runner`: the command line that CWL's conformance tests call."""

import argparse
import io
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

try:
    from cwl_utils.sandboxjs import set_js_engine
except ModuleNotFoundError as why:
    raise SystemExit(f"pilotage-cwl-runner: {why}: run pip install '.[cwl]' in a clone") from None
from cwl_utils.errors import WorkflowException
from cwltool import main as cwltool_main
from cwltool.argparser import arg_parser
from cwltool.context import RuntimeContext
from cwltool.executors import JobExecutor
from cwltool.process import Process
from cwltool.utils import visit_class
from schema_salad.exceptions import ValidationException
from schema_salad.ref_resolver import file_uri, uri_file_path

from pilotage.pilot.cwl import tool_job

from ...cwl.documents import loading, noting
from ...cwl.javascript import QuickJs
from ...cwl.known_files import RUNS, RunFiles
from ...cwl.library_log import OWN, PlainHandler
from ...cwl.loaded import inputs_file
from ...cwl.local_progress import LocalProgress
from ...cwl.local_results import LocalResults
from ...cwl.mistakes import plain
from ...cwl.run import CwlRun
from ...cwl.shapes import shapes
from ...cwl.standard_error import Tail, of_file, passed_on
from ...cwl.tools import FOLDERS, JobContext, ToolJob

_FLAGS: Final = ("--disable-js-validation", "--relax-path-checks")
QUIET: Final = logging.CRITICAL + 1


class LocalExecutor(JobExecutor):
    """Runs the jobs on this machine."""

    def __init__(self, folder: Path, cores: int, results: LocalResults) -> None:
        super().__init__()
        self._folder, self._cores, self._results = folder, cores, results
        self._folders: dict[str, Path] = {}  # of jobs, by key
        self._codes: dict[str, int] = {}  # exit codes of jobs, by key
        self._tails: dict[str, Tail] = {}
        self.reused = 0

    def run_jobs(
        self,
        process: Process,
        job_order_object: Any,
        logger: logging.Logger,
        runtime_context: RuntimeContext,
    ) -> None:
        visit_class(job_order_object, ("File", "Directory"), _check_exists)
        files = RunFiles(self._content, sees_disk=True)
        context = JobContext({**vars(runtime_context), **FOLDERS})
        context.trees = {"*": "/"} if shutil.which("bwrap") else {}
        progress = LocalProgress((one.name for one in shapes(process)), self._results.root)
        run = CwlRun(process, job_order_object, files, context)
        told = 0
        with ThreadPoolExecutor(self._cores) as pool:
            open_: dict[Future[Any], ToolJob] = {}
            while True:
                is_more = False  # known results may lead to more jobs
                for job in run.advance():
                    progress.made(job)
                    result = self._begun(job)
                    if result is None:
                        open_[pool.submit(self._run, job)] = job
                    else:
                        run.done(job.key, result)
                        progress.ended(job, is_good=True, is_reused=True)
                        is_more = True
                told = self._tell(logger, run.why, told)
                if is_more:
                    continue
                if run.status and not open_:
                    break
                done, _ = wait(open_, return_when=FIRST_COMPLETED)
                for one in done:
                    job = open_.pop(one)
                    self._take(run, job, one)
                    progress.ended(job, is_good=len(run.why) == told)
                    told = self._tell(logger, run.why, told, job)
        outputs = run.outputs
        visit_class(outputs, ("File", "Directory"), self._on_disk)
        self.output_callback(outputs, run.status)

    def _take(self, run: CwlRun, job: ToolJob, ended: "Future[Any]") -> None:
        """Give the result of a job to the run."""
        try:
            result = ended.result()
            if self._folders[job.key] == self._results.folder(job):
                self._results.keep(job, result)
        except OSError as why:
            run.failed(job.key, str(why))
        else:
            self._codes[job.key] = result["code"]
            run.done(job.key, result)

    def _tell(
        self, logger: logging.Logger, why: Sequence[str], told: int, job: ToolJob | None = None
    ) -> int:
        """Report new failures; those of a job with its exit code and standard error."""
        for said in why[told:]:
            if job is None:
                logger.error("%s", said, extra=OWN)
                continue
            code, tail = self._codes.get(job.key), self._errors_of(job)
            if code is not None and "exit code" not in said:
                said = f"{said} (exit code {code})"
            more = f"\nthe end of its standard error:\n{tail}" if tail else ""
            more = more or "; its standard error is empty"
            logger.error("%s", f"{said}{more}", extra=OWN)
        return len(why)

    def _errors_of(self, job: ToolJob) -> str:
        file = job.spec.get("stderr")
        if file is None:
            return self._tails[job.key].text() if job.key in self._tails else ""
        return of_file(self._folders[job.key] / "out" / os.path.basename(file)).text()

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
        result: dict[str, Any] = {}
        for number in range(tool_job.RETRIES + 1):
            if number:
                shutil.rmtree(folder)
            self._tails[job.key] = tail = Tail()
            with passed_on(tail) as errors:
                result = tool_job.run(job.spec, folder, sources, errors)
            if result["status"] != tool_job.TEMPORARY:
                break
        return result

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
    from ...client.client import AsyncClient
    from .pilot_runs import PilotExecutor

    return PilotExecutor(
        lambda: AsyncClient(given.url),
        texts,
        folder,
        given.name or folder.name,
        reuse=not given.no_reuse,
    )


def _with_inputs(words: list[str], file: ExitStack) -> list[str]:
    """Return arguments with a file of inputs if they have neither a file nor single inputs."""
    asked = arg_parser().parse_known_args(words)[0]
    if asked.workflow is None or asked.job_order or asked.tool_help or asked.version:
        return words
    extra = file.enter_context(inputs_file(None))
    return [*([] if asked.basedir else extra[:-1]), *words, extra[-1]]


def _check_exists(one: Any) -> None:
    """Raise WorkflowException if a file or folder of the inputs is missing."""
    location = str(one.get("location") or "")
    if location.startswith("file://") and not os.path.exists(uri_file_path(location)):
        raise WorkflowException(f"{uri_file_path(location)}: there is no such {one['class']}")


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
    written = io.StringIO()
    with (
        ExitStack() as inputs,
        tempfile.TemporaryDirectory(prefix="pilotage-cwl-", ignore_cleanup_errors=True) as folder,
    ):
        context = loading()
        results = LocalResults(given.cachedir, takes=not given.no_reuse)
        inputs.callback(results.close)
        here = LocalExecutor(Path(folder), given.cores, results)
        executor: JobExecutor = here
        handler = None if "--debug" in rest else PlainHandler()
        if handler is not None:
            logging.getLogger("cwltool").setLevel(logging.WARNING)
            logging.getLogger("cwl_utils").setLevel(QUIET)
        if given.url:
            context.fetcher_constructor = noting(texts)
            executor = _on_pilots(given, texts, Path(folder))
        try:
            found: int = cwltool_main.main(
                [*_FLAGS, *_temporary(folder), *_with_inputs(rest, inputs)],
                executor=executor,
                loadingContext=context,
                logger_handler=handler,
                custom_schema_callback=lambda: (
                    None
                ),  # keep the schemas that a warm process has loaded
                stdout=written,
            )
        except ValidationException as why:
            print(f"pilotage-cwl-runner: {plain(why)}", file=sys.stderr)
            return 1
        except SystemExit as end:  # the library has said why
            return end.code if isinstance(end.code, int) else 1
    if text := written.getvalue():
        print(text.rstrip("\n"))
    if here.reused:
        print(f"pilotage-cwl-runner: results reused: {here.reused}", file=sys.stderr)
    return found


if __name__ == "__main__":
    sys.exit(main())
