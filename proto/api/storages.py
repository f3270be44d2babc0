"""Bodies of answers about storages."""

from .bodies import ReplyStruct as _Out


class StorageView(_Out, frozen=True):
    """A storage that is in force, or a file that does not read."""

    name: str
    type: str = ""  # empty: nothing of its file is in force
    url: str = ""
    sites: tuple[str, ...] = ()  # whose pilots reach it; empty: all
    near: tuple[str, ...] = ()
    priority: int = 0
    readable: bool = False
    writable: bool = False
    default: bool = False
    any_path: bool = False
    transfers_max: int = 0
    deletes: bool = False
    sweeps_max: int = 0
    trouble: str = ""  # what is wrong with its file; what is said beside it stays in force


class StorageList(_Out, frozen=True):
    """All storages: `GET /v1/storages`."""

    storages: list[StorageView]
    trouble: str = ""  # why nobody knows which files there are; empty: all were seen
