"""The options with which a job waits for other jobs."""

import re
from typing import Any, Final

from ..exit_codes import UsageError

_FORM: Final = re.compile(
    r"(?:(?P<first>\d{1,16})(?:-(?P<last>\d{1,16}))?|submission:(?P<submission>\d{1,16}))"
    r"(?::(?P<when>ok|any|fail))?"
)
_FORMS: Final = "12, 12-20 or submission:7, each also with :any or :fail"


def dependencies(after: tuple[str, ...], after_each: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the jobs to wait for, in the form of a job file."""
    found: list[dict[str, Any]] = []
    for text in after:
        match = _FORM.fullmatch(text)
        if match is None:
            raise UsageError(f"--after {text!r}: expected {_FORMS}")
        when = {"when": match["when"] or "ok"}
        if match["submission"]:
            found.append({"submission": int(match["submission"]), **when})
            continue
        first, last = int(match["first"]), int(match["last"] or 0)
        if last and last < first:
            raise UsageError(f"--after {text!r}: give the smaller id first")
        found.append({"job": first, "last": last, **when})
    for text in after_each:
        match = _FORM.fullmatch(text)
        if match is None or not match["submission"]:
            raise UsageError(
                f"--after-each {text!r}: expected submission:7, also with :any or :fail"
            )
        when = {"when": match["when"] or "ok"}
        found.append({"submission": int(match["submission"]), "each": True, **when})
    return found
