"""Bodies of answers about failures."""

from typing import Any

from ..failures import FailureClass, Family
from .bodies import ReplyStruct as _Out


class FailureLine(_Out, frozen=True):
    """Attempts that failed of one class at one site."""

    failure: FailureClass
    family: Family
    meaning: str
    site: str
    attempts: int
    jobs: int  # that failed with the attempt: no retry was left
    examples: tuple[int, ...] = ()  # jobs, the newest first
    said: str = ""  # most often: N stands for numbers, H for hashes, /P for paths
    said_count: int = 0


class Failures(_Out, frozen=True):
    """Failed attempts, counted as they ended; they outlive the jobs."""

    since: str  # the begin of an hour
    lines: list[FailureLine]  # the most frequent first


class ReportView(_Out, frozen=True):
    """A report of failover: what failed of one cause in one cycle, or what was done."""

    id: int
    at: str
    transformation: int
    name: str  # of the transformation
    cycle: int
    cause: str  # a class of failures, or what was done: flush, complete …
    title: str
    saved: int  # interventions of people that a rule has saved
    for_people: int  # that wait for a person
    mail: str = ""  # when it was mailed, or why not; empty: it is not to be


class ReportPage(_Out, frozen=True):
    """Reports, the newest first; `before` of the next page, if there are more."""

    reports: list[ReportView]
    before: int | None = None


class ReportDetail(_Out, frozen=True):
    """Everything of one report."""

    view: ReportView
    text: str  # as it is mailed
    report: dict[str, Any]
