"""Operating system, C library and processor, as tables."""

from dataclasses import replace
from pathlib import Path

import pytest

from pilotage.pilot.detect import cpu, glibc, namespaces, os_release
from pilotage.pilot.detect.surroundings import Surroundings

from ....nodes.recorded import parse


def around(root: Path, **files: str) -> Surroundings:
    """A node with these files; two underscores stand for a slash."""
    node = parse("== architecture\nx86_64\n")
    node.files = {"/" + name.replace("__", "/"): content for name, content in files.items()}
    return node.surroundings(root)


SYSTEMS = {
    'ID="almalinux"\nVERSION_ID="9.4"\nPLATFORM_ID="platform:el9"': "el9",
    'ID="newrebuild"\nVERSION_ID="10.1"\nPLATFORM_ID="platform:el10"': "el10",
    'ID="centos"\nVERSION_ID="7"': "el7",
    "ID=rhel\r\nVERSION_ID=8.10\r\n": "el8",
    "ID=debian\nVERSION_ID='13'": "debian13",
    "ID=debian\nPRETTY_NAME=sid": "debian",
    'ID=ubuntu\nVERSION_ID="24.04"': "ubuntu24",
    'ID=fedora\nVERSION_ID=42\nPLATFORM_ID="platform:f42"': "fedora42",
    'ID="opensuse-leap"\nVERSION_ID="15.6"': "opensuse-leap15",
    'ID="amzn"\nVERSION_ID="2"\nID_LIKE="centos rhel fedora"': "amzn2",  # no rebuild of el2
    "ID=Weird OS\nVERSION_ID=1": "any",
    "VERSION_ID=9": "any",
    "# nothing": "any",
}


@pytest.mark.parametrize("content", SYSTEMS)
def test_an_operating_system_has_a_family_and_a_version(content: str, tmp_path: Path) -> None:
    assert (
        os_release.os_name(around(tmp_path, **{"etc__os-release": content})).value
        == (SYSTEMS[content])
    )


LIBRARIES = {
    "lib64__libc.so.6": ("GNU C Library (GNU libc) stable release version 2.34.", "2.34"),
    "lib__x86_64-linux-gnu__libc.so.6": ("GNU C Library (D 2.41-12) release version 2.41.", "2.41"),
    "usr__lib64__libc-2.17.so": ("", "2.17"),
    "lib64__libc-2.3.4.so": ("", "2.3"),
    "lib64__libc-2.x.so": ("", ""),
    "lib__aarch64-linux-gnu__libc.so.6": ("GNU C Library release version 2.41.", ""),  # not ours
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_c_library_says_its_version(name: str, tmp_path: Path) -> None:
    content, version = LIBRARIES[name]

    assert glibc.glibc(around(tmp_path, **{name: content})).value == version


ADDED = {
    2: "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3",
    3: "abm avx avx2 bmi1 bmi2 f16c fma movbe xsave",
    4: "avx512f avx512bw avx512cd avx512dq avx512vl",
}


def level(root: Path, flags: list[str]) -> int:
    info = f"processor : 0\nflags\t\t: fpu {' '.join(flags)}\n"
    return cpu.level(around(root, proc__cpuinfo=info)).value


@pytest.mark.parametrize("number", ADDED)
def test_each_flag_of_a_level_counts(number: int, tmp_path: Path) -> None:
    flags = [flag for one, words in ADDED.items() if one <= number for flag in words.split()]
    lacking = {
        flag: level(tmp_path, [one for one in flags if one != flag])
        for flag in ADDED[number].split()
    }

    assert level(tmp_path, flags) == number
    assert set(lacking.values()) == {number - 1}


def test_levels_are_of_x86_64_only(tmp_path: Path) -> None:
    info = f"flags : {ADDED[2]}\n"
    node = replace(around(tmp_path, proc__cpuinfo=info), architecture="riscv64")

    assert cpu.level(node).value == 1


MODELS = {
    "model name : AMD EPYC 7742  64-Core\n": "AMD EPYC 7742 64-Core",
    "cpu : POWER9 (raw), altivec supported\n": "POWER9 (raw), altivec supported",
    "CPU implementer : 0x41\nCPU part : 0xd40\n": "Arm Neoverse-V1",
    "CPU implementer : 0x99\nCPU part : 0x001\n": "implementer 0x99, part 0x001",
    "CPU implementer : 0x41\n": "",
    "": "",
}


@pytest.mark.parametrize("info", MODELS)
def test_a_processor_has_a_name(info: str, tmp_path: Path) -> None:
    assert cpu.model(around(tmp_path, proc__cpuinfo=info)).value == MODELS[info]


# max_user_namespaces, unprivileged_userns_clone, AppArmor's restriction, and /proc/self/status.
NAMESPACES: list[tuple[str, str, str, str, bool]] = [
    ("100", "", "", "", True),
    ("100", "1", "0", "Seccomp:\t0", True),
    ("0", "", "", "", False),
    ("100", "0", "", "", False),
    ("100", "1", "1", "", False),
    ("100", "1", "0", "Seccomp:\t2\nCapEff:\t0000000000000000", False),
    ("100", "1", "0", "Seccomp:\t2\nCapEff:\t000001ffffffffff", True),
    ("", "1", "0", "", False),
    ("many", "", "", "", False),
]


@pytest.mark.parametrize(("most", "clone", "apparmor", "status", "allowed"), NAMESPACES)
def test_user_namespaces_are_allowed_or_not(
    most: str, clone: str, apparmor: str, status: str, allowed: bool, tmp_path: Path
) -> None:
    node = around(
        tmp_path,
        proc__sys__user__max_user_namespaces=most,
        proc__sys__kernel__unprivileged_userns_clone=clone,
        proc__sys__kernel__apparmor_restrict_unprivileged_userns=apparmor,
        proc__self__status=status,
    )

    assert namespaces.user_namespaces(node).value is allowed
    assert namespaces.user_namespaces(node, "one was made").value
