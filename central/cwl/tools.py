"""Turns CommandLineTools into descriptions of jobs, and what the jobs listed into outputs.

The CWL library builds the command lines and collects the outputs. Its paths are placeholders: the
node puts its own folders there (`pilot/cwl/tool_job.py`).
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from cwl_utils.errors import WorkflowException
from cwl_utils.types import CWLDirectoryType, CWLFileType, CWLObjectType
from cwltool.command_line_tool import CommandLineTool
from cwltool.context import LoadingContext, RuntimeContext
from cwltool.errors import UnsupportedRequirement
from cwltool.job import JobBase
from cwltool.pathmapper import MapperEnt, PathMapper
from cwltool.process import Process, shortname
from cwltool.stdfsaccess import abspath
from cwltool.utils import bytes2str_in_dicts, visit_class
from cwltool.workflow import default_make_tool
from schema_salad.ref_resolver import file_uri, uri_file_path

from pilotage.pilot.cwl.tool_job import IN, OUT, SUCCESS, TMP, VERSION

from .document_checks import CheckedWorkflow, refuse_inputs
from .kept_outputs import globs_of, kept
from .known_files import RUNS, RunAccess, RunFiles, from_listing

# of a context, for containers
FOLDERS: Final = {"docker_outdir": OUT, "docker_tmpdir": TMP, "docker_stagedir": IN}
TEMPORARY, PERMANENT = "temporaryFail", "permanentFail"


@dataclass(frozen=True)
class Store:
    """Where the files of an output port go in the catalogue."""

    folder: str  # SCOPE:FOLDER, or /FOLDER if the central has to add the scope
    storages: tuple[str, ...] = ()  # empty: the default ones


@dataclass(frozen=True)
class ToolJob:
    """One run of a tool."""

    key: str  # names the run: equal for equal descriptions at the same step
    name: str  # for people
    spec: Mapping[str, Any]  # see `pilot/cwl/tool_job.py`
    needs: Mapping[str, float]  # cores, ram (MiB), tmpdirSize (MiB), outdirSize (MiB)
    placement: Mapping[str, Any] = field(default_factory=dict[str, Any])  # see `hints.Scheduling`
    recipe: str = ""  # equal for runs with equal results; empty: its result is not to be reused


class JobContext(RuntimeContext):
    """The placeholders of folders, instead of temporary folders of this machine."""

    def get_outdir(self) -> str:
        return OUT

    def get_tmpdir(self) -> str:
        return TMP

    def get_stagedir(self) -> str:
        return IN

    create_tmpdir = get_tmpdir
    create_outdir = get_outdir
    # The roots of containers by image; `*`: of all others. `{image}` is the name of the image.
    trees: Mapping[str, str] = {}

    def tree_of(self, image: Mapping[str, Any] | None) -> str:
        """Return the root of a container; empty: none is known."""
        if image is None:
            return ""
        names = [str(image[key]) for key in ("dockerImageId", "dockerPull") if key in image]
        found = next((self.trees[one] for one in (*names, "*") if one in self.trees), "")
        return found.replace("{image}", names[-1] if names else "")


class JobPaths(PathMapper):
    """Where files lie for the command. Looks at no disk; the numbers of folders are in order."""

    def setup(
        self, referenced_files: MutableSequence[CWLFileType | CWLDirectoryType], basedir: str
    ) -> None:
        for number, one in enumerate(referenced_files):
            folder = f"{self.stagedir}/{number}" if self.separateDirs else self.stagedir
            is_copy = bool(one.get("writable", False))
            self.visit(one, folder, basedir, copy=is_copy, staged=True)

    def visit(
        self,
        obj: CWLFileType | CWLDirectoryType,
        stagedir: str,
        basedir: str,
        copy: bool = False,
        staged: bool = False,
    ) -> None:
        location = obj.get("location", "")
        if obj["class"] == "Directory" or ("contents" in obj and location.startswith("_:")):
            super().visit(obj, stagedir, basedir, copy=copy, staged=staged)
            return
        if location in self._pathmap:
            return
        folder = (cast(str, obj.get("dirname")) or stagedir).rstrip("/")
        self._pathmap[location] = MapperEnt(
            abspath(location, basedir),
            os.path.join(folder, obj.get("basename", "")),
            "WritableFile" if copy else "File",
            staged,
        )
        self.visitlisting(
            obj.get("secondaryFiles", []), stagedir, basedir, copy=copy, staged=staged
        )


class PlannedJob(JobBase):
    """A run of a tool that another machine carries out."""

    def run(
        self, runtimeContext: RuntimeContext, tmpdir_lock: "threading.Lock | None" = None
    ) -> None:
        raise NotImplementedError("it is run on a node")

    def _required_env(self) -> dict[str, str]:
        return {}

    def prepare_environment(
        self, runtimeContext: RuntimeContext, envVarReq: Mapping[str, str]
    ) -> None:
        self.environment = dict(envVarReq)

    step = ""  # of the workflow, or the name of the tool
    ports: Any = ()  # the outputs of the tool
    stores: Mapping[str, Store] = {}  # output ports whose files the catalogue gets
    placement: Mapping[str, Any] = {}

    def described(self, context: JobContext, files: RunFiles) -> ToolJob:
        """Return the description. Raises WorkflowException if the tool has no command."""
        argv = [str(one) for one in self.command_line]
        if not argv:
            raise WorkflowException("the tool has no command: expected a baseCommand or arguments")
        spec: dict[str, Any] = {
            "argv": argv,
            "env": dict(self.environment),
            "stage": self._stage(context, files),
            "success": list(self.successCodes),
            "temporary": list(self.temporaryFailCodes),
            "permanent": list(self.permanentFailCodes),
        }
        if (keep := kept(self)) is not None:
            spec["keep"] = keep
        if self.stores:
            spec["store"] = [
                {"to": to.folder, "storages": list(to.storages), "globs": globs_of(self, port)}
                for port in self.ports
                if (to := self.stores.get(shortname(port["id"]))) is not None
            ]
        built = self.builder
        spec["folders"] = {"out": built.outdir, "tmp": built.tmpdir, "in": built.stagedir}
        if tree := context.tree_of(built.get_requirement("DockerRequirement")[0]):
            spec |= {"tree": tree, "network": self.networkaccess}
        for name in ("stdin", "stdout", "stderr"):
            if (value := getattr(self, name)) is not None:
                spec[name] = value
        if self.timelimit:
            spec["limit_s"] = self.timelimit
        check_values(spec)
        digest = hashlib.sha256(json.dumps([self.step, spec], sort_keys=True).encode()).hexdigest()
        return ToolJob(
            key=digest[:24],
            name=self.step,
            spec=spec,
            needs=self._needs(),
            placement=self.placement,
            recipe=self._recipe(spec, files),
        )

    def _recipe(self, spec: Mapping[str, Any], files: RunFiles) -> str:
        """Return a hash of all that the result depends on; empty: it is not to be reused.

        After a change here or in `tool_job.py` that gives equal tools other results, raise VERSION
        there.
        """
        asked = self.builder.get_requirement("WorkReuse")[0]
        if (
            self.inplace_update
            or self.stores
            or (asked is not None and not self.builder.do_eval(asked["enableReuse"]))
        ):
            return ""
        stage: list[Mapping[str, Any]] = []
        for one in spec["stage"]:
            same = one["source"]
            if one["kind"] in ("file", "folder"):
                path = uri_file_path(same) if same.startswith("file://") else same
                same = files.identity(path)
                if not same:
                    return ""
            stage.append({**one, "source": same})
        software = self.builder.get_requirement("SoftwareRequirement")[0]
        made_of = [VERSION, {**spec, "stage": stage}, software]
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()

    def _needs(self) -> dict[str, float]:
        """Return the resources; without memory if the document asks for none."""
        stated = self.builder.get_requirement("ResourceRequirement")[0] or {}
        found: dict[str, float] = dict(self.builder.resources)
        if not {"ramMin", "ramMax"} & stated.keys():
            found.pop("ram", None)
        return found

    def _stage(self, context: JobContext, files: RunFiles) -> list[dict[str, Any]]:
        """Return what lies where before the command runs. Raises WorkflowException on clashes."""
        made: PathMapper = self.make_path_mapper(
            self.generatefiles.get("listing", []), self.builder.outdir, context, False
        )
        if self.stdin is not None and self.pathmapper.reversemap(self.stdin) is None:
            raise WorkflowException(f"stdin {self.stdin} is no input file of the tool")
        stage: dict[str, dict[str, Any]] = {}
        for mapper in (self.pathmapper, made):
            for _, one in mapper.items():
                if one.staged and one.type is not None:
                    entry = _staged(one._replace(resolved=files.newest(one.resolved)))
                    if files.is_missing(entry["source"]):
                        raise WorkflowException(f"{entry['source']} is no file of this run")
                    known = stage.setdefault(one.target, entry)
                    if known != entry and "File" in one.type:
                        raise WorkflowException(
                            f"two inputs would lie at {one.target}: {known['source']} and "
                            f"{entry['source']}"
                        )
        self._stage_list = list(stage.values())
        return self._stage_list

    def ended(self, key: str, result: Mapping[str, Any], files: RunFiles) -> tuple[Any, str]:
        """Return the outputs of the tool and its status, given what the node said.

        A tool that failed has none: what it has left may be cut.
        """
        root = f"{RUNS}/{key}"
        files.add(root, from_listing(result))
        if self.inplace_update:
            for one in self._stage_list:
                if one.get("writable") and one["source"]:
                    name = os.path.relpath(one["path"], self.builder.outdir)
                    files.updated[one["source"]] = os.path.join(root, name)
        access = RunAccess("", files)
        if result["status"] != SUCCESS:
            self.why = result["why"] or f"exit code {result['code']}"
            return {}, result["status"]
        try:
            outputs: Any = self.collect_outputs(root, result["code"])
        except WorkflowException as why:
            self.why = str(why)
            return {}, PERMANENT

        def complete(one: Any) -> None:
            if one["location"].startswith("/"):  # an input that is put out again
                one["location"] = file_uri(one["location"])
            if sha1 := access.sha1(one["location"]):
                one.setdefault("checksum", f"sha1${sha1}")

        visit_class(outputs, ("File", "Directory"), complete)
        return bytes2str_in_dicts(outputs), result["status"]

    why = ""


def check_values(value: Any) -> None:
    """Raise WorkflowException if a value has a number or a text that JSON cannot hold."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise WorkflowException("found a text with half a character, expected UTF-8") from None
    except ValueError:
        raise WorkflowException("found NaN or an infinite number, expected a number") from None


