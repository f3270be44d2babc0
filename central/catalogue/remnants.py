"""Remnants: bytes on a storage that no file names any more, and the sweeps that remove them.

A remnant is a copy of a removed file, or the folder of an attempt that does not count. It is
*Waiting* until it is due. The transaction that marks it *Sweeping* checks again that no file names
its path, or a path below it. From then on no file may name such a path, so a sweep can never
remove a file's bytes, however late it runs. A remnant that is *Gone* bars its path for a while
longer, because an abandoned attempt to remove it may still be running.
"""

from typing import Final

from pilotage.proto.api.remnants import RemnantView
from pilotage.proto.catalogue import RemnantState

from ..identity.record_types import Owner
from ..observe.times import shown
from ..store.records import Record

KEY_LENGTH: Final = 201  # of the central's submission keys; users' keys have at most 200


PAUSE_FIRST_S: Final = 60.0


PAUSE_MAX_S: Final = 6 * 3_600.0


def pause_s(failures: int) -> float:
    """Return the pause in seconds after this number of failures: 1 min, 4 min, 16 min, …"""
    return min(PAUSE_FIRST_S * float(4 ** min(failures - 1, 10)), PAUSE_MAX_S)


HELD_S: Final = 86_400.0  # until a remnant whose path a file names is checked again
AWAY_S: Final = 900.0  # until untried remnants are due again if a sweep removed nothing
SWEEP_MAX: Final = 500  # remnants in one sweep
NAMES_MAX: Final = 200  # files read at a path or below it; if there are more, the remnant is held
LOOKED_MAX: Final = 5_000  # rows of files read when sweeps are made, or remnants are listed
STORING_MAX: Final = 500  # jobs in one call
UNREGISTERED: Final = 0  # in place of a file's id: an upload that no file names
_KEY: Final = "sweep-"


class RemnantRow(Record, frozen=True, kw_only=True):
    """A remnant. Its age counts from `since`. A failed one is tried again after a pause."""

    remnant_id: int
    storage: str
    path: str
    community: str
    owner_id: int
    group: str
    file_id: int | None  # None: the folder of an attempt; UNREGISTERED: an upload
    bytes: int  # 0 for a folder or an upload, whose size is unknown
    since: float
    state: RemnantState
    failures: int = 0
    why: str = ""  # the last failure, or why it is held
    sweep_id: int | None = None
    gone_at: float | None = None

    @property
    def is_folder(self) -> bool:
        return self.file_id is None

    @property
    def is_copy(self) -> bool:
        """Whether the catalogue had it as a copy of a file."""
        return self.file_id not in (None, UNREGISTERED)

    @property
    def size_bytes(self) -> int | None:
        """The size of the file, or None if it is unknown."""
        return self.bytes if self.is_copy else None


class RemnantPlace(Record, frozen=True, kw_only=True):
    """A place where an upload may have left bytes, and who is charged for them."""

    storage: str
    path: str
    community: str
    owner_id: int
    group: str


class SweepRow(Record, frozen=True, kw_only=True):
    """A sweep: a job that removes remnants of one storage. The job may not be submitted yet."""

    sweep_id: int
    storage: str
    community: str
    owner: Owner
    group: str
    made_at: float
    job_id: int | None = None


class RemnantCount(Record, frozen=True, kw_only=True):
    """The numbers of remnants of a community on a storage, now and in total.

    Bytes are capped at BYTES_MAX. Once `waiting_bytes` is capped, it stays so until no remnant
    waits.
    """

    storage: str
    community: str
    waiting: int = 0  # including those in a sweep
    waiting_bytes: int = 0
    failing: int = 0  # waiting ones whose removal failed
    gone: int = 0  # in total
    gone_bytes: int = 0
    sweeping: int = 0  # in a sweep now


def sweep_key(sweep_id: int) -> str:
    """Return the key of a sweep's submission. No user's submission can have such a key."""
    return f"{_KEY}{sweep_id}".ljust(KEY_LENGTH, ".")


def sweep_of_key(key: str) -> int | None:
    """Return the sweep to which a submission key belongs, or None."""
    number = key.removeprefix(_KEY).rstrip(".")
    is_one = len(key) == KEY_LENGTH and key.startswith(_KEY) and number.isdecimal()
    return int(number) if is_one else None


def above(path: str) -> list[str]:
    """Return a path and all folders above it."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def held_for(row: RemnantRow, *, any_path: bool, kept: str) -> str:
    """Return why a remnant is held that may belong to others, or an empty text.

    `any_path` says that the storage belongs to one community alone. `kept` says why copies of files
    stay on it: only folders and uploads are removed there, which Rucio never had.
    """
    if kept and row.is_copy:
        return kept
    if any_path or row.path.startswith(f"{row.community}/"):
        return ""
    return f"it is outside {row.community}/, and {row.storage} does not set any_path"


class SweepResult(Record, frozen=True, kw_only=True):
    """The result of a sweep, applied in the transaction that writes the job's result.

    Remnants that it does not mention have failed too.
    """

    gone: tuple[int, ...]
    failed: tuple[tuple[int, str], ...] = ()  # (remnant, reason)
    after_s: float = 0.0  # the wait of new remnants; failed ones wait for their pause only
    untried: tuple[tuple[int, str], ...] = ()  # (remnant, reason); they do not count as failed


def view_of(row: RemnantRow, did: str, why: str = "") -> RemnantView:
    """Return a remnant for display. `why` replaces its last failure."""
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
