"""Remnants: bytes on a storage that no file names any more, and the sweeps that remove them.

A remnant is a copy of a file that was removed, or the folder of an attempt that does not count. It
is *Waiting* until its time has come. The transaction that marks it *Sweeping* looks again whether a
file names its path, or one below it; from then on none may, so that whoever removes it, and however
late, takes nobody's bytes. Once it is *Gone* its path stays barred for a while: an attempt to
remove it that was given up may still be at it.
"""

from typing import Final

import msgspec

from pilotage.proto.api.remnants import RemnantView
from pilotage.proto.catalogue import RemnantState

from ..identity.record_types import Owner
from ..observe.times import shown

KEY_LENGTH: Final = 201  # of the central's own submissions: one more than people's keys may have


PAUSE_FIRST_S: Final = 60.0


PAUSE_MAX_S: Final = 6 * 3_600.0


def pause_s(failures: int) -> float:
    """Return how long to wait after so many failures: 1 min, 4 min, 16 min, …"""
    return min(PAUSE_FIRST_S * float(4 ** min(failures - 1, 10)), PAUSE_MAX_S)


HELD_S: Final = 86_400.0  # after which a remnant whose path a file names is looked at again
AWAY_S: Final = 900.0  # after which a storage that gave nothing is asked for what was not tried
SWEEP_MAX: Final = 500  # remnants of one sweep
NAMES_MAX: Final = 200  # files at a path or below it that are looked at: more hold a remnant
LOOKED_MAX: Final = 5_000  # rows of files that one order looks at, or one who asks
STORING_MAX: Final = 500  # jobs that are looked at in one call
_KEY: Final = "sweep-"


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    pass


class RemnantRow(_Record, frozen=True, gc=False):
    """A remnant. Its time counts from `since`; what failed is tried again after a pause."""

    remnant_id: int
    storage: str
    path: str
    community: str
    owner_id: int
    group: str
    file_id: int | None  # None: the folder of an attempt
    bytes: int  # of a folder nobody knows: 0
    since: float
    state: RemnantState
    failures: int = 0
    why: str = ""  # of the last failure, or why it stays
    sweep_id: int | None = None
    gone_at: float | None = None

    @property
    def is_folder(self) -> bool:
        return self.file_id is None


class SweepRow(_Record, frozen=True):
    """A job that removes remnants of one storage. It may have to be submitted yet."""

    sweep_id: int
    storage: str
    community: str
    owner: Owner
    group: str
    made_at: float
    job_id: int | None = None


class RemnantCount(_Record, frozen=True):
    """How many remnants of a community a storage has, and had.

    Bytes end at BYTES_MAX. The count of those that wait may stay there until none does.
    """

    storage: str
    community: str
    waiting: int = 0  # those that are being swept too
    waiting_bytes: int = 0
    failing: int = 0  # of these, those that could not be removed yet
    gone: int = 0  # ever
    gone_bytes: int = 0
    sweeping: int = 0  # that a job has now


def sweep_key(sweep_id: int) -> str:
    """Return the key of a sweep's submission, which nobody else can have."""
    return f"{_KEY}{sweep_id}".ljust(KEY_LENGTH, ".")


def sweep_of_key(key: str) -> int | None:
    """Return the sweep that a submission of this key is of; None: it is of none."""
    number = key.removeprefix(_KEY).rstrip(".")
    is_one = len(key) == KEY_LENGTH and key.startswith(_KEY) and number.isdecimal()
    return int(number) if is_one else None


def above(path: str) -> list[str]:
    """Return a path and all folders above it."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def not_its_own(row: RemnantRow, *, any_path: bool) -> str:
    """Say why a remnant stays that lies where a community names nothing; empty: it does not.

    `any_path`: whether its storage is of one community alone.
    """
    if any_path or row.path.startswith(f"{row.community}/"):
        return ""
    return f"it lies outside of {row.community}/, and {row.storage} does not say any_path"


class SweepResult(_Record, frozen=True):
    """What the result of a sweep says of its remnants, in the transaction that writes it.

    Those that it does not speak of have failed too.
    """

    gone: tuple[int, ...]
    failed: tuple[tuple[int, str], ...] = ()  # with why
    after_s: float = 0.0  # how long remnants wait: what failed is due again after its pause alone
    untried: tuple[tuple[int, str], ...] = ()  # with why: no failures of theirs


def view_of(row: RemnantRow, did: str, why: str = "") -> RemnantView:
    """Return a remnant as it is shown; `why` it is still there, if that is not its last failure."""
    return RemnantView(
        id=row.remnant_id,
        storage=row.storage,
        path=row.path,
        state=row.state,
        bytes=row.bytes,
        did=did,
        since=shown(row.since),
        gone=shown(row.gone_at),
        failures=row.failures,
        why=why or row.why,
    )
