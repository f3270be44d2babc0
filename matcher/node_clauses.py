"""The rows of the table that look at the node: what it is, what of it is free, its GPUs."""

from collections.abc import Iterable, Mapping

from pilotage.proto.amounts import is_pool
from pilotage.proto.job import Need

from .clause import Clause, Clauses, is_other, listed, number, one_word, some_of, versions
from .platforms import runs
from .types import Counted, NodeFacts, Whole


def least_memory_mb(need: Need) -> int:
    """Return the memory that the job takes with its fewest cores."""
    return memory_due_mb(need, need.cores_min)


def memory_due_mb(need: Need, cores: int) -> int:
    """Return the memory that the job takes with so many cores."""
    return need.memory_mb + need.memory_per_core_mb * cores


def _core_work_hs23_s(need: Need) -> float:
    """Return the CPU work of each core when the job gets its fewest: they share it evenly.

    A whole node has cores that are known only when an offer is looked at: its own clause asks it.
    """
    return 0.0 if need.whole_node else need.cpu_work_hs23_s / need.cores_min


def offered(need: Need) -> Counted:
    """Return the named amounts that a pilot has to offer, by name: pools are for limits."""
    if not need.amounts:
        return ()
    return tuple(
        sorted((name, it) for name, it in need.amounts.items() if it and not is_pool(name))
    )


def lacking(wanted: Counted, had: Counted | None) -> Counted:
    """Return those of some amounts of which an offer has less."""
    free = dict(had or ())
    return tuple((name, it) for name, it in wanted if it > free.get(name, 0))


def _listed(amounts: Counted) -> str:
    return ", ".join(f"{name} {it}" for name, it in amounts)


def _most_of_each(wanted: Counted, had: Iterable[Counted | None]) -> str:
    """Word the largest amount that any offer has, of each that is wanted."""
    most = {name: 0 for name, _ in wanted}
    for name, free in [pair for one in had for pair in one or () if pair[0] in most]:
        most[name] = max(most[name], free)
    return ", ".join(f"{name} {free}" if free else f"no {name}" for name, free in most.items())


# Memory in all and for each core in MB, CPU work in HS23 s; nothing if no whole node is asked for.
_Whole = tuple[int, int, int] | tuple[()]


def _of_whole_node(need: Need) -> _Whole:
    """Return what the number of cores of a whole node has to be known for."""
    if not need.whole_node:
        return ()
    in_all_mb = need.memory_mb if need.memory_per_core_mb else 0  # else the clause memory asks it
    return (in_all_mb, need.memory_per_core_mb, need.cpu_work_hs23_s)


def _is_not_whole(wanted: _Whole, had: Whole | None) -> bool:
    if not wanted:
        return False
    if had is None:
        return True
    in_all_mb, per_core_mb, work_hs23_s = wanted
    cores, memory_mb, core_work_hs23_s = had
    return in_all_mb + per_core_mb * cores > memory_mb or work_hs23_s > core_work_hs23_s * cores


def _whole_wanted(wanted: _Whole) -> str:
    parts = ["nothing taken"]
    if wanted:
        in_all_mb, per_core_mb, work_hs23_s = wanted
        if per_core_mb:
            parts.append(f"{in_all_mb} MB and " * bool(in_all_mb) + f"{per_core_mb} MB a core")
        if work_hs23_s:
            parts.append(f"{work_hs23_s} HS23 s on all cores together")
    return ", ".join(parts)


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
        Clause[tuple[int, int], int](
            name="architecture_level",
            idle=(0, 0),
            wants=lambda need, spec: (need.architecture_level_min, need.architecture_level_max),
            fact="x86_64_level",
            denies=_is_other_level,
            wanted=_levels,
            best=lambda wanted, had: _nearest_level(wanted, had),
            is_rare=True,
        ),
        versions("glibc"),
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
        Clause[str, NodeFacts](
            name="isolation",
            idle="",
            wants=lambda need, spec: need.isolation,
            fact="node",
            denies=lambda wanted, had: bool(wanted) and not had.namespaces,
            wanted=str,
            best=lambda wanted, had: "no namespaces",
            is_rare=True,
        ),
    )


def _is_other_level(wanted: tuple[int, int], had: int) -> bool:
    low, high = wanted
    return had < (low or bool(high)) or 0 < high < had


def _levels(wanted: tuple[int, int]) -> str:
    least = f"v{wanted[0]} or higher" if wanted[0] else ""
    most = f"v{wanted[1]} or lower" if wanted[1] else ""
    return "x86-64 " + " and ".join(part for part in (least, most) if part)


def _nearest_level(wanted: tuple[int, int], had: Iterable[int]) -> str:
    levels = set(had)
    low, high = wanted[0], wanted[1] or 99
    known = levels - {0}
    nearest = min(known, key=lambda level: max(low - level, level - high), default=None)
    if nearest is None:
        return "no x86-64" if levels else ""
    return f"v{nearest}"


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
    Clause[_Whole, Whole | None](
        name="whole_node",
        idle=(),
        wants=lambda need, spec: _of_whole_node(need),
        fact="whole",
        denies=_is_not_whole,
        wanted=_whole_wanted,
        best=lambda wanted, had: _nearest_whole(had),
        is_joint=True,
    ),
    Clause[Counted, Counted | None](
        name="amounts",
        idle=(),
        wants=lambda need, spec: offered(need),
        fact="counted",
        denies=lambda wanted, had: bool(lacking(wanted, had)),
        wanted=_listed,
        best=lambda wanted, had: _most_of_each(wanted, had),
        is_joint=True,
    ),
)


def _nearest_whole(had: Iterable[Whole | None]) -> str:
    most = max((one[1:] + one[:1] for one in had if one), default=None)
    if most is None:
        return "all partly taken"
    memory_mb, work_hs23_s, cores = most
    work = f", {work_hs23_s * cores:.0f} HS23 s" if work_hs23_s else ""
    return f"{cores} cores with {memory_mb} MB{work}"


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
    versions("gpu_compute_capability"),
    versions("gpu_driver"),
)
