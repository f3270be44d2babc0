"""What a caller may change in the catalogue: the policy's reach as scopes and files.

A scope belongs to the group with its name; so does a scope that begins with the group's name and
a dot. Both `ctao` and `ctao.raw` belong to the group `ctao`.
"""

from dataclasses import dataclass

from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.callers import User
from ..identity.policy import Permission, Reach, require


def community_of(caller: User) -> str:
    """Return the community whose files the caller sees. Raises Refused, FORBIDDEN."""
    if not caller.community:
        raise Refused(Code.FORBIDDEN, "your token names no community; files belong to communities")
    return caller.community


def of_group(scope: str, group: str) -> bool:
    """Whether a scope belongs to a group."""
    return scope == group or scope.startswith(f"{group}.")


@dataclass(frozen=True)
class WriteScope:
    """Where a caller may write."""

    groups: tuple[str, ...] | None  # None: in every scope
    own: bool  # only what is the caller's own may be changed

    def takes(self, scope: str) -> bool:
        """Whether files and datasets of this scope may be made."""
        if self.groups is None:
            return True
        return any(of_group(scope, group) for group in self.groups)

    def refusal(self, scope: str) -> str:
        """Return why a scope is not taken."""
        groups = ", ".join(self.groups or ()) or "none"
        return f"a scope of one of your groups ({groups}): {scope!r} is not"


def writing(caller: User) -> WriteScope:
    """Return where the caller may write. Raises Forbidden."""
    reach = require(caller, Permission.DATA_WRITE)
    if reach >= Reach.COMMUNITY:
        return WriteScope(None, own=False)
    return WriteScope(caller.groups, own=reach is Reach.OWN)
