"""Who makes a request: the gate that admits callers to routes, and the caller as a route needs it.

A handler asks for the kind of caller that it is for. The policy table admits nobody else, so a
refusal here is a gap between the two.
"""

from ..http.call import Call
from ..http.guards import Admit, Gate
from .callers import Anonymous, AttemptCaller, Caller, PilotCaller, User
from .errors import BadToken, Forbidden
from .policy import TABLE, CallerKind, Permission, Reach, require
from .tokens import TokenIssuer

_SCHEME = "bearer "


def gate(tokens: TokenIssuer) -> Gate:
    """Return the gate of all routes.

    It raises NoToken, BadToken, ExpiredToken, Forbidden. Where anybody may, it does not look at a
    token: a pilot fetches a new one with an old one at hand.
    """

    def admitted_to(word: str) -> Admit:
        action = Permission(word)
        if TABLE[CallerKind.ANONYMOUS, action] is not Reach.NONE:
            return _anybody
        is_for_pilots = TABLE[CallerKind.PILOT, action] is not Reach.NONE

        def admit(authorization: str) -> Caller:
            caller = _said_by(tokens, authorization)
            if not (is_for_pilots and isinstance(caller, PilotCaller)):  # the short way of hot ones
                require(caller, action)
            return caller

        return admit

    return admitted_to


def user(call: Call) -> User:
    """Return the person. Raises Forbidden."""
    if not isinstance(call.caller, User):
        raise Forbidden("this is for people")
    return call.caller


def user_or_attempt(call: Call) -> User | AttemptCaller:
    """Return the person or the attempt. Raises Forbidden."""
    if not isinstance(call.caller, User | AttemptCaller):
        raise Forbidden("this is for people and attempts")
    return call.caller


def attempt_or_pilot(call: Call) -> AttemptCaller | PilotCaller:
    """Return the attempt or the pilot. Raises Forbidden."""
    if not isinstance(call.caller, AttemptCaller | PilotCaller):
        raise Forbidden("this is for pilots and attempts")
    return call.caller


def pilot(call: Call) -> PilotCaller:
    """Return the pilot. Raises Forbidden."""
    if not isinstance(call.caller, PilotCaller):
        raise Forbidden("this is for pilots")
    return call.caller


def _anybody(authorization: str) -> None:
    """Admit anybody, unseen."""


def _said_by(tokens: TokenIssuer, authorization: str) -> Caller:
    if not authorization:
        return Anonymous()
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise BadToken
    return tokens.caller(authorization[len(_SCHEME) :].strip())
