"""Bodies of answers about the numbers and the usage of jobs over time."""

import enum

from .bodies import ReplyStruct as _Out


class SeriesBy(str, enum.Enum):
    ALL = "all"
    SITE = "site"
    TYPE = "type"
    COMMUNITY = "community"


class SeriesLine(_Out, frozen=True):
    """A line of a series, with a value for each slot."""

    key: str  # empty: all, or no site yet
    waiting: list[float]  # mean number of jobs in the slot
    running: list[float]
    done: list[int]  # jobs that ended in the slot
    failed: list[int]
    cpu_s: list[float]  # used by attempts whose result came in the slot
    wall_s: list[float]
    core_s: list[float]  # wall time of all given cores
    hs23_s: list[float]  # `core_s` times the HS23 of each core
    bytes_in: list[int]
    bytes_out: list[int]


class Series(_Out, frozen=True):
    """Counts by slot. There are no slots for times when the central was down."""

    step_s: int
    at: list[str]
    lines: list[SeriesLine]


class AccountsBy(str, enum.Enum):
    ALL = "all"
    DAY = "day"
    OWNER = "owner"
    GROUP = "group"
    TYPE = "type"
    SITE = "site"
    COMMUNITY = "community"


class AccountLine(_Out, frozen=True):
    """Sums over attempts with a result, and over jobs that ended with it."""

    key: str
    done: int
    failed: int
    cpu_s: float
    wall_s: float
    core_s: float  # wall time of all given cores
    hs23_s: float  # `core_s` times the HS23 of each core
    bytes_in: int
    bytes_out: int


class Accounts(_Out, frozen=True):
    """The resources that jobs have used, including removed jobs."""

    by: AccountsBy
    lines: list[AccountLine]
