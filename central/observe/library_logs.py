"""Writes the log records of libraries as our events, so that all lines have one form."""

import logging

from .events import Log

MESSAGE_MAX = 4_000


class LibraryLog(logging.Handler):
    """Writes warnings and errors of the libraries to our log."""

    def __init__(self, log: Log) -> None:
        super().__init__(level=logging.WARNING)
        self._log = log
        self._trace = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        error = self._trace.formatException(record.exc_info) if record.exc_info else ""
        self._log(
            "library",
            logger=record.name,
            level=record.levelname.lower(),
            message=record.getMessage()[:MESSAGE_MAX],
            error=error[-MESSAGE_MAX:],
        )


def take_over(log: Log) -> None:
    """Send all log records of libraries to `log`, and nowhere else."""
    root = logging.getLogger()
    root.handlers = [LibraryLog(log)]
    root.setLevel(logging.WARNING)
