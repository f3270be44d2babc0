"""The inputs and outputs of the matcher."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pilotage.proto.documents.job import Need, Preference
from pilotage.proto.facts import with_facts

from .platforms import ANY
from .versions import Version

NO_AMOUNTS: Final[Mapping[str, int]] = MappingProxyType({})
X86_64: Final = "x86_64"


WholeNodeSize = tuple[int, int, float]  # cores, memory in MB, CPU work of each core in HS23 s
CountedAmounts = tuple[tuple[str, int], ...]  # named amounts, in the order of their names


class ClassSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that are matched alike."""

    class_id: int
    community: str
    group: str
    owner: str
    type: str
    needs: tuple[Need, ...]
    preference: Preference | None = None
    submission: str = ""  # key of the submission whose limit counts its jobs; empty: none
    running_max: int = 0  # of that submission


NOBODYS: Final = ClassSpec(class_id=0, community="", group="", owner="", type="", needs=())


class Ceiling(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of running jobs or of an amount, and how much of it is left for a class."""

    number: int  # of the limit
    where: str  # SITE or SITE/ELEMENT; empty: all sites together
    room: int
    takes: int = 1  # what one job takes
    but: tuple[str, ...] = ()  # places where it does not hold

    @property
    def jobs(self) -> int:
        """Return how many more jobs it lets start."""
        return self.room // self.takes

    def holds_at(self, site: str, element: str) -> bool:
        """Return whether it counts jobs that start at a place."""
        wheres = ("", site, f"{site}/{element}")
        return self.where in wheres and not any(one in wheres for one in self.but)


@with_facts(Version, ())
class NodeFacts(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """Facts of a node that few jobs ask for, in one object, so that other jobs do not pay for them.

    The fields are the facts of the messages, with versions as numbers. An unknown fact is zero or
    empty and meets no demand.
    """

    if TYPE_CHECKING:

        def __init__(self, **facts: Any) -> None: ...

        def __getattr__(self, name: str) -> Any: ...


class LiveOffer(msgspec.Struct, frozen=True, kw_only=True):
    """An offer as the central knows it.

    It combines the pilot's message, the site, element and community of its token, and the free
    capacity by the central's own account of its attempts.
    """

    pilot: str
    community: str
    site: str
    element: str
    os: str
    architecture: str
    cores: int
    cores_free: int
    memory_free_mb: int
    wall_left_s: float
    scratch_free_mb: int = 0
    tags: frozenset[str] = frozenset()
    required_tags: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    gpus: int = 0
    gpus_free: int = 0
    core_work_left_hs23_s: float = 0.0  # CPU work left on each core; 0: unknown
    node: NodeFacts = NodeFacts()
    amounts_free: Mapping[str, int] = NO_AMOUNTS  # counted resources by name

    @property
    def counted(self) -> CountedAmounts | None:
        """The named amounts as a key; None if there are none."""
        return tuple(sorted(self.amounts_free.items())) or None

    @property
    def tags_had(self) -> frozenset[str]:
        """The tags of the offer, including the tags that it requires."""
        return self.tags | self.required_tags if self.required_tags else self.tags

    @property
    def x86_64_level(self) -> int:
        """The level of its processors; 0 if they are not x86-64 or unknown.

        A level above 1 implies x86-64.
        """
        level: int = self.node.architecture_level
        architecture = self.architecture
        if architecture in (X86_64, ANY) or (not architecture and level > 1):
            return level
        return 0

    @property
    def whole(self) -> WholeNodeSize | None:
        """Cores, memory and CPU work of each core if none of it is taken, else None."""
        if self.cores_free < self.cores or self.cores_free <= 0:
            return None
        return (self.cores, self.memory_free_mb, self.core_work_left_hs23_s)


class Grant(msgspec.Struct, frozen=True, gc=False):
    """The resources that a match gives to a job.

    Lease, row and view of the attempt share one object.

    The store keeps the fields in this order.
    """

    cores: int
    memory_mb: int
    scratch_mb: int
    wall_s: float
    gpus: int = 0
    charged_cores: float = 0.0  # charged to the owner; 0: `cores`
    amounts: Mapping[str, int] = NO_AMOUNTS  # counted resources by name


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is pending for an offer until it is confirmed, dropped or put back."""

    job: int
    class_id: int
    priority: int
    grant: Grant  # to be passed on in `RunningAttempt`


class ParkedWake(msgspec.Struct, frozen=True, kw_only=True):
    """A parked pilot to wake, for which a job is kept."""

    pilot: str
    ask: int
    job: int


class RunningAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that is active when a matcher is rebuilt."""

    job: int
    class_id: int
    site: str
    element: str
    grant: Grant
    age_s: float = 0.0  # since it was matched
    pilot: str = ""
