"""Bodies of requests and answers about pilots, their logs, secrets and ends."""

from typing import Annotated

from msgspec import Meta

from ..decoding.patterns import whole
from ..ids import ID_MAX
from ..pilot_states import PilotState
from .bodies import ReplyStruct as _Out, RequestStruct as _In
from .jobs import REASON_MAX

COMMUNITY_OR_NONE = "([A-Za-z0-9][A-Za-z0-9._-]{0,63})?"  # it is a word of bus topics too

SiteWord = Annotated[str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9._-]*"), max_length=64)]


class PilotView(_Out, frozen=True):
    """A pilot. For what it offers and its node see docs/pilot-messages.md."""

    id: str
    community: str
    site: str
    element: str
    host: str
    state: PilotState
    session: int
    silent_s: float | None = None
    parked: bool = False
    attempts: int = 0  # attempts that it holds now
    registered_at: str = ""
    # The capacity of the pilot at its last ask; 0 and empty: it has not asked yet, or the value is
    # unknown.
    cores: int = 0
    cores_free: int = 0
    memory_mb: int = 0
    memory_free_mb: int = 0
    scratch_mb: int = 0
    scratch_free_mb: int = 0
    wall_left_s: float | None = None  # at its last ask; null before that
    gpus: int = 0
    gpus_free: int = 0
    gpu_model: str = ""
    gpu_vendor: str = ""
    gpu_memory_mb: int = 0
    gpu_compute_capability: str = ""
    gpu_driver: str = ""
    tags: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    # The pilot's node.
    os: str = "any"
    architecture: str = ""
    architecture_level: int = 1
    glibc: str = ""
    user_namespaces: bool = False
    containers: tuple[str, ...] = ()
    isolation: str = ""  # level of isolation of payloads
    namespaces: bool = False
    cpu_model: str = ""
    hs23_per_core: float = 0.0
    python: str = ""
    batch_system: str = ""
    batch_id: str = ""
    cvmfs: tuple[str, ...] = ()
    amounts: dict[str, int] = {}
    amounts_free: dict[str, int] = {}
    # The life of the pilot, and its state at the compute element.
    reason: str = ""  # why it is in this state
    made_at: str = ""
    ended_at: str = ""
    # Only in the answer for one pilot, empty in lists.
    slot: str = ""  # its id in the batch system; empty: not submitted by the factory
    exit_code: int | None = None  # as the compute element reports it
    # The ends of the output of its script, if it failed. Only operators see them.
    stdout: str = ""
    stderr: str = ""
    # Speed of one core by the pilot's own benchmark, which is not HS23; 0 and empty: not measured.
    benchmark_method: str = ""
    benchmark_score: float = 0.0
    benchmark_integer_per_s: float = 0.0
    benchmark_float_per_s: float = 0.0
    benchmark_memory_mb_per_s: float = 0.0


class PilotPage(_Out, frozen=True):
    pilots: list[PilotView]
    after: str | None = None


class PilotLogFilter(_In, frozen=True):
    """A filter for lines of pilots' own logs. All clauses must hold; an empty one always holds."""

    pilot: str = ""
    site: str = ""
    host: str = ""
    batch_id: str = ""  # of the batch system that has started the pilot
    job: Annotated[int, Meta(ge=1, le=ID_MAX)] | None = None  # lines about it
    since: float | None = None  # seconds since 1970
    grep: str = ""  # a word in the line, in large or small letters
    warnings: bool = False  # these alone


class PilotLogLine(_Out, frozen=True):
    """A line of a pilot's log."""

    at: str
    pilot: str
    site: str
    host: str
    batch_id: str
    event: str
    text: str
    warning: bool = False
    job: int | None = None
    epoch: int | None = None


class PilotLogPage(_Out, frozen=True):
    lines: list[PilotLogLine]
    after: int
    more: bool


class SecretRequest(_In, frozen=True):
    """Make one-use secrets, with which pilots register."""

    site: SiteWord
    element: SiteWord = "local"
    community: Annotated[str, Meta(pattern=whole(COMMUNITY_OR_NONE))] = ""
    count: Annotated[int, Meta(ge=1, le=1_000)] = 1
    valid_s: Annotated[int, Meta(ge=60, le=2_592_000)] = 604_800


class Secret(_Out, frozen=True):
    pilot: str
    secret: str


class Secrets(_Out, frozen=True):
    secrets: list[Secret]


class PilotFile(_Out, frozen=True):
    """The file `pilot.pyz` and its signature."""

    version: str
    size: int
    sha256: str
    signature: str  # Ed25519 signature of the whole file, base64
    key: str  # public key, hexadecimal


class PilotEnd(_In, frozen=True):
    """End a pilot now."""

    reason: Annotated[str, Meta(max_length=REASON_MAX)]  # kept with the pilot; may be empty


class PilotEnded(_Out, frozen=True):
    """Whether a pilot will end."""

    pilot: str
    state: PilotState
    told: bool  # the pilot is alive: it stops its attempts, reports, and signs off
    cancelled: bool = False  # its compute element has agreed to end it
    trouble: str = ""
