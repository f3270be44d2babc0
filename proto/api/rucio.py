"""Bodies of answers about Rucio servers."""

from typing import Final

from .bodies import ReplyStruct as _Out

NO_SERVERS: Final = "this central uses no Rucio server: an operator adds one (docs/rucio.md)"


class RucioInputView(_Out, frozen=True):
    """Files of a server that the catalogue shows, too."""

    input: str  # dataset SCOPE:NAME, container SCOPE:NAME, or scope SCOPE
    polled_at: str | None = None  # end of the last good poll
    files: int = 0  # in the catalogue
    waiting: int = 0  # without a required key, or without a copy on a storage of ours
    troubles: dict[str, str] = {}  # by file, dataset or key: why it is not shown as it is in Rucio
    trouble: str = ""  # why the last poll failed


class RucioView(_Out, frozen=True):
    """A Rucio server, or a file of one with errors."""

    name: str
    url: str = ""  # empty: no version of the file is in force
    account: str = ""
    community: str = ""
    storages: dict[str, str] = {}  # our storage for each RSE
    off: dict[str, str] = {}  # storages that nobody may read now, with their RSEs
    compared_at: str | None = None  # end of the last comparison of all files
    inputs: list[RucioInputView] = []
    trouble: str = ""  # mistake in its file, or why the server is not asked now


class RucioList(_Out, frozen=True):
    """All Rucio servers of the caller's community."""

    servers: list[RucioView]
    trouble: str = ""  # why the files could not be listed


class OutboxEntry(_Out, frozen=True):
    """An output that a Rucio server does not have yet."""

    id: int
    did: str  # empty: the file was removed
    rucio: str  # name of the server
    storage: str
    state: str  # Waiting, or Clash: it is never sent again
    job: int
    since: str
    datasets: list[str] = []
    confirm: bool = False  # its job is Completing until the server has it
    tries: int = 0
    next_at: str | None = None  # not sent again before; null: it is sent next, or never
    why: str = ""  # why the server does not have it yet


class OutboxPage(_Out, frozen=True):
    """Outputs in order of id."""

    entries: list[OutboxEntry]
    after: int | None = None
