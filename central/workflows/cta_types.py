"""Element types of CTADIRAC's form of workflows, as data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from pilotage.proto.catalogue import KeyType, Value

from .errors import BadWorkflow
from .source_lines import converted, is_mapping, load, read_text

OWN: Final = Path(__file__).with_name("cta_types.yaml")

ValueKind = Literal["text", "integer", "number", "boolean", "list", "words", "derived"]
Fills = Literal[
    "",
    "sites",
    "wall_s",
    "tags",
    "cores_min",
    "size",
    "files_max",
    "files",
    "tasks",
    "base_path",
    "simpipe",  # the path of SimPipe's configuration, with values of derived keys
]


class _Part(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    pass


class KeyRule(_Part, frozen=True, kw_only=True):
    """Values of a key of a step, and their use."""

    kind: ValueKind = "text"  # derived: another key gives it, and a file cannot
    required: bool = False
    default: Any = None
    empty: Any = None  # value of a key that is written without one; empty: as a missing key
    one_of: tuple[str, ...] = ()
    option: str = ""  # put before its value in the command; with braces: one word with the value
    flags: dict[str, str] = {}  # word of the command for each allowed value; empty: none
    metadata: str = ""  # key of the output files that gets the value
    values: dict[str, Value] = {}  # metadata value for each value
    is_path: bool = False  # metadata: the parts after the first, joined by `_`
    appends: dict[str, str] = {}  # ends of other values if this key has one
    varies: bool | Literal["any"] = False  # files have one value each; any: of any kind
    fills: Fills = ""  # part of the job that it fills
    help: str = ""


class TypeOutput(_Part, frozen=True, kw_only=True):
    """Output files of a type."""

    pattern: str
    required: bool = True
    files: int | Literal["per_input"] = 1
    metadata: dict[str, Value] = {}
    sets: tuple[str, ...] = ()


class SharedFiles(_Part, frozen=True, kw_only=True):
    """A file of the catalogue for every job of a step, such as a trained model.

    Its query has the metadata of the step's own files.
    """

    option: str  # it is needed if `options` contains this text
    metadata: dict[str, Value] = {}  # in place of values of the step's files
    without: tuple[str, ...] = ()  # keys that the query does not have
    on: tuple[
        str, ...
    ] = ()  # keys that must be as in the job's inputs, if they have several values


class TypeVariant(_Part, frozen=True, kw_only=True):
    """Parts that replace those of a type."""

    command: tuple[str, ...] = ()
    metadata: dict[str, Value] = {}
    outputs: dict[str, TypeOutput] = {}


class ElementType(_Part, frozen=True, kw_only=True):
    """A kind of step."""

    title: str = ""
    type: str = "User"  # type of its jobs
    simulates: bool = False  # it takes no files
    cores_min: int = 1
    keys: dict[str, KeyRule] = {}
    adds: dict[str, int] = {}  # added to a metadata value of the parent's files
    #: metadata keys that files get from the inputs, over `metadata`; empty: all
    inherits: tuple[str, ...] | None = None
    shared: dict[str, SharedFiles] = {}  # more inputs
    command: tuple[str, ...]
    environment: dict[str, str] = {}  # of the command
    software: tuple[str, ...] = ()  # folders on the node
    files: tuple[str, ...] = ()  # beside the file with the types; each job gets them
    metadata: dict[str, Value] = {}
    outputs: dict[str, TypeOutput]  # children take the first
    variants: dict[str, TypeVariant] = {}  # used if this key is true


class TypesFile(_Part, frozen=True, kw_only=True):
    """A file with element types, and their common keys."""

    scope: str = ""
    common: dict[str, KeyRule] = {}
    generic: dict[str, KeyRule] = {}
    shortcuts: dict[str, KeyRule] = {}
    keys: dict[str, KeyType] = {}
    types: dict[str, ElementType] = {}


def element_types(more: Sequence[Path] = ()) -> TypesFile:
    """Return our element types, and those of files or folders. Raises BadWorkflow."""
    found = _types_of(OWN)
    for path in more:
        files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not files:
            raise BadWorkflow([f"{path}: it has no .yaml file with element types"])
        for file in files:
            added = _types_of(file)
            found = TypesFile(
                scope=added.scope or found.scope,
                common=found.common | added.common,
                generic=found.generic | added.generic,
                shortcuts=found.shortcuts | added.shortcuts,
                keys=found.keys | added.keys,
                types=found.types | added.types,
            )
    return found


def _types_of(path: Path) -> TypesFile:
    text = read_text(path)
    found = load(text)
    if is_mapping(found.get("types")):
        for name, said in found["types"].items():  # one by one, so that a fault gets its line
            converted(text, said, ElementType, ("types", str(name)))
    types = converted(text, found, TypesFile, ())
    placed = {
        name: msgspec.structs.replace(
            one, files=tuple(str(text.folder / file) for file in one.files)
        )
        for name, one in types.types.items()
    }
    return msgspec.structs.replace(types, types=placed)
