"""Where control groups are looked for: each row is a table of mounts, a membership, and folders."""

from pathlib import Path

import pytest

from pilotage.pilot.detect import cgroups, memory, mounts

from ....nodes.recorded import parse

# Mounts, /proc/self/cgroup, folders that are there, and those that may limit memory.
GROUPS: list[tuple[str, str, str, str]] = [
    ("", "0::/a/b", "/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a/b /sys/fs/cgroup/a /sys/fs/cgroup"),
    ("", "0::/gone", "/sys/fs/cgroup", "/sys/fs/cgroup"),
    ("", "0::/../..", "/sys/fs/cgroup", "/sys/fs/cgroup"),
    ("", "4:memory:/a", "/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/memory/a /sys/fs/cgroup/memory"),
    ("", "4:cpu:/a", "/sys/fs/cgroup/cpu/a", ""),
    ("cg /mnt/cg2 cgroup2 rw", "0::/a", "/mnt/cg2/a /sys/fs/cgroup/a", "/mnt/cg2/a /mnt/cg2"),
    ("cg /cgroup/mem cgroup rw,memory", "4:memory:/", "/cgroup/mem", "/cgroup/mem"),
    ("cg /with\\040space cgroup2 rw", "0::/", "/with\tspace", "/with\tspace"),
    (
        "cg /sys/fs/cgroup/unified cgroup2 rw\ncg /sys/fs/cgroup/memory cgroup rw,memory",
        "4:memory:/j\n0::/j",
        "/sys/fs/cgroup/memory/j /sys/fs/cgroup/unified",
        "/sys/fs/cgroup/memory/j /sys/fs/cgroup/memory /sys/fs/cgroup/unified",
    ),
]


@pytest.mark.parametrize(("table", "membership", "there", "expected"), GROUPS)
def test_the_folders_that_may_limit_us_are_found(
    table: str, membership: str, there: str, expected: str, tmp_path: Path
) -> None:
    node = parse("")
    node.files = {"/proc/self/mounts": table, "/proc/self/cgroup": membership}
    node.folders = {name.replace("\t", " "): 0o755 for name in there.split(" ")}
    around = node.surroundings(tmp_path)

    found = [around.shown(folder) for folder in cgroups.folders(around, "memory")]

    assert found == [name.replace("\t", " ") for name in expected.split(" ") if name]


def test_a_group_that_is_hidden_is_noted(tmp_path: Path) -> None:
    node = parse("")
    node.files = {"/proc/self/cgroup": "0::/a"}
    hidden = cgroups.blind(node.surroundings(tmp_path / "a"))
    node.folders = {"/sys/fs/cgroup": 0o755}

    assert hidden == "/sys/fs/cgroup is missing: the limit of the pilot's control group is unknown"
    assert cgroups.blind(node.surroundings(tmp_path / "b")) == ""
    assert cgroups.blind(parse("").surroundings(tmp_path / "c")) == ""


def test_the_file_system_of_a_folder_is_that_of_the_nearest_mount() -> None:
    table = [
        mounts.Mount("a", "/", "ext4", ()),
        mounts.Mount("b", "/tmp", "tmpfs", ()),
        mounts.Mount("c", "/tmp", "xfs", ()),  # a later one lies on top
        mounts.Mount("d", "/tmpfiles", "nfs", ()),
    ]

    assert [mounts.of_folder(table, name) for name in ("/tmp/x", "/tmp", "/opt", "/tmpfile")] == [
        "xfs",
        "xfs",
        "ext4",
        "ext4",
    ]
    assert mounts.of_folder([], "/x") == ""


def test_no_limit_in_version_1_is_a_number_that_is_no_limit(tmp_path: Path) -> None:
    node = parse("")
    node.files = {
        "/proc/self/cgroup": "4:memory:/a",
        "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712",
        "/sys/fs/cgroup/memory/a/memory.stat": "hierarchical_memory_limit 9223372036854771712",
    }

    assert not memory.memory_mb(node.surroundings(tmp_path)).known
