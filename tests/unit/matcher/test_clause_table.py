"""Each clause: what just meets it, what just misses it, and what is not known."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from pilotage.matcher import Matcher
from pilotage.matcher.clauses import clause_table
from pilotage.matcher.index.exact_fit import grant
from pilotage.matcher.platforms import family, runs
from pilotage.matcher.types import LiveOffer, NodeFacts
from pilotage.matcher.versions import shown, version
from pilotage.proto.documents.job import Need
from tests.matcher.rule import misfits

from .makes import OFFERS, offer, spec

KNOWN = {
    "architecture_level": 3,
    "glibc": (2, 34),
    "user_namespaces": True,
    "namespaces": True,
    "gpu_vendor": "nvidia",
    "gpu_memory_mb": 40_000,
    "gpu_compute_capability": (8, 6),
    "gpu_driver": (535, 104, 5),
}
GPU_NODE = offer(
    node=NodeFacts(**KNOWN),
    gpus=4,
    gpus_free=2,
    core_work_left_hs23_s=1000.0,
    types=frozenset(["Test", "Merge"]),
)
UNKNOWN = offer(os="", architecture="")

# What a job wants of GPU_NODE, of which it fits, and which clause refuses it on UNKNOWN.
CLAUSES: list[tuple[dict[str, Any], str, str]] = [
    ({"architecture_level_min": 3}, "", "architecture_level"),
    ({"architecture_level_min": 4}, "architecture_level", "architecture_level"),
    ({"architecture_level_min": 1}, "", "architecture_level"),
    ({"architecture_level_max": 3}, "", "architecture_level"),
    ({"architecture_level_max": 2}, "architecture_level", "architecture_level"),
    ({"architecture_level_min": 2, "architecture_level_max": 3}, "", "architecture_level"),
    ({"glibc_min": "2.34"}, "", "glibc"),
    ({"glibc_min": "2.34.0"}, "", "glibc"),
    ({"glibc_min": "2.9"}, "", "glibc"),
    ({"glibc_min": "2.34.1"}, "glibc", "glibc"),
    ({"glibc_min": "2.35"}, "glibc", "glibc"),
    ({"glibc_min": "3"}, "glibc", "glibc"),
    ({"user_namespaces": True}, "", "user_namespaces"),
    ({"isolation": "namespaces"}, "", "isolation"),
    ({"cpu_work_hs23_s": 1000}, "", "cpu_work"),
    ({"cpu_work_hs23_s": 1001}, "cpu_work", "cpu_work"),
    ({"cpu_work_hs23_s": 4000, "cores_min": 4}, "", "cpu_work"),
    ({"cpu_work_hs23_s": 4001, "cores_min": 4}, "cpu_work", "cpu_work"),
    ({"cpu_work_hs23_s": 4000, "cores_min": 3, "cores_max": 8}, "cpu_work", "cpu_work"),
    ({"gpus_min": 2}, "", "gpus"),
    ({"gpus_min": 3}, "gpus", "gpus"),
    ({"gpus_max": 8}, "", ""),
    ({"gpu_memory_mb": 40_000}, "", "gpu_memory"),
    ({"gpu_memory_mb": 40_001}, "gpu_memory", "gpu_memory"),
    ({"gpu_vendor": "nvidia"}, "", "gpu_vendor"),
    ({"gpu_vendor": "amd"}, "gpu_vendor", "gpu_vendor"),
    ({"gpu_compute_capability_min": "8.6"}, "", "gpu_compute_capability"),
    ({"gpu_compute_capability_min": "8.10"}, "gpu_compute_capability", "gpu_compute_capability"),
    ({"gpu_compute_capability_max": "8.6"}, "", "gpu_compute_capability"),
    ({"gpu_compute_capability_max": "8.5"}, "gpu_compute_capability", "gpu_compute_capability"),
    ({"gpu_driver_min": "535.104.05"}, "", "gpu_driver"),
    ({"gpu_driver_min": "535.104.6"}, "gpu_driver", "gpu_driver"),
    ({"gpu_driver_min": "55"}, "", "gpu_driver"),
    ({"os": "el9"}, "", "os"),
    ({"os": "el"}, "", "os"),
    ({"architecture": "x86_64"}, "", "architecture"),
]


def refusing(need: Need, there: LiveOffer, **of_class: Any) -> str:
    """Ask the plain rule, and see that the index decides the same way."""
    matcher = Matcher()
    its = spec(1, need, **of_class)
    matcher.add_class(its)
    matcher.add(1, 5, [7])
    refused = misfits(need, there, clauses=matcher.clauses, spec=its)
    assert bool(matcher.match(there, 1, 0.0)) == (not refused)
    return ",".join(refused)


@pytest.mark.parametrize(("wanted", "refused", "unknown"), CLAUSES, ids=str)
def test_what_is_not_known_meets_no_demand(
    wanted: dict[str, Any], refused: str, unknown: str
) -> None:
    assert refusing(Need(**wanted), GPU_NODE, type="Test") == refused
    assert refusing(Need(**wanted), UNKNOWN) == unknown


#    architecture  level  wanted  refused
LEVELS = """
     x86_64        1      1-0     -
     x86_64        1      0-2     -
     x86_64        3      0-2     architecture_level
     aarch64       1      1-0     architecture_level
     aarch64       1      0-2     architecture_level
     aarch64       3      0-4     architecture_level
     aarch64       1      0-0     -
     -             1      0-4     architecture_level
     -             3      2-4     -
     ANY           3      2-4     -
