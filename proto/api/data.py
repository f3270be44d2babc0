"""Bodies of requests and answers about files, their copies, metadata, datasets and rules."""

import enum
from typing import Annotated, Any, Final

from msgspec import Meta

from ..catalogue import (
    BYTES_MAX,
    NAME_MAX,
    PATH_MAX,
    STORAGE_MAX,
    FileState,
    KeyType,
    ReplicaState,
    RuleState,
)
from ..decoding.patterns import whole
from ..job_states import JobState
from .bodies import ReplyStruct as _Out, RequestStruct as _In
from .jobs import PAGE_MAX, REASON_MAX
from .remnants import RemnantView

ITEMS_MAX: Final = 1_000  # files in one request
LINKS_MAX: Final = 1_000  # of a lineage

DidText = Annotated[str, Meta(min_length=3, max_length=NAME_MAX + 65)]
StorageName = Annotated[
    str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9._-]*"), max_length=STORAGE_MAX)
]
Adler32 = Annotated[str, Meta(pattern=whole("([0-9a-f]{8})?"))]
Sha256 = Annotated[str, Meta(pattern=whole("([0-9a-f]{64})?"))]
ReasonText = Annotated[str, Meta(max_length=REASON_MAX)]
PageLimit = Annotated[int, Meta(ge=1, le=PAGE_MAX)]


# -- registering ----------------------------------------------------------------------------------


class ReplicaItem(_In, frozen=True):
    """A copy of the file."""

    storage: StorageName
    path: Annotated[str, Meta(max_length=PATH_MAX)] = ""  # below the storage; empty: the name


class FileItem(_In, frozen=True):
    """A file to register. Its name, size and checksums never change."""

    did: DidText
    bytes: Annotated[int, Meta(ge=0, le=BYTES_MAX)]
    adler32: Adler32 = ""  # 8 hexadecimal digits; at least one checksum is required
    sha256: Sha256 = ""  # 64 hexadecimal digits
    metadata: dict[str, Any] = {}
    replicas: Annotated[tuple[ReplicaItem, ...], Meta(max_length=100)] = ()
    #: it inherits their metadata
    datasets: Annotated[tuple[DidText, ...], Meta(max_length=100)] = ()


class RegisterRequest(_In, frozen=True):
    """Register files in any order, each on its own."""

    files: Annotated[tuple[FileItem, ...], Meta(min_length=1, max_length=ITEMS_MAX)]
    dry_run: bool = False  # check names, rights and paths, and store nothing


class ItemResult(str, enum.Enum):
    """The result for one item."""

    NEW = "new"
    CHANGED = "changed"  # something new was added to an existing item
    SAME = "same"  # nothing was new
    REFUSED = "refused"  # nothing was stored


class Refusal(_Out, frozen=True):
    """Why an item was refused."""

    item: int  # index in the request, from 0
    did: str
    field: str
    message: str  # the field, the value found, and what would be right


class ItemsReply(_Out, frozen=True):
    """The result of each item, in the order of the request."""

    results: list[ItemResult]
    refused: list[Refusal] = []


# -- files ----------------------------------------------------------------------------------------


class FileView(_Out, frozen=True):
    """A file with its metadata."""

    did: str
    bytes: int
    state: FileState
    metadata: dict[str, Any]
    adler32: str = ""
    sha256: str = ""
    owner: str = ""
    job: int | None = None
    epoch: int | None = None
    at: str = ""
    seq: int = 0  # number of its last change


class FindRequest(_In, frozen=True):
    """Find files by a query."""

    query: dict[str, Any]  # {"particle": "gamma", "thetaP": {">=": 20}, "dataset": "a:b"}
    states: Annotated[tuple[FileState, ...], Meta(max_length=4)] = (FileState.AVAILABLE,)
    after: Annotated[str, Meta(max_length=64)] = ""
    limit: PageLimit = 100


class FilePage(_Out, frozen=True):
    """Files in a fixed order. A short page may have an `after`."""

    files: list[FileView]
    after: str | None = None


class ChangePage(_Out, frozen=True):
    """Changed files as they are now, in order of `seq`."""

    files: list[FileView]
    last: int


class ReplicaView(_Out, frozen=True):
    """A copy of a file."""

    storage: str
    path: str
    state: ReplicaState
    at: str = ""


class FileDetail(_Out, frozen=True):
    """Everything about one file."""

    file: FileView
    replicas: list[ReplicaView] = []
    datasets: list[str] = []
    remnants: list[RemnantView] = []  # remaining copies of a removed file


class DidsRequest(_In, frozen=True):
    """Files by name."""

    dids: Annotated[tuple[DidText, ...], Meta(min_length=1, max_length=ITEMS_MAX)]


class Replicas(_Out, frozen=True):
    """Copies of files, by name, without unknown names."""

    replicas: dict[str, list[ReplicaView]]


class ListBy(str, enum.Enum):
    """What selects the files of a list."""

    NAME = "name"  # any number of names
    PATTERN = "pattern"  # one SCOPE:PATTERN: `*` is any text, also with `/`, `?` one character
    DATASET = "dataset"  # one dataset


