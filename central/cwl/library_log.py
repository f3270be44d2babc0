"""What the CWL library logs, in plain words on standard error."""

import io
import logging
import re
import sys
from typing import Final, TextIO

from .mistakes import TEXT_MAX, in_words, mistakes_of, plain

OWN: Final = {"is_own": True}  # `extra` of our own messages, which stay as they are
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_MAKING: Final = re.compile(
    r"^(?:\[(?:step|workflow) (?P<step>.*?)\] )?Cannot make.*?: (?P<why>.*)", re.DOTALL
)
_KNOWN: Final = (  # what our own messages say better
    "Final process status is",
    "Output is missing expected field",
    "] completed permanentFail",
)


_UNHANDLED: Final = "Unhandled exception"  # the library goes on: the workflow has failed


class Nowhere(io.TextIOBase):
    """A stream that keeps nothing."""

    def write(self, text: str, /) -> int:
        return len(text)


class PlainHandler(logging.Handler):
    """Writes warnings and errors, without tracebacks."""

    def __init__(
        self, stream: TextIO | Nowhere | None = None, *, marks_warnings: bool = True
    ) -> None:
        super().__init__(logging.WARNING)
        self._stream, self._marks = stream, marks_warnings
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        why = record.exc_info[1] if record.exc_info else None
        if record.levelno < logging.WARNING or (why is not None and record.msg != _UNHANDLED):
            return  # the library raises again what it logs with a traceback
        text = self._text(record) if why is None else f"it cannot be evaluated: {plain(why)}"
        if not text:
            return
        if record.levelno >= logging.ERROR:
            self.errors.append(text)
        else:
            self.warnings += text.splitlines()
            text = f"warning: {text}" if self._marks else text
        print(text, file=self._stream or sys.stderr)

    def _text(self, record: logging.LogRecord) -> str:
        said = _COLOURS.sub("", record.getMessage()).strip()
        if hasattr(record, "is_own"):
            return said
        if any(one in said for one in _KNOWN):
            return ""
        if match := _MAKING.match(said):
            step = match["step"]
            return f"step {step}: {plain(match['why'])}" if step else plain(match["why"])
        why = sys.exc_info()[1]
        if record.levelno >= logging.ERROR and why is not None and str(why)[:40] in said:
            return in_words(mistakes_of(why))
        return plain(said) if ":\n" in said else said[: 4 * TEXT_MAX]
