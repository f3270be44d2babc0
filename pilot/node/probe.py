"""The node, as detected at the start, and its free capacity."""

import asyncio
import functools
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Optional

from pilotage.proto.messages import TOKENS_TAG, Benchmark, Node
from pilotage.proto.storages import TAG as DATA

from ..detect import facts as detection
from ..detect.batch_systems.batch_job import BatchJob, megabytes
from ..detect.facts import DetectedNode
from ..detect.finding import SourcedValue
from ..detect.small_files import plain
from ..detect.surroundings import Surroundings
from ..gpus import Gpus
from ..guard import processes
from ..outfit.tools import image_tags, image_tools
from ..ports import Clock

WALL_DEFAULT_S = 30 * 86_400.0  # if no limit of the pilot's time is known
HOST_MAX = 255
_FOUND = {one.name for one in fields(DetectedNode)} & {one.name for one in fields(Node)}


@dataclass(frozen=True)
class Caps:
    """The maximum use of a node by the pilot; 0: everything that is found."""

    cores: int = 0
    overcommit: bool = False  # offer `cores` even if fewer are found
    memory_mb: int = 0
    scratch_mb: int = 0
    wall_s: float = 0.0  # from the start of the pilot
    tags: tuple[str, ...] = ()
    cvmfs: tuple[str, ...] = ()  # repositories to look for
    image_tools: tuple[str, ...] = ()  # container tools; empty: all that are found
    registries: tuple[str, ...] = ()  # of images that may be fetched; empty: all


@dataclass(frozen=True)
class CappedSetting:
    """A setting that exceeds what the node has."""

    what: str  # the setting
    asked: int
    offered: int
    why: str  # the source of the lower value


class LocalNode:
    """Driver of ports.NodeProbe for the machine that this process runs on."""

    def __init__(
        self,
        scratch_folder: Path,
        clock: Clock,
        around: Surroundings,
        *,
        isolation: str,
        caps: Caps = Caps(),
        jobs: Optional[Sequence[BatchJob]] = None,
        programs: Mapping[str, Sequence[str]] = detection.NONE_WANTED,
        benchmark: SourcedValue[Optional[Benchmark]] = detection.NOT_MEASURED,
        hs23_per_score: float = 0.0,
        namespaces: bool = False,
    ) -> None:
        self._scratch, self._clock, self._caps, self._around = scratch_folder, clock, caps, around
        self._started = clock.now()
        proof = "a payload was put into one" if isolation == "unshare" else ""
        self._facts = detection.find(
            around,
            jobs=jobs,
            folder=str(scratch_folder),
            cvmfs_wanted=caps.cvmfs,
            programs_wanted=programs,
            namespaces_proof=proof,
            benchmark=benchmark,
        )
        self._node = node_of(
            self._facts,
            around,
            isolation=isolation,
            namespaces=namespaces,
            hs23_per_score=hs23_per_score,
        )
        self._image_tools = image_tools(self._facts, isolation, caps.image_tools)
        self._time_left = self._facts.wall_left_s
        self._looked = clock.now()

    @property
    def facts(self) -> DetectedNode:
        """Return the facts found at the start, with their sources."""
        return self._facts

    @property
    def time_left(self) -> SourcedValue[float]:
        """Return the source of the pilot's end, and the time left at the start."""
        return self._time_left

    def node(self) -> Node:
        return self._node

    def boot_id(self) -> str:
        return processes.boot_id()

    def pid_namespace(self) -> str:
        return processes.pid_namespace()

    def cores(self) -> int:
        wanted, found = self._caps.cores, self._facts.cores
        if not wanted:
            return found.value
        if self._caps.overcommit or not found.known:
            return wanted
        return min(wanted, found.value)

    def memory_mb(self) -> int:
        most_mb = self._facts.memory_limit_mb.value
        if self._caps.memory_mb:
            return min(self._caps.memory_mb, most_mb or self._caps.memory_mb)
        return self._facts.memory_mb.value

    def capped(self) -> Sequence[CappedSetting]:
        """Return the settings above the detected values, and the values that count."""
        caps, facts = self._caps, self._facts
        said = (
            CappedSetting("cores", caps.cores, self.cores(), facts.cores.source),
            CappedSetting(
                "memory_mb", caps.memory_mb, self.memory_mb(), facts.memory_limit_mb.source
            ),
        )
        return [one for one in said if one.asked > one.offered]

    def scratch_free_mb(self) -> int:
        free = self._around.free_bytes(self._scratch)
        found = 0 if free is None else megabytes(free)
        limits = [self._caps.scratch_mb, self._facts.scratch_limit_mb.value]
        return min([found, *(limit for limit in limits if limit)])

    def gpus(self) -> Gpus:
        return self._facts.gpus.value

    def wall_left_s(self) -> float:
        now = self._clock.now()
        said = [self._time_left.value - (now - self._looked)]
        if self._caps.wall_s:
            said.append(self._started + self._caps.wall_s - now)
        left_s = min(said)
        return max(0.0, self._started + WALL_DEFAULT_S - now if math.isinf(left_s) else left_s)

    async def time_left_again(self) -> Optional[float]:
        """Ask the batch system again. If it does not answer, its earlier answer counts."""
        ask = functools.partial(detection.time_left, self._around, self.cores())
        found = await asyncio.get_running_loop().run_in_executor(None, ask)
        if not found.known:
            return None
        self._time_left, self._looked = found, self._clock.now()
        return self.wall_left_s()

    def tags(self) -> tuple[str, ...]:
        mounted = (f"cvmfs:{name}" for name in self._node.cvmfs)
        images = image_tags(self._image_tools, self._caps.registries)
        clients = self._facts.storage_clients.value
        every = (*self._caps.tags, *mounted, *images, *clients, DATA, TOKENS_TAG)
        return tuple(dict.fromkeys(every))

    @property
    def image_tools(self) -> Mapping[str, str]:
        """Return the tools that run payloads in images, with their paths."""
        return self._image_tools


def node_of(
    facts: DetectedNode,
    around: Surroundings,
    *,
    isolation: str,
    namespaces: bool = False,
    hs23_per_score: float = 0.0,
) -> Node:
    """Return the facts that do not change while the pilot lives."""
    benchmark = facts.benchmark.value
    return Node(
        host=plain(around.host, HOST_MAX),
        isolation=isolation,
        python=platform.python_version(),
        hs23_per_core=round(benchmark.score * hs23_per_score, 3) if benchmark is not None else 0.0,
        namespaces=namespaces,
        **{name: getattr(facts, name).value for name in _FOUND},
    )
