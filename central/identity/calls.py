"""The callers of requests: the gate that admits them to routes, and their kinds for handlers.

A handler asks for the kind of caller that it serves. The policy table admits no other kind, so a
refusal by these functions means that handler and table disagree.
"""

from ..http.call import Call
from ..http.guards import Admit, RouteGate
from .callers import Anonymous, AttemptCaller, Caller, PilotCaller, User
from .errors import BadToken, Forbidden
from .policy import TABLE, CallerKind, Permission, Reach, require
from .tokens import TokenIssuer

_SCHEME = "bearer "


def gate(tokens: TokenIssuer) -> RouteGate:
    """Return the gate of all routes. It raises NoToken, BadToken, ExpiredToken, Banned, Forbidden.

    On routes for anonymous callers it ignores tokens, because a pilot fetches a new token while it
    still sends the old one.
    """

    def admitted_to(word: str) -> Admit:
        action = Permission(word)
        if TABLE[CallerKind.ANONYMOUS, action] is not Reach.NONE:
            return _anybody
        is_for_pilots = TABLE[CallerKind.PILOT, action] is not Reach.NONE

        def admit(authorization: str) -> Caller:
            caller = _caller_from(tokens, authorization)
            if not (is_for_pilots and isinstance(caller, PilotCaller)):  # pilots call most often
                require(caller, action)
            return caller

        return admit

    return admitted_to


def user(call: Call) -> User:
    """Return the user. Raises Forbidden for other callers."""
    if not isinstance(call.caller, User):
        raise Forbidden("only users may call this route: use a user token")
    return call.caller


def user_or_attempt(call: Call) -> User | AttemptCaller:
    """Return the user or the attempt. Raises Forbidden for other callers."""
    if not isinstance(call.caller, User | AttemptCaller):
        raise Forbidden("only users and running attempts may call this route")
    return call.caller


def attempt_or_pilot(call: Call) -> AttemptCaller | PilotCaller:
    """Return the attempt or the pilot. Raises Forbidden for other callers."""
    if not isinstance(call.caller, AttemptCaller | PilotCaller):
        raise Forbidden("only pilots and running attempts may call this route")
    return call.caller


def pilot(call: Call) -> PilotCaller:
    """Return the pilot. Raises Forbidden for other callers."""
    if not isinstance(call.caller, PilotCaller):
        raise Forbidden("only pilots may call this route")
    return call.caller


def _anybody(authorization: str) -> None:
    """Admit every caller without reading the token."""


def _caller_from(tokens: TokenIssuer, authorization: str) -> Caller:
    if not authorization:
        return Anonymous()
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise BadToken
    return tokens.caller(authorization[len(_SCHEME) :].strip())
