"""Rucio servers, as the operator's files `rucio/NAME.yaml` define them: one server in each file.

The rules for such files are in `entry_files`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pilotage.proto.catalogue import BadCatalogueField, check_scope
from pilotage.proto.decoding.patterns import whole
from pilotage.proto.decoding.strict_yaml import YamlPath
from pilotage.proto.documents.job import Word

from ..catalogue.storages import StorageCredential
from ..entry_files import WatchedFolder, read_folder, read_yaml, unlisted
from .filters import BadFilter, parse_filter

FOLDER: Final = "rucio"  # in the data directory
FILES_MAX: Final = 100
FILE_MAX_BYTES: Final = 1_000_000

_URL_FORM: Final = "https://HOST/PATH, or http://HOST/PATH on this machine"
_Url = Annotated[
    str,
    Meta(
        pattern=whole(
            r"https://[!-?A-~]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?(/[!-~]*)?"
        ),
        max_length=512,
        extra_json_schema={"description": _URL_FORM},
    ),
]
_Path = Annotated[
    str,
    Meta(
        pattern=whole(r"(/[^\x00-\x1f\x7f]+)?"),
        max_length=1024,
        extra_json_schema={"description": "an absolute path without control characters"},
    ),
]
_Line = Annotated[str, Meta(pattern=whole(r"[ -~]*"), max_length=512)]
_Scope = Annotated[str, Meta(pattern=whole(r"[a-zA-Z_\-.0-9]{1,25}"))]
_Name = Annotated[str, Meta(pattern=whole(r"([/A-Za-z0-9][/A-Za-z0-9.\-_]{0,249})?"))]
_Rse = Annotated[str, Meta(pattern=whole(r"[A-Za-z0-9_.-]+"), max_length=255)]


class _Part(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    pass


class RucioInput(_Part, frozen=True):
    """Files of the server that the catalogue here shows too: of a dataset, container or scope."""

    scope: _Scope
    dataset: _Name = ""
    container: _Name = ""  # the files of all its datasets
    #: of the scope's files, those whose metadata match: `run>=5,kind=raw;kind=sim`
    filter: Annotated[str, Meta(max_length=4_096)] = ""
    period_s: Annotated[float, Meta(ge=1, le=86_400)] = 60.0  # between two polls
    #: metadata keys that a file must have before it is shown here
    required: Annotated[tuple[Word, ...], Meta(max_length=64)] = ()
    files_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 100_000

    @property
    def key(self) -> str:
        """The name of the input in its file, without what may be changed later."""
        if self.dataset or self.container:
            kind = "dataset" if self.dataset else "container"
            return f"{kind} {self.scope}:{self.dataset or self.container}"
        return f"scope {self.scope}" + (f" filter {self.filter}" if self.filter else "")


class RucioEvents(_Part, frozen=True):
    """The broker to which the server's `hermes` sends its events by STOMP."""

    broker: Annotated[
        str,
        Meta(
            pattern=whole(r"stomps?://[A-Za-z0-9.-]+:[0-9]{1,5}"),
            max_length=300,
            extra_json_schema={"description": "stomp://HOST:PORT, or stomps:// with TLS"},
        ),
    ]
    destination: Annotated[str, Meta(pattern=whole("[!-~]+"), max_length=512)]
    virtual_host: _Line = ""  # of the broker; empty: its host
    user: _Line = ""
    password_file: _Path = ""  # mode 0600


class RucioRule(_Part, frozen=True):
    """A rule that Rucio gets for each dataset that goes out."""

    rse_expression: Annotated[str, Meta(min_length=1, max_length=3_000)]
    copies: Annotated[int, Meta(ge=1, le=1_000)] = 1
    lifetime_s: Annotated[int, Meta(ge=1, le=3_153_600_000)] | None = None  # null: for ever


class RucioOutputs(_Part, frozen=True):
    """Outputs of jobs that the server gets. Nothing else goes out."""

    scopes: Annotated[tuple[_Scope, ...], Meta(max_length=1_000)] = ()  # of ours
    rules: Annotated[tuple[RucioRule, ...], Meta(max_length=16)] = ()
    datasets: bool = True  # false: files only


