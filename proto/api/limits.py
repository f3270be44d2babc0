"""Bodies of answers about shares and limits."""

from .bodies import ReplyStruct as _Out


class LimitView(_Out, frozen=True):
    """A limit of running jobs or of starts, with its use."""

    where: str  # SITE or SITE/ELEMENT; empty: all sites together
    by: str  # type, group, owner, tag or amount
    value: str
    community: str  # empty: all communities together
    most: int  # most running jobs, most of an amount, or the burst of starts
    per_s: float = 0.0  # starts per second; 0: no limit of starts
    running: int = 0  # jobs that count now, or their sum of an amount


class LimitsView(_Out, frozen=True):
    """The shares and limits in force."""

    shares: dict[str, float]  # by path; others weigh 1
    limits: tuple[LimitView, ...]
    trouble: str = ""  # why the settings file was ignored when it was last read
    unknown: tuple[str, ...] = ()  # shares and limits that match nobody, and why (for operators)
