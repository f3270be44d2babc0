"""Bodies of answers about bytes that no file names any more."""

from ..catalogue import RemnantState
from .bodies import ReplyStruct as _Out


class RemnantView(_Out, frozen=True):
    """Bytes on a storage that no file names any more, or that are gone."""

    id: int
    storage: str
    path: str
    state: RemnantState
    bytes: int = 0  # of a folder nobody knows: 0
    did: str = ""  # whose copy it was; empty: the folder of an attempt that does not count
    since: str = ""  # when the file was removed, or the job has ended
    gone: str = ""  # when its bytes were removed
    failures: int = 0
    why: str = ""  # why it is still there: its storage, its time, what lies there, the last failure


class RemnantPage(_Out, frozen=True):
    """Some remnants, in order of their id: `GET /v1/data/sweep/remnants`."""

    remnants: list[RemnantView]
    after: int | None = None  # with which the next page begins; null: that was the end


class SweepCount(_Out, frozen=True):
    """What waits on a storage, and what went."""

    storage: str
    takes_part: bool
    trouble: str = ""  # why it does not
    waiting: int = 0  # remnants, those that a job has too
    waiting_bytes: int = 0
    sweeping: int = 0  # of these, those that a job has now
    failing: int = 0  # of these, those that could not be removed yet
    gone: int = 0  # ever
    gone_bytes: int = 0


class SweepView(_Out, frozen=True):
    """How far sweeping is: `GET /v1/data/sweep`."""

    after_s: float  # for how long remnants wait
    storages: list[SweepCount]
