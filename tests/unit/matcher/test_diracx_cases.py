"""The DiracX specification of matching: its comparisons, its nodes and jobs, as tables.

Its keys, and what they are here: several matching specifications of a job are alternatives; a range
of cores or GPUs is `cores_min` … `cores_max`; memory is overhead + per core; a site can be banned
by its tag.
"""

from typing import Any

import pytest

from pilotage.matcher import Matcher
from pilotage.matcher.clauses.tag_expressions import BadTags, parse
from pilotage.matcher.types import LiveOffer, NodeFacts
from pilotage.proto.documents.job import Need
from tests.matcher.rule import misfits

from .makes import offer, spec

NODES: dict[str, LiveOffer] = {
    "typical": offer(
        site="CERN",
        os="el9",
        cores=8,
        cores_free=8,
        memory_free_mb=16_384,
        wall_left_s=172_800,
        core_work_left_hs23_s=1_000_000,
        scratch_free_mb=100_000,
        tags=frozenset(["cvmfs:lhcb", "cvmfs:lhcbdev", "os:el9", "diracx:site:CERN"]),
        node=NodeFacts(architecture_level=4, glibc=(2, 34), user_namespaces=True),
    ),
    "older": offer(
        site="NIPNE-07",
        os="el7",
        cores=1,
        cores_free=1,
        memory_free_mb=2_048,
        wall_left_s=86_400,
        core_work_left_hs23_s=400_000,
        tags=frozenset(["cvmfs:lhcb", "os:el7", "diracx:site:NIPNE-07"]),
        node=NodeFacts(architecture_level=2, glibc=(2, 17)),
    ),
    "gpu": offer(
        site="CERN",
        os="el9",
        cores=32,
        cores_free=32,
        memory_free_mb=131_072,
        wall_left_s=86_400,
        core_work_left_hs23_s=800_000,
        tags=frozenset(["cvmfs:lhcb", "cvmfs:lhcbdev", "os:el9", "gpu:nvidia"]),
        gpus=4,
        gpus_free=4,
        node=NodeFacts(
            architecture_level=4,
            glibc=(2, 34),
            user_namespaces=True,
            gpu_vendor="nvidia",
            gpu_memory_mb=40_960,
            gpu_compute_capability=(8, 0),
            gpu_driver=(535, 104, 5),
        ),
    ),
    "arm": offer(
        site="Glasgow",
        os="el9",
        architecture="aarch64",
        cores=64,
        cores_free=64,
        memory_free_mb=65_536,
        wall_left_s=86_400,
        tags=frozenset(["cvmfs:lhcb", "os:el9"]),
        node=NodeFacts(glibc=(2, 34), user_namespaces=True),
    ),
}

BASE: dict[str, Any] = {"wall_s": 3_600, "tags": "cvmfs:lhcb"}
JOBS: list[tuple[str, list[dict[str, Any]], str]] = [
    ("any site", [{}], "typical older gpu arm"),
    ("one site", [{"sites": ("CERN",)}], "typical gpu"),
    (
        "several sites, a specification each",
        [{"sites": ("NIPNE-07",)}, {"sites": ("Glasgow",)}],
        "older arm",
    ),
    ("a site that is banned by its tag", [{"tags": "~diracx:site:CERN"}], "older gpu arm"),
    ("a site that is banned by name", [{"banned_sites": ("NIPNE-07",)}], "typical gpu arm"),
    ("a newer C library", [{"glibc_min": "2.28"}], "typical gpu arm"),
    ("user namespaces", [{"user_namespaces": True}], "typical gpu arm"),
    ("CPU work", [{"cpu_work_hs23_s": 500_000}], "typical gpu"),
    ("wall time", [{"wall_s": 100_000}], "typical"),
    ("memory", [{"memory_mb": 1_024, "memory_per_core_mb": 1_024}], "typical older gpu arm"),
    ("more memory", [{"memory_mb": 1_025, "memory_per_core_mb": 1_024}], "typical gpu arm"),
    ("scratch", [{"scratch_mb": 50_000}], "typical"),
    ("an architecture", [{"architecture": "x86_64"}], "typical older gpu"),
    ("either architecture", [{"architecture": "aarch64"}, {"cores_min": 16}], "gpu arm"),
    (
        "a level of it",
        [{"architecture": "x86_64", "architecture_level_min": 3}],
        "typical gpu",
    ),
    (
        "no higher level",
        [{"architecture": "x86_64", "architecture_level_max": 3}],
        "older",
    ),
    ("systems by tag", [{"tags": "cvmfs:lhcb & (os:el7 | os:ubuntu26)"}], "older"),
    (
        "a GPU of a kind",
        [
            {
                "gpus_min": 1,
                "gpus_max": 4,
                "gpu_memory_mb": 10_240,
                "gpu_vendor": "nvidia",
                "gpu_compute_capability_min": "8.0",
                "tags": "cvmfs:lhcb & cvmfs:lhcbdev & (os:el9 | os:alma9) & gpu:nvidia",
            }
        ],
        "gpu",
    ),
    ("a GPU with more memory", [{"gpus_min": 1, "gpu_memory_mb": 81_920}], ""),
    ("a GPU that is newer", [{"gpus_min": 1, "gpu_compute_capability_min": "8.6"}], ""),
    ("a GPU that is older", [{"gpus_min": 1, "gpu_compute_capability_max": "7.5"}], ""),
    ("more GPUs than there are", [{"gpus_min": 5}], ""),
    ("with a GPU or without", [{"gpus_min": 1}, {"cores_min": 8}], "typical gpu arm"),
    ("an architecture of its own, by tag", [{"tags": "cpu:riscv_cpu_test"}], ""),
]


