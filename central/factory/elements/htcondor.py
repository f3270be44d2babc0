"""HTCondor, by its command line: a local schedd, or a remote one such as an HTCondor-CE.

Pilots are always spooled. So no file has to stay on the submitting machine, and the schedd keeps
the output until it is fetched, for a day at most. Pilots that are submitted together form one
cluster.
"""

import io
import re
import tarfile
from collections.abc import Sequence
from itertools import groupby
from math import ceil
from operator import attrgetter
from typing import Annotated, Any, Literal, NoReturn

import msgspec
from msgspec import Meta

from pilotage.proto.decoding.patterns import whole

from ..commands import CompletedCommand
from ..credential import keep
from ..drivers import Driver, Tools, check_nodes
from ..element import (
    OUTPUT_MAX_BYTES,
    PilotOutput,
    PilotRequest,
    Slot,
    SlotState,
    SubmitResult,
    is_stamp,
)
from ..errors import Denied, ElementOperation, ElementUnreachable
from .option_types import HostOrNone, PathOrNone
from .program_calls import Calls, batches

# One line of text without `$(macro)`, without a backslash at its end (it would take in the next
# line), and without a queue statement.
_TEXT = r"([ -#%-~]*[!-#%-\[\]-~])?"
_LINE = rf"(?![Qq][Uu][Ee][Uu][Ee] *=)[+A-Za-z][A-Za-z0-9_.]* *= *{_TEXT}"
_Line = Annotated[
    str,
    Meta(
        pattern=whole(_LINE),
        max_length=512,
        description="a line NAME = VALUE of an HTCondor description, other than queue,"
        " without $, and with no \\ at its end",
    ),
]
# Names that the description below sets, and names that would break the rule of one pilot that is
# started once. Then the same as job attributes, which are written +Name or MY.Name.
_SAID = frozenset(
    {
        *("universe", "executable", "arguments", "arguments2", "initialdir", "initial_dir", "iwd"),
        *("job_iwd", "transfer_executable", "transfer_input_files", "transfer_output_files"),
        *("should_transfer_files", "when_to_transfer_output", "input", "stdin", "output", "stdout"),
        *("error", "stderr", "leave_in_queue", "periodic_remove", "request_cpus", "request_memory"),
        *("request_gpus", "hold", "getenv", "on_exit_remove", "max_retries", "retry_until"),
    }
)
_SAID_OF_JOB = frozenset(
    {
        *("pilotagestamp", "maxwalltime", "cmd", "args", "arguments", "in", "out", "err", "iwd"),
        *("jobuniverse", "jobstatus", "leavejobinqueue", "periodicremove", "onexitremove"),
        *("requestcpus", "requestmemory", "requestgpus", "transferexecutable", "transferinput"),
        *("transferoutput", "shouldtransferfiles", "whentotransferoutput"),
    }
)
_ATTRIBUTES = "ClusterId,ProcId,JobStatus,HoldReasonCode,HoldReason,ExitCode,PilotageStamp"
_OURS = "PilotageStamp =!= undefined"
NOT_SPOOLED = b"Failed to spool job files"
_NOT_CONNECTED = (b"Failed to connect to", b"Can't find address")  # the job was not submitted
SPOOLING = 16  # the hold reason of a job whose files are still being spooled
KEPT_S = 86_400  # how long the schedd keeps ended jobs
MIB = 1_048_576
# `ERROR: AUTHENTICATE:1003:Failed …`, printed with -debug. Only condor_q gets -debug: run by root,
# the other programs would then access files as another user.
_ERROR = re.compile(r"ERROR: ((?:[A-Z_]+:\d+:).*)")
_NOT_KNOWN = ("AUTHENTICATE:", 'Received "DENIED"')
_NOT_THERE = (b"couldn't find", b"no jobs", b"not found")
# Runs on the submitting machine, perhaps behind SSH: a folder for each pilot, from a tar on stdin.
_SUBMIT = """\
umask 077
mkdir -p -- "$1" && cd -- "$1" && tar -xf - || exit 1
file=$2
shift 2
condor_submit -terse "$@" "$file"
code=$?
rm -f -- "$file"
exit $code
"""
_DESCRIPTION = """\
universe = vanilla
executable = /bin/sh
transfer_executable = false
arguments = pilot.sh
initialdir = $(stamp)
transfer_input_files = pilot.sh
should_transfer_files = yes
when_to_transfer_output = on_exit
transfer_output_files = ""
output = stdout
error = stderr
+PilotageStamp = "$(stamp)"
leave_in_queue = JobStatus == 4 && time() - EnteredCurrentStatus < {kept}
# A pilot starts only once, because its secret is used up.
periodic_remove = NumJobStarts > 0 && JobStatus == 1{too_long}
request_cpus = {cores}
{lines}
queue stamp from (
{stamps}
)
"""


class HtcondorOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of an element of kind `htcondor`. Without `schedd` it uses the local one."""

    schedd: HostOrNone = ""  # name: ce.example.org
    pool: HostOrNone = ""  # collector: ce.example.org:9619
    # Of the submitting machine; empty: the central's own, which is wrong behind SSH.
    folder: PathOrNone = ""
    config: PathOrNone = ""  # condor_config, if elsewhere
    authentication: Literal["", "IDTOKENS", "SCITOKENS", "SSL", "FS"] = ""  # empty: from the config
    ca_file: PathOrNone = ""  # CA of the host
    node_cores: Annotated[int, Meta(ge=0, le=4096)] = 0  # cores of a whole node; 0: no whole nodes
    lines: tuple[_Line, ...] = ()  # added to the submit description: accounting_group = dpps
    timeout_s: Annotated[float, Meta(gt=0, le=600)] = 60.0  # of one command

    def __post_init__(self) -> None:
        """Refuse lines with which a job would not be one pilot, or could not be found again."""
        for line in self.lines:
            name = line.partition("=")[0].strip()
            plain = name.lower().removeprefix("+").removeprefix("my.")
            if plain in (_SAID if plain == name.lower() else _SAID_OF_JOB):
                raise ValueError(f"lines: {name} is set by pilotage; leave it out")


class Htcondor:
    """A schedd. A slot is `cluster.proc`; the pilot's stamp is the attribute PilotageStamp."""

    def __init__(self, options: HtcondorOptions, tools: Tools) -> None:
        self._options, self._tools = options, tools
        self._folder = options.folder.rstrip("/") or str(tools.folder / "jobs")
        where = ["-pool", options.pool] if options.pool else []
        self._where = [*where, *(["-name", options.schedd] if options.schedd else [])]
        submits = ["-remote", options.schedd] if options.schedd else ["-spool"]
        self._submits = [*where, *submits]

    async def _run(
        self, step: ElementOperation, *argv: str, stdin: bytes = b""
    ) -> CompletedCommand:
        calls = Calls(
            self._tools.commands,
            environment=await self._environment(),
            timeout_s=self._options.timeout_s,
        )
        done = await calls.run(step, *argv, stdin=stdin)
        if step is not ElementOperation.SUBMIT:  # of submit: some may be queued, so query first
            _refuse_strangers(done)
        return done

    async def _environment(self) -> dict[str, str]:
        options, source = self._options, self._tools.credential
        found = {"CONDOR_CONFIG": options.config} if options.config else {}
        if options.authentication:
            found["_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS"] = options.authentication
        if options.ca_file:
            found["_CONDOR_AUTH_SSL_CLIENT_CAFILE"] = options.ca_file
        if source is None:
            return found
        credential = await source.current()
        if options.authentication == "IDTOKENS":
            folder = self._tools.folder / "tokens"
            folder.mkdir(mode=0o700, exist_ok=True)
            keep(credential, folder / "token")
            return {**found, "_CONDOR_SEC_TOKEN_DIRECTORY": str(folder)}
        file = str(keep(credential, self._tools.folder / "credential"))
        if credential.is_proxy:
            return {**found, "X509_USER_PROXY": file}
        return {**found, "BEARER_TOKEN_FILE": file, "_CONDOR_SCITOKENS_FILE": file}

    async def reach(self) -> None:
        """Ask for our jobs. Raises as all calls do."""
        await self._list(ElementOperation.REACH)

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        """Submit one cluster for all equal requests. Raises as all calls do."""
        slots: dict[str, str] = {}
        refused: dict[str, str] = {}
        shape: Any = attrgetter("cores", "memory_mb", "wall_s", "gpus")
        denied: Denied | None = None
        for _, alike in groupby(sorted(requests, key=shape), key=shape):
            some = list(alike)
            try:
                slots |= await self._submit(some)
            except Denied as why:
                denied = why
                refused |= dict.fromkeys((one.stamp for one in some), why.why)
            except ElementUnreachable:
                if not slots:
                    raise
                break
        if denied is not None and not slots:
            raise denied
        return SubmitResult(slots, refused)

    async def _submit(self, alike: Sequence[PilotRequest]) -> dict[str, str]:
        file = f"submit-{alike[0].stamp}"
        done = await self._run(
            ElementOperation.SUBMIT,
            *("sh", "-c", _SUBMIT, "htcondor", self._folder, file, *self._submits),
            stdin=_tar(alike, file, self._description(alike)),
        )
        if done.code != 0:
            await self._failed(alike, done)
        return _placed(alike, done)

    async def _failed(self, alike: Sequence[PilotRequest], done: CompletedCommand) -> NoReturn:
        """Find out whether jobs were queued. Raises ElementUnreachable if so, else Denied."""
        if NOT_SPOOLED in done.err:
            await self._take_back(alike)
            _refuse_strangers(done)
            raise Denied(ElementOperation.SUBMIT, done.complaint)
        try:
            queued = await self.find([one.stamp for one in alike])
        except Denied:
            if any(words in done.err for words in _NOT_CONNECTED):
                raise  # it has the better reason: this is why nothing was queued
            raise ElementUnreachable(ElementOperation.SUBMIT, done.complaint) from None
        if queued:
            raise ElementUnreachable(ElementOperation.SUBMIT, f"some are queued: {done.complaint}")
        _refuse_strangers(done)
        raise Denied(ElementOperation.SUBMIT, done.complaint)

    async def _take_back(self, alike: Sequence[PilotRequest]) -> None:
        """Remove queued jobs whose files never arrived: they would stay held."""
        stamps = ",".join(one.stamp for one in alike)
        chosen = f'stringListMember(PilotageStamp, "{stamps}")'
        done = await self._run(
            ElementOperation.SUBMIT, "condor_rm", *self._where, "-constraint", chosen
        )
        if done.code != 0:
            raise ElementUnreachable(
                ElementOperation.SUBMIT, f"queued, not spooled, not removed: {done.complaint}"
            )

    def _description(self, alike: Sequence[PilotRequest]) -> str:
        one = alike[0]
        cores = one.cores or self._options.node_cores
        if not cores:
            raise Denied(
                ElementOperation.SUBMIT, "the shape is a whole node, but node_cores is not set"
            )
        lines = list(self._options.lines)
        if one.memory_mb:
            lines.append(f"request_memory = {ceil(one.memory_mb * 1e6 / MIB)}")
        if one.gpus:
            lines.append(f"request_gpus = {one.gpus}")
        too_long = ""
        if one.wall_s:
            lines.append(f"+maxWallTime = {ceil(one.wall_s / 60)}")  # minutes, for an HTCondor-CE
            too_long = f" || JobStatus == 2 && time() - EnteredCurrentStatus > {one.wall_s}"
        return _DESCRIPTION.format(
            kept=KEPT_S,
            too_long=too_long,
            cores=cores,
            lines="\n".join(lines),
            stamps="\n".join(one.stamp for one in alike),
        )

    async def find(self, stamps: Sequence[str]) -> dict[str, str]:
        """Return the jobs that carry these stamps. Raises as all calls do."""
        wanted = set(stamps)
        jobs = await self._list(ElementOperation.STATES)
        return {stamp: slot for slot, (stamp, _) in jobs.items() if stamp in wanted}

    async def states(self, slots: Sequence[str]) -> dict[str, Slot]:
        """Return the states of jobs, with one condor_q for all. Raises as all calls do."""
        jobs = await self._list(ElementOperation.STATES)
        gone = ("", Slot(SlotState.GONE))
        return {slot: jobs.get(slot, gone)[1] for slot in slots}

    async def _list(self, step: ElementOperation) -> dict[str, tuple[str, Slot]]:
        words = ("-json", "-attributes", _ATTRIBUTES, "-constraint", _OURS)
        done = await self._run(step, "condor_q", "-debug:D_ERROR", *self._where, *words)
        if done.code != 0:
            raise ElementUnreachable(step, _why(done))
        try:
            ads = msgspec.json.decode(done.text.strip() or "[]", type=list[_Ad])
        except (msgspec.MsgspecError, RecursionError):
            raise ElementUnreachable(step, f"condor_q answered {done.text[:200]!r}") from None
        return {f"{ad.ClusterId}.{ad.ProcId}": (ad.PilotageStamp, _slot(ad)) for ad in ads}

    async def cancel(self, slots: Sequence[str]) -> None:
        """Run condor_rm. Raises as all calls do."""
        await self._remove(ElementOperation.CANCEL, slots)

    async def _remove(self, step: ElementOperation, slots: Sequence[str]) -> None:
        for some in batches([one for one in slots if _is_slot(one)]):
            done = await self._run(step, "condor_rm", *self._where, *some)
            said = (done.out + done.err).lower()
            if done.code != 0 and not any(words in said for words in _NOT_THERE):
                raise ElementUnreachable(step, done.complaint)

    async def output(self, slot: str) -> PilotOutput:
        """Fetch the output from the schedd, and return its end. Raises as all calls do."""
        stamp = (await self._list(ElementOperation.OUTPUT)).get(slot, ("", None))[0]
        if not is_stamp(stamp):
            return PilotOutput()
        done = await self._run(ElementOperation.OUTPUT, "condor_transfer_data", *self._where, slot)
        if done.code != 0:
            raise ElementUnreachable(ElementOperation.OUTPUT, done.complaint)
        return PilotOutput(await self._tail(stamp, "stdout"), await self._tail(stamp, "stderr"))

    async def _tail(self, stamp: str, stream: str) -> bytes:
        file = f"{self._folder}/{stamp}/{stream}"
        done = await self._run(
            ElementOperation.OUTPUT, "tail", "-c", str(OUTPUT_MAX_BYTES), "--", file
        )
        return done.out if done.code == 0 else b""

    async def forget(self, slots: Sequence[str]) -> None:
        """Tell the schedd to forget jobs, and remove their folders. Raises as all calls do."""
        jobs = await self._list(ElementOperation.OUTPUT)
        stamps = [jobs[slot][0] for slot in slots if slot in jobs]
        await self._remove(ElementOperation.OUTPUT, [slot for slot in slots if slot in jobs])
        for some in batches([f"{self._folder}/{one}" for one in stamps if is_stamp(one)]):
            await self._run(ElementOperation.OUTPUT, "rm", "-rf", "--", *some)