class ListRequest(_In, frozen=True):
    """List files with their copies."""

    which: Annotated[tuple[DidText, ...], Meta(min_length=1, max_length=ITEMS_MAX)]
    by: ListBy = ListBy.NAME
    after: Annotated[str, Meta(max_length=NAME_MAX)] = ""
    limit: PageLimit = 100


class FileCopies(_Out, frozen=True):
    """A file and its copies."""

    file: FileView
    replicas: list[ReplicaView] = []


class CopyPage(_Out, frozen=True):
    """Files in a fixed order. A short page may have an `after`."""

    files: list[FileCopies]
    after: str | None = None


class UsageRow(_Out, frozen=True):
    """Files of a scope and their bytes. Removed files do not count."""

    scope: str
    storage: str  # files with a readable copy there; empty: all files, each once
    files: int
    bytes: int


class UsagePage(_Out, frozen=True):
    """Counts of the files of one page. The sum of all pages is the answer."""

    rows: list[UsageRow]
    after: str | None = None


class MetadataItem(_In, frozen=True):
    """Set and remove keys of a file."""

    did: DidText
    set: dict[str, Any] = {}
    remove: Annotated[tuple[str, ...], Meta(max_length=64)] = ()


class MetadataRequest(_In, frozen=True):
    """Change the metadata of files."""

    changes: Annotated[tuple[MetadataItem, ...], Meta(min_length=1, max_length=ITEMS_MAX)]


class DeclareItem(_In, frozen=True):
    """The state of one copy."""

    did: DidText
    storage: StorageName
    state: ReplicaState = ReplicaState.BAD


class DeclareRequest(_In, frozen=True):
    """Declare copies bad, missing or available."""

    replicas: Annotated[tuple[DeclareItem, ...], Meta(min_length=1, max_length=ITEMS_MAX)]
    reason: ReasonText = ""


# -- datasets and keys ----------------------------------------------------------------------------


class DatasetRequest(_In, frozen=True):
    """Make a dataset. An existing one stays as it is."""

    did: DidText
    metadata: dict[str, Any] = {}  # inherited by files that are registered into it


class DatasetView(_Out, frozen=True):
    """A dataset."""

    did: str
    is_open: bool
    metadata: dict[str, Any]
    owner: str = ""
    at: str = ""


class DatasetPage(_Out, frozen=True):
    """Datasets in order of their names."""

    datasets: list[DatasetView]
    after: str | None = None


class DatasetActionName(str, enum.Enum):
    """An action on a dataset."""

    OPEN = "open"
    CLOSE = "close"  # no files can be added or taken out
    ATTACH = "attach"  # add files, whose metadata do not change
    DETACH = "detach"


class DatasetAction(_In, frozen=True):
    """Open or close a dataset, attach or detach files."""

    dataset: DidText
    action: DatasetActionName
    dids: Annotated[tuple[DidText, ...], Meta(max_length=ITEMS_MAX)] = ()


class KeyView(_Out, frozen=True):
    """A metadata key, with its values if they are few."""

    key: str
    type: KeyType
    values: list[Any] = []


class KeyList(_Out, frozen=True):
    """All metadata keys of a community."""

    keys: list[KeyView]


class KeysRequest(_In, frozen=True):
    """Add keys with their types, before any file has them."""

    keys: Annotated[dict[str, KeyType], Meta(min_length=1, max_length=ITEMS_MAX)]


# -- lineage --------------------------------------------------------------------------------------


class Direction(str, enum.Enum):
    UP = "up"  # the files that it was made from
    DOWN = "down"  # the files that were made from it


class LineageLink(_Out, frozen=True):
    """A job with the files that it read and made."""

    job: int
    inputs: list[str]
    outputs: list[str]
    step: int


class Lineage(_Out, frozen=True):
    """Jobs that produced a file, or that read it, nearest first."""

    did: str
    links: list[LineageLink]
    more: bool = False
    removed: list[str] = []  # named files that were removed


# -- rules ----------------------------------------------------------------------------------------


class RuleRequest(_In, frozen=True):
    """Keep copies of files. Give either `did` or `query`."""

    copies: Annotated[int, Meta(ge=1, le=20)]
    storages: Annotated[tuple[StorageName, ...], Meta(min_length=1, max_length=100)]
    did: Annotated[str, Meta(max_length=NAME_MAX + 65)] = ""
    query: dict[str, Any] = {}


class RuleJob(_Out, frozen=True):
    """A job that makes a copy for a rule."""

    id: int
    storage: str
    state: JobState
    site: str = ""
    said: str = ""  # its status, or why it waits


class RuleView(_Out, frozen=True):
    """A rule and its progress."""

    id: int
    copies: int
    storages: list[str]
    state: RuleState
    did: str = ""
    query: dict[str, Any] = {}
    files: int = 0
    there: int = 0  # existing copies
    moving: int = 0  # copies that a job makes now
    wanted: int = 0  # copies that wait for a job
    stuck: int = 0  # copies that failed too often
    why: str = ""
    owner: str = ""
    at: str = ""
    jobs: list[RuleJob] = []  # at most 20; only if one rule is asked for


class RuleList(_Out, frozen=True):
    """Rules in order of id."""

    rules: list[RuleView]
