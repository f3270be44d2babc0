"""Bodies of answers about bytes that no file names any more."""

from ..catalogue import RemnantState
from .bodies import ReplyStruct as _Out


class RemnantView(_Out, frozen=True):
    """Bytes on a storage that no catalogue entry needs, or that were removed."""

    id: int
    storage: str
    path: str
    state: RemnantState
    bytes: int = 0  # 0 for a folder of unknown size
    did: str = ""  # file of the copy; empty: folder of an attempt that does not count
    since: str = ""  # when the file was removed, or the job ended
    gone: str = ""
    failures: int = 0
    why: str = ""  # why the bytes are still there: storage, time, contents, or the last failure


class RemnantPage(_Out, frozen=True):
    """Remnants in order of id."""

    remnants: list[RemnantView]
    after: int | None = None


class SweepCount(_Out, frozen=True):
    """Waiting and removed bytes of a storage."""

    storage: str
    takes_part: bool
    trouble: str = ""  # why the storage takes no part
    waiting: int = 0  # remnants, including those in removal
    waiting_bytes: int = 0
    sweeping: int = 0  # remnants that a job removes now
    failing: int = 0  # remnants whose removal has failed so far
    gone: int = 0  # all removed remnants
    gone_bytes: int = 0


class SweepView(_Out, frozen=True):
    """The progress of sweeping."""

    after_s: float
    storages: list[SweepCount]
