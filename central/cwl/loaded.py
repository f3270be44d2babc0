"""Loads a document and its inputs from files of this machine, without running it."""

import io
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cwl_utils.errors import WorkflowException
from cwl_utils.sandboxjs import set_js_engine
from cwltool import main as cwltool_main
from cwltool.context import RuntimeContext
from cwltool.executors import JobExecutor
from cwltool.load_tool import fetch_document, make_tool, resolve_and_validate_document
from cwltool.process import Process
from schema_salad.exceptions import ValidationException

from .documents import loading, noting, process_of
from .hints import note_hints
from .javascript import QuickJs
from .sending import Described, described
from .shapes import shapes

_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_LEVELS: Final = re.compile(r"^(?=WARNING |ERROR )", re.MULTILINE)
_LOGGER: Final = logging.getLogger("cwltool")


class BadDocument(Exception):
    """A document or its inputs are wrong. The argument says where and why."""


@dataclass
class _Stopped(JobExecutor):
    """Describes a document instead of running it."""

    texts: dict[str, str]
    found: Described | None = None
    output_dirs: set[str] = field(default_factory=set[str])

    def run_jobs(
        self,
        process: Process,
        job_order_object: Any,
        logger: logging.Logger,
        runtime_context: RuntimeContext,
    ) -> None:
        raise NotImplementedError("nothing is run")

    def execute(
        self,
        process: Process,
        job_order_object: Any,
        runtime_context: RuntimeContext,
        logger: logging.Logger = _LOGGER,
    ) -> tuple[Any, str]:
        self.found = described(process, job_order_object, runtime_context, self.texts)
        return {}, "success"


def load(file: Path) -> tuple[Process, list[str]]:
    """Check a document without inputs; return it with warnings. Raises BadDocument."""
    set_js_engine(QuickJs())
    _quiet(logging.CRITICAL)
    try:
        context, found, uri = fetch_document(str(file), loading())
        context, uri = resolve_and_validate_document(context, found, uri)
        process = make_tool(uri, context)
        shapes(process)
        return process, note_hints(process).warnings
    except (ValidationException, WorkflowException, OSError) as why:
        raise BadDocument(str(why)) from why


def load_again(found: Described) -> Process:
    """Return the process of a described document, as another machine sees it."""
    _quiet(logging.CRITICAL)
    process = process_of(found.main, found.texts, {*found.files, *found.folders, *found.dids})
    shapes(process)  # in the same order each time
    note_hints(process)
    return process


def load_with_inputs(file: Path, inputs: Path | None) -> Described:
    """Check a document and its inputs, and return what a central needs. Raises BadDocument."""
    set_js_engine(QuickJs())
    said = io.StringIO()
    logger = logging.getLogger("cwltool")
    before, level, handler = list(logger.handlers), logger.level, logging.StreamHandler(said)
    logger.setLevel(logging.WARNING)
    handler.setLevel(logging.WARNING)
    logger.handlers[:] = [handler]
    texts: dict[str, str] = {}
    context = loading()
    context.fetcher_constructor = noting(texts)
    stopped = _Stopped(texts)
    words = ["--quiet", "--disable-js-validation", "--relax-path-checks", str(file)]
    words += [str(inputs)] if inputs is not None else []
    try:
        code = cwltool_main.main(
            words,
            executor=stopped,
            loadingContext=context,
            logger_handler=handler,
            custom_schema_callback=lambda: None,
            stdout=io.StringIO(),
        )
    except (ValidationException, WorkflowException, OSError) as why:
        raise BadDocument(str(why)) from why
    except SystemExit as why:  # of the parser that the library makes of the inputs
        raise BadDocument(_plain(said.getvalue()) or "inputs are missing: give a file") from why
    finally:
        logger.handlers[:] = before
        logger.setLevel(level)
    if code or stopped.found is None:
        raise BadDocument(_plain(said.getvalue()) or f"the library ended with {code}")
    return stopped.found


def _plain(text: str) -> str:
    """Return what the library said, without its colours, its warnings and the word ERROR."""
    parts = _LEVELS.split(_COLOURS.sub("", text))
    errors = [one for one in parts if not one.startswith("WARNING")]
    return "".join(one.removeprefix("ERROR") for one in errors or parts).strip()


def _quiet(level: int) -> None:
    for name in ("cwltool", "salad"):
        logging.getLogger(name).setLevel(level)