def _why(done: CompletedCommand) -> str:
    """Return the reason from HTCondor's debug log, which its programs do not print otherwise.

    Their usual message is the same for a wrong token, a wrong host and a daemon that is away.
    """
    found = _ERROR.search(done.err.decode("utf-8", "replace"))
    return done.complaint if found is None else " ".join(found[1].split())[-500:]


def _refuse_strangers(done: CompletedCommand) -> None:
    """Raise Denied if the schedd refused the credential."""
    if done.code != 0 and any(words in _why(done) for words in _NOT_KNOWN):
        raise Denied(ElementOperation.AUTHORISE, _why(done))


class _Ad(msgspec.Struct, frozen=True):
    """condor_q's report on a job, with HTCondor's names."""

    ClusterId: int
    ProcId: int
    JobStatus: int
    PilotageStamp: str
    HoldReasonCode: int | None = None
    HoldReason: str | None = None
    ExitCode: int | None = None


def _slot(ad: _Ad) -> Slot:
    match ad.JobStatus:
        case 1:
            return Slot(SlotState.QUEUED)
        case 2 | 6 | 7:  # running, transferring output, suspended
            return Slot(SlotState.RUNNING)
        case 4:
            return Slot(SlotState.ENDED, ad.ExitCode)
        case 5 if ad.HoldReasonCode == SPOOLING:
            return Slot(SlotState.QUEUED, why=ad.HoldReason or "")
        case 5:
            return Slot(SlotState.HELD, why=ad.HoldReason or "")
        case _:
            return Slot(SlotState.ENDED, why="it was removed")