def _staged(one: MapperEnt) -> dict[str, Any]:
    kind, source = "file", one.resolved
    if one.type in ("CreateFile", "CreateWritableFile"):
        kind = "text"
    elif one.type is not None and one.type.endswith("Directory"):
        kind = "empty" if one.resolved.startswith("_:") else "folder"
    entry: dict[str, Any] = {"path": one.target, "kind": kind}
    entry["source"] = "" if kind == "empty" else source
    if one.type is not None and "Writable" in one.type:
        entry["writable"] = True
    return entry


class PlannedTool(CommandLineTool):
    """A tool whose runs are jobs."""

    step = ""  # its name among the tools of the document, if it has one
    stores: Mapping[str, Store] = {}  # as hints say, by output port
    placement: Mapping[str, Any] = {}  # as hints say

    def job(self, job_order: CWLObjectType, output_callbacks: Any, runtimeContext: Any) -> Any:
        image, is_required = self.get_requirement("DockerRequirement")
        if image is not None and not runtimeContext.tree_of(image):
            if is_required:
                raise UnsupportedRequirement(
                    f"DockerRequirement: no tree is known for {image.get('dockerPull') or image}"
                )
            self.hints = [one for one in self.hints if one["class"] != "DockerRequirement"]
        tool = cast(Mapping[str, Any], self.tool)
        for job in super().job(job_order, output_callbacks, runtimeContext):
            if isinstance(job, PlannedJob):
                job.ports = tool["outputs"]
                job.stores, job.placement = self.stores, self.placement
                job.step = self.step or runtimeContext.name or shortname(tool["id"])
            yield job

    def _init_job(self, joborder: CWLObjectType, runtime_context: Any) -> Any:
        try:
            return super()._init_job(joborder, runtime_context)
        except WorkflowException as why:
            refuse_inputs(self, joborder, why)

    def make_job_runner(self, runtimeContext: RuntimeContext) -> type[JobBase]:
        return PlannedJob

    def make_path_mapper(
        self,
        reffiles: MutableSequence[CWLFileType | CWLDirectoryType],
        stagedir: str,
        runtimeContext: RuntimeContext,
        separateDirs: bool,
    ) -> PathMapper:
        return JobPaths(reffiles, runtimeContext.basedir, stagedir, separateDirs)


def made_tool(toolpath_object: Any, loadingContext: LoadingContext) -> Process:
    """Make the processes of a document: tools become jobs. The library names the arguments."""
    if toolpath_object.get("class") == "CommandLineTool":
        return PlannedTool(toolpath_object, loadingContext)
    if toolpath_object.get("class") == "Workflow":
        return CheckedWorkflow(toolpath_object, loadingContext)
    return default_make_tool(toolpath_object, loadingContext)
