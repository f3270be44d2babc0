"""What pilots are told of storages, and what they tell of the files of jobs there.

Frozen stdlib dataclasses, as all that pilots see (`proto.messages` holds them in its own messages).
A storage is a named place that keeps copies of files; its pilots reach it under a URL by one of a
few protocols. Where a copy lies below that URL is a relative path.
"""

from dataclasses import dataclass
from typing import Final, Optional

# The tag of pilots that bring and store files of jobs: an older one would start a payload without.
TAG: Final = "data"
INPUTS_FILE: Final = ".pilotage/inputs.json"  # in the payload's folder: its data, with metadata
INPUTS_WORD: Final = "{inputs}"  # of a command: one argument a file stands there
META_SUFFIX: Final = ".meta.json"  # beside an output: metadata that its payload says
META_BYTES_MAX: Final = 65_536  # of such a file
NAME_MAX: Final = 512  # characters of a file's name inside its scope


@dataclass(frozen=True)
class StorageAccess:
    """How a storage is reached."""

    storage: str  # its name
    type: str  # file, http
    url: str  # file:///folder, http://host:port/folder


@dataclass(frozen=True)
class Copy:
    """One copy of a file, and how it is reached."""

    storage: str
    type: str
    url: str  # of the storage
    path: str  # below it, relative


@dataclass(frozen=True)
class DataFile:
    """A file that is brought before a payload starts. Every copy of it has these sums."""

    did: str
    path: str  # where it lies in the payload's folder
    size_bytes: int
    adler32: str  # 8 hexadecimal digits
    sha256: str
    copies: tuple[Copy, ...] = ()  # in the order in which they are tried
    metadata: str = ""  # a JSON object; empty: none
    gone: str = ""  # why no copy of it will ever come; empty: one may


@dataclass(frozen=True)
class DataRule:
    """Which files that a payload leaves are stored and published, and where they are stored."""

    pattern: str  # glob, relative
    storages: tuple[StorageAccess, ...] = ()  # in the order in which they are tried
    required: bool = True
    balanced: bool = False  # jobs begin at different storages
    brought: bool = False  # what was brought counts too: one more copy of it


@dataclass(frozen=True)
class Removal:
    """Bytes on a storage that no file names any more: they are to go."""

    remnant: int  # its number
    path: str  # below the storage's URL
    is_folder: bool = False  # with all that is in it
    size_bytes: Optional[int] = None  # of the file; None: of a folder, or it is not known


@dataclass(frozen=True)
class Removed:
    """What became of a removal. What is not there any more is gone."""

    remnant: int
    why: str = ""  # why it could not be removed; empty: it is gone
    tried: bool = True  # with `why`: whether that is of this one; else the storage was not asked


@dataclass(frozen=True)
class DataBody:
    """Files of one attempt on storages."""

    folder: str = ""  # COMMUNITY/GENERATION/JOB/EPOCH: what is stored lies below it
    inputs: tuple[DataFile, ...] = ()
    outputs: tuple[DataRule, ...] = ()
    removals: tuple[Removal, ...] = ()  # after a good end
    sweeps: Optional[StorageAccess] = None  # the storage of the removals


@dataclass(frozen=True)
class Published:
    """A file that was stored, its size read back. The central publishes it with the result."""

    rule: int  # which of the outputs, from 0 on
    name: str  # in the payload's folder
    storage: str
    path: str  # below the storage's URL
    size_bytes: int
    adler32: str
    sha256: str
    metadata: str = ""  # what its payload said of it: a JSON object; empty: nothing


@dataclass(frozen=True)
class BadCopy:
    """A copy that is not what the catalogue says: seen twice, so that no cut was taken for it."""

    did: str
    storage: str
    path: str
    why: str


def is_good_path(path: str) -> bool:
    """Whether a path can be one below a storage, and the name of a file in the catalogue."""
    good = 0 < len(path) <= NAME_MAX and path.isprintable() and " " not in path
    return good and not ({"", ".", ".."} & set(path.split("/")))
