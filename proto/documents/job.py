"""The documents in which a submitter describes a job. Unknown fields are refused by name."""

import enum
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from ..amounts import BadAmount, check_amounts
from ..decoding.patterns import whole
from ..ids import ID_MAX

PRIORITY_MIN: Final = 0
PRIORITY_MAX: Final = 10
PRIORITY_DEFAULT: Final = 5

Priority = Annotated[int, Meta(ge=PRIORITY_MIN, le=PRIORITY_MAX)]
Count = Annotated[int, Meta(ge=0)]
JOB_NAME_MAX: Final = 128  # characters, with parameters filled in
JobName = Annotated[str, Meta(min_length=1, max_length=128)]
SoftwarePath = Annotated[str, Meta(pattern=whole("/[^\\x00-\\x1f]*"), max_length=1024)]
Word = Annotated[str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9._:/@+-]*"), max_length=128)]

VersionText = Annotated[
    str, Meta(pattern=whole("([0-9]{1,9}([.][0-9]{1,9}){0,4})?"), max_length=64)
]


class Need(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Needs of a job. Every clause can exclude a pilot; an empty clause excludes none.

    Unknown values of a node meet no demand. To run there too, add an alternative need. Demands on
    GPUs count only with `gpus_min` of 1 or more.

    In all its needs a job may name 64 tags, 16 amounts, and 256 sites including preferred ones.
    """

    sites: tuple[Word, ...] = ()  # any of these; empty: all
    banned_sites: tuple[Word, ...] = ()  # none of these
    element: str = ""  # compute element of the site; empty: any
    os: str = ""  # el9, or el for the whole family; `matcher.compatible` adds others
    architecture: str = ""  # x86_64, aarch64
    cores_min: Annotated[int, Meta(ge=1, le=4096)] = 1
    cores_max: Annotated[int, Meta(ge=0, le=4096)] = 0  # 0: as cores_min
    #: total, besides the part for each core
    memory_mb: Annotated[int, Meta(ge=0, le=100_000_000)] = 0
    #: added for each core that it gets
    memory_per_core_mb: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    wall_s: Annotated[int, Meta(ge=1, le=31_536_000)] = 86_400  # the job ends after this time
    scratch_mb: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0  # free disk of the node
    tags: Annotated[str, Meta(max_length=1024)] = ""  # expression: cvmfs:ctao & (gpu | ~legacy)
    architecture_level_min: Annotated[int, Meta(ge=0, le=4)] = 0  # x86-64-v1 … v4 only; 0: any
    architecture_level_max: Annotated[int, Meta(ge=0, le=4)] = 0  # the same; 0: any
    glibc_min: VersionText = ""  # "2.28", in quotes; compared as a version
    user_namespaces: bool = False  # users can make them on the node
    #: other pilots could not see this pilot when it started
    isolation: Literal["", "namespaces"] = ""
    whole_node: bool = False  # all cores, memory and GPUs of a pilot without other jobs
    cpu_work_hs23_s: Annotated[int, Meta(ge=0, le=10**12)] = 0  # seconds × HS23, of all cores
    gpus_min: Annotated[int, Meta(ge=0, le=1024)] = 0
    gpus_max: Annotated[int, Meta(ge=0, le=1024)] = 0  # 0: as gpus_min
    gpu_memory_mb: Annotated[int, Meta(ge=0, le=10_000_000)] = 0  # of each GPU
    gpu_vendor: Annotated[str, Meta(pattern=whole("[a-z]{0,32}"))] = ""  # nvidia, amd, intel
    gpu_compute_capability_min: VersionText = ""  # "8.0", in quotes; compared as a version
    gpu_compute_capability_max: VersionText = ""
    gpu_driver_min: VersionText = ""  # "535.104", in quotes
    amounts: dict[str, int] = {}  # counted resources by name: {"bandwidth_mbps": 100}

    def __post_init__(self) -> None:
        if self.amounts:
            try:
                check_amounts(self.amounts)
            except BadAmount as why:
                raise ValueError(f"amounts: {why}") from None

    def __hash__(self) -> int:
        return hash((*msgspec.structs.astuple(self)[:-1], frozenset(self.amounts.items())))


# The help text of each field on the command line, in the order of its options.
NEED_HELP: Final = {
    "cores_min": "Minimum number of cores.",
    "cores_max": "Maximum number of cores; 0: as --cores.",
    "whole_node": "Take a whole pilot, with no other job in it.",
    "memory_mb": "Memory; 0: any.",
    "memory_per_core_mb": "Additional memory for each core.",
    "scratch_mb": "Free disk; 0: any.",
    "wall_s": "Limit of the run time.",
    "sites": "Run only at this site. Repeatable.",
    "element": "Run only in this compute element.",
    "banned_sites": "Never run at this site. Repeatable.",
    "tags": "Tags that the pilot must have: 'cvmfs & ~legacy'.",
    "os": "Operating system: el9, debian13 …",
    "architecture": "Processor architecture: x86_64, aarch64 …",
    "architecture_level_min": "Minimum level: 3 for x86-64-v3 and higher; 0: any.",
    "architecture_level_max": "Maximum level: 2 for x86-64-v2 and lower; 0: any.",
    "glibc_min": "Minimum version of the C library: 2.28.",
    "user_namespaces": "Require user namespaces on the node.",
    "isolation": "`namespaces`: require a pilot that other pilots cannot see.",
    "cpu_work_hs23_s": "CPU work of all cores, in HS23 seconds.",
    "gpus_min": "Minimum number of GPUs.",
    "gpus_max": "Maximum number of GPUs; 0: as --gpus.",
    "gpu_memory_mb": "Memory of each GPU.",
    "gpu_vendor": "GPU vendor: nvidia, amd or intel.",
    "gpu_compute_capability_min": "Minimum compute capability: 8.0.",
    "gpu_compute_capability_max": "Maximum compute capability.",
    "gpu_driver_min": "Minimum version of the driver: 535.104.",
}


class Preference(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Preferred sites, for a time. They raise the rank and exclude no site."""

    sites: tuple[Word, ...] = ()
    for_s: Annotated[int, Meta(ge=0, le=604_800)] = 600  # from the submission on


class Input(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A file of the input sandbox, uploaded before as a blob."""

    name: Annotated[str, Meta(min_length=1, max_length=1024)]  # path in the payload's folder
    sha256: Annotated[str, Meta(pattern=whole("[0-9a-f]{64}"))]
    size_bytes: Count  # a pilot takes at most this size; 0: as much as fits its disk
    unpack: bool = False  # unpack this tar archive there


class JobLimits(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Limits of a payload, besides the wall time, memory and disk of its need.

    Each limit ends the attempt with its own word and figures. The warning signal comes before the
    wall limit and before the end of the pilot, so that the payload can write its checkpoint.
    """

    cpu_s: Annotated[int, Meta(ge=0, le=10**9)] = 0  # of all its processes; 0: no limit
    streams_mb: Annotated[int, Meta(ge=0, le=1_000_000)] = 1_000  # both streams; 0: no limit
    processes: Annotated[int, Meta(ge=0, le=1_000_000)] = 4_096  # at once; 0: no limit
    stall_s: Annotated[int, Meta(ge=0, le=31_536_000)] = 7_200  # without CPU use; 0: no limit
    warning_s: Annotated[int, Meta(ge=0, le=86_400)] = 0  # before the end; 0: no signal
    warning_signal: Literal["USR1", "USR2", "TERM", "INT"] = "USR1"


# As NEED_HELP, for the fields of JobLimits.
LIMITS_HELP: Final = {
    "cpu_s": "Limit of CPU time of all processes; 0: no limit.",
    "streams_mb": "Limit of both output streams together; 0: no limit.",
    "processes": "Limit of processes at once; 0: no limit.",
    "stall_s": "Limit of time without CPU use; 0: no limit.",
    "warning_s": "Send a signal this long before the end; 0: none.",
    "warning_signal": "Signal to send: USR1, USR2, TERM or INT.",
}


class OutputPattern(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Files to keep: a glob, relative to the payload's folder.

    `*`, `?` and `[abc]` match inside one part of a path, `**` matches folders. A link counts as its
    target, if that is inside the folder. At most 990 files of a job are kept. Their paths must be
    UTF-8 without control characters, with at most 1,024 characters. Otherwise the job fails.
    Folders that cannot be opened are skipped.
    """

    pattern: Annotated[str, Meta(min_length=1, max_length=1024)]  # `*` and `**` as in a shell
    required: bool = True  # the attempt fails if nothing matches


class DataInput(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Files of the catalogue that a job reads, by name or by a query.

    The query runs when the job is submitted. It must find at least one file and at most
    `files_max`. A job has at most 10,000 files in all.
    """

    did: Annotated[str, Meta(max_length=600)] = ""  # SCOPE:NAME of a file or dataset
    #: as for `pilotage data find`: {"particle": "gamma", "run": {">": 7}}
    query: dict[str, Any] = {}
    files_max: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    #: folder below the payload's folder; empty: that folder
    to: Annotated[str, Meta(max_length=512)] = ""


DataValue = str | int | float | bool


class DataOutput(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Files that a job stores, and publishes in the catalogue when its result counts.

    `name`, `dataset` and values of `metadata` may contain {job}, {epoch}, {file} (path in the
    payload's folder), {stem} and {suffix} (of its last part), and parameters. A value that is one
    numeric parameter alone becomes a number.
    """

    pattern: Annotated[str, Meta(min_length=1, max_length=1024)]  # `*` and `**` as in a shell
    scope: Annotated[str, Meta(max_length=64)] = ""  # empty: the group of the job
    name: Annotated[str, Meta(min_length=1, max_length=512)] = "{job}/{file}"  # inside the scope
    did: Annotated[str, Meta(max_length=600)] = ""  # one more copy of this existing file
    dataset: Annotated[str, Meta(max_length=600)] = ""  # SCOPE:NAME, made if missing
    metadata: dict[str, DataValue] = {}  # FILE.meta.json from the payload overrides it
    storages: Annotated[tuple[Word, ...], Meta(max_length=64)] = ()  # empty: the default ones
    required: bool = True  # the attempt fails if nothing matches
    order: Literal["listed", "balanced"] = "listed"  # balanced: jobs start with different storages
    confirm: bool = False  # the job is Done only when Rucio has the files


class JobData(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Files on storages that a job reads and writes: docs/data-jobs.md."""

    inputs: Annotated[tuple[DataInput, ...], Meta(max_length=1_000)] = ()
    outputs: Annotated[tuple[DataOutput, ...], Meta(max_length=100)] = ()
    #: how long sites near its inputs are preferred
    prefer_local_s: Annotated[int, Meta(ge=0, le=604_800)] = 600


TokenName = Annotated[str, Meta(pattern=whole("[a-z][a-z0-9_-]{0,31}"))]
TOKENS_MAX: Final = 8  # of one job
# A scope-token of RFC 6749, 3.3.
ScopeWord = Annotated[str, Meta(pattern=whole("[!#-\\[\\]-~]{1,256}"))]


class PayloadToken(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A token that a payload gets, for a service that its owner may use: docs/payload-tokens.md.

    The identity provider of the owner gives it, never wider than the owner's own rights.
    """

    #: the service that the token is for
    audience: Annotated[str, Meta(pattern=whole("[ -~]{1,512}"))]
    #: as in storage.read:/ctao; empty: what the provider gives by itself
    scopes: Annotated[tuple[ScopeWord, ...], Meta(max_length=32)] = ()


DEPENDENCIES_MAX: Final = 10_000  # of one job
When = Literal["ok", "any", "fail"]


class Dependency(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Jobs that must end before this job starts. Give one of `job`, `submission` and `index`."""

    job: Annotated[int, Meta(ge=0, le=ID_MAX)] = 0
    submission: Annotated[int, Meta(ge=0, le=ID_MAX)] = 0  # all its jobs
    #: an earlier job of the same submission, by its place from 1
    index: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    #: with `job` or `index`: all jobs from there to this one; 0: only that job
    last: Annotated[int, Meta(ge=0, le=ID_MAX)] = 0
    #: ok: all are Done; any: all have ended; fail: all have ended, and at least one job of all
    #: such dependencies is Failed or Killed
    when: When = "ok"
    each: bool = False  # job n waits only for job n of that submission, which has as many jobs


class Job(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One job: a payload and its needs.

    In a submission with parameters, `{name}` becomes the parameter of that name. This works in the
    name, the command, values of the environment, and names of inputs and outputs. `{{` and `}}`
    stand for braces.

    With its parameters a job has at most 1 MiB as JSON; put larger data into an input. No text may
    contain NUL. In a command, the program may have 4,096 bytes and each other word 131,071.

    The payload finds PILOTAGE_JOB, PILOTAGE_EPOCH, PILOTAGE_CORES, PILOTAGE_GPUS (their number),
    PILOTAGE_MEMORY_MB and PILOTAGE_WALL_S in its environment: see docs/payload-environment.md.
    """

    #: runs without a shell
    command: Annotated[tuple[str, ...], Meta(min_length=1, max_length=10_000)]
    name: Annotated[str, Meta(max_length=JOB_NAME_MAX)] = ""
    type: Word = "User"  # limits, pilots and bans select by it; Test also runs at banned sites
    group: str = ""  # empty: your default group
    environment: dict[str, str] = {}  # added to a clean environment
    #: path on the node: docs/isolation.md. A missing one ends the attempt, at no cost of a retry
    image: Annotated[str, Meta(max_length=1024)] = ""
    #: folders on the node; {level} is its best CPU level: docs/software.md
    software: Annotated[tuple[SoftwarePath, ...], Meta(max_length=16)] = ()
    modules: Annotated[tuple[Word, ...], Meta(max_length=32)] = ()  # environment modules
    checkpoint: Annotated[str, Meta(max_length=255)] = ""  # folder handed on to the next attempt
    limits: JobLimits = JobLimits()
    inputs: Annotated[tuple[Input, ...], Meta(max_length=10_000)] = ()
    outputs: Annotated[tuple[OutputPattern, ...], Meta(max_length=1_000)] = ()
    #: exit codes that mean Done
    success_codes: tuple[Annotated[int, Meta(ge=0, le=255)], ...] = (0,)
    retries: Annotated[int, Meta(ge=0, le=100)] = 0  # after failures of the payload
    #: exit codes after which a retry is made; empty: after any failure of the payload
    retry_codes: tuple[Annotated[int, Meta(ge=1, le=255)], ...] = ()
    queue_s: Annotated[int, Meta(ge=0, le=31_536_000)] = (
        0  # maximum wait, also for other jobs; 0: no limit
    )
    priority: Priority = PRIORITY_DEFAULT  # higher runs earlier
    needs: Annotated[tuple[Need, ...], Meta(min_length=1, max_length=16)] = (
        Need(),
    )  # one must be met
    preference: Preference | None = None  # preferred sites
    data: JobData | None = None  # files on storages
    #: file in the payload's folder that gets the standard output when it ends; empty: none
    stdout_file: Annotated[str, Meta(max_length=255)] = ""
    stderr_file: Annotated[str, Meta(max_length=255)] = ""  # the same for the standard error
    #: `%j`: these letters become the job's id in its name, command, environment and outputs
    id_placeholder: Literal["", "%j"] = ""
    #: tokens of its owner by name; only for people who logged in through an identity provider
    tokens: Annotated[dict[TokenName, PayloadToken], Meta(max_length=TOKENS_MAX)] = {}
    #: jobs that must end before this one starts: docs/howto/chains.md
    after: Annotated[tuple[Dependency, ...], Meta(max_length=DEPENDENCIES_MAX)] = ()
    #: what happens if they end otherwise; empty: hold, but skip if they did not fail as wanted
    after_failed: Literal["", "hold", "skip"] = ""


class Mark(str, enum.Enum):
    """A mark shown beside a state."""

    STALLED = "stalled"
    DELETED = "deleted"
    KILLING = "killing"
    HOLDING = "holding"
    RESCHEDULING = "rescheduling"
