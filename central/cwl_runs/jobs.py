"""Turns the description of a tool's run into a job, and outputs into places. Pure."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import unquote

from pilotage.pilot.cwl.tool_job import EX_TEMPFAIL, KEPT, RESULT, RETRIES, packed
from pilotage.proto.documents.cwl import CwlDocument, CwlFile
from pilotage.proto.documents.job import (
    DataInput,
    Input,
    Job,
    JobData,
    Need,
    OutputPattern,
)
from pilotage.proto.messages import Output

# The files of jobs are below RUNS/KEY: see `central/cwl/known_files.py`.
RUNS: Final = "/pilotage-cwl/runs/"
MIB: Final = 1.048576  # MB
WALL_S: Final = 86_400
STAGING_S: Final = 600  # added to the time limit of a tool
_PLAIN: Final = re.compile(r"[A-Za-z0-9_+,=@%][A-Za-z0-9._+,=@%-]{0,200}")


class Unusable(Exception):
    """A job cannot be made. The argument says why."""


@dataclass(frozen=True)
class JobFiles:
    """What a job has put out: files with their blobs, and folders, by path in its output folder."""

    files: Mapping[str, Output]
    folders: frozenset[str]
    executable: frozenset[str]


@dataclass
class _Given:
    """The inputs of a job, as they are collected."""

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
        folder = name.rpartition("/")[0]
        self.data.append(DataInput(did=one.did, to=folder))
        return f"{folder}/{one.did.rpartition('/')[2].rpartition(':')[2]}"


def source_of(location: str) -> str:
    """Return the path of a location in the run."""
    return unquote(location.removeprefix("file://")) if "://" in location[:8] else location


def needed_keys(wanted: Mapping[str, Any]) -> set[str]:
    """Return the keys of the jobs whose files a job reads."""
    found = (source_of(one["source"]) for one in _staged(wanted))
    return {one[len(RUNS) :].partition("/")[0] for one in found if one.startswith(RUNS)}


def _staged(wanted: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (one for one in wanted["spec"]["stage"] if one["kind"] in ("file", "folder"))


def job_of(wanted: Mapping[str, Any], document: CwlDocument, made: Mapping[str, JobFiles]) -> Job:
    """Return the job of a tool's run; `made` has the files of earlier jobs by key.

    Raises Unusable if an input is not known.
    """
    given = _Given()
    for number, one in enumerate(_staged(wanted)):
        if one["source"] not in given.sources:
            given.sources[one["source"]] = _laid(one, f"given/{number}", document, made, given)
    spec: dict[str, Any] = {
        **wanted["spec"],
        "sources": given.sources,
        "executable": given.executable,
        "made": given.made,
    }
    needs, limit = wanted["needs"], spec.get("limit_s") or 0
    codes = {one or EX_TEMPFAIL for one in spec.get("temporary", ())}
    temporary = tuple(sorted(one for one in codes if 0 < one < 256))
    return Job(
        command=("python3", document.tool.name, *packed(spec)),
        name=wanted["step"],
        group=document.group,
        inputs=(document.tool, *given.inputs),
        outputs=(
            OutputPattern(pattern=RESULT, required=False),
            OutputPattern(pattern=f"{KEPT}/**", required=False),
        ),
        needs=(
            Need(
                cores_min=max(1, math.ceil(needs.get("cores", 1))),
                memory_mb=math.ceil(needs.get("ram", 0) * MIB),
                scratch_mb=math.ceil((needs["tmpdirSize"] + needs["outdirSize"]) * MIB),
                wall_s=math.ceil(limit) + STAGING_S if limit > 0 else WALL_S,
            ),
        ),
        data=JobData(inputs=tuple(given.data)) if given.data else None,
        retries=RETRIES if temporary else 0,
        retry_codes=temporary,
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
    return to


def _safe(path: str) -> str:
    """Return the last part of a path, if it can be a name everywhere: programs may look at it."""
    name = path.rpartition("/")[2]
    return name if _PLAIN.fullmatch(name) else "file"


def files_of(outputs: Iterator[Output] | tuple[Output, ...], result: Any) -> JobFiles:
    """Return what a job has put out, given its outputs and its result."""
    kept = f"{KEPT}/"
    listed: Sequence[Any] = ()
    if isinstance(result, dict):
        listed = cast(Mapping[str, Any], result)["files"]
    return JobFiles(
        files={one.name[len(kept) :]: one for one in outputs if one.name.startswith(kept)},
        folders=frozenset(one["path"] for one in listed if one["kind"] == "folder"),
        executable=frozenset(one["path"] for one in listed if one.get("executable")),
    )


def placed(outputs: Any, document: CwlDocument, jobs: Mapping[str, int]) -> Any:
    """Return outputs with the places that clients fetch files from; `jobs` are the ids by key."""
    if isinstance(outputs, list):
        return [placed(one, document, jobs) for one in cast(Sequence[Any], outputs)]
    if not isinstance(outputs, dict):
        return outputs
    plain = cast(dict[str, Any], outputs)
    found = {key: placed(one, document, jobs) for key, one in plain.items()}
    if found.get("class") in ("File", "Directory") and "location" in found:
        place = _place(str(found.pop("location")), document, jobs)
        if place:
            found["location"] = place
    return found


def _place(path: str, document: CwlDocument, jobs: Mapping[str, int]) -> str:
    if path.startswith(RUNS):
        key, _, relative = path[len(RUNS) :].partition("/")
        return f"job:{jobs[key]}/{KEPT}/{relative}"
    known = document.files.get(path)
    if known is None or known.kind == "folder":
        return ""
    return f"lfn:{known.did}" if known.did else f"blob:{known.sha256}"
