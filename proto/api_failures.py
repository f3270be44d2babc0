"""Bodies of answers about failures."""

from .bodies import Out as _Out
from .failures import FailureClass, Family


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
