"""Whether ordinary users can create user namespaces."""

from .finding import SourcedValue
from .small_files import number, text
from .surroundings import Surroundings

_ADMIN = 1 << 21  # CAP_SYS_ADMIN
_STATUS = "/proc/self/status"


def user_namespaces(around: Surroundings, proof: str = "") -> SourcedValue[bool]:
    """Return the kernel's settings, unless `proof` says that a namespace was created."""
    if proof:
        return SourcedValue(True, proof)
    most, clone, apparmor = (
        f"/proc/sys/{name}"
        for name in (
            "user/max_user_namespaces",
            "kernel/unprivileged_userns_clone",
            "kernel/apparmor_restrict_unprivileged_userns",
        )
    )
    words = text(around.file(most)).strip()
    if not words.isdecimal():
        return SourcedValue(False, "", (f"{most} has no number",))
    if not number(words):
        return SourcedValue(False, most)
    if text(around.file(clone)).strip() == "0":
        return SourcedValue(False, clone)
    if text(around.file(apparmor)).strip() == "1":
        return SourcedValue(False, apparmor, ("the profile of a tool may still allow them",))
    if _filtered(around):
        note = "a filter of system calls is active, as in containers: it may forbid them"
        return SourcedValue(False, f"Seccomp ({_STATUS})", (note,))
    return SourcedValue(True, most)


def _filtered(around: Surroundings) -> bool:
    """Return whether a seccomp filter may block it; administrators of the node are not affected."""
    fields = dict(
        line.split(":", 1) for line in text(around.file(_STATUS)).splitlines() if ":" in line
    )
    if fields.get("Seccomp", "").strip() != "2":
        return False
    try:
        return not int(fields.get("CapEff", "").strip()[:32], 16) & _ADMIN
    except ValueError:
        return True
