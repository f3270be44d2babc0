"""The rows of the table that look at the node: what it is, what of it is free, its GPUs."""

from collections.abc import Iterable, Mapping

from pilotage.proto.job import Need

from .clause import Clause, Clauses, is_other, listed, number, one_word, some_of, versions
from .platforms import runs
from .types import NodeFacts


def least_memory_mb(need: Need) -> int:
    """Return the memory that the job takes with its fewest cores."""
    return need.memory_mb + need.memory_per_core_mb * need.cores_min


def _core_work_hs23_s(need: Need) -> float:
    """Return the CPU work of each core when the job gets its fewest: they share it evenly."""
    return need.cpu_work_hs23_s / need.cores_min


def _whole_memory_per_core_mb(need: Need) -> float:
    """Return the memory that each core of a whole node must have; any offer has more than -1."""
    return need.memory_per_core_mb if need.whole_node else -1


def platform(compatible: Mapping[str, tuple[str, ...]]) -> Clauses:
    """Return the rows about what a node is."""
    return (
        Clause[str, str](
            name="os",
            idle="",
            wants=lambda need, spec: need.os,
            fact="os",
            denies=lambda wanted, had: bool(wanted) and not runs(wanted, had, compatible),
            wanted=str,
            best=some_of,
        ),
        Clause[str, str](
            name="architecture",
            idle="",
            wants=lambda need, spec: need.architecture,
            fact="architecture",
            denies=is_other,
            only=one_word,
            wanted=str,
            best=some_of,
            is_rare=True,
        ),
        Clause[tuple[int, int], NodeFacts](
            name="architecture_level",
            idle=(0, 0),
            wants=lambda need, spec: (need.architecture_level_min, need.architecture_level_max),
            fact="node",
            denies=lambda wanted, had: (
                had.architecture_level < wanted[0] or 0 < wanted[1] < had.architecture_level
            ),
            wanted=_levels,
            best=lambda wanted, had: _nearest_level(wanted, had),
            is_rare=True,
        ),
        versions("glibc", lambda need: need.glibc_min, lambda had: had.glibc),
        Clause[bool, NodeFacts](
            name="user_namespaces",
            idle=False,
            wants=lambda need, spec: need.user_namespaces,
            fact="node",
            denies=lambda wanted, had: wanted and not had.user_namespaces,
            wanted=lambda wanted: "allowed",
            best=lambda wanted, had: "not allowed or not known",
            is_rare=True,
        ),
    )


def _levels(wanted: tuple[int, int]) -> str:
    least = f"v{wanted[0]} or higher" if wanted[0] else ""
    most = f"v{wanted[1]} or lower" if wanted[1] else ""
    return "x86-64 " + " and ".join(part for part in (least, most) if part)


def _nearest_level(wanted: tuple[int, int], had: Iterable[NodeFacts]) -> str:
    levels = {facts.architecture_level for facts in had}
    low, high = wanted[0], wanted[1] or 99
    nearest = min(levels, key=lambda level: max(low - level, level - high), default=None)
    return "" if nearest is None else f"v{nearest}"


ROOM: Clauses = (
    # Cores come first: the search for a parked offer goes by them.
    number("cores", "", lambda need: need.cores_min, "cores_free", unasked=False),
    number("memory", "MB", least_memory_mb, "memory_free_mb"),
    number("wall", "s", lambda need: need.wall_s, "wall_left_s", unasked=False),
    number("scratch", "MB", lambda need: need.scratch_mb, "scratch_free_mb"),
    number(
        "cpu_work",
        "HS23 s on each core",
        _core_work_hs23_s,
        "core_work_left_hs23_s",
        unknown="not known: not calibrated",
    ),
    number("gpus", "", lambda need: need.gpus_min, "gpus_free"),
    Clause[float, float](
        name="whole_node",
        idle=-1,
        wants=lambda need, spec: _whole_memory_per_core_mb(need),
        fact="whole_memory_per_core_mb",
        denies=lambda wanted, had: wanted > had,
        wanted=lambda wanted: "nothing taken" + (f", {wanted:.0f} MB a core" if wanted else ""),
        best=lambda wanted, had: _nearest_whole(had),
        is_number=True,
    ),
)


def _nearest_whole(had: Iterable[float]) -> str:
    most = max(had, default=-1.0)
    return "all partly taken" if most < 0 else f"{int(most)} MB a core"


GPU: Clauses = (
    Clause[str, NodeFacts](
        name="gpu_vendor",
        idle="",
        wants=lambda need, spec: need.gpu_vendor,
        fact="node",
        denies=lambda wanted, had: bool(wanted) and wanted != had.gpu_vendor,
        wanted=str,
        best=lambda wanted, had: listed(facts.gpu_vendor for facts in had) or "not known",
        is_rare=True,
    ),
    Clause[int, NodeFacts](
        name="gpu_memory",
        idle=0,
        wants=lambda need, spec: need.gpu_memory_mb,
        fact="node",
        denies=lambda wanted, had: wanted > had.gpu_memory_mb,
        wanted=lambda wanted: f"{wanted} MB",
        best=lambda wanted, had: f"{max((it.gpu_memory_mb for it in had), default=0)} MB",
        is_rare=True,
    ),
    versions(
        "gpu_compute_capability",
        lambda need: need.gpu_compute_capability_min,
        lambda had: had.gpu_compute_capability,
        lambda need: need.gpu_compute_capability_max,
    ),
    versions("gpu_driver", lambda need: need.gpu_driver_min, lambda had: had.gpu_driver),
)