"""


@pytest.mark.parametrize("row", LEVELS.strip().splitlines())
def test_a_demand_for_a_level_is_one_for_x86_64(row: str) -> None:
    architecture, level, wanted, refused = row.split()
    least, _, most = wanted.partition("-")
    need = Need(architecture_level_min=int(least), architecture_level_max=int(most))
    node = NodeFacts(architecture_level=int(level))
    there = offer(architecture=architecture.replace("-", ""), node=node)

    assert refusing(need, there) == refused.replace("-", "")


#   accepted   type   refused
TYPES = """
    -          User   -
    Test       User   type
    Test,User  User   -
    ANY        User   -
    test       Test   type
"""


@pytest.mark.parametrize("row", TYPES.strip().splitlines())
def test_an_offer_may_accept_only_some_types(row: str) -> None:
    accepted, kind, refused = row.split()
    types = frozenset[str]() if accepted == "-" else frozenset(accepted.split(","))

    assert refusing(Need(), offer(types=types), type=kind) == refused.replace("-", "")


# free of 8 cores, free memory, memory asked for (base + per core) → who refuses, cores and memory
WHOLE = """
    8 16000  0+0       -                  8 16000
    7 16000  0+0       whole_node         - -
    8 16000  16000+0   -                  8 16000
    8 16000  16001+0   memory             - -
    8 16000  0+2000    -                  8 16000
    8 16000  0+2001    whole_node         - -
    1 16000  0+16001   memory,whole_node  - -
    8 25999  10000+2000  whole_node       - -
    8 26000  10000+2000  -                8 26000
"""


@pytest.mark.parametrize("row", WHOLE.strip().splitlines())
def test_a_whole_node_is_one_of_which_nothing_is_taken(row: str) -> None:
    free, memory_mb, asked, refused, cores, granted_mb = row.split()
    base, per_core = map(int, asked.split("+"))
    need = Need(whole_node=True, memory_mb=base, memory_per_core_mb=per_core, scratch_mb=5)
    there = offer(cores_free=int(free), memory_free_mb=int(memory_mb), gpus=2, gpus_free=2)

    assert refusing(need, there) == refused.replace("-", "")
    if cores != "-":
        its = grant(need, there)
        assert (its.cores, its.memory_mb) == (int(cores), int(granted_mb))
        assert (its.scratch_mb, its.gpus) == (5, 2)


#   free of 8 cores, work left on each core, work asked for → who refuses
WHOLE_WORK = """
    8 1000 8000 -
    8 1000 8001 whole_node
    7 1000 1    whole_node
    8 0    1    whole_node
    8 0    0    -
