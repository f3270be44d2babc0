"""Evaluates runs of CWL documents. It is fed with documents of strangers, and touches nothing.

As a process (`python -m pilotage.central.cwl.evaluator`) it reads one JSON object a line, and
answers each with one. It has limits of memory, no network and no files to write.
"""

import contextlib
import copy
import ctypes
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final, cast

import msgspec
from cwl_utils.errors import WorkflowException
from cwl_utils.sandboxjs import set_js_engine
from cwltool.errors import UnsupportedRequirement
from cwltool.process import Process
from ruamel.yaml.error import YAMLError
from schema_salad.exceptions import ValidationException
from schema_salad.sourceline import SourceLine

from pilotage.pilot.cwl.tool_job import SUCCESS
from pilotage.proto.documents.cwl import CwlDocument

from . import library_changes
from .documents import process_of
from .final_outputs import final_outputs
from .hints import note_hints
from .javascript import QuickJs
from .known_files import KnownFile, RunFiles, UnknownContent, same_file
from .library_log import Nowhere, PlainHandler
from .messages import (
    Advance,
    Advanced,
    Answer,
    Begin,
    Broken,
    Call,
    End,
    Ended,
    Needs,
    Noted,
    Shape,
    Shaped,
    ShapedStep,
    Unfit,
    Unknown,
    WantedJob,
)
from .mistakes import NO_FORM, plain, without_places
from .run import CwlRun
from .shapes import shapes, step_name
from .tools import FOLDERS, PERMANENT, JobContext

MEMORY_BYTES: Final = 2 << 30
LOAD_S: Final = 20.0  # of CPU, for one document: aliases of YAML can make it endless
TURN_S: Final = 0.5  # after an expression that ends later, others get their turn
REQUIREMENTS: Final = "https://w3id.org/cwl/cwl#requirements"
RUNS_MAX: Final = 32  # in memory; others are made again
decoded: Final = msgspec.json.Decoder(Call).decode
_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_NO_REASON: Final = "no step says why: `pilotage prod submit FILE --local` may say more"
REFUSED: Final = (ValidationException, WorkflowException, OSError, ValueError, TypeError, KeyError)


class _Unfit(Exception):
    """A document cannot run. The argument says why."""


class _TooLong(BaseException):
    """Loading a document takes too long. No `except Exception` of the library catches it."""


@dataclass
class _Open:
    """A run in memory, with the results of its jobs by key."""

    document: CwlDocument
    at: float
    images: Mapping[str, str]
    results: dict[str, Any] = field(default_factory=dict[str, Any])
    contents: dict[str, bytes] = field(default_factory=dict[str, bytes])
    needed: list[str] = field(default_factory=list[str])
    run: CwlRun | None = None
    files: RunFiles = field(default_factory=RunFiles)
    errors: list[str] = field(default_factory=list[str])  # that the library has logged
    open: set[str] = field(default_factory=set[str])  # jobs that were returned and have no result

    def begin(self) -> CwlRun:
        """Begin the run again. The same results lead to the same state."""
        process = _process(self.document)
        self.files = RunFiles(self._read)
        for path, one in self.document.files.items():
            known = KnownFile(
                is_folder=one.kind == "folder",
                size=one.size_bytes,
                same=same_file(one.sha256 or one.did, is_executable=one.executable),
            )
            self.files.add(os.path.dirname(path), [(os.path.basename(path), known)])
        order = copy.deepcopy(self.document.inputs)
        context = JobContext({**FOLDERS, "basedir": "/pilotage-cwl", "toplevel": True})
        context.trees = self.images
        self.open.clear()
        self.errors.clear()
        return CwlRun(process, order, self.files, context)

    def _read(self, path: str) -> bytes | None:
        found = self.contents.get(path)
        if found is None:
            self.needed.append(path)
        return found

    def advance(self, at: QuickJs, is_over: Callable[[], bool]) -> list[WantedJob]:
        """Return the jobs that are wanted now, and have no result."""
        at.at = self.at
        wanted: dict[str, WantedJob] = {}
        while True:
            if self.run is None:
                self.run = self.begin()
            for job in self.run.advance(is_over):
                self.open.add(job.key)
                wanted[job.key] = WantedJob(
                    key=job.key,
                    step=job.name,
                    spec=dict(job.spec),
                    needs=dict(job.needs),
                    placement=dict(job.placement),
                    recipe=job.recipe,
                )
            known = sorted(self.open & self.results.keys())
            if self.run.has_more or not known:
                left = self.open - self.results.keys()
                return [one for key, one in wanted.items() if key in left]
            for key in known:
                self.open.discard(key)
                result = self.results[key]
                if isinstance(result, str):
                    self.run.failed(key, result)
                else:
                    self.run.done(key, result)


