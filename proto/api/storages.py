"""Bodies of answers about storages."""

from typing import Final

from .bodies import ReplyStruct as _Out

NO_STORAGES: Final = (
    "this central has no storages: an operator adds one (docs/storages.md); it counts after seconds"
)


class StorageView(_Out, frozen=True):
    """A storage, or a storage file with errors."""

    name: str
    type: str = ""  # empty: no version of the file is in force
    url: str = ""
    sites: tuple[str, ...] = ()  # sites whose pilots reach it; empty: all
    near: tuple[str, ...] = ()
    priority: int = 0
    readable: bool = False
    writable: bool = False
    default: bool = False
    any_path: bool = False
    transfers_max: int = 0
    deletes: bool = False
    sweeps_max: int = 0
    prefix: str = "/"  # what stands before a path in the scopes of tokens
    credential: str = ""  # source of its credentials; empty: requests are anonymous
    signed_urls: bool = False  # its credentials are URLs, which the central signs
    checksum: str = ""  # asked of the server after an upload
    nodes: tuple[str, ...] = ()  # hosts that get the credential after a redirect
    redirects: int = 0
    tpc: bool = False  # copies to and from other such storages without a pilot
    ca_file: str = ""
    region: str = ""
    https_url: str = ""
    trouble: str = ""  # mistake in its file (the last good version counts), or why nobody deletes


class StorageList(_Out, frozen=True):
    """All storages."""

    storages: list[StorageView]
    trouble: str = ""  # why the files could not be listed


class StorageCheckStep(_Out, frozen=True):
    """One thing that a check tried on a storage."""

    what: str
    ok: bool
    said: str = ""  # words of the storage, or what is wrong


class StorageCheck(_Out, frozen=True):
    """The steps of a check of one storage."""

    storage: str
    ok: bool
    steps: list[StorageCheckStep]