"""


@pytest.mark.parametrize("row", WHOLE_WORK.strip().splitlines())
def test_the_cores_of_a_whole_node_share_the_work_that_is_asked_for(row: str) -> None:
    free, left, asked, refused = row.split()
    need = Need(whole_node=True, cpu_work_hs23_s=int(asked))
    there = offer(cores_free=int(free), core_work_left_hs23_s=float(left))

    assert refusing(need, there) == refused.replace("-", "")


TABLE = clause_table.table({})


def test_clauses_on_one_fact_have_columns_of_one_type() -> None:
    """A column is made once for each fact, whichever clause asks first."""
    types: dict[str, set[type]] = {}
    for one in TABLE:
        types.setdefault(one.fact, set()).add(type(one.column([])))

    assert {fact: found for fact, found in types.items() if len(found) > 1} == {}


SIZES = st.builds(
    Need,
    cores_max=st.sampled_from([0, 3, 8]),
    whole_node=st.booleans(),
    memory_mb=st.sampled_from([0, 1000, 4000]),
    memory_per_core_mb=st.sampled_from([0, 500, 1000, 2000]),
    cpu_work_hs23_s=st.sampled_from([0, 0, 1000, 9000]),
    gpus_max=st.sampled_from([0, 2]),
)


@given(SIZES, st.sampled_from(OFFERS))
@settings(max_examples=300)
def test_a_job_gets_what_is_due_to_the_cores_that_it_gets(need: Need, there: LiveOffer) -> None:
    if misfits(need, there, clauses=TABLE):
        return
    got = grant(need, there)

    due_mb = need.memory_mb + need.memory_per_core_mb * got.cores
    assert due_mb <= got.memory_mb <= there.memory_free_mb
    assert need.cores_min <= got.cores <= there.cores_free
    assert need.gpus_min <= got.gpus <= there.gpus_free
    assert need.cpu_work_hs23_s <= there.core_work_left_hs23_s * got.cores
    assert got.scratch_mb == need.scratch_mb <= there.scratch_free_mb


def test_a_whole_node_leaves_nothing_for_others() -> None:
    matcher = Matcher()
    matcher.add_class(spec(1, Need(whole_node=True)))
    matcher.add_class(spec(2, Need()))
    matcher.add(1, 6, [1])
    matcher.add(2, 5, [2])

    assert [match.job for match in matcher.match(offer(), 5, 0.0)] == [1]


#   asked     free   granted
GPUS = """
    0-0       4      0
    1-0       4      1
    1-2       4      2
    1-8       4      4
    0-2       4      2
    0-2       0      0
"""


@pytest.mark.parametrize("row", GPUS.strip().splitlines())
def test_a_job_gets_as_many_gpus_as_it_can_use(row: str) -> None:
    asked, free, granted = row.split()
    least, _, most = asked.partition("-")
    need = Need(gpus_min=int(least), gpus_max=int(most))

    assert grant(need, offer(gpus=4, gpus_free=int(free))).gpus == int(granted)


def test_one_call_gives_no_gpu_twice() -> None:
    matcher = Matcher()
    matcher.add_class(spec(1, Need(gpus_min=1, gpus_max=2)))
    matcher.add(1, 5, range(1, 9))
    found = matcher.match(offer(gpus=3, gpus_free=3), 8, 0.0)

    assert [match.grant.gpus for match in found] == [2, 1]


#   wanted    had      runs
PLATFORMS = """
    el9       el9      yes
    el8       el9      yes
    el7       el9      no
    el        el9      yes
    debian    el9      no
    el7       rocky9   yes
    el        rocky9   yes
    rocky     rocky9   yes
    rock      rocky9   no
    e         el9      no
    any       ANY      yes
    el9       any      no
    any       any      no
"""


@pytest.mark.parametrize("row", PLATFORMS.strip().splitlines())
def test_a_family_stands_for_all_its_versions(row: str) -> None:
    wanted, had, expected = row.split()
    table = {"el9": ("el8",), "el8": ("el7",), "rocky9": ("el7", "el")}

    assert runs(wanted, had, table) == (expected == "yes")


def test_families_are_read_off_the_names_of_platforms() -> None:
    names = ("el9", "debian13", "ubuntu24.04", "opensuse-leap15", "arch", "9front")

    assert [family(name) for name in names] == [
        "el",
        "debian",
        "ubuntu",
        "opensuse-leap",
        "arch",
        "9front",
    ]


#   text               read
VERSIONS = """
    2.34               2.34
    2.9                2.9
    8                  8.0
    535.104.05         535.104.5
    2.34.0.0           2.34
    2.31-0ubuntu9.9    2.31
    musl               not known
    -1                 not known
    ٢.٣                not known
