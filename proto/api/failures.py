"""Bodies of answers about failures."""

from typing import Any

from ..failures import FailureClass, Family
from .bodies import ReplyStruct as _Out


class FailureLine(_Out, frozen=True):
    """Failed attempts of one class at one site."""

    failure: FailureClass
    family: Family
    meaning: str
    site: str
    attempts: int
    jobs: int  # jobs that failed with the attempt, without a retry left
    examples: tuple[int, ...] = ()
    said: str = ""  # the most frequent message; N stands for numbers, H for hashes, /P for paths
    said_count: int = 0


class Failures(_Out, frozen=True):
    """Counts of failed attempts, including those of removed jobs."""

    since: str  # start of an hour
    lines: list[FailureLine]


class ReportView(_Out, frozen=True):
    """A report of failover, about one cause in one cycle."""

    id: int
    at: str
    transformation: int
    name: str
    cycle: int
    cause: str  # a class of failures, or an action such as flush or complete
    title: str
    saved: int  # interventions that rules saved
    stuck: int  # failures that no rule handles any more
    mail: str = ""  # when it was mailed, or why not; empty: no mail is due


class ReportPage(_Out, frozen=True):
    """Reports, newest first. Send `before` for the next page."""

    reports: list[ReportView]
    before: int | None = None


class ReportDetail(_Out, frozen=True):
    """One report."""

    view: ReportView
    text: str
    report: dict[str, Any]
