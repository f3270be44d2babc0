"""Runs calls of an `Executor` on a node, with the standard library alone.

It travels with each job, in an archive with cloudpickle: `python3 calls.pyz PLACE [MODULE…]`.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
import time

TYPE_CHECKING = False  # imports would take longer than most calls
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CALLS_FILE = "calls.pickle"  # a list of pairs: pickled function, pickled calls
FUNCTION_FILE = "function.pickle"  # a large function, in place of the one in the list
RESULTS_FILE = "results.pickle"
SECONDS = struct.Struct("<d")  # run time of the calls, before the pickled list of results
PROTOCOL = 5


def main() -> None:
    """Run the calls at one place of the list, and write their results."""
    place, modules = int(sys.argv[1]), sys.argv[2:]
    sys.path.insert(1, os.getcwd())  # modules may be inputs of the job
    missing = [name for name in modules if not _is_there(name)]
    if missing:
        sys.exit(f"{sys.executable} has no module {', '.join(missing)}")
    with open(CALLS_FILE, "rb") as file:
        function, calls = pickle.load(file)[place]
    if not function:
        with open(FUNCTION_FILE, "rb") as file:
            function = file.read()
    call = pickle.loads(function)
    wanted = pickle.loads(calls)
    began = time.perf_counter()
    results = [_result(call, *arguments) for arguments in wanted]
    took_s = time.perf_counter() - began
    with open(RESULTS_FILE, "wb") as file:
        file.write(SECONDS.pack(took_s))
        pickle.dump(results, file, PROTOCOL)


def _is_there(module: str) -> bool:
    import importlib.util

    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # of a package above it
        return False


def _result(
    call: Callable[..., Any], positional: tuple[Any, ...], named: dict[str, Any]
) -> tuple[bool, bytes]:
    """Return whether the call succeeded, with the pickled value, or exception and traceback."""
    try:
        value = call(*positional, **named)
    except BaseException as why:  # whatever the function raises belongs to its caller
        return False, _pickled_error(why)
    try:
        return True, _pickled(value)
    except Exception as why:  # so may any part of the value
        return False, _pickled_error(why)


def _pickled_error(why: BaseException) -> bytes:
    import traceback

    trace = why.__traceback__
    frames = trace.tb_next if trace is not None else None  # without ours
    text = "".join(traceback.format_exception(type(why), why, frames or trace))
    try:
        found = _pickled((why, text))
        pickle.loads(found)  # an exception with an __init__ of its own may not come back
        return found
    except Exception:  # any part of it may refuse
        return _pickled((RuntimeError(f"{type(why).__name__}: {why}"), text))


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value, PROTOCOL)
    except Exception:  # classes and functions that travelled by value
        import importlib

        found: bytes = importlib.import_module("cloudpickle").dumps(value, PROTOCOL)
        return found