def _is_slot(text: str) -> bool:
    cluster, dot, proc = text.partition(".")
    return bool(dot) and len(text) < 64 and text.isascii() and cluster.isdigit() and proc.isdigit()


def _placed(alike: Sequence[PilotRequest], done: CompletedCommand) -> dict[str, str]:
    """Return the slots: `-terse` prints "12.0 - 12.2", with the jobs in the order of the stamps."""
    words = done.text.split()
    if len(words) != 3 or not (_is_slot(words[0]) and _is_slot(words[2])):
        raise ElementUnreachable(
            ElementOperation.SUBMIT, f"condor_submit answered {done.text[:200]!r}"
        )
    cluster, _, last = words[2].partition(".")
    if int(last) != len(alike) - 1:
        raise ElementUnreachable(
            ElementOperation.SUBMIT, f"condor_submit answered {done.text[:200]!r}"
        )
    return {one.stamp: f"{cluster}.{proc}" for proc, one in enumerate(alike)}


def _tar(alike: Sequence[PilotRequest], file: str, description: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        files = {f"{one.stamp}/pilot.sh": one.script for one in alike}
        for name, data in {**files, file: description.encode()}.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o600
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


DRIVER = Driver(
    HtcondorOptions,
    Htcondor,
    programs=("condor_submit", "condor_q", "condor_rm", "condor_transfer_data"),
    files=("config", "ca_file"),
    check_use=check_nodes,
)
