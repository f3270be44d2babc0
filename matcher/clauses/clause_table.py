"""The table of clauses: every way in which an offer can refuse a job.

A new row of a known kind (`clause_kinds`) is enough for a new clause: its rule, index, plans and
explanations follow. An unknown fact of an offer meets no demand, because a demand asks for a
guarantee. A job that may run on such offers too has an alternative need.
"""

from collections.abc import Mapping
from operator import attrgetter

from pilotage.proto.documents.job import Need

from .amounts import least_memory_mb
from .clause import Clauses
from .clause_kinds import (
    Accepted,
    AtLeast,
    NamedAmounts,
    NodeFlag,
    NodeSize,
    NodeVersion,
    NodeWord,
    NoneOf,
    OneOf,
    Platform,
    ProcessorLevel,
    RequiredTags,
    SameWord,
    Tags,
    WholeNode,
)


def table(compatible: Mapping[str, tuple[str, ...]]) -> Clauses:
    """Return all clauses.

    `compatible`: platform of an offer → other platforms whose jobs it runs.
    """
    return (
        SameWord("community", "community"),
        Accepted("group", "groups", is_rare=True),
        Accepted("owner", "owners", is_rare=True),
        Accepted("type", "types", is_rare=True),
        OneOf("sites", "site"),
        NoneOf("banned_sites", "site"),
        OneOf("element", "element", is_rare=True),
        Platform("os", "os", compatible),
        OneOf("architecture", "architecture", is_rare=True),
        ProcessorLevel("architecture_level", "x86_64_level", is_rare=True),
        NodeVersion("glibc", "glibc_min"),
        NodeFlag(
            "user_namespaces",
            "user_namespaces",
            allowed="allowed",
            lacking="not allowed or not known",
        ),
        NodeFlag("isolation", "namespaces", lacking="no namespaces"),
        # Cores are the first number, because the search for a parked offer starts with them.
        AtLeast("cores", "cores_free", attrgetter("cores_min")),
        AtLeast("memory", "memory_free_mb", least_memory_mb, "MB"),
        AtLeast("wall", "wall_left_s", attrgetter("wall_s"), "s"),
        AtLeast("scratch", "scratch_free_mb", attrgetter("scratch_mb"), "MB"),
        AtLeast(
            "cpu_work",
            "core_work_left_hs23_s",
            _core_work_hs23_s,
            "HS23 s on each core",
            "not known: not calibrated",
        ),
        AtLeast("gpus", "gpus_free", attrgetter("gpus_min")),
        WholeNode("whole_node", "whole"),
        NamedAmounts("amounts", "counted"),
        NodeWord("gpu_vendor"),
        NodeSize("gpu_memory", "gpu_memory_mb"),
        NodeVersion(
            "gpu_compute_capability",
            "gpu_compute_capability_min",
            "gpu_compute_capability_max",
        ),
        NodeVersion("gpu_driver", "gpu_driver_min"),
        Tags("tags", "tags_had"),
        RequiredTags("required_tags", "required_tags", is_rare=True),
    )


def _core_work_hs23_s(need: Need) -> float:
    """Return the CPU work of each core when the job gets its fewest cores and they share it evenly.

    A whole node has a number of cores that is known only for each offer: another clause checks it.
    """
    return 0.0 if need.whole_node else need.cpu_work_hs23_s / need.cores_min
