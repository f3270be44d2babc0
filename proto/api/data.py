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
Reason = Annotated[str, Meta(max_length=REASON_MAX)]
Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX)]


# -- registering --------------------------------------------------------------------------------


class ReplicaItem(_In, frozen=True):
    """A copy that is there."""

    storage: StorageName
    path: Annotated[str, Meta(max_length=PATH_MAX)] = ""  # below the storage's own; empty: the name


class FileItem(_In, frozen=True):
    """A file to be registered. Its name, size and checksums stay as they are for ever."""

    did: DidText  # SCOPE:NAME
    bytes: Annotated[int, Meta(ge=0, le=BYTES_MAX)]
    adler32: Adler32 = ""  # 8 hexadecimal digits; one checksum at least
    sha256: Sha256 = ""  # 64 hexadecimal digits
    metadata: dict[str, Any] = {}
    replicas: Annotated[tuple[ReplicaItem, ...], Meta(max_length=100)] = ()
    datasets: Annotated[tuple[DidText, ...], Meta(max_length=100)] = ()  # it inherits of these


class RegisterRequest(_In, frozen=True):
    """Register files, each by itself, in any order: `POST /v1/data/files`."""

    files: Annotated[tuple[FileItem, ...], Meta(min_length=1, max_length=ITEMS_MAX)]


class ItemResult(str, enum.Enum):
    """What became of one item."""

    NEW = "new"
    CHANGED = "changed"  # something new was added to what is there
    SAME = "same"  # all of it was there already
    REFUSED = "refused"  # nothing of it was stored


class Refusal(_Out, frozen=True):
    """Why one item was refused."""

    item: int  # its place in the request, from 0
    did: str
    field: str
    message: str  # the field, what was found, what would be right


class ItemsReply(_Out, frozen=True):
    """What became of each item, in the order of the request."""

    results: list[ItemResult]
    refused: list[Refusal] = []


# -- files --------------------------------------------------------------------------------------


class FileView(_Out, frozen=True):
    """A file with its metadata."""

    did: str
    bytes: int
    state: FileState
    metadata: dict[str, Any]
    adler32: str = ""
    sha256: str = ""
    owner: str = ""
    job: int | None = None  # that made it
    epoch: int | None = None
    at: str = ""  # when it was registered
    seq: int = 0  # of its last change


class FindRequest(_In, frozen=True):
    """Files that meet a query: `POST /v1/data/find`."""

    query: dict[str, Any]  # {"particle": "gamma", "thetaP": {">=": 20}, "dataset": "a:b"}
    states: Annotated[tuple[FileState, ...], Meta(max_length=4)] = (FileState.AVAILABLE,)
    after: Annotated[str, Meta(max_length=64)] = ""  # what the page before says
    limit: Limit = 100


class FilePage(_Out, frozen=True):
    """Files, always in the same order. A page may be short although more follow."""

    files: list[FileView]
    after: str | None = None  # ask for the next page with it; nothing: that was all


class ChangePage(_Out, frozen=True):
    """Files that have changed, as they are now, in order of `seq`."""

    files: list[FileView]
    last: int  # the newest change of all


class ReplicaView(_Out, frozen=True):
    """A copy of a file."""

    storage: str
    path: str
    state: ReplicaState
    at: str = ""  # since when it is so


class FileDetail(_Out, frozen=True):
    """Everything of one file."""

    file: FileView
    replicas: list[ReplicaView] = []
    datasets: list[str] = []
    remnants: list[RemnantView] = []  # what became of copies, once the file was removed


class DidsRequest(_In, frozen=True):
    """Files by name."""

    dids: Annotated[tuple[DidText, ...], Meta(min_length=1, max_length=ITEMS_MAX)]


class Replicas(_Out, frozen=True):
    """Copies of files, by name; a name that is not there is left out."""

    replicas: dict[str, list[ReplicaView]]


class MetadataItem(_In, frozen=True):
    """Set keys of a file, and remove some."""

    did: DidText
    set: dict[str, Any] = {}
    remove: Annotated[tuple[str, ...], Meta(max_length=64)] = ()


