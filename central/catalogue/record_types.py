"""Files, datasets, replicas and their metadata, as a store keeps them.

A file has a row, its metadata are interned: the keys that many files have alike lie once, in a
*set*; a key whose values differ from file to file (a run number) becomes *own* and lies with each
file from then on. A file has a key either in its set or as its own, so no row is ever rewritten for
it. Every change of a file gives it the next `seq`: what has changed since is a range of an index.
"""

from typing import Final, NamedTuple

import msgspec

from pilotage.proto.catalogue import Did, FileState, KeyType, Metadata, ReplicaState, Value

OWN_FROM: Final = 512  # a key with more values than these becomes own
BATCH_SHOWS_FROM: Final = 32  # new files in one call that show what differs from file to file
SETS_STEP: Final = 4_096  # after so many new sets the key with the most values becomes own
KEYS_MAX: Final = 1_000  # of a community
DATASETS_OF_FILE_MAX: Final = 100


class _Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pass


class NewReplica(_Record, frozen=True):
    """A copy. Its path lies below what its storage says."""

    storage: str
    path: str
    state: ReplicaState = ReplicaState.AVAILABLE


class NewFile(_Record, frozen=True):
    """A file to be registered. Its metadata are `checked_metadata`, its checksums hexadecimal."""

    did: Did
    bytes: int
    adler32: str = ""  # 8 digits; one of the two at least
    sha256: str = ""  # 64 digits
    metadata: Metadata = {}
    replicas: tuple[NewReplica, ...] = ()
    datasets: tuple[Did, ...] = ()  # it is attached to these, and inherits their metadata
    owner_id: int = 0
    job_id: int | None = None  # that made it
    epoch: int | None = None
    own: bool = False  # whoever registers it may change no file of another owner


class Clash(_Record, frozen=True):
    """Why an item was left out: what was found in which field, and what would be right."""

    field: str
    value: str
    right: str

    def __str__(self) -> str:
        return f"{self.field}: found {self.value}, expected {self.right}"


class ItemOutcome(_Record, frozen=True):
    """What became of one item. With a clash nothing of it was written."""

    file_id: int = 0  # 0: none
    new: bool = False
    changed: bool = False  # a file that was there got something new
    clash: Clash | None = None


class FileRow(_Record, frozen=True):
    """A file with all of its metadata."""

    file_id: int
    did: Did
    bytes: int
    adler32: str
    sha256: str
    state: FileState
    set_id: int  # files with equal sets and equal own metadata have equal metadata
    own: Metadata
    metadata: Metadata  # its set's and its own; not to be changed by whoever reads it
    owner_id: int
    job_id: int | None
    epoch: int | None
    created_at: float
    seq: int


class ReplicaRow(_Record, frozen=True):
    """A copy of a file."""

    file_id: int
    storage: str
    path: str
    state: ReplicaState
    changed_at: float


class KeyRow(_Record, frozen=True):
    """A metadata key of a community."""

    key: str
    type: KeyType
    is_own: bool
    values: tuple[Value, ...] = ()  # that it has had, while it is shared


class DatasetRow(_Record, frozen=True):
    """A dataset. Closed, it takes no more files."""

    dataset_id: int
    did: Did
    is_open: bool
    metadata: Metadata  # that files inherit when they are registered into it
    owner_id: int
    created_at: float


class NewDataset(_Record, frozen=True):
    did: Did
    metadata: Metadata = {}
    owner_id: int = 0


class MetadataChange(_Record, frozen=True):
    """Set these keys of a file; remove those."""

    did: Did
    metadata: Metadata
    remove: tuple[str, ...] = ()


class ReplicaChange(_Record, frozen=True):
    """Give a copy a state. One that is not known is made if a path is given; None: it is gone."""

    did: Did
    storage: str
    state: ReplicaState | None
    path: str = ""


class FileCursor(NamedTuple):
    """Where a page of `find_files` ended: the next one begins behind it."""

    set_id: int = 0
    file_id: int = 0


class FileRowPage(NamedTuple):
    """A page. It may be short, or empty, although more follow: `next` alone says that none do."""

    files: list[FileRow]
    next: FileCursor | None


AVAILABLE: Final = frozenset({FileState.AVAILABLE})
PRESENT: Final = frozenset(FileState) - {FileState.REMOVED}


class JobInput(NamedTuple):
    """A file that a job reads, and which of its data's inputs named it."""

    number: int  # from 0 on
    file_id: int
