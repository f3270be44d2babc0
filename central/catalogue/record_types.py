"""Records of files, datasets, replicas and their metadata.

Each file has a row, and its metadata are interned. Keys whose values many files share are stored
once, in a *set*. A key whose values differ from file to file (a run number) becomes *own*: from
then on each file stores its value itself. A file has a key either in its set or as its own, so no
row has to be rewritten when a key becomes own. Every change of a file gives it the next `seq`;
recent changes are therefore a range of an index.
"""

from typing import Final, NamedTuple

import msgspec

from pilotage.proto.catalogue import Did, FileState, KeyType, Metadata, ReplicaState, Value

OWN_FROM: Final = 512  # a key with more values than these becomes own
BATCH_SHOWS_FROM: Final = 32  # new files in one call that show which keys differ by file
SETS_STEP: Final = 4_096  # after this number of new sets the key with the most values becomes own
KEYS_MAX: Final = 1_000  # for each community
DATASETS_OF_FILE_MAX: Final = 100


class _Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pass


class NewReplica(_Record, frozen=True):
    """A copy. Its path is relative to its storage's URL."""

    storage: str
    path: str
    state: ReplicaState = ReplicaState.AVAILABLE


class NewFile(_Record, frozen=True):
    """A file to register. Its metadata are `checked_metadata`, its checksums hexadecimal."""

    did: Did
    bytes: int
    adler32: str = ""  # 8 digits; at least one of the two checksums is needed
    sha256: str = ""  # 64 digits
    metadata: Metadata = {}
    replicas: tuple[NewReplica, ...] = ()
    datasets: tuple[Did, ...] = ()  # the file is attached to them, and inherits their metadata
    owner_id: int = 0
    job_id: int | None = None  # the job that made it
    epoch: int | None = None
    own: bool = False  # true: do not change files of other owners


class Clash(_Record, frozen=True):
    """The reason why an item was refused: field, offending value, and the right form."""

    field: str
    value: str
    right: str

    def __str__(self) -> str:
        return f"{self.field}: found {self.value}, expected {self.right}"


class ItemOutcome(_Record, frozen=True):
    """The outcome of one item. An item with a clash wrote nothing."""

    file_id: int = 0  # 0: none
    new: bool = False
    changed: bool = False  # an existing file was changed
    clash: Clash | None = None


class FileRow(_Record, frozen=True):
    """A file with all its metadata."""

    file_id: int
    did: Did
    bytes: int
    adler32: str
    sha256: str
    state: FileState
    set_id: int  # files with equal sets and equal own metadata have equal metadata
    own: Metadata
    metadata: Metadata  # of its set and its own together; readers must not change them
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
    values: tuple[Value, ...] = ()  # all values it has had, while it is shared


class DatasetRow(_Record, frozen=True):
    """A dataset. A closed dataset accepts no more files."""

    dataset_id: int
    did: Did
    is_open: bool
    metadata: Metadata  # inherited by files that are registered into it
    owner_id: int
    created_at: float


class NewDataset(_Record, frozen=True):
    did: Did
    metadata: Metadata = {}
    owner_id: int = 0


class MetadataChange(_Record, frozen=True):
    """Set these keys of a file, and remove the others that are listed."""

    did: Did
    metadata: Metadata
    remove: tuple[str, ...] = ()


class ReplicaChange(_Record, frozen=True):
    """Set the state of a copy. A path adds an unknown copy. The state None deletes the copy."""

    did: Did
    storage: str
    state: ReplicaState | None
    path: str = ""


class FileCursor(NamedTuple):
    """The end of a page of `find_files`. The next page begins after it."""

    set_id: int = 0
    file_id: int = 0


class FileRowPage(NamedTuple):
    """A page of files. It may be short or empty before the end; only `next` None marks the end."""

    files: list[FileRow]
    next: FileCursor | None


class UsageCount(NamedTuple):
    """Files of a scope and their bytes: those with a copy on a storage, or all if it is empty."""

    scope: str
    storage: str
    files: int
    bytes: int


class UsageCounts(NamedTuple):
    """The counts of a page of files, and where the next page begins; None: nowhere."""

    rows: list[UsageCount]
    next: str | None


AVAILABLE: Final = frozenset({FileState.AVAILABLE})
PRESENT: Final = frozenset(FileState) - {FileState.REMOVED}


INPUT_FILES_MAX: Final = 100_000  # for each input of a job


class JobInput(NamedTuple):
    """A file that a job reads, with the number of the job's input that selected it."""

    number: int  # from 0
    file_id: int
