"""Errors, time and chance are handled in few, known places."""

import ast
from collections.abc import Iterator
from typing import Final

from . import tree

PRODUCT: Final = tree.ROOMS

# file → function that may catch everything: it supervises background work, and logs the traceback.
SUPERVISORS: Final = {
    "central/bus/bridge.py": {
        "_answer"
    },  # one pilot's message, as the HTTP server does for requests
    "central/catalogue/storage_types.py": {"storage_type"},  # types may be anybody's
    "central/factory/site_checks.py": {"_supervised"},  # drivers may be anybody's
    "central/factory/factory.py": {"supervised", "_supervised_cycle"},  # drivers may be anybody's
    "central/factory/file_reader.py": {
        "_carry_out"
    },  # of a thread: raised again by who waits for it
    # Functions, arguments and results are anybody's; callers must never wait for ever.
    "central/client/executor/call_jobs.py": {"run", "_send", "_fetch"},
    "central/client/executor/call_worker.py": {"_result", "_pickled_error", "_pickled"},
    "central/client/executor/executor.py": {"came"},
    "central/client/executor/mapped_calls.py": {"_taken"},
    "central/http/forwarding.py": {"ask"},  # of a task: raised again by who waits for it
    "central/cwl/evaluator.py": {"main"},  # documents are anybody's, and the library's faults too
    "central/cwl_runs/runs.py": {"once"},  # the same
    "central/dispatch/turns/assignments.py": {
        "made"
    },  # of what one job is, hundreds may wait for it
    "central/notifications/delivery.py": {"_send"},  # names and reasons are anybody's
    "central/productions/watch.py": {"_guarded"},  # definitions are anybody's
    "central/transformations/engine.py": {"_make", "_take_up"},  # rules may be anybody's
    "central/transformations/grouping.py": {"_asked"},  # they may: raised again, with their name
    "pilot/data/drivers.py": {"storages"},  # drivers may be anybody's
    "pilot/containment.py": {"contained"},  # the work for one attempt, with what strangers sent
}

# Files that ask the operating system for time and chance: drivers, and what people run.
DRIVERS: Final = (
    "central/cli/",
    "central/client/",
    "central/observe/",
    "central/operate/",
    "pilot/__main__.py",
    "pilot/clock.py",
    "pilot/cwl/tool_job.py",  # a payload: a process of its own
    # Drivers of storages block in threads: they read when tokens end, when a server is silent,
    # and how old a kept connection is.
    "pilot/data/http_driver.py",
    "pilot/data/http_requests.py",
    "pilot/data/root_storage.py",
    "pilot/data/s3_storage.py",
    "pilot/data/storages.py",
    "central/cwl/evaluator.py",  # a process of its own
    "pilot/guard/guard.py",  # a process of its own, beside the payloads
    "pilot/guard_link.py",
)
TIME_CALLS: Final = {
    "asyncio.sleep",
    "time.clock_gettime",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.sleep",
    "time.time",
    "time.time_ns",
    "datetime.now",
    "datetime.datetime.now",
    "datetime.utcnow",
}
CHANCE: Final = {"random", "secrets", "uuid"}


def test_only_supervisors_catch_everything() -> None:
    found = [
        f"{name}:{handler.lineno} in {function}"
        for name in tree.modules(*PRODUCT)
        for function, handler in _handlers(tree.tree(name))
        if _catches_everything(handler) and function not in SUPERVISORS.get(name, ())
    ]

    assert not found, "name what the world can break; a bug must surface"


def test_time_is_read_from_the_clock_alone() -> None:
    found = [
        f"{name}:{node.lineno} {ast.unparse(node)}"
        for name in tree.modules(*PRODUCT)
        if not name.startswith(DRIVERS)
        for node in ast.walk(tree.tree(name))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in TIME_CALLS
    ]

    assert not found, "take a Clock as an argument"


def test_chance_comes_from_the_injected_randomness_alone() -> None:
    found = [
        f"{name}:{line} {imported}"
        for name in tree.modules(*PRODUCT)
        if not name.startswith(DRIVERS)
        for line, imported in tree.imports(name)
        if imported.split(".")[0] in CHANCE or imported == "os.urandom"
    ]

    assert not found, "take a Randomness as an argument"


def _handlers(module: ast.Module) -> Iterator[tuple[str, ast.ExceptHandler]]:
    """Yield each `except` with the name of the innermost function around it."""

    def walk(node: ast.AST, function: str) -> Iterator[tuple[str, ast.ExceptHandler]]:
        for child in ast.iter_child_nodes(node):
            inner = function
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                inner = child.name
            if isinstance(child, ast.ExceptHandler):
                yield function, child
            yield from walk(child, inner)

    yield from walk(module, "")


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    """Whether any exception ends here: a handler that ends in a bare `raise` only passes by."""
    last = handler.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {ast.unparse(kind) if kind is not None else "" for kind in kinds}
    return bool(names & {"", "Exception", "BaseException"})
