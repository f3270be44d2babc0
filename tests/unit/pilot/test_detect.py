"""Detection on small trees: each is what a node of that kind shows below its root."""

from pathlib import Path

import pytest

from pilotage.pilot.clock import BootClock
from pilotage.pilot.detect import (
    batch,
    containers,
    cores,
    cpu,
    cvmfs,
    memory,
    namespaces,
    os_release,
)
from pilotage.pilot.probe import Caps, LocalNode, find_node

Tree = dict[str, str]

AVX2 = "fpu cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3 abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"

EL9_SLURM_CGROUP_2: Tree = {
    "etc/os-release": 'NAME="AlmaLinux"\nVERSION="9.4 (Seafoam Ocelot)"\nID="almalinux"\n'
    'ID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n',
    "proc/self/status": "Name:\tpython3\nCpus_allowed:\tff0\nCpus_allowed_list:\t4-11,32\n",
    "proc/self/cgroup": "0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0\n",
    "sys/fs/cgroup/cpu.max": "max 100000\n",
    "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/memory.max": "16777216000\n",
    "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/cpu.max": "800000 100000\n",
    "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/step_0/memory.max": "max\n",
    "proc/meminfo": "MemTotal:       263527644 kB\nMemFree:         1 kB\n",
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD EPYC 7742  64-Core Processor\n"
    f"flags\t\t: {AVX2}\n",
    "proc/sys/user/max_user_namespaces": "1028000\n",
    "proc/self/mounts": "cvmfs2 /cvmfs/sw.cta.example fuse ro 0 0\ncvmfs2 /cvmfs/a.b fuse ro 0 0\n"
    "auto /cvmfs autofs rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n",
    "opt/bin/apptainer": "#!",
    "usr/lib64/libc-2.34.so": "",
}

DEBIAN_CONTAINER_CGROUP_1: Tree = {
    "usr/lib/os-release": "ID=debian\nVERSION_ID=13\n",
    "proc/self/status": "Cpus_allowed_list:\t0-63\n",
    "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "4294967296\n",
    "proc/meminfo": "MemTotal:       65536000 kB\n",
    "proc/cpuinfo": "model name : Xeon\n"
    f"flags : {AVX2} avx512f avx512bw avx512cd avx512dq avx512vl\n",
    "proc/sys/user/max_user_namespaces": "0\n",
}

ARM_WITHOUT_LIMITS: Tree = {
    "etc/os-release": 'ID=ubuntu\nVERSION_ID="24.04"\n',
    "proc/self/status": "Cpus_allowed_list:\t0\n",
    "proc/self/cgroup": "0::/\n4:cpu:/\n3:memory:/\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "proc/meminfo": "MemTotal:       2000000 kB\n",
    "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd\n",
    "proc/sys/user/max_user_namespaces": "7000\n",
    "proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n",
}

BARE: Tree = {}

#        os        glibc  cores  memory_mb  level  namespaces  cvmfs
TABLE = """
slurm    el9       2.34   8      16777      3      True        a.b,sw.cta.example
docker   debian13  -      2      4294       4      False       -
arm      ubuntu24  -      1      2048       1      False       -
bare     any       -      1      0          1      False       -
"""
TREES = {
    "slurm": EL9_SLURM_CGROUP_2,
    "docker": DEBIAN_CONTAINER_CGROUP_1,
    "arm": ARM_WITHOUT_LIMITS,
    "bare": BARE,
}


def _grow(root: Path, tree: Tree) -> Path:
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o755)
    return root


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_a_node_is_recognised(tmp_path: Path, line: str) -> None:
    name, *expected = line.split()
    root = _grow(tmp_path, TREES[name])

    found = [
        os_release.os_name(root),
        os_release.glibc(root) or "-",
        str(cores.cores(root, {})),
        str(memory.memory_mb(root)),
        str(cpu.x86_64_level(root)),
        str(namespaces.user_namespaces(root)),
        ",".join(cvmfs.repositories(root)) or "-",
    ]

    assert found == expected


def test_the_batch_system_may_give_fewer_cores_than_the_kernel(tmp_path: Path) -> None:
    root = _grow(tmp_path, EL9_SLURM_CGROUP_2)

    assert cores.affinity(root) == 9
    assert cores.cores(root, {"SLURM_CPUS_ON_NODE": "4"}) == 4
    assert cores.cores(root, {"SLURM_CPUS_ON_NODE": "rubbish"}) == 8


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"SLURM_JOB_ID": "7"}, ("slurm", "7")),
        ({"LSB_JOBID": "8"}, ("lsf", "8")),
        ({"PBS_JOBID": "9.host"}, ("pbs", "9.host")),
        ({"JOB_ID": "10", "SGE_CELL": "default"}, ("sge", "10")),
        ({"JOB_ID": "10"}, ("", "")),
        ({"_CONDOR_JOB_AD": "/x", "PILOTAGE_BATCH_ID": "11.0"}, ("htcondor", "11.0")),
    ],
)
def test_the_batch_system_is_known_by_its_environment(
    environ: dict[str, str], expected: tuple[str, str]
) -> None:
    assert batch.batch_system(environ) == expected


def test_the_whole_node_is_told(tmp_path: Path) -> None:
    root = _grow(tmp_path, EL9_SLURM_CGROUP_2)

    node = find_node(root, {"PATH": "/usr/bin:/opt/bin", "SLURM_JOB_ID": "7"}, isolation="unshare")

    assert node.containers == ("apptainer",)
    assert node.cpu_model == "AMD EPYC 7742 64-Core Processor"
    assert (node.batch_system, node.batch_id, node.isolation) == ("slurm", "7", "unshare")
    assert containers.containers(root, {"PATH": "/usr/bin"}) == ()


def test_settings_cap_what_is_found_and_add_tags(tmp_path: Path) -> None:
    root = _grow(tmp_path, EL9_SLURM_CGROUP_2)
    caps = Caps(cores=2, memory_mb=4000, scratch_mb=1, wall_s=100.0, tags=("gpu",))

    probe = LocalNode(tmp_path, BootClock(), isolation="session", caps=caps, root=root, environ={})

    assert (probe.cores(), probe.memory_mb(), probe.scratch_free_mb()) == (2, 4000, 1)
    assert 99.0 < probe.wall_left_s() <= 100.0
    assert probe.tags() == ("gpu", "cvmfs:a.b", "cvmfs:sw.cta.example")
    uncapped = LocalNode(tmp_path, BootClock(), isolation="session", root=root, environ={})
    assert (uncapped.cores(), uncapped.memory_mb()) == (8, 16777)
