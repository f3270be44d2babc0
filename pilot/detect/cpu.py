"""What the processor is: architecture, x86-64 level, name."""

from pathlib import Path

from .reading import text

# What each level adds, in the words of /proc/cpuinfo (abm stands for lzcnt, pni for sse3).
_LEVELS = (
    (2, "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"),
    (3, "abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"),
    (4, "avx512f avx512bw avx512cd avx512dq avx512vl"),
)


def x86_64_level(root: Path) -> int:
    """Return the x86-64 level, 1 to 4; 1 for every other architecture."""
    flags = set(_field(root, "flags").split())
    level = 1
    for number, wanted in _LEVELS:
        if not flags.issuperset(wanted.split()):
            break
        level = number
    return level


def model(root: Path) -> str:
    """Return the processor's name, empty where the kernel does not say it."""
    return " ".join((_field(root, "model name") or _field(root, "Model")).split())


def _field(root: Path, name: str) -> str:
    for line in text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