class Evaluator:
    """Evaluates runs, each known by a name."""

    def __init__(self, turn_s: float = TURN_S) -> None:
        self._turn_s = turn_s
        self._runs: dict[str, _Open] = {}
        self._javascript = QuickJs()
        set_js_engine(self._javascript)
        library_changes.change()
        self._log = PlainHandler(Nowhere())
        logger = logging.getLogger("cwltool")
        logger.setLevel(logging.ERROR)
        logger.handlers[:] = [self._log]
        logging.getLogger("salad").setLevel(logging.CRITICAL)

    def answer(self, call: Call) -> Answer:
        """Answer a call."""
        try:
            match call:
                case Shape():
                    return _shaped(call.document)
                case Begin():
                    while len(self._runs) >= RUNS_MAX:
                        self._runs.pop(next(iter(self._runs)))
                    self._runs[call.run] = _Open(call.document, call.at, call.images)
                    return Noted()
                case End():
                    self._runs.pop(call.run, None)
                    return Noted()
                case Advance():
                    return self._advanced(call)
        except _Unfit as why:
            return Unfit(why=str(why))

    def _advanced(self, call: Advance) -> Answer:
        """Take results; return the next jobs, or the end of the run."""
        one = self._runs.get(call.run)
        if one is None:
            return Unknown()
        self._runs[call.run] = self._runs.pop(call.run)  # the last to be dropped
        one.results.update(call.results)
        one.contents.update(call.contents)
        if call.more:
            return Noted()
        self._log.errors = one.errors
        try:
            until = time.monotonic() + self._turn_s
            jobs = one.advance(self._javascript, lambda: time.monotonic() >= until)
            assert one.run is not None
            answer: Answer = Advanced(jobs=tuple(jobs), more=one.run.has_more)
            if not one.open and not one.needed and not one.run.has_more:
                why, outputs = one.run.why, final_outputs(one.run.outputs, one.files)
                if one.run.status != SUCCESS:
                    why = why or one.errors or [_NO_REASON]
                answer = Ended(status=one.run.status, why=tuple(why), outputs=outputs)
        except (*REFUSED, UnknownContent) as why:
            answer = Ended(status=PERMANENT, why=(_said(why),), outputs={})
        if not one.needed:
            return answer
        paths = tuple(sorted(set(one.needed)))  # the library hides why it failed
        one.needed.clear()
        one.run = None
        return Needs(paths=paths)


def _shaped(document: CwlDocument) -> Shaped:
    process = _process(document)
    hints = note_hints(process)
    tool = cast(Mapping[str, Any], process.tool)
    return Shaped(
        name=_title(document.main),
        title=str(tool.get("label") or ""),
        steps=tuple(ShapedStep(name=one.name, parents=one.parents) for one in shapes(process)),
        storages=tuple(hints.storages),
        platforms=tuple(hints.platforms),
    )


def _process(document: CwlDocument) -> Process:
    """Return the process of a document. Raises _Unfit."""
    limit = LOAD_S if signal.getsignal(signal.SIGPROF) is _too_long else 0.0
    signal.setitimer(signal.ITIMER_PROF, limit)
    try:
        process = process_of(document.main, document.texts, document.files)
        given = document.inputs.get(REQUIREMENTS)
        if given:
            process.requirements.extend(given)
        process.visit(_check_concrete)
        shapes(process)
        note_hints(process)
    except (*REFUSED, UnsupportedRequirement, YAMLError) as why:
        raise _Unfit(_said(why)) from why
    except _TooLong:
        raise _Unfit(f"the document takes more than {LOAD_S:.0f} s to load") from None
    except (RecursionError, StopIteration) as why:
        raise _Unfit(NO_FORM[type(why)]) from why
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
    return process


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise _TooLong


def _check_concrete(tool: Any) -> None:
    if tool["class"] == "Operation":
        raise SourceLine(tool, "class", UnsupportedRequirement).makeError(
            "Operation is not supported: nothing says how to run it"
        )


def _said(why: BaseException) -> str:
    if isinstance(why, (ValidationException, WorkflowException)):
        return plain(why)[:4_000] or type(why).__name__
    return without_places(str(why))[:4_000] or type(why).__name__


def _title(uri: str) -> str:
    """Return the name of a document: that of its file, or of the process in it."""
    path, _, part = uri.partition("#")
    name = os.path.splitext(os.path.basename(path))[0]
    part = "" if part == "main" else part.rsplit("/", 1)[-1]
    return step_name(f"{name}-{part}" if part else name, set())


def encoded(answer: Answer) -> bytes:
    """Return an answer as a line of JSON. Raises UnicodeEncodeError for half characters."""
    return msgspec.json.encode(answer, enc_hook=_plain)


def _plain(value: Any) -> Any:
    """Return the plain form of a text or number that remembers how YAML wrote it."""
    for its in (str, int, float):
        if isinstance(value, its):
            return its(value)
    raise NotImplementedError(f"{type(value).__name__} is no value of JSON")


def confine() -> None:
    """Give this process little memory, no network and no files to write; end it with its parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(OSError):
        ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def main() -> int:
    """Answer calls from standard input until it ends."""
    evaluator = Evaluator()
    calls, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else writes to the pipe of answers
    confine()
    signal.signal(signal.SIGPROF, _too_long)
    for line in calls:
        try:
            said = encoded(evaluator.answer(decoded(line)))
        except (MemoryError, RecursionError, Exception) as why:  # one run must not end the others
            said = encoded(Broken(why=repr(why)[:4_000]))
        answers.write(said + b"\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
