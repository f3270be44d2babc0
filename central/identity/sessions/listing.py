"""The list of sessions: who may see which, and what is shown. Pure."""

from pilotage.proto.api.logins import SessionView
from pilotage.proto.claims import Role
from pilotage.proto.problems import Code

from ...errors import Refused
from ...observe.times import shown
from ..callers import User
from ..policy import Reach, covers
from .rows import LoginSession


def is_visible(row: LoginSession, caller: User, reach: Reach) -> bool:
    """Return whether the caller may see this session: as for tokens, not one with more rights."""
    if (row.issuer, row.subject, row.community) == (
        caller.issuer,
        caller.subject,
        caller.community,
    ):
        return True
    if reach is not Reach.ALL and row.community != caller.community:
        return False
    if reach <= Reach.OWN or not covers(caller.role, Role(row.role)):
        return False
    return reach >= Reach.COMMUNITY or (
        bool(row.groups) and set[str](row.groups) <= set[str](caller.groups)
    )


def cursor(row: LoginSession) -> str:
    """Return the cursor of the page that begins after this session."""
    return f"{row.created_at!r}:{row.session}"


def place(after: str) -> tuple[float, str]:
    """Return the position that a cursor stands for. Raises Refused."""
    created_at, _, name = after.partition(":")
    try:
        return float(created_at), name
    except ValueError:
        why = f"after: found {after[:80]!r}, expected the value `after` of the previous page"
        raise Refused(Code.INVALID, why, field="after") from None


def view(row: LoginSession) -> SessionView:
    """Return what a list shows of a session."""
    return SessionView(
        session=row.session,
        kind=row.kind.value,
        provider=row.provider,
        subject=row.subject,
        name=row.name,
        email=row.email,
        community=row.community,
        groups=row.groups,
        role=Role(row.role),
        host=row.host,
        address=row.address,
        created_at=shown(row.created_at),
        used_at=shown(row.used_at),
        checked_at=shown(row.checked_at),
        ends_at=shown(row.ends_at),
        ended=row.ended_why if row.ended_at is not None else "",
    )
