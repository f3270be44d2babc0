"""The caller's rights to change the catalogue: the policy's reach as scopes and files.

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
    """Return whether a scope belongs to a group."""
    return scope == group or scope.startswith(f"{group}.")


@dataclass(frozen=True)
class WriteScope:
    """The scopes and files that a caller may change."""

    groups: tuple[str, ...] | None  # None: in every scope
    own: bool  # true: only the caller's own files may be changed

    def takes(self, scope: str) -> bool:
        """Return whether the caller may make files and datasets in this scope."""
        if self.groups is None:
            return True
        return any(of_group(scope, group) for group in self.groups)

    def refusal(self, scope: str) -> str:
        """Return the permitted scopes, as the expected value in an error about this scope."""
        groups = ", ".join(self.groups or ()) or "none"
        return f"a scope of one of your groups ({groups}), not {scope!r}"


def writing(caller: User) -> WriteScope:
    """Return the scopes and files that the caller may change. Raises Forbidden."""
    reach = require(caller, Permission.DATA_WRITE)
    if reach >= Reach.COMMUNITY:
        return WriteScope(None, own=False)
    return WriteScope(caller.groups, own=reach is Reach.OWN)
