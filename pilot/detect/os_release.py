"""The operating system of the node, as family and major version."""

import re

from .finding import SourcedValue
from .small_files import text
from .surroundings import Surroundings

# Rebuilds of each other: programs of one run on all.
_ENTERPRISE_LINUX = frozenset(
    {"rhel", "almalinux", "rocky", "centos", "ol", "scientific", "eurolinux", "virtuozzo"}
)
_FILES = ("/etc/os-release", "/usr/lib/os-release")
_BEFORE_7 = "/etc/redhat-release"
_FIELD = re.compile(r"""^([A-Z_]{1,40})=(["']?)(.{0,200}?)\2[ \t\r]*$""", re.M)
_FAMILY = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}")
_MAJOR = re.compile(r"[0-9]{1,9}")


def os_name(around: Surroundings) -> SourcedValue[str]:
    """Return for example el9, debian13, ubuntu24, fedora42; `any` if unknown."""
    for path in _FILES:
        content = text(around.file(path))
        if content:
            return _of_fields({key: said for key, _, said in _FIELD.findall(content)}, path)
    old = re.search(r"release ([0-9]{1,2})[.]", text(around.file(_BEFORE_7)))
    if old:
        return SourcedValue(f"el{old.group(1)}", _BEFORE_7)
    return SourcedValue("any", "", ("the node has no os-release file",))


def _of_fields(fields: dict[str, str], path: str) -> SourcedValue[str]:
    platform = re.fullmatch(r"platform:(el[0-9]{1,3})", fields.get("PLATFORM_ID", ""))
    name = tuple(filter(None, (" ".join(fields.get("PRETTY_NAME", "").split()),)))
    if platform:
        return SourcedValue(platform.group(1), path, name)
    family = fields.get("ID", "").lower()
    if not _FAMILY.fullmatch(family):
        return SourcedValue("any", "", (f"{path} has no ID that is a word",))
    if family in _ENTERPRISE_LINUX:
        family = "el"
    major = _MAJOR.match(fields.get("VERSION_ID", ""))
    return SourcedValue(f"{family}{major.group()}" if major else family, path, name)
