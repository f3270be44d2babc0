"""Describes a document that was loaded here, so that it can be run elsewhere."""

import copy
import json
import os
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from cwltool.context import RuntimeContext
from cwltool.process import Process, shortname
from cwltool.utils import visit_class
from schema_salad.exceptions import ValidationException
from schema_salad.ref_resolver import file_uri, uri_file_path

from pilotage.proto.documents.cwl import FILES_MAX, PLACE

from . import documents
from .hints import note_hints
from .lfns import is_lfn, name_of
from .transformations import has_transformations

DOCUMENTS: Final = f"{PLACE}doc/"
_KINDS: Final = ("File", "Directory")


@dataclass
class Described:
    """A document with places instead of paths of this machine, and where its files lie here."""

    main: str
    texts: dict[str, str]
    inputs: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict[str, str])  # of this machine, by place
    folders: set[str] = field(default_factory=set[str])
    dids: dict[str, str] = field(default_factory=dict[str, str])  # of the catalogue, by place
    warnings: list[str] = field(default_factory=list[str])
    has_transformations: bool = False


class _Places:
    """The places of files: below the folder of the documents, or numbered folders."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._numbers: dict[str, int] = {}

    def path(self, path: str) -> str:
        if path.startswith(self._base + "/"):
            return f"/pilotage-cwl/doc{path[len(self._base) :]}"
        folder, name = os.path.split(path)
        number = self._numbers.setdefault(folder, len(self._numbers))
        return f"/pilotage-cwl/given/{number}/{name}"

    def uri(self, uri: str) -> str:
        start = file_uri(self._base) + "/"
        return DOCUMENTS + uri[len(start) :] if uri.startswith(start) else uri


def described(
    process: Process, order: Any, context: RuntimeContext, texts: Mapping[str, str]
) -> Described:
    """Describe a process and its inputs; `texts` are those that were read for it.

    Raises WorkflowException for wrong inputs, and OSError for missing files.
    """
    context = context.copy()
    context.toplevel = True  # it looks for secondary files
    library: Any = process
    job = library._init_job(copy.deepcopy(order), context).job
    defaults: dict[str, Any] = {
        shortname(one["id"]): one["default"] for one in library.tool["inputs"] if "default" in one
    }
    # Defaults stay in the document, where numbers have the form in which they were written.
    given = {
        key: value
        for key, value in job.items()
        if key not in defaults or value != defaults[key] or _has_files(value)
    }
    inputs = json.loads(json.dumps(given))  # without the types of the library
    used = _used(process, texts)
    named = [*used, *_named_files(process)]  # relative to the documents: they need one folder
    own = [os.path.dirname(uri_file_path(one)) for one in named if one.startswith("file://")]
    places = _Places(os.path.commonpath(own).rstrip("/") if own else "")
    found = Described(
        main=places.uri(library.tool["id"]),
        texts={places.uri(uri): texts[uri] for uri in used},
        inputs=inputs,
    )

    def note(one: Any) -> str:
        return _note(one, places, found)

    def send(one: Any) -> None:
        place = note(one)
        if place.startswith(("/pilotage-cwl/doc/", "/pilotage-cwl/given/")):
            _look_here(one, place, found, str(context.basedir))
        one.pop("path", None)
        if one["class"] == "Directory" and place:
            one.pop("listing", None)
        if place:
            one["location"] = file_uri(place)

    found.warnings = note_hints(process).warnings
    found.has_transformations = has_transformations(process)
    visit_class(inputs, _KINDS, send)
    process.visit(lambda tool: visit_class(tool, _KINDS, note))
    return found


def _named_files(process: Process) -> list[str]:
    """Return the locations of the files that the documents name themselves."""
    found: list[Any] = []
    process.visit(lambda tool: visit_class(tool, _KINDS, found.append))
    return [str(one.get("location", "")) for one in found]


def _has_files(value: Any) -> bool:
    found: list[Any] = []
    visit_class(value, _KINDS, found.append)
    return bool(found)


def _note(one: Any, places: _Places, found: Described) -> str:
    """Note a file or folder; return its place, empty: it has none."""
    location = str(one.get("location") or one.get("path") or "")
    if is_lfn(location):
        if one["class"] != "File":
            raise ValidationException(f"{location}: only a File can be in the catalogue")
        try:
            did = name_of(location)
        except ValueError as why:
            raise ValidationException(f"location: found {location[:200]!r}, {why}") from None
        name = one.get("basename") or did.rpartition("/")[2]
        place = f"/pilotage-cwl/given/lfn/{len(found.dids)}/{name}"
        place = next((known for known, its in found.dids.items() if its == did), place)
        found.dids[place] = did
        return place
    if not location.startswith("file://"):
        return ""
    path = uri_file_path(location)
    place = places.path(path)
    if one["class"] == "File":
        if os.path.isfile(path):
            found.files[place] = path
    elif os.path.isdir(path):
        for folder, inner in _walked(path):
            where = place + folder[len(path) :]
            found.folders.add(where)
            found.files.update((f"{where}/{name}", f"{folder}/{name}") for name in inner)
            if len(found.files) + len(found.folders) > FILES_MAX:
                raise ValidationException(f"{path}: at most {FILES_MAX} files can be sent")
    return place


def _look_here(one: Any, place: str, found: Described, base: str) -> None:
    """Look for a missing file below the current folder, as DIRAC does.

    Raises ValidationException if it is not there either.
    """
    if place in found.dids or place in found.files or place in found.folders:
        return
    path = uri_file_path(one["location"])
    here = os.path.abspath(os.path.relpath(path, base))
    if one["class"] != "File" or not os.path.isfile(here):
        raise ValidationException(f"{path}: there is no such {one['class']}")
    found.files[place] = here
    found.warnings.append(f"{path} does not exist: {here} is sent")


def _walked(path: str, above: tuple[str, ...] = ()) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder with the names of its files; links are followed.

    Raises ValidationException for links that lead nowhere or to a folder above them.
    """
    above = (*above, os.path.realpath(path))
    files: list[str] = []
    folders: list[str] = []
    for one in sorted(os.scandir(path), key=lambda one: one.name):
        if one.is_dir():
            folders.append(one.path)
        elif one.is_file():
            files.append(one.name)
        else:
            why = "a link that leads nowhere" if one.is_symlink() else "neither file nor folder"
            raise ValidationException(f"{one.path}: it is {why}")
    yield path, files
    for folder in folders:
        if os.path.realpath(folder) in above:
            raise ValidationException(f"{folder}: it is a link to a folder above it")
        yield from _walked(folder, above)


def _used(process: Process, texts: Mapping[str, str]) -> list[str]:
    """Return which texts the process needs: others were read for its inputs."""
    used: list[str] = []

    class Noting(dict[str, str]):
        def __getitem__(self, uri: str) -> str:
            used.append(uri)
            return super().__getitem__(uri)

    documents.process_of(cast(str, process.tool["id"]), Noting(texts), _Anything())
    return sorted(set(used))


class _Anything(Container[str]):
    def __contains__(self, key: object) -> bool:
        return True
