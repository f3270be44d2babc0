"""Job files in YAML or JSON. Mistakes are reported with their line.

A file holds one job, a list of jobs, `jobs:`, or `template:` with `parameters:`. It may be simpler
than the form of the API: `needs` as one mapping, outputs as patterns, inputs as paths relative to
the file, and numbers in a command.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from pilotage.proto.api.notifications import NotifyEvent
from pilotage.proto.decoding.complaints import MISSING, as_json, complaint, short, steps
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.decoding.strict_yaml import YamlPath, line_of
from pilotage.proto.decoding.typed_quantities import convert, short_keys_of
from pilotage.proto.documents.job import (
    Dependency,
    Input,
    Job,
    JobLimits,
    Need,
    OutputPattern,
    Preference,
)
from pilotage.proto.quantities import short_name

from ..errors import BadJobFile
from ..files import LocalFile
from ..submissions.job_shapes import ParameterSet
from .sweeps import BadSweep, parameters_of
from .yaml_text import as_list, as_mapping, load, load_as_written

_TOP = ("jobs", "template", "parameters", "name", "key", "group", "running_max", "notify")
_INPUT_KEYS = ("path", "name", "unpack", "sha256", "size_bytes")
_SHAPES: dict[str, type[msgspec.Struct]] = {
    "needs": Need,
    "outputs": OutputPattern,
    "limits": JobLimits,
    "preference": Preference,
    "after": Dependency,
}


@dataclass(frozen=True)
class Draft:
    """A job, and the local files that must be uploaded before it can be submitted."""

    job: Job
    files: tuple[LocalFile, ...] = ()
    patterns: tuple["FilePattern", ...] = ()  # of a template: files that differ from job to job

    def with_inputs(self, uploaded: list[Input]) -> Job:
        """Return the job with the uploaded files among its inputs."""
        return msgspec.structs.replace(self.job, inputs=(*self.job.inputs, *uploaded))


@dataclass(frozen=True)
class FilePattern:
    """An input file whose path has parameters, and its place in the job file."""

    path: str
    name: str
    unpack: bool
    place: YamlPath


@dataclass(frozen=True)
class JobFile:
    """The content of a job file: jobs, or a template with parameters."""

    jobs: tuple[Draft, ...] = ()
    template: Draft | None = None
    parameters: tuple[ParameterSet, ...] = ()
    name: str = ""
    key: str = ""
    group: str = ""
    running_max: int = 0
    notify: str = ""
    text: str = field(default="", repr=False)
    where: str = ""
    folder: Path = Path()  # where relative paths start

    def at(self, place: YamlPath, message: str) -> BadJobFile:
        """Return a mistake with its line."""
        return BadJobFile(self.where, line_of(self.text, place), _shown(place), message)

    def wrong(self, path: str, message: str) -> BadJobFile | None:
        """Return a mistake that the central reports, with its line in the file.

        `path` is the place in the submission, such as `jobs[3].needs[0].tags`. Returns None if it
        is not in the file.
        """
        place = place_of(path)
        if not place or place[0] not in ("jobs", "template", "parameters"):
            return None
        if place[0] == "jobs":
            found = load(self.text, self.where)
            if as_list(found) is not None:
                place = place[1:]
            elif "template" in found:  # it was filled in here, for inputs that differ
                place = ("template", *place[2:])
            elif "jobs" not in found:
                place = place[2:]
        return self.at(place, message)


def read_job_file(path: Path) -> JobFile:
    """Return the jobs of a file. Raises BadJobFile with the line, the mistake and the remedy."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as why:
        reason = why.strerror if isinstance(why, OSError) else "it is not UTF-8 text"
        raise BadJobFile(str(path), None, "", str(reason)) from None
    return parse_job_file(text, str(path), path.parent)


def parse_job_file(text: str, where: str, folder: Path) -> JobFile:
    """Return the jobs in `text`. Relative paths of inputs start at `folder`."""
    return replace(_Reader(text, where, folder).read(), text=text, where=where, folder=folder)