class RucioEntry(_Part, frozen=True):
    """A server as its file defines it. The file's name is the server's name here."""

    url: _Url
    account: Annotated[str, Meta(pattern=whole("[a-z0-9-_]+"), max_length=25)]  # in Rucio
    community: Word
    #: of tokens with the audience `rucio`
    credential: StorageCredential
    ca_file: _Path = ""  # authorities that the system does not know
    storages: dict[_Rse, Word] = {}  # our storage for each RSE; others are not used
    strip: Annotated[str, Meta(pattern=whole(r"[/A-Za-z0-9]?[/A-Za-z0-9.\-_]*"), max_length=64)] = (
        ""  # what Rucio's names begin with and ours do not
    )
    inputs: Annotated[tuple[RucioInput, ...], Meta(max_length=1_000)] = ()
    events: RucioEvents | None = None
    outputs: RucioOutputs = RucioOutputs()


@dataclass(frozen=True)
class RucioBook:
    """All servers in force, and the errors in files, by name."""

    entries: Mapping[str, RucioEntry] = field(default_factory=dict[str, RucioEntry])
    troubles: Mapping[str, str] = field(default_factory=dict[str, str])
    unlisted: str = ""  # why the folder cannot be listed; empty: it was listed

    def keeps(self, storage: str) -> str:
        """Return why a storage may have files that only Rucio deletes; empty: it has none."""
        if self.unlisted:
            return self.unlisted
        for name, entry in self.entries.items():
            if storage in entry.storages.values():
                return f"Rucio {name} deletes its files on {storage}"
        for name in sorted(set(self.troubles) - set(self.entries)):
            return f"rucio/{name}.yaml has an error: it may name {storage}"
        return ""


def read_rucio(file: Path) -> RucioEntry:
    """Return the server that a file defines. Raises BadEntryFile."""
    read = read_yaml(file, FILE_MAX_BYTES)
    entry = read.converted(read.found, RucioEntry)
    for place, wrong in _contradictions(entry):
        raise read.wrong(place, ".".join(map(str, place)), wrong)
    return entry


def _contradictions(entry: RucioEntry) -> Iterator[tuple[YamlPath, str]]:
    shared = sorted({one for one in entry.storages.values() if _count(entry, one) > 1})
    if shared:
        yield ("storages",), f"{', '.join(shared)} stands for two RSEs; name each storage once"
    if (entry.inputs or entry.outputs.scopes) and not entry.storages:
        yield ("storages",), "is missing: name our storage for each RSE, as in PIC-DISK: pic"
    if entry.outputs.rules and not entry.outputs.datasets:
        yield ("outputs", "rules"), "are for datasets: remove them, or set datasets to true"
    keys: set[str] = set()
    for i, one in enumerate(entry.inputs):
        place: YamlPath = ("inputs", i)
        if one.key in keys:
            yield place, f"{one.key!r} stands there twice; write each input once"
        keys.add(one.key)
        if one.dataset and one.container:
            yield (*place, "container"), "dataset is given too: write an input for each"
        if one.filter and (one.dataset or one.container):
            yield (*place, "filter"), "a filter is for a whole scope: remove dataset or container"
        try:
            check_scope(one.scope, "scope")
            parse_filter(one.filter)
        except BadCatalogueField as why:
            yield (*place, "scope"), str(why)
        except BadFilter as why:
            yield (*place, "filter"), str(why)


def _count(entry: RucioEntry, storage: str) -> int:
    return list(entry.storages.values()).count(storage)


def read_folder_of_rucio(folder: Path, before: RucioBook) -> RucioBook:
    """Return the book of a folder. A file with an error keeps its version in `before`.

    If the folder cannot be listed, the whole book stays. A missing folder means no servers.
    """
    try:
        found = read_folder(folder, "Rucio", read_rucio, before.entries, files_max=FILES_MAX)
    except FileNotFoundError:
        return RucioBook()
    except OSError as why:
        return replace(before, unlisted=unlisted(folder, why))
    return RucioBook(found.entries, found.troubles, found.too_many)


class RucioFiles(WatchedFolder[RucioBook]):
    """The servers in force."""

    def __init__(
        self, folder: Path | None = None, changed: Callable[[RucioBook], None] = lambda _: None
    ) -> None:
        super().__init__(folder, RucioBook(), read_folder_of_rucio, changed)