@pytest.mark.parametrize(("name", "alternatives", "expected"), JOBS)
def test_jobs_of_the_specification_run_where_it_says(
    name: str, alternatives: list[dict[str, Any]], expected: str
) -> None:
    its = spec(1, *(Need(**{**BASE, **one}) for one in alternatives))
    matcher = Matcher()
    matcher.add_class(its)
    found: list[str] = []
    for node, there in NODES.items():
        matcher.add(1, 5, [7])
        if matcher.match(there, 1, 0.0):
            found.append(node)
        matcher.drop(7)
        matcher.remove(7)

    assert found == expected.split()


# A job whose every demand is met exactly, by the node that just meets it.
EXACT: dict[str, Any] = {
    "sites": ("CERN",),
    "glibc_min": "2.28",
    "user_namespaces": True,
    "wall_s": 3_600,
    "cpu_work_hs23_s": 1_000,
    "memory_mb": 1_024,
    "memory_per_core_mb": 512,
    "scratch_mb": 100,
    "architecture": "x86_64",
    "architecture_level_min": 4,
    "architecture_level_max": 4,
    "gpus_min": 1,
    "gpus_max": 1,
    "gpu_memory_mb": 8_192,
    "gpu_vendor": "nvidia",
    "gpu_compute_capability_min": "8.0",
    "gpu_compute_capability_max": "8.0",
    "gpu_driver_min": "510.47.03",
    "tags": "cvmfs:lhcb & gpu:nvidia",
}
EXACTLY = offer(
    site="CERN",
    cores=1,
    cores_free=1,
    memory_free_mb=1_536,
    wall_left_s=3_600,
    core_work_left_hs23_s=1_000,
    scratch_free_mb=100,
    gpus=1,
    gpus_free=1,
    tags=frozenset(["cvmfs:lhcb", "gpu:nvidia"]),
    node=NodeFacts(
        architecture_level=4,
        glibc=(2, 28),
        user_namespaces=True,
        gpu_vendor="nvidia",
        gpu_memory_mb=8_192,
        gpu_compute_capability=(8, 0),
        gpu_driver=(510, 47, 3),
    ),
)
# The same job with one demand that is not met by a hair, and the one clause that says so.
BY_A_HAIR: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"sites": ("SiteA",)}, "sites"),
    ({"glibc_min": "2.29"}, "glibc"),
    ({"wall_s": 3_601}, "wall"),
    ({"cpu_work_hs23_s": 1_001}, "cpu_work"),
    ({"memory_mb": 1_025}, "memory"),
    ({"memory_per_core_mb": 513}, "memory"),
    ({"scratch_mb": 101}, "scratch"),
    ({"cores_min": 2, "cpu_work_hs23_s": 0, "memory_mb": 0}, "cores"),
    ({"architecture": "aarch64"}, "architecture"),
    ({"architecture_level_max": 3, "architecture_level_min": 3}, "architecture_level"),
    ({"gpus_min": 2, "gpus_max": 2}, "gpus"),
    ({"gpu_memory_mb": 8_193}, "gpu_memory"),
    ({"gpu_vendor": "amd"}, "gpu_vendor"),
    (
        {"gpu_compute_capability_min": "8.1", "gpu_compute_capability_max": "9"},
        "gpu_compute_capability",
    ),
    (
        {"gpu_compute_capability_min": "7", "gpu_compute_capability_max": "7.9"},
        "gpu_compute_capability",
    ),
    ({"gpu_driver_min": "510.47.4"}, "gpu_driver"),
    ({"tags": "cvmfs:lhcb & gpu:amd"}, "tags"),
]


