"""The needs that a description asks for: sites, platforms, cores, memory, CPU time and tags."""

import math
import re
from typing import Final

import msgspec

from pilotage.proto.api.jdl import JdlPlatform, JdlRules
from pilotage.proto.decoding.complaints import short
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.documents.job import Need

from .attributes import Attributes

NEEDS: Final = (
    *("Site", "BannedSites", "GridCE", "Platform", "CPUTime", "NumberOfProcessors"),
    *("MinNumberOfProcessors", "MaxNumberOfProcessors", "WholeNode", "MinRAM", "MaxRAM"),
    *("Tags", "Tag"),
)
CORES_MAX: Final = 4_096
CPU_TIME_MIN: Final = 100
CPU_TIME_MAX: Final = 500_000
CPU_TIME_DEFAULT: Final = 86_400  # HS06 seconds, as in DIRAC
_ALTERNATIVES_MAX: Final = 16
_RAM_MAX: Final = 100_000_000
PLATFORMS: Final = ("el9", "x86_64-el9", "Linux_x86_64_glibc-2.17", "ANY")  # of many more
_GLIBC: Final = re.compile(r"Linux_([A-Za-z0-9_]+)_glibc-([0-9]+(?:\.[0-9]+){0,2})")
_OS: Final = re.compile(
    r"(?:(x86_64|aarch64|ppc64le)-)?((?:el|debian|ubuntu|fedora|sles|opensuse)[0-9][0-9.]*)"
)
_PROCESSORS: Final = re.compile("([0-9]{1,4})Processors")


def needs_of(found: Attributes, rules: JdlRules) -> tuple[Need, ...]:
    """Return the alternative needs of the job at hand. Mistakes are noted."""
    sites, banned = _sites(found)
    cores_min, cores_max, whole_node, gpus_min, tags = _processors_and_tags(found)
    need = Need(
        sites=sites,
        banned_sites=banned,
        element=found.word("GridCE"),
        cores_min=cores_min,
        cores_max=cores_max,
        memory_mb=max(found.number("MinRAM", 0, _RAM_MAX), found.number("MaxRAM", 0, _RAM_MAX)),
        whole_node=whole_node,
        gpus_min=gpus_min,
        tags=" & ".join(tags),
    )
    needs = [
        msgspec.structs.replace(
            time, os=one.os, architecture=one.architecture, glibc_min=one.glibc_min
        )
        for one in _platforms(found, rules)
        for time in _times(found, rules, need)
    ]
    if len(needs) > _ALTERNATIVES_MAX:
        most = _ALTERNATIVES_MAX // 2
        found.wrong("Platform", f"found {len(needs) // 2} platforms, expected at most {most}")
    return tuple(needs)


def _sites(found: Attributes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    wanted, banned = found.words("Site"), found.words("BannedSites")
    if any(site.upper() == "ANY" for site in wanted):
        wanted = ()
    left = tuple(site for site in wanted if site not in banned)
    if wanted and not left:
        found.wrong("BannedSites", f"it has all of Site ({', '.join(wanted)}): no site is left")
    return left, () if wanted else banned


def _processors_and_tags(found: Attributes) -> tuple[int, int, bool, int, list[str]]:
    """Return the cores (minimum, maximum), whether a whole node, the GPUs, and the other tags."""
    exact = found.number("NumberOfProcessors", 1, CORES_MAX)
    least = found.number("MinNumberOfProcessors", 1, CORES_MAX)
    most = found.number("MaxNumberOfProcessors", 1, CORES_MAX)
    whole_node, gpus, several, tags = found.flag("WholeNode"), 0, False, dict[str, None]()
    if exact and (least or most):
        why = "give either it, or MinNumberOfProcessors and MaxNumberOfProcessors"
        found.wrong("NumberOfProcessors", why)
    for name in ("Tags", "Tag"):
        for tag in found.words(name):
            number = _PROCESSORS.fullmatch(tag)
            if number is not None:
                if int(number[1]) not in range(1, CORES_MAX + 1):
                    found.wrong(name, f"found {tag!r}, expected 1 to {CORES_MAX} processors")
                elif (exact or least) not in (0, int(number[1])):
                    why = f"{tag!r} is not the number of processors that another attribute names"
                    found.wrong(name, why)
                elif not least:
                    exact = int(number[1])
            elif tag == "MultiProcessor":
                several = True
            elif tag == "WholeNode":
                whole_node = True
            elif tag == "GPU":
                gpus = 1
            else:
                tags[tag] = None
    if most and least > most:
        found.wrong("MaxNumberOfProcessors", f"{most} is less than MinNumberOfProcessors {least}")
    if several and not (exact or least or whole_node):
        least = 2 if most != 1 else 1
    cores_max = 0 if exact or whole_node else most or (CORES_MAX if least else 0)
    cores_min = exact or least or 1
    return cores_min, 0 if cores_max == cores_min else cores_max, whole_node, gpus, list(tags)


def _times(found: Attributes, rules: JdlRules, need: Need) -> list[Need]:
    """Return the needs with their CPU work and run time.

    A node whose speed is not known meets no demand for CPU work. There the job gets CPUTime as its
    run time, which is right for a core of 1 HS06 and therefore enough on every other one.
    """
    cpu_s = found.number("CPUTime", CPU_TIME_MIN, CPU_TIME_MAX, CPU_TIME_DEFAULT)
    work = math.ceil(cpu_s * need.cores_min * rules.hs23_per_hs06)
    wall_s = max(rules.wall_min_s, math.ceil(cpu_s / rules.hs06_per_core_min))
    anywhere = msgspec.structs.replace(need, wall_s=max(rules.wall_min_s, cpu_s))
    if not work:
        return [anywhere]
    return [msgspec.structs.replace(need, wall_s=wall_s, cpu_work_hs23_s=work), anywhere]


def _platforms(found: Attributes, rules: JdlRules) -> list[JdlPlatform]:
    """Return the platforms that the job may run on; one without demands for any."""
    platforms: dict[JdlPlatform, None] = {}
    for text, at in found.items("Platform"):
        one = platform_of(text, rules)
        if one is None:
            known = (*rules.platforms, *PLATFORMS)
            found.wrong("Platform", unknown(text, known, what="platform"), at)
        else:
            platforms[one] = None
    return [JdlPlatform()] if JdlPlatform() in platforms else list(platforms) or [JdlPlatform()]


def platform_of(text: str, rules: JdlRules) -> JdlPlatform | None:
    """Return the platform of this name; None if it is unknown."""
    if text.upper() == "ANY":
        return JdlPlatform()
    if text in rules.platforms:
        return rules.platforms[text]
    glibc = _GLIBC.fullmatch(text)
    if glibc is not None:
        return JdlPlatform(architecture=glibc[1], glibc_min=glibc[2])
    system = _OS.fullmatch(text)
    if system is not None and len(short(text)) == len(text):
        return JdlPlatform(architecture=system[1] or "", os=system[2])
    return None
