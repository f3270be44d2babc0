"""Whether the kernel lets an ordinary user make user namespaces."""

from pathlib import Path

from .reading import number, text

_SETTINGS = "proc/sys"


def user_namespaces(root: Path) -> bool:
    """Return what the kernel's settings say; `isolation.works` is the proof."""
    settings = root / _SETTINGS
    if not number(text(settings / "user/max_user_namespaces")):
        return False
    if text(settings / "kernel/unprivileged_userns_clone").strip() == "0":
        return False
    return text(settings / "kernel/apparmor_restrict_unprivileged_userns").strip() != "1"
