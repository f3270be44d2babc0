"""The callers of requests, by kind.

A handler asks for the kind of caller that it serves. The policy table admits no other kind, so a
refusal by these functions means that handler and table disagree.
"""

from ..http.call import Call
from .callers import AttemptCaller, PilotCaller, User
from .errors import Forbidden


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


def attempt(call: Call) -> AttemptCaller:
    """Return the attempt. Raises Forbidden for other callers."""
    if not isinstance(call.caller, AttemptCaller):
        raise Forbidden("only running attempts may call this route")
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
