"""One load under all policies."""

from collections.abc import Callable, Mapping
from typing import Final

from pilotage.matcher import Matcher
from pilotage.matcher.rules import Rules

from . import ctao, lhcb
from .load import Load
from .measures import Outcome
from .play import Play
from .policies import Fifo, Policy, RandomByPriority

LOADS: Final = (ctao.load, lhcb.load)


def pilotage(load: Load) -> Matcher:
    """Return a matcher with the shares of a load and the shipped defaults."""
    return Matcher(Rules(shares=dict(load.shares)))


POLICIES: Final[Mapping[str, Callable[[Load], Policy]]] = {
    "pilotage": pilotage,
    "FIFO": Fifo,
    "random": RandomByPriority,
}


def compare(load: Load) -> list[Outcome]:
    """Run a load under each policy."""
    return [Play(load, make(load), name).run() for name, make in POLICIES.items()]
