"""The list of sessions: its content, and who may see which. Pure."""

from pilotage.proto.api.logins import SessionView
from pilotage.proto.claims import Role

from ...observe.times import shown
from .. import lists, record_types
from ..callers import User
from ..policy import Reach
from .rows import LoginSession


def is_visible(row: LoginSession, caller: User, reach: Reach) -> bool:
    """Return whether the caller may see this session.

    People see all their own sessions, whatever the community and role: the subject of a session
    comes from its provider.
    """
    return lists.is_of_person(row, caller) or lists.is_visible(row, caller, reach)


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
        person=record_types.shown(row.issuer, row.subject, ""),
    )
