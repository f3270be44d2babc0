"""Messages about storages: what pilots get, and what they report about files of jobs there.

They are frozen stdlib dataclasses, like all messages of pilots (`proto.messages` includes them). A
storage is a named place that keeps copies of files. Pilots reach it at a URL, by one of a few
protocols. A copy has a relative path below that URL.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Optional

# The tag of pilots that fetch and store files of jobs. An older pilot would start the payload
# without its files.
TAG: Final = "data"
XROOTD_TAG: Final = "xrootd"  # of pilots whose node has the programs xrdcp and xrdfs
# In the payload's folder: its data files, with metadata
INPUTS_FILE: Final = ".pilotage/inputs.json"
INPUTS_WORD: Final = "{inputs}"  # word of a command that becomes one argument for each file
META_SUFFIX: Final = ".meta.json"  # suffix of a file beside an output: metadata from the payload
META_BYTES_MAX: Final = 65_536  # of such a file
NAME_MAX: Final = 512  # characters of a file's name inside its scope
PATH_MAX: Final = 1_024  # characters of a path below a storage …
PATH_BYTES_MAX: Final = 2_500  # … and bytes in UTF-8: an index row of PostgreSQL holds no more
TOKEN_PATHS_MAX: Final = 100  # for which one credential is asked
TRIES_MAX: Final = 99  # of one file on one storage


@dataclass(frozen=True)
class StorageOptions:
    """The options of requests to a storage."""

    needs_credential: bool = False  # requests carry one, which the attempt fetches when needed
    checksum: str = ""  # adler32: ask the server for it after an upload
    nodes: tuple[str, ...] = ()  # hosts, or *.domain, that get the credential after a redirect
    redirects: int = 0  # followed at most
    signed_urls: bool = False  # the credential is a URL for each path, not a token


@dataclass(frozen=True)
class StorageAccess:
    """The way to reach a storage."""

    storage: str  # name
    type: str  # file, http, davs, root, s3
    url: str  # file:///folder, https://host:port/folder
    options: StorageOptions = StorageOptions()


@dataclass(frozen=True)
class Copy:
    """A copy of a file."""

    storage: str
    type: str
    url: str  # of the storage
    path: str  # relative to the URL
    options: StorageOptions = StorageOptions()


@dataclass(frozen=True)
class DataFile:
    """A file to fetch before a payload starts. All copies have these checksums."""

    did: str
    path: str  # place in the payload's folder
    size_bytes: int
    adler32: str  # 8 hexadecimal digits
    sha256: str
    copies: tuple[Copy, ...] = ()  # in the order to try
    metadata: str = ""  # JSON object; empty: none
    gone: str = ""  # why no copy will ever come; empty: one may come


@dataclass(frozen=True)
class DataRule:
    """The output files to store and publish, and the storages for them."""

    pattern: str  # relative glob
    storages: tuple[StorageAccess, ...] = ()  # in the order to try
    required: bool = True
    balanced: bool = False  # jobs start with different storages
    brought: bool = False  # fetched inputs count too: this makes one more copy


@dataclass(frozen=True)
class Removal:
    """Bytes on a storage to remove, because no catalogue entry needs them."""

    remnant: int  # number of the remnant
    path: str  # below the storage's URL
    is_folder: bool = False  # remove the folder with its contents
    size_bytes: Optional[int] = None  # of the file; null: a folder, or unknown


@dataclass(frozen=True)
class Removed:
    """The result of a removal. Missing bytes count as removed."""

    remnant: int
    why: str = ""  # why it failed; empty: removed
    tried: bool = True  # false: the storage was not asked for this one


@dataclass(frozen=True)
class DataBody:
    """Files of an attempt on storages."""

    folder: str = ""  # COMMUNITY/GENERATION/JOB/EPOCH: place of stored files
    inputs: tuple[DataFile, ...] = ()
    outputs: tuple[DataRule, ...] = ()
    removals: tuple[Removal, ...] = ()  # after a successful end
    sweeps: Optional[StorageAccess] = None  # storage of the removals


class StorageOperation(str, Enum):
    """The operations of attempts on storages."""

    READ = "read"  # its input files
    CREATE = "create"  # an output file, in the folder of the attempt


@dataclass(frozen=True)
class StorageTokenRequest:
    """Asks for a credential of a running attempt, or of a user, for one storage."""

    job: int  # 0, with epoch 0: of a user
    epoch: int
    storage: str
    operation: StorageOperation
    paths: tuple[str, ...]  # below the storage's URL, at most TOKEN_PATHS_MAX
    sha256: str = ""  # of the file to create; object stores sign it


@dataclass(frozen=True)
class SignedUrl:
    """A URL that allows one request without any other credential."""

    path: str
    method: str  # GET, HEAD, PUT
    url: str


@dataclass(frozen=True)
class StorageTokenReply:
    """A credential: a bearer token, or signed URLs for each of the paths. Both are secret."""

    expires_in_s: float
    token: str = ""
    urls: tuple[SignedUrl, ...] = ()


@dataclass(frozen=True)
class Leftover:
    """A path where an upload that failed may have left bytes."""

    storage: str
    path: str


@dataclass(frozen=True)
class Published:
    """A stored file, with its size read back. The central publishes it with the result."""

    rule: int  # index of the output rule, from 0
    name: str  # in the payload's folder
    storage: str
    path: str  # below the storage's URL
    size_bytes: int
    adler32: str
    sha256: str
    metadata: str = ""  # JSON object from the payload; empty: none


@dataclass(frozen=True)
class BadCopy:
    """A copy that differs from the catalogue, also at a second read by the pilot."""

    did: str
    storage: str
    path: str
    why: str


def is_good_path(path: str, longest: int = NAME_MAX) -> bool:
    """Return whether a path is valid below a storage and as the name of a file in the catalogue.

    With PATH_MAX as `longest`: below a storage, where its folder stands before a name.
    """
    good = 0 < len(path) <= longest and path.isprintable() and " " not in path
    good = good and len(path.encode()) <= PATH_BYTES_MAX
    return good and not ({"", ".", ".."} & set(path.split("/")))


def try_path(folder: str, name: str, number: int = 1) -> str:
    """Return the path for the try `number` (from 1) of an upload of the file `name`.

    A first try that fails may leave bytes at its path, so each further one has a path of its own.
    No two pairs of name and number share a path.
    """
    if number == 1 and not name.startswith("~"):
        return f"{folder}/{name}"
    return f"{folder}/~{number}/{name}"


def is_try(path: str, folder: str, name: str) -> bool:
    """Return whether a path is that of a try of an upload of this file."""
    return any(path == try_path(folder, name, number) for number in range(1, TRIES_MAX + 1))
