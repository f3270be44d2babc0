"""Turns the description of a tool's run into a job, and outputs into places. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, cast
from urllib.parse import unquote

import msgspec
from msgspec import Meta

from pilotage.pilot.cwl.tool_job import EX_TEMPFAIL, KEPT, RESULT, RETRIES, STORED, packed
from pilotage.proto.api.jdl import JdlRules
from pilotage.proto.decoding.patterns import whole
from pilotage.proto.documents.cwl import CwlDocument, CwlFile
from pilotage.proto.documents.job import (
    PRIORITY_DEFAULT,
    DataInput,
    DataOutput,
    Input,
    Job,
    JobData,
    Need,
    OutputPattern,
)
from pilotage.proto.messages import Output

from ..cwl.lfns import with_scope
from ..cwl.messages import WantedJob
from ..cwl.needs import need_of
from ..workflows.jdl.needs import platform_of

# The files of jobs are below RUNS/KEY: see `central/cwl/known_files.py`.
RUNS: Final = "/pilotage-cwl/runs/"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_+,=@%][A-Za-z0-9._+,=@%-]{0,200}")


class ListedFile(msgspec.Struct, frozen=True, kw_only=True):
    """What lies in the output folder of a tool."""

    path: str
    kind: Literal["file", "folder", "leaves"]
    bytes: Annotated[int, Meta(ge=0)] = 0
    sha1: str = ""
    head: Annotated[str, Meta(pattern=whole("([0-9a-f]{2})*"))] = ""  # its start, in hexadecimal
    executable: bool = False
    why: str = ""  # of `leaves`


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """What `pilot/cwl/tool_job.py` says of a tool. The tool itself may have written it."""

    code: int
    status: Literal["success", "temporaryFail", "permanentFail"]
    why: str
    files: tuple[ListedFile, ...]
    stored: dict[str, str] = {}  # names in the catalogue, by path


class Unusable(Exception):
    """A job cannot be made. The argument says why."""


@dataclass(frozen=True)
class JobFiles:
    """What a job has put out: files with their blobs, and folders, by path in its output folder."""

    files: Mapping[str, Output]
    folders: frozenset[str]
    executable: frozenset[str]
    stored: Mapping[str, str]  # names in the catalogue of the files that are there instead


@dataclass
class _Given:
    """The inputs of a job, as they are collected."""

    scope: str  # of names in the catalogue
    inputs: list[Input] = field(default_factory=list[Input])
    data: list[DataInput] = field(default_factory=list[DataInput])
    sources: dict[str, str] = field(default_factory=dict[str, str])
    executable: list[str] = field(default_factory=list[str])
    made: list[str] = field(default_factory=list[str])

    def blob(self, name: str, sha256: str, size: int, executable: bool) -> None:
        self.inputs.append(Input(name=name, sha256=sha256, size_bytes=size))
        if executable:
            self.executable.append(name)

    def file(self, name: str, one: CwlFile) -> str:
        """Add a file of the document; return where it will lie."""
        if not one.did:
            self.blob(name, one.sha256, one.size_bytes, one.executable)
            return name
        return self.of_catalogue(name, with_scope(one.did, self.scope))

    def of_catalogue(self, name: str, did: str) -> str:
        """Add a file of the catalogue; return where it will lie."""
        folder = name.rpartition("/")[0]
        self.data.append(DataInput(did=did, to=folder))
        return f"{folder}/{did.rpartition('/')[2].rpartition(':')[2]}"


def source_of(location: str) -> str:
    """Return the path of a location in the run."""
    return unquote(location.removeprefix("file://")) if "://" in location[:8] else location


def needed_keys(wanted: WantedJob) -> set[str]:
    """Return the keys of the jobs whose files a job reads."""
    found = (source_of(one["source"]) for one in _staged(wanted))
    return {one[len(RUNS) :].partition("/")[0] for one in found if one.startswith(RUNS)}


def _staged(wanted: WantedJob) -> Iterator[Mapping[str, Any]]:
    return (one for one in wanted.spec["stage"] if one["kind"] in ("file", "folder"))


def job_of(
    wanted: WantedJob,
    document: CwlDocument,
    made: Mapping[str, JobFiles],
    rules: JdlRules,
    group: str,
) -> Job:
    """Return the job of a tool's run; `made` has the files of earlier jobs by key.

    Names without a scope get that of the rules, or the group. Raises Unusable if an input is not
    known.
    """
    given = _Given(rules.scope or group)
    for number, one in enumerate(_staged(wanted)):
        if one["source"] not in given.sources:
            given.sources[one["source"]] = _laid(one, f"given/{number}", document, made, given)
    spec: dict[str, Any] = {
        **wanted.spec,
        "sources": given.sources,
        "executable": given.executable,
        "made": given.made,
    }
    if "store" in spec:
        spec["store"] = [{**one, "to": with_scope(one["to"], given.scope)} for one in spec["store"]]
    outputs = tuple(_data_output(i, one) for i, one in enumerate(spec.get("store", ())))
    placement = wanted.placement
    codes = {one or EX_TEMPFAIL for one in spec.get("temporary", ())}
    temporary = tuple(sorted(one for one in codes if 0 < one < 256))
    return Job(
        command=("python3", document.tool.name, *packed(spec)),
        name=wanted.step,
        group=document.group,
        inputs=(document.tool, *given.inputs),
        outputs=(
            OutputPattern(pattern=RESULT, required=False),
            OutputPattern(pattern=f"{KEPT}/**", required=False),
        ),
        needs=(_need(wanted, placement, rules),),
        priority=placement.get("priority", PRIORITY_DEFAULT),
        data=JobData(inputs=tuple(given.data), outputs=outputs) if given.data or outputs else None,
        retries=RETRIES if temporary else 0,
        retry_codes=temporary,
    )


def _need(wanted: WantedJob, placement: Mapping[str, Any], rules: JdlRules) -> Need:
    needs, limit = wanted.needs, wanted.spec.get("limit_s")
    platform = platform_of(placement.get("platform", "ANY"), rules)
    if platform is None:
        raise Unusable(f"the platform {placement['platform']!r} is not known any more")
    found = need_of(needs, limit, placement.get("sites", ()))
    return msgspec.structs.replace(found, **msgspec.structs.asdict(platform))


def _data_output(number: int, store: Mapping[str, Any]) -> DataOutput:
    """Return the files for one folder of the catalogue as an output of a job."""
    scope, _, folder = store["to"].partition(":")
    folder = folder.replace("{", "{{").replace("}", "}}").replace("{{job}}", "{job}")
    return DataOutput(
        pattern=f"{STORED}/{number}/**",
        scope=scope,
        name=f"{folder}/{{stem}}{{suffix}}",
        storages=tuple(store["storages"]),
        required=False,
    )


def _laid(
    one: Mapping[str, Any],
    to: str,
    document: CwlDocument,
    made: Mapping[str, JobFiles],
    given: _Given,
) -> str:
    """Add an input; return where it will lie in the folder of the job."""
    path = source_of(one["source"])
    if path.startswith(RUNS):
        key, _, relative = path[len(RUNS) :].partition("/")
        return _of_job(relative, to, made[key], one["kind"] == "folder", given)
    if one["kind"] == "file":
        known = document.files.get(path)
        if known is None or known.kind != "file":
            raise Unusable(f"{path} was not sent with the document")
        return given.file(f"{to}/{_safe(path)}", known)
    given.made.append(to)
    for its, known in document.files.items():
        if its.startswith(f"{path}/"):
            name = f"{to}/{its[len(path) + 1 :]}"
            if known.kind == "folder":
                given.made.append(name)
            else:
                given.file(name, known)
    return to


def _of_job(relative: str, to: str, its: JobFiles, is_folder: bool, given: _Given) -> str:
    if not is_folder:
        if relative in its.stored:
            return given.of_catalogue(f"{to}/file", its.stored[relative])
        found = its.files.get(relative)
        if found is None:
            raise Unusable(f"an earlier step has put out no file {relative!r}")
        name = f"{to}/{_safe(relative)}"
        given.blob(name, found.sha256, found.size_bytes, relative in its.executable)
        return name
    given.made.append(to)
    start = f"{relative}/" if relative else ""
    given.made += [f"{to}/{one[len(start) :]}" for one in its.folders if one.startswith(start)]
    for path, found in its.files.items():
        if path.startswith(start):
            name = f"{to}/{path[len(start) :]}"
            given.blob(name, found.sha256, found.size_bytes, path in its.executable)
    for path, did in its.stored.items():
        if path.startswith(start):
            given.of_catalogue(f"{to}/{path[len(start) :]}", did)
    return to


def _safe(path: str) -> str:
    """Return the last part of a path, if it can be a name everywhere: programs may look at it."""
    name = path.rpartition("/")[2]
    return name if _PLAIN.fullmatch(name) else "file"


def result_of(text: bytes) -> dict[str, Any]:
    """Return the result of a tool as plain values. Raises msgspec.DecodeError, RecursionError."""
    found: dict[str, Any] = msgspec.json.decode(text)
    msgspec.convert(found, ToolResult)
    return found


def files_of(outputs: Iterator[Output] | tuple[Output, ...], result: Any) -> JobFiles:
    """Return what a job has put out, given its outputs and its result."""
    kept = f"{KEPT}/"
    known: Mapping[str, Any] = cast(dict[str, Any], result) if isinstance(result, dict) else {}
    listed: Sequence[Any] = known.get("files", ())
    return JobFiles(
        files={one.name[len(kept) :]: one for one in outputs if one.name.startswith(kept)},
        folders=frozenset(one["path"] for one in listed if one["kind"] == "folder"),
        executable=frozenset(one["path"] for one in listed if one.get("executable")),
        stored={str(path): str(did) for path, did in dict(known.get("stored") or {}).items()},
    )


@dataclass(frozen=True)
class Places:
    """Where clients find the files of a run."""

    document: CwlDocument
    jobs: Mapping[str, int]  # their ids by key
    made: Mapping[str, JobFiles]  # by key, of jobs that may have stored files
    scope: str  # of names in the catalogue

    def placed(self, outputs: Any) -> Any:
        """Return outputs with the places that clients fetch files from."""
        if isinstance(outputs, list):
            return [self.placed(one) for one in cast(Sequence[Any], outputs)]
        if not isinstance(outputs, dict):
            return outputs
        plain = cast(dict[str, Any], outputs)
        found = {key: self.placed(one) for key, one in plain.items()}
        if found.get("class") in ("File", "Directory") and "location" in found:
            place = self._place(str(found.pop("location")))
            if place:
                found["location"] = place
        return found

    def _place(self, path: str) -> str:
        if path.startswith(RUNS):
            key, _, relative = path[len(RUNS) :].partition("/")
            if key in self.made and relative in self.made[key].stored:
                return f"lfn:{self.made[key].stored[relative]}"
            return f"job:{self.jobs[key]}/{KEPT}/{relative}"
        known = self.document.files.get(path)
        if known is None or known.kind == "folder":
            return ""
        return f"lfn:{with_scope(known.did, self.scope)}" if known.did else f"blob:{known.sha256}"


def keys_in(outputs: Any) -> set[str]:
    """Return the keys of the jobs that made the files of outputs."""
    if isinstance(outputs, list):
        return set[str]().union(*map(keys_in, cast(Sequence[Any], outputs)))
    if not isinstance(outputs, dict):
        return set()
    plain = cast(dict[str, Any], outputs)
    found = set[str]().union(*map(keys_in, plain.values()))
    location = plain.get("location")
    if isinstance(location, str) and location.startswith(RUNS):
        found.add(location[len(RUNS) :].partition("/")[0])
    return found
