"""Whole nodes: what is found on each, and by whose word, stands in its file below tests/nodes."""

import math
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

from pilotage.pilot.data.drivers import programs
from pilotage.pilot.data.root_storage import RootStorage
from pilotage.pilot.detect.facts import DetectedNode, find
from pilotage.pilot.detect.facts_report import as_json, as_text
from pilotage.pilot.gpus import Gpus
from pilotage.pilot.node.probe import node_of
from pilotage.proto.limits import check

from ....nodes import recorded


def facts_of(name: str, root: Path) -> DetectedNode:
    return find(
        recorded.load(name).surroundings(root),
        otherwise="/srv/pilot",
        programs_wanted=programs({"root": RootStorage()}),
    )


def told(value: object) -> str:
    """Return a value as the files below tests/nodes have it."""
    if isinstance(value, Gpus):
        whole = [value.count, value.vendor, value.model, value.memory_mb]
        whole += [value.compute_capability, value.driver]
        return "/".join(str(one) for one in whole) if value.count else "0"
    if isinstance(value, tuple):
        return ",".join(value) or "-"
    if isinstance(value, float):
        return "unlimited" if math.isinf(value) else f"{value:.0f}"
    return str(value) if value != "" else "-"


@pytest.mark.parametrize("name", recorded.NAMES)
def test_a_node_is_found_as_it_was_written_down(name: str, tmp_path: Path) -> None:
    facts = facts_of(name, tmp_path)

    found = [
        (one.name, told(getattr(facts, one.name).value), getattr(facts, one.name).source or "-")
        for one in fields(facts)
    ]

    assert found == recorded.load(name).found


# What matters most of each node, to be read against the words at the head of its file.
#  node                  cores  memory_mb  level  os        wall_left_s  scratch_folder
TABLE = """
aarch64-ubuntu           80     261120     1      ubuntu24  -            /srv/pilot
cloud-features           2      4000       1      el6       40000        /srv/pilot
container-without-sys    2      3072       1      alpine3   -            /srv/pilot
debian12-vm              4      14348      2      debian12  -            /srv/pilot
debian13-gridengine      1      2147       4      debian13  3598         /tmp/2.1.all.q
debian13-htcondor        2      1610       4      debian13  2999         /srv/batch/dir_1383418
debian13-slurm           2      3145       4      debian13  1797         /srv/pilot
docker-cgroup1           2      2147       4      debian13  -            /srv/pilot
el7-slurm-cgroup1        8      16777      3      el7       86352        /scratch/slurm-4711023
el8-pbs                  4      12884      2      el8       87300        /var/spool/pbs/77123
el9-htcondor-cgroup2     8      19327      3      el9       255600       /pool/condor/dir_3344
gpu-a100-slurm           16     128849     3      el8       3000         /srv/pilot
gpu-h100-mig-pod         2      34359      4      ubuntu22  -            /srv/pilot
gpu-mi250-slurm          56     512000     3      sles15    -            /srv/pilot
gpu-v100-lsf             10     42949      4      el7       42420        /local/553201.tmpdir
kubernetes-pod           4      8589       4      el9       -            /srv/pilot
nothing                  1      0          1      any       -            /srv/pilot
rubbish                  1      0          1      any       -            /srv/pilot
"""


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_what_a_pilot_offers_of_a_node(line: str, tmp_path: Path) -> None:
    name, *expected = line.split()
    facts = facts_of(name, tmp_path)
    left_s = facts.wall_left_s.value

    assert expected == [
        str(facts.cores.value),
        str(facts.memory_mb.value),
        str(facts.architecture_level.value),
        facts.os.value,
        "-" if math.isinf(left_s) else f"{left_s:.0f}",
        facts.scratch_folder.value,
    ]


def test_the_table_has_every_node() -> None:
    assert [line.split()[0] for line in TABLE.strip().splitlines()] == recorded.NAMES


@pytest.mark.parametrize("name", recorded.NAMES)
def test_what_is_found_is_a_message_that_the_central_takes(name: str, tmp_path: Path) -> None:
    around = recorded.load(name).surroundings(tmp_path)

    check(node_of(find(around), around, isolation="session"))


@pytest.mark.parametrize("name", recorded.NAMES)
def test_what_is_found_can_be_shown(name: str, tmp_path: Path) -> None:
    facts = facts_of(name, tmp_path)

    as_told = msgspec.json.decode(as_json(facts))
    words = as_text(facts)

    for one in fields(facts):
        found = getattr(facts, one.name)
        assert (as_told[one.name]["value"] is None) == (not found.known or found.value == math.inf)
        assert as_told[one.name]["source"] == found.source
        assert one.name in words
        assert found.source in words
        assert all(note in words for note in found.notes)


def test_what_broke_is_noted(tmp_path: Path) -> None:
    facts = facts_of("rubbish", tmp_path)

    assert not facts.cores.known
    assert facts.wall_left_s.notes == (
        "the ads name no known time limit",
        "squeue: 'slurm_load_jobs error: Invalid job id specified'",
    )
    assert len(facts.gpus.notes) == 2
    assert facts.batch_system.notes == ("inside of slurm job 12",)
