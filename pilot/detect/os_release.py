"""Which operating system the node has, as family and major version, and which C library."""

import os
import re
from pathlib import Path

from .reading import text

# Rebuilds of one another: what runs on one runs on all.
_ENTERPRISE_LINUX = frozenset(
    {"rhel", "almalinux", "rocky", "centos", "ol", "scientific", "eurolinux"}
)


def os_name(root: Path) -> str:
    """Return for example el9, debian13, ubuntu24, fedora42; `any` where it is not known."""
    fields = _fields(root)
    family = fields.get("ID", "")
    if family in _ENTERPRISE_LINUX:
        family = "el"
    major = fields.get("VERSION_ID", "").partition(".")[0]
    return f"{family}{major}" if family else "any"


def glibc(root: Path) -> str:
    """Return the version of the C library under `root`, empty where it is another or not known."""
    for folder in ("lib64", "usr/lib64", "lib", "usr/lib"):
        for path in sorted(
            (root / folder).glob("**/libc-2.*.so") if (root / folder).is_dir() else ()
        ):
            return path.name[len("libc-") : -len(".so")]
    if root == Path("/"):
        try:
            return (os.confstr("CS_GNU_LIBC_VERSION") or "").rpartition(" ")[2]
        except (ValueError, OSError):
            return ""
    return ""


def _fields(root: Path) -> dict[str, str]:
    content = text(root / "etc/os-release") or text(root / "usr/lib/os-release")
    pairs: list[tuple[str, str]] = re.findall(
        r"""^([A-Z_]+)=["']?(.*?)["']?\s*$""", content, re.MULTILINE
    )
    return dict(pairs)
