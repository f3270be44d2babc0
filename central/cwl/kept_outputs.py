"""Says which files of a tool can be outputs, before it runs."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

from cwl_utils.errors import WorkflowException

from pilotage.pilot.cwl.tool_job import OUT


def kept(job: Any) -> list[str] | None:
    """Return globs of the files that a job of the library can put out; None: it may be any file.

    A folder that a glob matches is kept whole.
    """
    if job.inplace_update:
        return None
    globs: list[str] = []
    for port in job.ports:
        if port.get("secondaryFiles") or _has_fields(port["type"]):
            return None
        try:
            globs += globs_of(job, port)
        except (WorkflowException, ValueError, TypeError, KeyError):
            return None  # the evaluation after the run says what is wrong
    return sorted(set(globs))


def globs_of(job: Any, port: Any) -> list[str]:
    """Return the globs of an output port. Raises WorkflowException for a wrong expression."""
    binding: Any = port.get("outputBinding") or {}
    return [
        _relative(one)
        for glob in _listed(binding.get("glob"))
        for one in _listed(job.builder.do_eval(glob))
        if isinstance(one, str)
    ]


def _has_fields(kind: Any) -> bool:
    """Return whether a type has records, whose fields have globs of their own."""
    if isinstance(kind, list):
        return any(map(_has_fields, cast(Sequence[Any], kind)))
    if not isinstance(kind, Mapping):
        return False
    kind = cast(Mapping[str, Any], kind)
    return kind.get("type") == "record" or _has_fields(kind.get("items"))


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(cast(Sequence[Any], value)) if isinstance(value, list) else [value]


def _relative(glob: str) -> str:
    return os.path.relpath(glob, OUT) if glob.startswith("/") else glob
