"""Whatever a node says, detection answers, and with what the central takes."""

import math
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings, strategies as st

from pilotage.pilot.detect import amd, benchmark, nvidia, small_files
from pilotage.pilot.detect.batch_systems import classads, detection
from pilotage.pilot.detect.facts import DetectedNode, find
from pilotage.pilot.detect.facts_report import as_json, as_text
from pilotage.pilot.detect.finding import SourcedValue, least
from pilotage.pilot.node.probe import node_of
from pilotage.proto.limits import check
from pilotage.proto.messages import Offer

from ....nodes import recorded

NODES = {name: recorded.load(name) for name in recorded.NAMES}

# Bits of what such files hold, and anything else.
WORDS = st.sampled_from(
    [
        *("0", "1", "-1", "max", "4-11,32", "99999999999999999999", "18446744073709551615", ":"),
        *("=", " = ", "|", ",", "\n", "\t", " ", "\0", "\u2028", '"', "{", "}", "kB", "1e308"),
        *("UNLIMITED", "nan", "inf", "..", "/", "/cvmfs/a.b", "::", "0::/", "4:memory:/a", "²"),
        *("Cpus = ", "MemTotal: ", "flags : ", "ID=", "<CE_name>h_rt", "GPU 0:", "\udcff"),
    ]
)
RUBBISH = st.lists(st.one_of(WORDS, st.text(max_size=20)), max_size=12).map("".join)
NOWHERE = recorded.parse("== now\n1700000000").surroundings(Path("/no/such/folder"))
EVERY_SYSTEM = {
    "_CONDOR_JOB_AD": "/ad",
    "SLURM_JOB_ID": "1",
    "LSB_JOBID": "2",
    "PBS_JOBID": "3",
    "JOB_ID": "4",
    "SGE_CELL": "default",
    "SGE_TASK_ID": "2",
    "JOBFEATURES": "/f",
}
VARIABLES = sorted(
    {name for node in NODES.values() for name in node.environ}
    | {"SLURM_MEM_PER_CPU", "LSB_DJOB_NUMPROC", "PE_HOSTFILE", "PILOTAGE_BATCH_ID", "NHOSTS"}
)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_node_may_say_anything(data: st.DataObject) -> None:
    node = NODES[data.draw(st.sampled_from(recorded.NAMES))]
    broken = replace(
        node,
        environ={**node.environ, **data.draw(st.dictionaries(st.sampled_from(VARIABLES), RUBBISH))},
        files={name: data.draw(st.just(text) | RUBBISH) for name, text in node.files.items()},
        printed={name: data.draw(st.just(text) | RUBBISH) for name, text in node.printed.items()},
    )

    facts = _find(broken)

    assert facts.cores.value >= 1
    assert facts.memory_mb.value >= 0
    assert facts.wall_left_s.value >= 0
    assert as_text(facts) and as_json(facts)


def _find(node: recorded.Recorded) -> DetectedNode:
    """Look at a node, check that what is found can be said, and return it."""
    with tempfile.TemporaryDirectory() as folder:
        around = node.surroundings(Path(folder))
        facts = find(around, otherwise="/srv/pilot")
        said = node_of(facts, around, isolation="session")
    gpus = facts.gpus.value
    check(said)
    check(
        Offer(
            cores=facts.cores.value,
            cores_free=facts.cores.value,
            memory_mb=facts.memory_mb.value,
            memory_free_mb=facts.memory_limit_mb.value,
            wall_left_s=min(1e8, facts.wall_left_s.value),
            scratch_mb=facts.scratch_free_mb.value,
            gpus=gpus.count,
            gpu_model=gpus.model,
            gpu_memory_mb=gpus.memory_mb,
            gpu_vendor=gpus.vendor,
            gpu_compute_capability=gpus.compute_capability,
            gpu_driver=gpus.driver,
        )
    )
    return facts


@given(RUBBISH)
@settings(deadline=None)
def test_no_parser_stumbles(said: str) -> None:
    assert small_files.number(said) >= 0
    assert small_files.decimal(said) >= 0
    assert small_files.count(said) >= 0
    assert small_files.size_bytes(said) >= 0
    assert not small_files.seconds(said) < 0
    assert len(small_files.plain(said, 40)) <= 40
    nvidia.parse(said)
    nvidia.parse_parts(said, ())
    amd.parse(said)
    benchmark.parse(said)
    ad = classads.Ad("here", said)
    assert all((ad.number(name) or 0) >= 0 for name in ("Cpus", "Memory"))
    ad.word("Cpus")


@given(RUBBISH, st.sampled_from(recorded.NAMES), st.integers(0, 4000))
@settings(deadline=None)
def test_no_batch_system_stumbles(rubbish: str, name: str, at: int) -> None:
    printed = "\n".join(NODES[name].printed.values())
    said = printed[:at] + rubbish + printed[at:]
    around = replace(NOWHERE, environ=EVERY_SYSTEM, run=recorded.Printing(said))

    jobs = detection.jobs(around)

    assert len(jobs) == len(detection.SYSTEMS)
    assert detection.wall_left_s(jobs, 1).value >= 0
    assert all(job.cores.value >= 0 and job.memory_mb.value >= 0 for job in jobs)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["", "a", "b"]))))
def test_the_least_of_what_is_known_counts(said: list[tuple[int, str]]) -> None:
    known = [value for value, source in said if source]

    found = least((SourcedValue(value, source) for value, source in said), 7)

    assert found.value == min(known, default=7)
    assert found.known == bool(known)
    assert not math.isnan(found.value)
