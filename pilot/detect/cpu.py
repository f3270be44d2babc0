"""The processor: architecture, x86-64 level, name."""

import re

from .finding import SourcedValue
from .small_files import plain, text
from .surroundings import Surroundings

_INFO = "/proc/cpuinfo"
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
# The flags that each level adds, in the kernel's words (abm means lzcnt, pni means sse3).
_LEVELS = (
    (2, "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"),
    (3, "abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"),
    (4, "avx512f avx512bw avx512cd avx512dq avx512vl"),
)
# Implementer and part, if the kernel names no model.
_ARM = {
    ("0x41", "0xd07"): "Arm Cortex-A57",
    ("0x41", "0xd08"): "Arm Cortex-A72",
    ("0x41", "0xd0c"): "Arm Neoverse-N1",
    ("0x41", "0xd40"): "Arm Neoverse-V1",
    ("0x41", "0xd49"): "Arm Neoverse-N2",
    ("0x41", "0xd4f"): "Arm Neoverse-V2",
    ("0x42", "0x516"): "Broadcom ThunderX2",
    ("0x43", "0x0af"): "Cavium ThunderX2",
    ("0x46", "0x001"): "Fujitsu A64FX",
    ("0x48", "0xd01"): "HiSilicon Kunpeng-920",
    ("0xc0", "0xac3"): "Ampere-1",
    ("0xc0", "0xac4"): "Ampere-1a",
}


def architecture(around: Surroundings) -> SourcedValue[str]:
    """Return the architecture as the kernel names it: x86_64, aarch64 …"""
    if _WORD.fullmatch(around.architecture):
        return SourcedValue(around.architecture, "uname")
    return SourcedValue("x86_64", "", (f"uname: {plain(around.architecture, 40)!r}",))


def level(around: Surroundings) -> SourcedValue[int]:
    """Return the x86-64 level, 1 to 4; 1 for every other architecture."""
    if around.architecture != "x86_64":
        return SourcedValue(1, "uname", ("only x86_64 has levels",))
    flags = set(_field(around, "flags").split())
    if not flags:
        return SourcedValue(1, "", (f"{_INFO} has no flags",))
    found = 1
    for number, wanted in _LEVELS:
        lacking = sorted(set(wanted.split()) - flags)
        if lacking:
            return SourcedValue(
                found, f"flags ({_INFO})", (f"level {number} lacks {' '.join(lacking)}",)
            )
        found = number
    return SourcedValue(found, f"flags ({_INFO})")


def model(around: Surroundings) -> SourcedValue[str]:
    """Return the processor's name; empty if the kernel does not report it."""
    for name in ("model name", "Model", "cpu model", "cpu"):
        said = plain(_field(around, name))
        if said:
            return SourcedValue(said, f"{name} ({_INFO})")
    part = (_field(around, "CPU implementer"), _field(around, "CPU part"))
    if part in _ARM:
        return SourcedValue(_ARM[part], f"CPU part ({_INFO})")
    if all(part):
        return SourcedValue(plain(f"implementer {part[0]}, part {part[1]}"), f"CPU part ({_INFO})")
    return SourcedValue("", "", (f"{_INFO} names no model",))


def _field(around: Surroundings, name: str) -> str:
    for line in text(around.file(_INFO)).splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
