"""Words of batch systems and vendors' tools, and what is read in them. Each table is one parser."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from pilotage.pilot.detect import amd, gpus, nvidia, small_files
from pilotage.pilot.detect.batch_systems import detection
from pilotage.pilot.detect.surroundings import Surroundings
from pilotage.pilot.gpus import NO_GPUS
from pilotage.proto.limits import MB_MAX

from ....nodes import recorded
from ....nodes.recorded import Printing, parse

PLAIN = parse("== architecture\nx86_64\n== host\nwn1.example\n== now\n1700000000\n").surroundings


def around(root: Path, environ: dict[str, str], said: str = "") -> Surroundings:
    """A node where every command prints the same."""
    return replace(PLAIN(root), environ=environ, run=Printing(said))


#  days, hours, minutes, seconds   in seconds
DURATIONS = {
    "30:00": 1800.0,
    "1-00:00:00": 86_400.0,
    "2-03:04:05": 183_845.0,
    "1-12": 129_600.0,
    "1-12:30": 131_400.0,
    "48:00:00": 172_800.0,
    "3600": 3600.0,
    "0:00": 0.0,
    "UNLIMITED": math.nan,
    "1:2:3:4": math.nan,
    "-1:00": math.nan,
    "": math.nan,
    "²": math.nan,
}

SIZES = {
    "4gb": 4 << 30,
    "2G": 2 << 30,
    "3000M": 3000 << 20,
    "1048576kb": 1 << 30,
    "1.5T": 3 << 39,
    "512": 512,
    "512b": 512,
    "many": 0,
    "1 2": 0,
    "": 0,
}

COUNTS = {"0": 1, "0-3": 4, "4-11,32": 9, "1,3,5": 3, "": 0, "8-1": 0, "0-x": 0, "x": 0}
COUNTS["0-999999999999"] = 10**12  # not counted one by one


def test_durations_are_read() -> None:
    read = {word: small_files.seconds(word) for word in DURATIONS}

    assert {k: repr(v) for k, v in read.items()} == {k: repr(v) for k, v in DURATIONS.items()}


def test_sizes_are_read() -> None:
    assert {word: small_files.size_bytes(word) for word in SIZES} == SIZES
    assert small_files.size_bytes("2k", thousand=1000) == 2000


def test_lists_of_processors_are_counted() -> None:
    assert {word: small_files.count(word) for word in COUNTS} == COUNTS


SLURM = {"SLURM_JOB_ID": "7"}
LSF = {"LSB_JOBID": "8"}
PBS = {"PBS_JOBID": "9.head"}
SGE = {"JOB_ID": "10", "SGE_CELL": "default"}
CPU_AND_WALL = """
    Resource_List.cput = 10:00:00
    Resource_List.walltime = 04:00:00
    resources_used.cput = 02:00:00
    resources_used.walltime = 01:00:00