class _Reader:
    def __init__(self, text: str, where: str, folder: Path) -> None:
        self._text, self._where, self._folder = text, where, folder
        self._found = load(text, where)
        self._words: Any = None

    def read(self) -> JobFile:
        if as_list(self._found) is not None:
            return JobFile(jobs=self._drafts(self._found, ()))
        found = as_mapping(self._found)
        if not found:
            empty = "it is empty: " if self._found in (None, {}) else ""
            holds = "a job file has a job, a list of jobs, `jobs:` or `template:`"
            raise self._wrong((), empty + holds)
        if not found.keys() & {"jobs", "template", "parameters"}:
            return JobFile(jobs=(self._draft(found, ()),))
        self._check_keys(found, (), _TOP)
        name, key, group = (self._text_at(found, word) for word in ("name", "key", "group"))
        running_max = found.get("running_max", 0)
        if type(running_max) is not int or running_max < 0:
            why = f"found {running_max!r}, expected a number of jobs, 0 or more"
            raise self._wrong(("running_max",), why)
        notify = self._events(found)
        if "jobs" in found:
            if "template" in found or "parameters" in found:
                raise self._wrong(("jobs",), "give either `jobs`, or `template` with `parameters`")
            jobs = self._drafts(found["jobs"], ("jobs",))
            return JobFile(
                jobs=jobs,
                name=name,
                key=key,
                group=group,
                running_max=running_max,
                notify=notify,
            )
        for word in ("template", "parameters"):
            if word not in found:
                why = "`template` needs `parameters`; a single job has its keys at the top"
                raise self._wrong((), f"`{word}` is missing: {why}")
        parameters = self._parameters(found["parameters"])
        template = self._draft(found["template"], ("template",))
        return JobFile(
            template=template,
            parameters=parameters,
            name=name,
            key=key,
            running_max=running_max,
            notify=notify,
            group=group,
        )

    def _events(self, found: Any) -> str:
        """Return what to notify of, such as `end,fail`."""
        given = found.get("notify", "")
        listed = as_list(given)
        words = given.split(",") if isinstance(given, str) else listed
        known = [one.value for one in NotifyEvent]
        named = [str(word).strip() for word in words or ()]
        if words is None or not set(named) <= {*known, ""}:
            raise self._wrong(("notify",), f"found {given!r}, expected some of {', '.join(known)}")
        return ",".join(filter(None, named))

    def _drafts(self, found: Any, path: YamlPath) -> tuple[Draft, ...]:
        jobs = as_list(found)
        if not jobs:
            empty = "it is empty, " if jobs is not None else ""
            raise self._wrong(path, f"{empty}expected a list of jobs")
        places: dict[str, int] = {}  # of the jobs above, by name
        drafts: list[Draft] = []
        for i, one in enumerate(jobs):
            job = self._with_places(one, (*path, i), places)
            drafts.append(self._draft(job, (*path, i)))
            places[drafts[-1].job.name] = i + 1
        return tuple(drafts)

    def _with_places(self, found: Any, path: YamlPath, places: Mapping[str, int]) -> Any:
        """Return the job with the places of the jobs that it waits for, in place of their names."""
        job = as_mapping(found)
        after = as_list(job.get("after")) if job is not None else None
        if job is None or after is None:
            return found
        made: list[Any] = []
        for i, one in enumerate(after):
            given = as_mapping(one) if not isinstance(one, str | int) else {"job": one}
            name = given.get("job") if given is not None else None
            if given is not None and isinstance(name, str):
                if name not in places:
                    why = f"no job above has the name {name!r}: list the jobs in their order"
                    raise self._wrong((*path, "after", i), why)
                given = {key: one for key, one in given.items() if key != "job"}
                given["index"] = places[name]
            made.append(one if given is None else given)
        return {**job, "after": made}

    def _draft(self, found: Any, path: YamlPath) -> Draft:
        given = as_mapping(found)
        if given is None:
            raise self._wrong(path, "expected a job: a mapping with at least `command`")
        job = self._neutral(given, path)
        files, patterns = self._local_files(job, path)
        try:
            return Draft(convert(job, Job, short_keys=True), files, patterns)
        except msgspec.ValidationError as why:
            raise self._from_msgspec(why, job, path) from None

    def _neutral(self, found: dict[str, Any], path: YamlPath) -> dict[str, Any]:
        """Return the job in the form of the API, except for its local inputs."""
        self._check_keys(found, path, _fields(Job), inside=_SHAPES)
        job = dict(found)
        if isinstance(job.get("command"), str):
            raise self._wrong((*path, "command"), "expected a list of words: [echo, hello]")
        for key in ("command", "environment", "outputs"):
            self._check_braces(job.get(key), (*path, key), lists=key != "outputs")
        for key in ("command", "environment"):
            if key in job:
                job[key] = self._as_written(job[key], (*path, key))
        if isinstance(job.get("needs"), dict):
            job["needs"] = [job["needs"]]
        outputs = as_list(job.get("outputs"))
        if outputs is not None:
            job["outputs"] = [{"pattern": one} if isinstance(one, str) else one for one in outputs]
        for key, shape in _SHAPES.items():
            self._check_inside(job.get(key), (*path, key), shape)
        return job

    def _check_braces(self, found: Any, path: YamlPath, *, lists: bool) -> None:
        """Refuse `[echo, {n}]`: YAML reads a parameter without quotes as a mapping."""
        mapping = as_mapping(found)
        pairs = enumerate(as_list(found) or ()) if mapping is None else mapping.items()
        for step, value in pairs:
            inner = as_mapping(value)
            bare = inner is not None and all(one is None for one in inner.values())
            if inner is not None and (lists or bare):
                word = "{" + ", ".join(str(key) for key in inner) + "}"
                raise self._wrong((*path, step), f"quote it: '{word}' is a mapping in YAML")

    def _check_inside(self, found: Any, path: YamlPath, shape: type[msgspec.Struct]) -> None:
        mapping = as_mapping(found)
        if mapping is not None:
            self._check_keys(mapping, path, _fields(shape))
        for i, one in enumerate(as_list(found) or ()):
            self._check_inside(one, (*path, i), shape)

    def _check_keys(
        self,
        found: dict[str, Any],
        path: YamlPath,
        known: tuple[str, ...],
        inside: Mapping[str, type[msgspec.Struct]] | None = None,
    ) -> None:
        for key in found:
            if key in known:
                continue
            for place, shape in (inside or {}).items():
                if key in _fields(shape):
                    why = f"unknown key {key!r} here: it belongs in `{place}` (`{place}.{key}`)"
                    raise self._wrong((*path, key), why, field=_shown(path))
            if not path and key in _TOP:
                why = f"{key!r} is allowed only in a file with `jobs:` or `template:`"
                raise self._wrong((key,), why, field=_shown(path))
            here = known if path else {*known, *_TOP}
            parts = {place: _fields(shape) for place, shape in (inside or {}).items()}
            why = unknown(str(key), here, parts=parts)
            raise self._wrong((*path, key), why, field=_shown(path))

    def _as_written(self, found: Any, path: YamlPath) -> Any:
        """Return words as they are written: in `[sleep, 007]` the second word stays `007`."""
        mapping = as_mapping(found)
        values = as_list(found) if mapping is None else list(mapping.values())
        if values is None or all(isinstance(one, str) for one in values):
            return found
        written = self._as_texts()
        for step in path:
            written = written[step]
        return written

    def _as_texts(self) -> Any:
        """Return the file with every scalar as its text."""
        if self._words is None:
            self._words = load_as_written(self._text)
        return self._words

    def _local_files(
        self, job: dict[str, Any], path: YamlPath
    ) -> tuple[tuple[LocalFile, ...], tuple[FilePattern, ...]]:
        """Remove the inputs that are paths from the job; return them, and those with parameters."""
        inputs = as_list(job.get("inputs"))
        if inputs is None:
            return (), ()
        kept: list[Any] = []
        files: list[LocalFile] = []
        patterns: list[FilePattern] = []
        for i, one in enumerate(inputs):
            place = (*path, "inputs", i)
            given = {"path": one} if isinstance(one, str) else as_mapping(one)
            if given is None:
                raise self._wrong(place, "expected a path, or a mapping with `path`")
            self._check_keys(given, place, _INPUT_KEYS)
            if "sha256" in given:
                kept.append(given)
                continue
            found = self._file_pattern(given, place)
            if path == ("template",) and "{" in found.path:
                patterns.append(found)
            else:
                files.append(self._local_file(found))
        job["inputs"] = kept
        return tuple(files), tuple(patterns)

    def _file_pattern(self, found: dict[str, Any], place: YamlPath) -> FilePattern:
        for key in ("path", "name"):
            if not isinstance(found.get(key, ""), str):
                raise self._wrong((*place, key), "expected text")
        if not found.get("path"):
            raise self._wrong(place, "`path` is missing")
        name, unpack = found.get("name", ""), bool(found.get("unpack", False))
        return FilePattern(found["path"], name, unpack, (*place, "path"))

    def _local_file(self, found: FilePattern) -> LocalFile:
        path = self._folder / found.path
        if not path.exists():
            raise self._wrong(found.place, f"there is no file {path}")
        return LocalFile(path, found.name, found.unpack)

    def _parameters(self, found: Any) -> tuple[ParameterSet, ...]:
        try:
            return parameters_of(found, self._folder)
        except BadSweep as bad:
            raise self._wrong(("parameters", *bad.place), bad.why) from None

    def _text_at(self, found: dict[str, Any], key: str) -> str:
        value = found.get(key, "")
        if not isinstance(value, str):
            raise self._wrong((key,), "expected text")
        return value

    def _from_msgspec(
        self, why: msgspec.ValidationError, job: dict[str, Any], path: YamlPath
    ) -> BadJobFile:
        found = complaint(
            why,
            Job,
            as_json(job),
            value_at=lambda inside: self._value_at((*path, *place_of(inside))),
        )
        place = (*path, *place_of(found.path))
        if found.message == MISSING:
            return self._wrong(place[:-1], f"the key `{place[-1]}` is missing")
        empty = ": add a value, or remove the key" if found.message.endswith("got nothing") else ""
        return self._wrong(place, found.message + empty)

    def _value_at(self, place: YamlPath) -> str | None:
        """Return the value at a place: text in quotes, other values as they are written."""
        value, written = self._found, self._as_texts()
        for step in place:
            if isinstance(step, int) and as_list(value) is None:
                continue  # one mapping in place of a list
            mapping = as_mapping(value)
            if mapping is not None and step not in mapping:
                step = short_name(str(step))
            try:
                value, written = value[step], written[step]
            except (LookupError, TypeError):
                return None
        is_plain = isinstance(written, str) and not isinstance(value, str)
        return short(written if is_plain else as_json(value).decode()) or None

    def _wrong(self, path: YamlPath, message: str, *, field: str | None = None) -> BadJobFile:
        shown = _shown(path) if field is None else field
        return BadJobFile(self._where, line_of(self._text, path), shown, message)


def place_of(path: str) -> YamlPath:
    """Return the exact steps at the beginning of a path such as `$.jobs[3].needs[0].tags`."""
    place: list[str | int] = []
    for step in steps(path if path.startswith("$") else f"$.{path}"):
        if step == "...":
            break  # somewhere in a mapping
        place.append(int(step) if step.isdigit() else step)
    return tuple(place)


def _fields(shape: type[msgspec.Struct]) -> tuple[str, ...]:
    return (*shape.__struct_fields__, *short_keys_of(shape))


def _shown(path: YamlPath) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")
