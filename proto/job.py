"""What a submitter asks for. Unknown fields are refused by name."""

import enum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from .patterns import whole

PRIORITY_MIN: Final = 0
PRIORITY_MAX: Final = 10
PRIORITY_DEFAULT: Final = 5

Priority = Annotated[int, Meta(ge=PRIORITY_MIN, le=PRIORITY_MAX)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Word = Annotated[str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9._:/@+-]*"), max_length=128)]


class Need(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a job needs of a pilot. Every clause can refuse by itself, an empty one refuses none."""

    sites: tuple[Word, ...] = ()  # any of these; empty: anywhere
    banned_sites: tuple[Word, ...] = ()  # none of these
    element: str = ""  # compute element of the site; empty: any
    os: str = ""  # el9, debian13 …; the compatibility table says which others will do
    architecture: str = ""  # x86_64, aarch64
    cores_min: Annotated[int, Meta(ge=1, le=4096)] = 1
    cores_max: Annotated[int, Meta(ge=0, le=4096)] = 0  # 0: as cores_min
    memory_mb: Annotated[int, Meta(ge=0, le=100_000_000)] = 0  # in all, beside what each core adds
    memory_per_core_mb: Annotated[int, Meta(ge=0, le=10_000_000)] = 0  # for each core that it gets
    wall_s: Annotated[int, Meta(ge=1, le=31_536_000)] = 86_400  # it is ended when it runs longer
    scratch_mb: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0  # free disk of the node
    tags: Annotated[str, Meta(max_length=1024)] = ""  # expression: cvmfs:ctao & (gpu | ~legacy)


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
    size_bytes: Count
    unpack: bool = False  # a tar archive: its members are laid there


class OutputPattern(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Files that are kept: a glob, relative to the payload's folder.

    `*`, `?` and `[abc]` stay inside one part of a path, `**` spans folders. A link counts as the
    file that it leads to, if that is inside the folder. At most 998 files of a job are kept, and
    their paths must be UTF-8 without control characters, at most 1,024 characters long. A job of
    which more match, or a file with another name, fails and says so: nothing is left out silently.
    What no pattern matches may have any name. Folders that cannot be opened are passed over.
    """

    pattern: Annotated[str, Meta(min_length=1, max_length=1024)]  # `*` and `**` as in a shell
    required: bool = True  # the attempt fails when nothing matches


class Job(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One job: a payload, and what it needs.

    In a parametric submission `{name}` in the name, the command, the environment's values, input
    and output names is replaced by the parameter of that name; `{{` and `}}` stand for braces.

    With its parameters in place a job has at most 1 MiB as JSON; what is larger is an input. No
    text of it holds NUL.
    """

    command: Annotated[tuple[str, ...], Meta(min_length=1, max_length=10_000)]  # no shell sees it
    name: Annotated[str, Meta(max_length=128)] = ""
    type: Word = "User"  # kind of job, for filters and summaries
    group: str = ""  # empty: the submitter's default group
    environment: dict[str, str] = {}  # in addition to a clean one
    image: Annotated[str, Meta(max_length=1024)] = ""  # refused until pilots run containers
    inputs: Annotated[tuple[Input, ...], Meta(max_length=10_000)] = ()
    outputs: Annotated[tuple[OutputPattern, ...], Meta(max_length=1_000)] = ()
    success_codes: tuple[Annotated[int, Meta(ge=0, le=255)], ...] = (0,)  # which codes are Done
    retries: Annotated[int, Meta(ge=0, le=100)] = 0  # how often a failed payload runs again
    queue_s: Annotated[int, Meta(ge=0, le=31_536_000)] = 0  # longest wait in the queue; 0: no limit
    priority: Priority = PRIORITY_DEFAULT  # higher runs earlier
    needs: Annotated[tuple[Need, ...], Meta(min_length=1, max_length=16)] = (
        Need(),
    )  # one must be met
    preference: Preference | None = None  # no effect yet


class Mark(str, enum.Enum):
    """What is shown beside a state."""

    STALLED = "stalled"
    DELETED = "deleted"
    KILLING = "killing"
    HOLDING = "holding"
    RESCHEDULING = "rescheduling"