"""
ARRAY = """
<CE_name>h_rt</CE_name><CE_valtype>3</CE_valtype><CE_doubleval>7200.000</CE_doubleval>
<JAT_task_number>1</JAT_task_number><JAT_start_time>1699990000</JAT_start_time>
<JAT_task_number>2</JAT_task_number><JAT_start_time>1699999000</JAT_start_time>
"""

# Environment, what the batch system's command prints, the time left, and by whose word.
TIMES: list[tuple[dict[str, str], str, float, str]] = [
    (SLURM, "7|29:57|30:00", 1797, "squeue TIME_LEFT"),
    (SLURM, "7|2:00:00|30:00", 1800, "squeue TIME_LIMIT"),  # clocks differ: not more than all of it
    (SLURM, "7|UNLIMITED|UNLIMITED", math.inf, "squeue TIME_LEFT"),
    (SLURM, "7|INVALID|30:00", 0, "squeue TIME_LEFT"),
    (SLURM, "7|0:00|30:00", 0, "squeue TIME_LEFT"),
    (SLURM, "8|2:00|30:00\n7|29:57|30:00\n9|30:00|30:00", 1797, "squeue TIME_LEFT"),  # an array
    (SLURM, "8|2:00|30:00", math.inf, ""),
    (SLURM, "7", math.inf, ""),
    (SLURM, "", math.inf, ""),
    (SLURM, "slurm_load_jobs error", math.inf, ""),
    ({**SLURM, "SLURM_JOB_END_TIME": "1700000600"}, "", 600, "SLURM_JOB_END_TIME"),
    ({**SLURM, "SLURM_JOB_END_TIME": "1600000000"}, "", 0, "SLURM_JOB_END_TIME"),
    ({**SLURM, "SLURM_JOB_END_TIME": "soon"}, "", math.inf, ""),
    (LSF, "0:57 L", 3420, "bjobs time_left"),
    (LSF, "23:05 L\n", 83_100, "bjobs time_left"),
    (LSF, "0:10 X", 0, "bjobs time_left"),
    (LSF, "4:00 E", math.inf, ""),
    (LSF, "-", math.inf, "bjobs time_left"),
    (LSF, "Job <8> is not found", math.inf, ""),
    (PBS, CPU_AND_WALL, 10_800, "Resource_List.walltime (qstat -f)"),
    ({**PBS, "NCPUS": "4"}, CPU_AND_WALL, 7_200, "Resource_List.cput (qstat -f), 4 cores busy"),
    (PBS, "    Walltime.Remaining = 77", 77, "Walltime.Remaining (qstat -f)"),
    (PBS, "    Resource_List.walltime = later", math.inf, ""),
    (PBS, "qstat: Unknown Job Id", math.inf, ""),
    ({**SGE, "SGE_TASK_ID": "2"}, ARRAY, 6_200, "h_rt, s_rt (qstat -j)"),
    ({**SGE, "SGE_TASK_ID": "undefined"}, ARRAY, 0, "h_rt, s_rt (qstat -j)"),
    (SGE, "<CE_name>h_rt</CE_name>", math.inf, ""),
    (SGE, "", math.inf, ""),
]


@pytest.mark.parametrize(("environ", "said", "left_s", "source"), TIMES)
def test_the_time_left_is_read(
    environ: dict[str, str], said: str, left_s: float, source: str, tmp_path: Path
) -> None:
    node = around(tmp_path, environ, said)
    jobs = detection.jobs(node)

    found = detection.wall_left_s(jobs, jobs[0].cores.value)

    assert (found.value, found.source) == (left_s, source)
    assert found.known or found.notes


ADS: dict[str, tuple[float, str]] = {
    "AllowedJobDuration = 3600\nJobCurrentStartDate = 1699999000": (2600, "AllowedJobDuration"),
    "MaxRuntime = 100\nMaxWallTimeMins = 1": (60, "MaxWallTimeMins"),
    "maxwalltime = 10": (600, "MaxWallTime"),
    "JobCurrentStartDate = 1699990000\nBatchRuntime = 60": (0, "BatchRuntime"),
    "MaxRuntime = undefined": (math.inf, ""),
    "MaxRuntime = -5": (math.inf, ""),
    "MaxRuntime = 1e400": (math.inf, ""),
    'MaxRuntime = "60"': (math.inf, ""),
    "MaxRuntime": (math.inf, ""),
}


@pytest.mark.parametrize("ad", ADS)
def test_ads_of_htcondor_are_read(ad: str, tmp_path: Path) -> None:
    (tmp_path / "ad").write_text(ad)
    left_s, name = ADS[ad]
    found = detection.jobs(around(tmp_path, {"_CONDOR_JOB_AD": "/ad"}))[0].wall_left_s

    assert (found.value, found.source) == (left_s, f"{name} ($_CONDOR_JOB_AD)" if name else "")


# Environment, and the batch system with its job that it stands for.
NAMED: list[tuple[dict[str, str], str, str]] = [
    ({"SLURM_JOB_ID": "7"}, "slurm", "7"),
    ({"LSB_JOBID": "8", "LSB_JOBINDEX": "0"}, "lsf", "8"),
    ({"LSB_JOBID": "8", "LSB_JOBINDEX": "3"}, "lsf", "8[3]"),
    ({"PBS_JOBID": "9.host"}, "pbs", "9.host"),
    ({"JOB_ID": "10", "SGE_CELL": "default", "SGE_TASK_ID": "4"}, "sge", "10.4"),
    ({"JOB_ID": "10", "SGE_CELL": "default", "SGE_TASK_ID": "undefined"}, "sge", "10"),
    ({"JOB_ID": "10"}, "", ""),
    ({"_CONDOR_JOB_AD": "/x", "PILOTAGE_BATCH_ID": "11.0"}, "htcondor", "11.0"),
    ({"_CONDOR_SCRATCH_DIR": "/x", "SLURM_JOB_ID": "7"}, "htcondor", ""),
    ({"KUBERNETES_SERVICE_HOST": "192.0.2.1"}, "kubernetes", "wn1.example"),
    ({}, "", ""),
]


@pytest.mark.parametrize(("environ", "system", "job"), NAMED)
def test_the_batch_system_is_known_by_its_environment(
    environ: dict[str, str], system: str, job: str, tmp_path: Path
) -> None:
    node = around(tmp_path, environ)
    jobs = detection.jobs(node)

    assert detection.batch_system(node, jobs).value == system
    assert detection.batch_id(node, jobs).value == job


# Environment, and the cores that the batch system gives on this host.
SLOTS: list[tuple[dict[str, str], int]] = [
    ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "4"}, 4),
    ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "many"}, 0),
    ({"LSB_JOBID": "8", "LSB_MCPU_HOSTS": "wn0 2 wn1 6"}, 6),
    ({"LSB_JOBID": "8", "LSB_MCPU_HOSTS": "wn0 2 wn2 6", "LSB_DJOB_NUMPROC": "8"}, 0),
    ({"LSB_JOBID": "8", "LSB_DJOB_NUMPROC": "8"}, 8),
    ({"PBS_JOBID": "9", "PBS_NUM_PPN": "3"}, 3),
    ({"JOB_ID": "10", "SGE_CELL": "c", "NSLOTS": "5"}, 5),
    ({"JOB_ID": "10", "SGE_CELL": "c", "NSLOTS": "5", "NHOSTS": "2"}, 0),
]


@pytest.mark.parametrize(("environ", "cores"), SLOTS)
def test_the_cores_of_a_job_on_this_host_are_read(
    environ: dict[str, str], cores: int, tmp_path: Path
) -> None:
    assert detection.jobs(around(tmp_path, environ))[0].cores.value == cores


# What a batch system says of memory, in 10^6 bytes, as far as a message can say it.
MEMORY: list[tuple[dict[str, str], int]] = [
    ({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "1000"}, 1_048),
    ({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "9" * 18}, MB_MAX),
    ({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "9" * 30}, 0),
    ({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "0"}, 0),
    ({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_CPU": "1000", "SLURM_CPUS_ON_NODE": "2"}, 2_097),
    ({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_CPU": "1000"}, 0),
]


@pytest.mark.parametrize(("environ", "memory_mb"), MEMORY)
def test_the_memory_of_a_job_is_read(
    environ: dict[str, str], memory_mb: int, tmp_path: Path
) -> None:
    assert detection.jobs(around(tmp_path, environ))[0].memory_mb.value == memory_mb


A100 = "{0}, GPU-{0}, NVIDIA A100, 40960, 535.104.05, 8.0, Disabled"
FOUR = "\n".join(A100.format(n) for n in range(4))

# Environment, and which of four GPUs are ours.
VISIBLE: list[tuple[dict[str, str], str]] = [
    ({}, "0123"),
    ({"CUDA_VISIBLE_DEVICES": "0,2"}, "02"),
    ({"CUDA_VISIBLE_DEVICES": "GPU-3,GPU-1"}, "31"),
    ({"CUDA_VISIBLE_DEVICES": "0,9,1"}, "0"),  # as the driver does: it stops at what is not there
    ({"CUDA_VISIBLE_DEVICES": ""}, ""),
    ({"CUDA_VISIBLE_DEVICES": "-1"}, ""),
    ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, ""),
    ({"CUDA_VISIBLE_DEVICES": "1,1"}, "1"),
    ({"SLURM_JOB_ID": "7"}, ""),
    ({"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "1,3"}, "13"),
    ({"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "4,5,6,7"}, "0123"),  # hidden, so numbered anew
    ({"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "1,3", "CUDA_VISIBLE_DEVICES": "0"}, "0"),
    ({"_CONDOR_JOB_AD": "/x", "_CONDOR_AssignedGPUs": "GPU-2"}, "2"),
    ({"_CONDOR_JOB_AD": "/x", "_CONDOR_AssignedGPUs": "CUDA1"}, "1"),
    ({"_CONDOR_JOB_AD": "/x", "_CONDOR_AssignedGPUs": "10000"}, ""),
    ({"NVIDIA_VISIBLE_DEVICES": "all"}, "0123"),
    ({"NVIDIA_VISIBLE_DEVICES": "GPU-1"}, "1"),
    ({"JOBFEATURES": "/nowhere"}, "0123"),
]


@pytest.mark.parametrize(("environ", "ours"), VISIBLE)
def test_only_the_gpus_that_are_ours_are_offered(
    environ: dict[str, str], ours: str, tmp_path: Path
) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").write_text("")
    node = around(tmp_path, environ, FOUR)

    found = gpus.gpus(node, detection.jobs(node))

    assert found.value.devices == tuple(f"GPU-{one}" for one in ours)
    assert found.known


def test_a_slot_without_gpus_is_not_given_the_only_one_of_the_node(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").write_text("")
    node = around(
        tmp_path, {"_CONDOR_JOB_AD": "/x", "_CONDOR_AssignedGPUs": "10000"}, A100.format(0)
    )

    assert gpus.gpus(node, detection.jobs(node)).value == NO_GPUS


def test_of_a_gpu_that_is_cut_up_the_parts_are_offered(tmp_path: Path) -> None:
    node = recorded.load("gpu-h100-mig-pod")
    del node.environ["NVIDIA_VISIBLE_DEVICES"]
    listed = node.printed["nvidia-smi -L"]
    node.printed["nvidia-smi -L"] = "\n".join(listed.splitlines()[:2])

    found = gpus.gpus(node.surroundings(tmp_path)).value

    assert (found.count, found.memory_mb) == (1, 21_474)
    assert all(device.startswith("MIG-") for device in found.devices)


def test_each_slot_of_grid_engine_has_the_memory_that_was_asked_for(tmp_path: Path) -> None:
    said = "<CE_name>h_vmem</CE_name><CE_doubleval>2000000000.0</CE_doubleval>"
    job = detection.jobs(around(tmp_path, {**SGE, "NSLOTS": "4"}, said))[0]

    assert (job.memory_mb.value, job.memory_mb.source) == (8_000, "h_vmem (qstat -j), 4 slots")


def test_of_a_mixed_node_the_most_alike_are_offered(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").write_text("")
    said = f"0, GPU-9, Quadro P400, 2048, 535.104.05, 6.1\n{A100.format(1)}\n{A100.format(2)}"

    found = gpus.gpus(around(tmp_path, {}, said))

    assert (found.value.count, found.value.model) == (2, "NVIDIA A100")
    assert found.notes == ("1 of another kind are not offered",)


def test_a_driver_whose_tool_is_silent_leaves_gpus_unknown(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").write_text("")

    found = gpus.gpus(around(tmp_path, {}))

    assert (found.value, found.known, found.notes) == (
        NO_GPUS,
        False,
        ("nvidia-smi has not answered",),
    )


def test_lines_of_nvidia_smi_that_are_none_are_passed_over() -> None:
    found, refused = nvidia.parse(f"No devices were found\n{A100.format(0)}\n,,,,\n")

    assert [one.index for one in found] == ["0"]
    assert refused == "No devices were found"
    assert nvidia.parse("0, GPU-1, Tesla K80, [N/A], beta")[0][0].compute_capability == "3.7"


BROKEN = ("", "{", "[]", "null", '{"card0": 1}', '{"system": []}', "x" * 10_000, "[" * 100_000)


@pytest.mark.parametrize("said", BROKEN, ids=lambda said: said[:8])
def test_what_rocm_smi_says_may_be_broken(said: str) -> None:
    found, note = amd.parse(said)

    assert all(one.memory_mb == 0 for one in found)
    assert found or note