"""


@pytest.mark.parametrize("row", VERSIONS.strip().splitlines())
def test_a_version_is_the_numbers_that_a_text_begins_with(row: str) -> None:
    text, read = row.split(maxsplit=1)

    assert shown(version(text)) == read


#   what is asked, and what explain says would help
EASED: list[tuple[dict[str, Any], str]] = [
    ({"glibc_min": "2.35"}, "with glibc ≤ 2.34: 1 offer"),
    ({"gpu_memory_mb": 50_000}, "with gpu memory ≤ 40000 MB: 1 offer"),
    ({"gpu_driver_min": "600.1"}, "with gpu driver ≤ 535.104.5: 1 offer"),
    ({"gpus_min": 3}, "with gpus ≤ 2: 1 offer"),
    ({"cpu_work_hs23_s": 2000}, "with cpu work ≤ 1000 HS23 s: 1 offer"),
    ({"gpu_vendor": "amd"}, "without its demand on gpu vendor: 2 offers"),
    (
        {"gpu_compute_capability_max": "7.5"},
        "without its demand on gpu compute capability: 2 offers",
    ),
    ({"architecture_level_min": 4}, "without its demand on architecture level: 2 offers"),
]


@pytest.mark.parametrize(("wanted", "said"), EASED, ids=str)
def test_explain_says_how_the_demand_would_have_to_be(wanted: dict[str, Any], said: str) -> None:
    its = spec(1, Need(**wanted), type="Test")
    explained = Matcher().explain(None, its, [GPU_NODE, UNKNOWN], 0.0)

    assert any(note.startswith(said) for note in explained.notes), explained.notes


#   what is asked → wanted, best, on GPU_NODE or UNKNOWN
WORDED: list[tuple[dict[str, Any], LiveOffer, str, str]] = [
    ({"glibc_min": "2.35"}, GPU_NODE, "2.35 or newer", "2.34"),
    ({"glibc_min": "2.35"}, UNKNOWN, "2.35 or newer", "not known"),
    ({"gpu_compute_capability_max": "7"}, GPU_NODE, "7.0 or older", "8.6"),
    ({"cpu_work_hs23_s": 9}, UNKNOWN, "9 HS23 s on each core", "not known: not calibrated"),
    ({"user_namespaces": True}, UNKNOWN, "allowed", "not allowed or not known"),
    ({"isolation": "namespaces"}, UNKNOWN, "namespaces", "no namespaces"),
    ({"architecture_level_min": 4}, GPU_NODE, "x86-64 v4 or higher", "v3"),
    ({"architecture_level_max": 2}, GPU_NODE, "x86-64 v2 or lower", "v3"),
    ({"gpu_vendor": "amd"}, GPU_NODE, "amd", "nvidia"),
    ({"gpu_vendor": "amd"}, UNKNOWN, "amd", "not known"),
    ({"whole_node": True}, offer(cores_free=7), "nothing taken", "all partly taken"),
    (
        {"whole_node": True, "memory_per_core_mb": 9000},
        offer(),
        "nothing taken, 9000 MB a core",
        "8 cores with 16000 MB",
    ),
]


@pytest.mark.parametrize(("wanted", "there", "asked", "best"), WORDED, ids=str)
def test_obstacles_are_worded_for_people(
    wanted: dict[str, Any], there: LiveOffer, asked: str, best: str
) -> None:
    explained = Matcher().explain(None, spec(1, Need(**wanted), type="Test"), [there], 0.0)

    assert (asked, best) in [(it.wanted, it.best) for it in explained.obstacles]


def test_explain_also_says_what_would_help_with_half_of_the_offers() -> None:
    there = [offer(memory_free_mb=memory_mb) for memory_mb in (1000, 2000, 3000, 4000, 9000)]
    notes = Matcher().explain(None, spec(1, Need(memory_mb=10_000)), there, 0.0).notes

    assert [note for note in notes if note.startswith("with memory")] == [
        "with memory ≤ 9000 MB: 1 offer",
        "with memory ≤ 3000 MB: 3 offers",
    ]
