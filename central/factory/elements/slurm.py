"""Slurm, by its command line: sbatch, squeue, scancel (tested with 24.11).

No accounting database is needed. Slurm reports ended jobs for the cluster's `MinJobAge` (5 minutes
by default); after that a pilot is gone.
"""

import re
from collections.abc import Sequence
from math import ceil
from typing import Annotated

import msgspec
from msgspec import Meta

from pilotage.proto.decoding.patterns import whole

from ..commands import CompletedCommand
from ..drivers import Driver, Tools
from ..element import OUTPUT_MAX_BYTES, PilotOutput, PilotRequest, Slot, SlotState, SubmitResult
from ..errors import Denied, ElementOperation, ElementUnreachable
from .option_types import Path, PathOrNone
from .program_calls import Calls, batches, exit_code, submit_each

_Word = Annotated[str, Meta(pattern=whole("([A-Za-z0-9][A-Za-z0-9_.,+@-]*)?"), max_length=128)]
_Extra = Annotated[
    str,
    Meta(
        pattern=whole("--[a-z][a-z-]*(=[ -~]*)?"),
        max_length=256,
        description="an option of sbatch in one word, such as --exclusive or --constraint=avx2",
    ),
]
_LIST = ("squeue", "--me", "--noheader", "--states=all", "--Format")
_COLUMNS = "JobID:24,Name:80,State:24,exit_code:24,Reason:200"
_WAITS = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "RESV_DEL_HOLD"})
_RUNS = frozenset({"RUNNING", "COMPLETING", "STAGE_OUT", "SUSPENDED", "STOPPED", "SIGNALING"})
_HELD = frozenset({"REQUEUE_HOLD", "SPECIAL_EXIT"})
_ENDED = frozenset(
    {
        *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED"),
        *("OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "REVOKED", "LAUNCH_FAILED", "RECONFIG_FAIL"),
    }
)
_HOLDS = ("JobHeld", "QOSNotAllowed", "AssocGrp", "InvalidAccount", "InvalidQOS", "BadConstraints")
_OURS = frozenset(
    {
        *("--array", "--wrap", "--job-name", "--parsable", "--requeue", "--no-requeue", "--export"),
        *("--output", "--error", "--chdir", "--ntasks", "--cpus-per-task", "--mem", "--time"),
        *("--partition", "--account", "--qos", "--hold", "--wait", "--test-only", "--uid", "--gid"),
        *("--nodes", "--ntasks-per-node", "--ntasks-per-core", "--ntasks-per-socket"),
        *("--ntasks-per-gpu", "--cpus-per-gpu", "--mem-per-cpu", "--mem-per-gpu", "--gpus"),
        *("--gpus-per-node", "--gpus-per-task", "--gpus-per-socket", "--het-group"),
        *("--clusters", "--input", "--help", "--usage", "--version"),
    }
)
MIB = 1_048_576
# The beginnings of slurmctld's messages about jobs that it did not accept (slurm_errno.c of 24.11).
# After all other messages the job may exist: a timeout, a lost answer.
_REFUSALS = tuple(
    """\
Access denied to requested reservation
Access/permission denied
CPU count specification
Invalid --nice
Invalid GRES
Invalid QOS
Invalid Trackable RESource
Invalid account
Invalid extra
Invalid feature
Invalid generic resource
Invalid group id
Invalid job array
Invalid license
Invalid mcs_label
Invalid node name
Invalid or unknown association
Invalid partition
Invalid preferred feature
Invalid qos
Invalid time
Invalid user id
Invalid wckey
Job --batch option
Job cannot be submitted without
Job dependency problem
Job script not specified
Job size specification
Job violates accounting/QOS policy
Memory required by task
More processors requested
Multiple partition job request
No partition specified
Node count specification
Partition in DOWN state
Pathname of a file
Requested GRES option
Requested account has breached
Requested node
Requested operation
Requested partition configuration
Requested reservation
Requested time limit is invalid
Requested topology
Required node not available
Required partition not available
System submissions disabled
Task count specification
Task distribution specification
Unable to create job record
User's group not permitted
""".splitlines()
)
_FAILED = re.compile(r"submission failed: (.*)")
# sbatch itself prints this about unknown words, before it contacts slurmctld.
_NOT_ASKED = ('Try "sbatch --help"', "sbatch: unrecognized option", "sbatch: error: Invalid ")


class SlurmOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of an element of kind `slurm`."""

    folder: Path  # shared with the nodes
    partition: _Word = ""  # empty: the default of the cluster
    account: _Word = ""
    qos: _Word = ""
    extra: tuple[_Extra, ...] = ()  # options of sbatch: --constraint=avx2
    config: PathOrNone = ""  # slurm.conf, if elsewhere
    timeout_s: Annotated[float, Meta(gt=0, le=600)] = 30.0  # of one command

    def __post_init__(self) -> None:
        """Refuse options with which a job would not be one pilot, or could not be found again."""
        for word in self.extra:
            name = word.partition("=")[0]
            # sbatch accepts the beginning of an option in place of all of it.
            ours = next((one for one in sorted(_OURS) if one.startswith(name)), "")
            if ours:
                meant = "" if name == ours else f", which sbatch may read as {ours}:"
                raise ValueError(f"extra: {name}{meant} is set by pilotage; leave it out")


class Slurm:
    """A cluster. A slot is a job id; the pilot's stamp is the name of the job."""

    def __init__(self, options: SlurmOptions, tools: Tools) -> None:
        environment = {"SLURM_CONF": options.config} if options.config else {}
        self._calls = Calls(tools.commands, environment=environment, timeout_s=options.timeout_s)
        self._options, self._folder = options, options.folder.rstrip("/")

    async def reach(self) -> None:
        """Ask for our jobs, and create the folder for output. Raises as all calls do."""
        await self._list(ElementOperation.REACH)
        await self._make_folder(ElementOperation.REACH)

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        """Run sbatch for each pilot, its script on stdin. Raises as all calls do."""
        await self._make_folder(ElementOperation.SUBMIT)
        return await submit_each(requests, self._sbatch)

    async def _make_folder(self, step: ElementOperation) -> None:
        done = await self._calls.run(step, "mkdir", "-p", "-m", "700", "--", self._folder)
        if done.code != 0:
            raise Denied(step, done.complaint)

    async def _sbatch(self, request: PilotRequest) -> str:
        done = await self._calls.run(
            ElementOperation.SUBMIT, "sbatch", *self._arguments(request), stdin=request.script
        )
        if done.code != 0:
            raise (Denied if _is_refused(done) else ElementUnreachable)(
                ElementOperation.SUBMIT, done.complaint
            )
        slot = done.text.strip().partition(";")[0]  # "12;cluster" if there are several
        if not _is_slot(slot):
            raise ElementUnreachable(
                ElementOperation.SUBMIT, f"sbatch answered {done.text[:200]!r}"
            )
        return slot

    def _arguments(self, request: PilotRequest) -> list[str]:
        options, cores = self._options, request.cores
        words = ["--parsable", f"--job-name={request.stamp}", "--no-requeue", "--export=NONE"]
        words += [f"--output={self._folder}/%j.out", f"--error={self._folder}/%j.err"]
        words += ["--chdir=/", "--ntasks=1"]
        words += [f"--cpus-per-task={cores}"] if cores else ["--nodes=1", "--exclusive"]
        for name, value in (
            ("mem", f"{ceil(request.memory_mb * 1e6 / MIB)}M" if request.memory_mb else ""),
            ("time", str(ceil(request.wall_s / 60)) if request.wall_s else ""),
            ("gpus", str(request.gpus) if request.gpus else ""),
            ("partition", options.partition),
            ("account", options.account),
            ("qos", options.qos),
        ):
            words += [f"--{name}={value}"] if value else []
        return [*words, *options.extra]

    async def find(self, stamps: Sequence[str]) -> dict[str, str]:
        """Return the jobs that have the names of these pilots. Raises as all calls do."""
        wanted = set(stamps)
        jobs = await self._list(ElementOperation.STATES)
        return {name: slot for slot, (name, _) in jobs.items() if name in wanted}

    async def states(self, slots: Sequence[str]) -> dict[str, Slot]:
        """Return the states of jobs, with one squeue for all. Raises as all calls do."""
        jobs = await self._list(ElementOperation.STATES)
        gone = ("", Slot(SlotState.GONE))
        return {slot: jobs.get(slot, gone)[1] for slot in slots}

    async def _list(self, step: ElementOperation) -> dict[str, tuple[str, Slot]]:
        done = await self._calls.run(step, *_LIST, _COLUMNS)
        if done.code != 0:
            raise ElementUnreachable(step, done.complaint)
        found: dict[str, tuple[str, Slot]] = {}
        for line in done.text.splitlines():
            words = [line[start:end].strip() for start, end in _EDGES]
            if not _is_slot(words[0]):
                raise ElementUnreachable(step, f"squeue answered {line[:200]!r}")
            found[words[0]] = (words[1], _slot(step, *words[2:]))
        return found

    async def cancel(self, slots: Sequence[str]) -> None:
        """Run scancel: SIGTERM, then SIGKILL after KillWait. Raises as all calls do."""
        for some in batches([one for one in slots if _is_slot(one)]):
            done = await self._calls.run(ElementOperation.CANCEL, "scancel", "--quiet", *some)
            if done.code != 0 and b"Invalid job id" not in done.err:
                raise ElementUnreachable(ElementOperation.CANCEL, done.complaint)

    async def output(self, slot: str) -> PilotOutput:
        """Return the ends of both files. Raises as all calls do."""
        return PilotOutput(await self._tail(slot, "out"), await self._tail(slot, "err"))

    async def _tail(self, slot: str, stream: str) -> bytes:
        if not _is_slot(slot):
            return b""
        done = await self._calls.run(
            ElementOperation.OUTPUT,
            "tail",
            "-c",
            str(OUTPUT_MAX_BYTES),
            "--",
            f"{self._folder}/{slot}.{stream}",
        )
        return done.out if done.code == 0 else b""

    async def forget(self, slots: Sequence[str]) -> None:
        """Remove the output files; the cluster forgets jobs by itself. Raises as all calls do."""
        for some in batches([one for one in slots if _is_slot(one)]):
            files = [f"{self._folder}/{slot}.{end}" for slot in some for end in ("out", "err")]
            await self._calls.run(ElementOperation.OUTPUT, "rm", "-f", "--", *files)


def _is_slot(text: str) -> bool:
    return len(text) < 32 and text.isascii() and text.isdigit()


def _is_refused(done: CompletedCommand) -> bool:
    """Return whether this message is only printed about a job that was not accepted."""
    text = done.err.decode("utf-8", "replace")
    failed = _FAILED.findall(text)
    if failed:
        return str(failed[-1]).startswith(_REFUSALS)
    return done.code > 0 and any(words in text for words in _NOT_ASKED)


def _edges() -> list[tuple[int, int]]:
    edges: list[tuple[int, int]] = []
    at = 0
    for column in _COLUMNS.split(","):
        width = int(column.partition(":")[2])
        edges.append((at, at + width))
        at += width
    return edges


_EDGES = _edges()


def _slot(step: ElementOperation, state: str, code: str, reason: str) -> Slot:
    why = "" if reason == "None" else reason
    if state in _ENDED:
        status = code.partition(":")[0]
        ended = exit_code(status) if state in ("COMPLETED", "FAILED") else None
        return Slot(SlotState.ENDED, ended, why or ("" if state == "COMPLETED" else state))
    if state in _HELD or (state in _WAITS and reason.startswith(_HOLDS)):
        return Slot(SlotState.HELD, why=why)
    if state in _WAITS:
        return Slot(SlotState.QUEUED, why=why)
    if state in _RUNS:
        return Slot(SlotState.RUNNING, why=why)
    raise ElementUnreachable(step, f"squeue reports the unknown state {state!r}")


DRIVER = Driver(
    SlurmOptions,
    Slurm,
    programs=("sbatch", "squeue", "scancel"),
    takes_credential=False,
    files=("config",),
)
