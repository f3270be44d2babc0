"""Changes of the CWL library: its time grows with the square of the jobs, or of the files."""

import copy
import logging
from collections.abc import Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final

from cwl_utils.errors import WorkflowException
from cwltool import builder, command_line_tool, process, workflow_job

_MAP: Final[Any] = vars(builder)["CommentedMap"]  # of the YAML library
_SEQ: Final[Any] = vars(process)["CommentedSeq"]
_LOGGER: Final = logging.getLogger("cwltool")
_OWN_TOSTR: Final = builder.Builder.tostr


def change() -> None:
    """Change the library in this process."""
    modules: list[Any] = [command_line_tool, builder, workflow_job, process]
    modules[0].uniquename = _same_name
    modules[1].Builder.tostr = _tostr
    modules[1].copy = SimpleNamespace(copy=copy.copy, deepcopy=_deepcopy)
    modules[3].CommentedSeq = _Bindings
    modules[2].parallel_steps = _parallel_steps


def _same_name(stem: str, names: set[str] | None = None) -> str:
    """Return a name as it is. The library looks for a new number, from 1 on, for each job."""
    return stem


def _tostr(self: Any, value: Any) -> str:
    """Return a value as a word. Numbers have no exponent; the library sees to that in YAML only."""
    if isinstance(value, float) and "e" in repr(value):
        return format(Decimal(repr(value)), "f")
    return str(_OWN_TOSTR(self, value))


def _deepcopy(one: Any) -> Any:
    """Copy a binding without its value: the library copies a whole array for each element."""
    if isinstance(one, _MAP) and "datum" in one:
        plain: Any = one
        return type(plain)({key: value for key, value in plain.items() if key != "datum"})
    return copy.deepcopy(one)


class _Bindings(_SEQ):  # type: ignore[misc]
    """The bindings of a job. The library copies them only to sort them."""

    def __deepcopy__(self, memo: Any) -> list[Any]:
        return list(self)


def _parallel_steps(steps: list[Any], receiver: Any, context: Any) -> Iterator[Any]:
    """Yield the jobs of all elements of a scatter; None: all wait for results.

    The library begins again with the first element after each one that had a job. Here an element
    gets results only between two passes, so a pass goes through to the end.
    """

    def has_failed() -> bool:
        return stops and receiver.processStatus not in ("success", "skipped")

    stops = (context.on_error or "stop") == "stop"
    left = list(range(len(steps)))
    while receiver.completed < receiver.total:
        is_idle = True
        left = [index for index in left if steps[index] is not None]
        for index in left:
            if has_failed():
                break
            try:
                for job in steps[index]:
                    if job is None or has_failed():
                        break
                    is_idle = False
                    yield job
                else:
                    steps[index] = None  # its jobs are known; only results are missing
            except WorkflowException as why:
                _LOGGER.error("Cannot make scatter job: %s", why)
                receiver.receive_scatter_output(index, {}, "permanentFail")
        if is_idle and receiver.completed < receiver.total:
            yield None
