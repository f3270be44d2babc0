"""Routes of the sessions of people who logged in. They are for the leader."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.api.logins import Sessions

from ...http.call import Call
from ...http.route import Routes
from ..calls import user
from ..policy import Permission
from .life import LoginSessions

ROUTES: Final = Routes[LoginSessions]()


class SessionsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selects a page of sessions."""

    after: Annotated[str, Meta(max_length=300)] = ""
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_MAX


@ROUTES.add("GET", "/v1/sessions", Permission.TOKEN_READ)
async def listed(sessions: LoginSessions, call: Call, query: SessionsQuery) -> Sessions:
    """List sessions of people, newest first, without their secrets."""
    return await sessions.list(user(call), after=query.after, limit=query.limit)


@ROUTES.add("DELETE", "/v1/sessions/{session}", Permission.TOKEN_REVOKE)
async def end(sessions: LoginSessions, call: Call) -> None:
    """End a session. Its tokens are refused from now on."""
    await sessions.end(user(call), call.path("session"))