@pytest.mark.parametrize(("change", "refused"), BY_A_HAIR, ids=str)
def test_equal_is_enough_and_a_hair_less_is_not(change: dict[str, Any], refused: str) -> None:
    need = Need(**{**EXACT, **change})

    assert ",".join(misfits(need, EXACTLY, clauses=Matcher().clauses)) == refused


#   expression                                        tags                        holds
TAGS = """
    cvmfs:lhcb & ~diracx:banned:LCG.NIPNE-07.ro       cvmfs:lhcb                  yes
    cvmfs:lhcb & diracx:banned:LCG.NIPNE-07.ro        cvmfs:lhcb                  no
    a | b & c                                         b,c                         yes
    a | b & c                                         a                           yes
    a | b & c                                         b                           no
    (a | b) & c                                       b,c                         yes
    (a | b) & c                                       b                           no
    cvmfs:lhcb & (os:el9 | os:ubuntu26) & ~site:Z     cvmfs:lhcb,os:el9           yes
    cvmfs:lhcb & (os:el9 | os:ubuntu26) & ~site:Z     cvmfs:lhcb,os:el9,site:Z    no
    ~(a & b)                                          a                           yes
    ~(a & b)                                          a,b                         no
    ~~a                                               a                           yes
"""


@pytest.mark.parametrize("row", TAGS.strip().splitlines())
def test_tags_are_a_logical_expression(row: str) -> None:
    expression, tags, holds = row.rsplit(maxsplit=2)

    assert parse(expression).holds(frozenset(tags.split(","))) == (holds == "yes")


@pytest.mark.parametrize("text", ["a & (", "a b", "& a", "a |", "a ! b", ")", "~"])
def test_an_expression_that_does_not_read_is_an_error_and_not_a_no(text: str) -> None:
    with pytest.raises(BadTags, match="position"):
        parse(text)


#   free cores, free memory, cores asked, memory → how many are granted
CORES = """
    16 24576   1-128 512+256    16
    16 2048    1-128 512+256    6
    4  24576   1-128 512+256    4
    16 767     1-128 512+256    -
    16 768     1-128 512+256    1
    16 24576   4-8   512+256    8
    3  24576   4-8   512+256    -
"""


@pytest.mark.parametrize("row", CORES.strip().splitlines())
def test_memory_is_a_function_of_the_cores_that_are_given(row: str) -> None:
    free, memory_mb, cores, memory, granted = row.split()
    least, most = map(int, cores.split("-"))
    base, per_core = map(int, memory.split("+"))
    matcher = Matcher()
    need = Need(cores_min=least, cores_max=most, memory_mb=base, memory_per_core_mb=per_core)
    matcher.add_class(spec(1, need))
    matcher.add(1, 5, [7])
    there = offer(cores=16, cores_free=int(free), memory_free_mb=int(memory_mb))
    found = matcher.match(there, 1, 0.0)

    assert [str(match.grant.cores) for match in found] == ([] if granted == "-" else [granted])
    assert all(match.grant.memory_mb == base + per_core * match.grant.cores for match in found)


def test_equal_jobs_go_in_the_order_in_which_they_came() -> None:
    matcher = Matcher()
    matcher.add_class(spec(1, Need()))
    matcher.add(1, 5, range(1, 100))

    assert [match.job for match in matcher.match(offer(), 8, 0.0)] == list(range(1, 9))