class MetadataRequest(_In, frozen=True):
    """Change metadata of files: `POST /v1/data/metadata`."""

    changes: Annotated[tuple[MetadataItem, ...], Meta(min_length=1, max_length=ITEMS_MAX)]


class DeclareItem(_In, frozen=True):
    """Say how a copy is."""

    did: DidText
    storage: StorageName
    state: ReplicaState = ReplicaState.BAD


class DeclareRequest(_In, frozen=True):
    """Declare copies bad, missing or available: `POST /v1/data/declare`."""

    replicas: Annotated[tuple[DeclareItem, ...], Meta(min_length=1, max_length=ITEMS_MAX)]
    reason: Reason = ""  # it is logged


# -- datasets and keys --------------------------------------------------------------------------


class DatasetRequest(_In, frozen=True):
    """Make a dataset; one that is there stays: `POST /v1/data/datasets`."""

    did: DidText
    metadata: dict[str, Any] = {}  # files that are registered into it have these too


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
    """What can be done to a dataset."""

    OPEN = "open"
    CLOSE = "close"  # no files are added or taken out
    ATTACH = "attach"  # files, whose metadata stay as they are
    DETACH = "detach"


class DatasetAction(_In, frozen=True):
    """`POST /v1/data/datasets/actions`."""

    dataset: DidText
    action: DatasetActionName
    dids: Annotated[tuple[DidText, ...], Meta(max_length=ITEMS_MAX)] = ()


class KeyView(_Out, frozen=True):
    """A metadata key. Where values are few they are listed."""

    key: str
    type: KeyType
    values: list[Any] = []


class KeyList(_Out, frozen=True):
    """All metadata keys of a community."""

    keys: list[KeyView]


class KeysRequest(_In, frozen=True):
    """Make keys with their types before files have them: `POST /v1/data/keys`."""

    keys: Annotated[dict[str, KeyType], Meta(min_length=1, max_length=ITEMS_MAX)]


# -- lineage ------------------------------------------------------------------------------------


class Direction(str, enum.Enum):
    UP = "up"  # what it was made of
    DOWN = "down"  # what was made of it


class LineageLink(_Out, frozen=True):
    """A job, which files it read, and which it made."""

    job: int
    inputs: list[str]
    outputs: list[str]
    step: int  # how far from the file that was asked about


class Lineage(_Out, frozen=True):
    """How a file came about, or what came of it, the nearest jobs first."""

    did: str
    links: list[LineageLink]
    more: bool = False  # there are more than are shown
    removed: list[str] = []  # of the files that are named, those that were removed


# -- rules --------------------------------------------------------------------------------------


class RuleRequest(_In, frozen=True):
    """Keep copies of files: `POST /v1/data/rules`. Name one of `did` and `query`."""

    copies: Annotated[int, Meta(ge=1, le=20)]
    storages: Annotated[tuple[StorageName, ...], Meta(min_length=1, max_length=100)]
    did: Annotated[str, Meta(max_length=NAME_MAX + 65)] = ""  # of a file, or of a dataset
    query: dict[str, Any] = {}


class RuleJob(_Out, frozen=True):
    """A job that makes a copy for a rule now."""

    id: int
    storage: str  # to which it copies
    state: JobState
    site: str = ""
    said: str = ""  # its status, or why it stands


class RuleView(_Out, frozen=True):
    """A rule, and how far it has been carried out."""

    id: int
    copies: int
    storages: list[str]
    state: RuleState
    did: str = ""
    query: dict[str, Any] = {}
    files: int = 0  # that it is about
    there: int = 0  # copies that are there
    moving: int = 0  # copies that a job makes now
    wanted: int = 0  # copies that wait for a job
    stuck: int = 0  # copies that failed too often
    why: str = ""  # of the last failure
    owner: str = ""
    at: str = ""
    jobs: list[RuleJob] = []  # where one rule is asked for: the first ones, at most 20


class RuleList(_Out, frozen=True):
    """Rules in order of their id."""

    rules: list[RuleView]
