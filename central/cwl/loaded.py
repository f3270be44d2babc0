"""Loads a document and its inputs from files of this machine, without running it."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Generator, Sequence
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

from .document_checks import all_mistakes
from .documents import loading, noting, process_of
from .hints import note_hints
from .javascript import QuickJs
from .library_log import Nowhere, PlainHandler
from .mistakes import NO_FORM, in_words, mistakes_of, plain
from .sending import Described, described
from .shapes import shapes

_FLAGS: Final = ("--quiet", "--disable-js-validation", "--relax-path-checks")
_LOGGERS: Final = ("cwltool", "salad", "cwl_utils")
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
    handler, logger = (
        PlainHandler(Nowhere(), marks_warnings=False),
        logging.getLogger("cwltool"),
    )
    levels = {one: logging.getLogger(one).level for one in _LOGGERS}
    _quiet(logging.CRITICAL)
    logger.setLevel(logging.WARNING)
    before, logger.handlers[:] = list(logger.handlers), [handler]
    try:
        context, found, uri = fetch_document(str(file), loading())
        context, uri = resolve_and_validate_document(context, found, uri)
        process = make_tool(uri, context)
        shapes(process)
        return process, [*handler.warnings, *note_hints(process).warnings]
    except (RecursionError, StopIteration) as why:
        raise BadDocument(f"{file}: {NO_FORM[type(why)]}") from why
    except (ValidationException, WorkflowException, OSError, ValueError, TypeError) as why:
        if not file.is_file() and "#" not in file.name:
            raise BadDocument(f"{file}: there is no such file") from why
        said = in_words(all_mistakes(str(file), mistakes_of(why), loading()))
        hints = [f"warning: {one}" for one in handler.warnings]
        raise BadDocument("\n".join([said, *hints])) from why
    finally:
        logger.handlers[:] = before
        for one, level in levels.items():
            logging.getLogger(one).setLevel(level)


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
    handler = PlainHandler(Nowhere())
    logger = logging.getLogger("cwltool")
    before, level = list(logger.handlers), logger.level
    logger.setLevel(logging.WARNING)
    logger.handlers[:] = [handler]
    texts: dict[str, str] = {}
    context = loading()
    context.fetcher_constructor = noting(texts)
    stopped = _Stopped(texts)
    try:
        with inputs_file(inputs) as given:
            code = cwltool_main.main(
                [*_FLAGS, *given[:-1], str(file), *given[-1:]],
                executor=stopped,
                loadingContext=context,
                logger_handler=handler,
                custom_schema_callback=lambda: None,
                stdout=io.StringIO(),
            )
    except (ValidationException, WorkflowException, OSError) as why:
        raise BadDocument(_all_of(file, [plain(why)])) from why
    except (RecursionError, StopIteration) as why:
        raise BadDocument(f"{file}: {NO_FORM[type(why)]}") from why
    except SystemExit as why:  # the inputs have another form
        raise BadDocument("\n".join(handler.errors) or f"{inputs}: it has no inputs") from why
    finally:
        logger.handlers[:] = before
        logger.setLevel(level)
    if code or stopped.found is None:
        raise BadDocument(_all_of(file, handler.errors) or f"the library ended with {code}")
    return stopped.found


@contextlib.contextmanager
def inputs_file(inputs: Path | None) -> Generator[list[str]]:
    """Yield options and the path of a file of inputs; of an empty one if there is none.

    Without a file the library takes inputs from the command line, and prints a usage text.
    """
    if inputs is not None:
        yield [str(inputs)]
        return
    with tempfile.TemporaryDirectory(prefix="pilotage-inputs-") as folder:
        empty = Path(folder, "inputs.json")
        empty.write_text("{}", encoding="utf-8")
        yield [f"--basedir={Path.cwd()}", str(empty)]


def told_of(file: Path) -> str:
    """Return all mistakes of a document; empty: there are none."""
    try:
        load(file)
    except BadDocument as why:
        return str(why)
    return ""


def _all_of(file: Path, errors: Sequence[str]) -> str:
    """Return the mistakes of a document if it has any, or what the library said."""
    return told_of(file) or "\n".join(errors)


def _quiet(level: int) -> None:
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(level)
