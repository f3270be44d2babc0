"""What a submitter asks for. Unknown fields are refused by name."""

import enum
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from ..amounts import BadAmount, check_amounts
from ..decoding.patterns import whole

PRIORITY_MIN: Final = 0
PRIORITY_MAX: Final = 10
PRIORITY_DEFAULT: Final = 5

Priority = Annotated[int, Meta(ge=PRIORITY_MIN, le=PRIORITY_MAX)]
Count = Annotated[int, Meta(ge=0)]
JOB_NAME_MAX: Final = 128  # characters, its parameters in place
Name = Annotated[str, Meta(min_length=1, max_length=128)]
SoftwarePath = Annotated[str, Meta(pattern=whole("/[^\\x00-\\x1f]*"), max_length=1024)]
Word = Annotated[str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9._:/@+-]*"), max_length=128)]

VersionText = Annotated[
    str, Meta(pattern=whole("([0-9]{1,9}([.][0-9]{1,9}){0,4})?"), max_length=64)
]


class Need(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a job needs of a pilot. Every clause can refuse by itself, an empty one refuses none.

    What is not known of a pilot's node meets no demand. A job that would also run there says so
    with an alternative need. What is asked of GPUs counts with `gpus_min` of 1 or more.

    In all its needs a job may name 64 tags, 16 amounts and 256 sites, preferred ones too.
    """

    sites: tuple[Word, ...] = ()  # any of these; empty: anywhere
    banned_sites: tuple[Word, ...] = ()  # none of these
    element: str = ""  # compute element of the site; empty: any
    os: str = ""  # el9, or el for any of the family; `matcher.compatible` says which others will do
    architecture: str = ""  # x86_64, aarch64
    cores_min: Annotated[int, Meta(ge=1, le=4096)] = 1
    cores_max: Annotated[int, Meta(ge=0, le=4096)] = 0  # 0: as cores_min
    memory_mb: Annotated[int, Meta(ge=0, le=100_000_000)] = 0  # in all, beside what each core adds
    memory_per_core_mb: Annotated[int, Meta(ge=0, le=10_000_000)] = 0  # for each core that it gets
    wall_s: Annotated[int, Meta(ge=1, le=31_536_000)] = 86_400  # it is ended when it runs longer
    scratch_mb: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0  # free disk of the node
    tags: Annotated[str, Meta(max_length=1024)] = ""  # expression: cvmfs:ctao & (gpu | ~legacy)
    architecture_level_min: Annotated[int, Meta(ge=0, le=4)] = (
        0  # x86-64-v1 … v4, only there; 0: any
    )
    architecture_level_max: Annotated[int, Meta(ge=0, le=4)] = 0  # the same; 0: any
    glibc_min: VersionText = ""  # "2.28", in quotes; compared as numbers
    user_namespaces: bool = False  # an ordinary user can make them
    isolation: Literal["", "namespaces"] = ""  # hidden from other pilots when its own started
    whole_node: bool = False  # all cores, memory and GPUs of a pilot in which no other job runs
    cpu_work_hs23_s: Annotated[int, Meta(ge=0, le=10**12)] = 0  # seconds × HS23, of all cores
    gpus_min: Annotated[int, Meta(ge=0, le=1024)] = 0
    gpus_max: Annotated[int, Meta(ge=0, le=1024)] = 0  # 0: as gpus_min
    gpu_memory_mb: Annotated[int, Meta(ge=0, le=10_000_000)] = 0  # of each GPU
    gpu_vendor: Annotated[str, Meta(pattern=whole("[a-z]{0,32}"))] = ""  # nvidia, amd, intel
    gpu_compute_capability_min: VersionText = ""  # "8.0", in quotes; compared as numbers
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


# What a command line says of each field, in the order of its options.
NEED_HELP: Final = {
    "cores_min": "Cores that it needs.",
    "cores_max": "Cores that it can use; 0: no more.",
    "whole_node": "All of a pilot, with no other job in it.",
    "memory_mb": "Memory in MB (10^6 bytes); 0: any.",
    "memory_per_core_mb": "Memory for each core beside that.",
    "scratch_mb": "Free disk in MB; 0: any.",
    "wall_s": "Longest time that it runs.",
    "sites": "Only at this site; repeatable.",
    "element": "Only in this compute element.",
    "banned_sites": "Not at this site; repeatable.",
    "tags": "Tags that the pilot must have: 'cvmfs & ~legacy'.",
    "os": "Operating system: el9, debian13 …",
    "architecture": "x86_64, aarch64 …",
    "architecture_level_min": "3 for x86-64-v3 and higher; 0: any.",
    "architecture_level_max": "2 for x86-64-v2 and lower.",
    "glibc_min": "Oldest C library that will do: 2.28.",
    "user_namespaces": "It makes user namespaces.",
    "isolation": "namespaces: no other pilot saw its pilot when that started.",
    "cpu_work_hs23_s": "CPU work of all cores, HS23 seconds.",
    "gpus_min": "GPUs that it needs.",
    "gpus_max": "GPUs that it can use; 0: no more.",
    "gpu_memory_mb": "Memory of each GPU in MB.",
    "gpu_vendor": "nvidia, amd, intel.",
    "gpu_compute_capability_min": "Least capability: 8.0.",
    "gpu_compute_capability_max": "Highest that will do.",
    "gpu_driver_min": "Oldest driver that will do: 535.104.",
}


class Preference(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Sites that are better for a time; they raise rank and never exclude."""

    sites: tuple[Word, ...] = ()
    for_s: Annotated[int, Meta(ge=0, le=604_800)] = 600  # how long, from the submission on


class Input(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A file of the input sandbox, uploaded before as a blob."""

    name: Annotated[str, Meta(min_length=1, max_length=1024)]  # path in the payload's folder
    sha256: Annotated[str, Meta(pattern=whole("[0-9a-f]{64}"))]
    size_bytes: Count  # a pilot takes no more of it; 0: as much as its disk has room for
    unpack: bool = False  # a tar archive: its members are laid there


class JobLimits(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What ends a payload, beside the wall time, the memory and the disk that its need says.

    Each end has its own word, with the figures that led to it. The warning signal comes before the
    wall limit and before the pilot has to go, so that a payload can write its checkpoint.
    """

    cpu_s: Annotated[int, Meta(ge=0, le=10**9)] = 0  # of all its processes; 0: no limit
    streams_mb: Annotated[int, Meta(ge=0, le=1_000_000)] = 1_000  # both streams; 0: no limit
    processes: Annotated[int, Meta(ge=0, le=1_000_000)] = 4_096  # at once; 0: no limit
    stall_s: Annotated[int, Meta(ge=0, le=31_536_000)] = 7_200  # without use of the CPU; 0: never
    warning_s: Annotated[int, Meta(ge=0, le=86_400)] = 0  # how long before the end; 0: no signal
    warning_signal: Literal["USR1", "USR2", "TERM", "INT"] = "USR1"


# As NEED_HELP.
LIMITS_HELP: Final = {
    "cpu_s": "Most CPU time of all its processes; 0: no limit.",
    "streams_mb": "Most that it may print, both streams together; 0: no limit.",
    "processes": "Most processes at once; 0: no limit.",
    "stall_s": "Longest time without any use of the CPU; 0: no limit.",
    "warning_s": "How long before its end it gets a signal; 0: it gets none.",
    "warning_signal": "Which signal: USR1, USR2, TERM or INT.",
}


class OutputPattern(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Files that are kept: a glob, relative to the payload's folder.

    `*`, `?` and `[abc]` stay inside one part of a path, `**` spans folders. A link counts as the
    file that it leads to, if that is inside the folder. At most 990 files of a job are kept, and
    their paths must be UTF-8 without control characters, at most 1,024 characters long. A job of
    which more match, or a file with another name, fails and says so: nothing is left out silently.
    What no pattern matches may have any name. Folders that cannot be opened are passed over.
    """

    pattern: Annotated[str, Meta(min_length=1, max_length=1024)]  # `*` and `**` as in a shell
    required: bool = True  # the attempt fails when nothing matches


class DataInput(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Files of the catalogue that a job reads: one by name, or those that meet a query.

    Which they are is settled when the job is submitted. A query that finds none is refused, and one
    that finds more than `files_max`. At most 10,000 files in all.
    """

    did: Annotated[str, Meta(max_length=600)] = ""  # SCOPE:NAME of a file, or of a dataset
    query: dict[str, Any] = {}  # as of `pilotage data find`: {"particle": "gamma", "run": {">": 7}}
    files_max: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    to: Annotated[str, Meta(max_length=512)] = ""  # folder in the payload's folder; empty: that one


DataValue = str | int | float | bool


class DataOutput(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Files that a job stores and publishes in the catalogue, once its result counts.

    In `name`, `dataset` and values of `metadata` stand braces: {job}, {epoch}, {file} (its path in
    the payload's folder), {stem} and {suffix} (of its last part), and the parameters of a
    parametric submission. A value that is one parameter alone is a number if that is one.
    """

    pattern: Annotated[str, Meta(min_length=1, max_length=1024)]  # `*` and `**` as in a shell
    scope: Annotated[str, Meta(max_length=64)] = ""  # empty: the group of the job
    name: Annotated[str, Meta(min_length=1, max_length=512)] = "{job}/{file}"  # inside of the scope
    did: Annotated[str, Meta(max_length=600)] = ""  # one more copy of this file, whose bytes it has
    dataset: Annotated[str, Meta(max_length=600)] = ""  # SCOPE:NAME, made if there is none
    metadata: dict[str, DataValue] = {}  # what the payload says in FILE.meta.json goes over it
    storages: Annotated[tuple[Word, ...], Meta(max_length=64)] = ()  # empty: the default ones
    required: bool = True  # the attempt fails when nothing matches
    order: Literal["listed", "balanced"] = "listed"  # balanced: jobs begin at different storages


class JobData(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Files on storages that a job reads and writes: docs/data-jobs.md."""

    inputs: Annotated[tuple[DataInput, ...], Meta(max_length=1_000)] = ()
    outputs: Annotated[tuple[DataOutput, ...], Meta(max_length=100)] = ()
    prefer_local_s: Annotated[int, Meta(ge=0, le=604_800)] = 600  # sites near its inputs are better


class Job(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One job: a payload, and what it needs.

    In a parametric submission `{name}` in the name, the command, the environment's values, input
    and output names is replaced by the parameter of that name; `{{` and `}}` stand for braces.

    With its parameters in place a job has at most 1 MiB as JSON; what is larger is an input. No
    text of it holds NUL. No node starts a command whose program, a path, has more than 4,096 bytes
    or another word more than 131,071.

    The payload finds in its environment who it is, PILOTAGE_JOB and PILOTAGE_EPOCH, and what it was
    given: PILOTAGE_CORES, PILOTAGE_GPUS, PILOTAGE_MEMORY_MB and PILOTAGE_WALL_S. PILOTAGE_GPUS is
    how many; which they are is in CUDA_VISIBLE_DEVICES or ROCR_VISIBLE_DEVICES, where the pilot
    has found them by itself. docs/payload-environment.md has all that it finds.

    An image is a path on the node, and asks for a pilot that can run it. Software is folders on the
    node, of which {level} stands for the best that its processor has. What is not there ends the
    attempt, at no cost of a retry.
    """

    command: Annotated[tuple[str, ...], Meta(min_length=1, max_length=10_000)]  # no shell sees it
    name: Annotated[str, Meta(max_length=JOB_NAME_MAX)] = ""
    type: Word = "User"  # kind of job: limits, pilots and bans go by it; Test runs at banned sites
    group: str = ""  # empty: the submitter's default group
    environment: dict[str, str] = {}  # in addition to a clean one
    image: Annotated[str, Meta(max_length=1024)] = ""  # a path on the node: docs/isolation.md
    software: Annotated[tuple[SoftwarePath, ...], Meta(max_length=16)] = ()  # docs/software.md
    modules: Annotated[tuple[Word, ...], Meta(max_length=32)] = ()  # loaded by the node's tool
    checkpoint: Annotated[str, Meta(max_length=255)] = ""  # a folder: it goes to the next attempt
    limits: JobLimits = JobLimits()
    inputs: Annotated[tuple[Input, ...], Meta(max_length=10_000)] = ()
    outputs: Annotated[tuple[OutputPattern, ...], Meta(max_length=1_000)] = ()
    success_codes: tuple[Annotated[int, Meta(ge=0, le=255)], ...] = (0,)  # which codes are Done
    retries: Annotated[int, Meta(ge=0, le=100)] = 0  # how often a failed payload runs again
    queue_s: Annotated[int, Meta(ge=0, le=31_536_000)] = 0  # longest wait in the queue; 0: no limit
    priority: Priority = PRIORITY_DEFAULT  # higher runs earlier
    needs: Annotated[tuple[Need, ...], Meta(min_length=1, max_length=16)] = (
        Need(),
    )  # one must be met
    preference: Preference | None = None  # sites that are better for a time
    data: JobData | None = None  # files on storages that it reads and writes


class Mark(str, enum.Enum):
    """What is shown beside a state."""

    STALLED = "stalled"
    DELETED = "deleted"
    KILLING = "killing"
    HOLDING = "holding"
    RESCHEDULING = "rescheduling"
