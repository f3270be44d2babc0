"""What the outbox needs of a Rucio server, and of the operator's file that defines it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec


class RucioAway(Exception):
    """The server gives no answer that it could give later. Repeat all of the batch later."""


class RucioRefused(Exception):
    """The server refuses a request. `kind` is the name of its error (header ExceptionClass)."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class RucioApi(Protocol):
    """Authorised requests to one server. Each ends in time, and raises RucioAway, RucioRefused.

    Rucio answers 500 with an ExceptionClass to many wrong requests: this is a refusal.
    """

    async def post(self, path: str, body: object) -> None:
        """Send a JSON body."""
        ...

    async def lines(self, path: str, body: object) -> Sequence[dict[str, Any]]:
        """Send a JSON body, and return the JSON objects of a complete answer, one a line."""
        ...


class OutputRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of Rucio that each dataset gets."""

    rse_expression: str
    copies: int = 1
    lifetime_s: int | None = None  # None: for ever


class OutputPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What goes out to a server."""

    community: str
    account: str
    storages: Mapping[str, str]  # RSE → our storage
    scopes: frozenset[str] = frozenset()
    rules: tuple[OutputRule, ...] = ()
    datasets: bool = True  # files are attached to their datasets


OutputPlans = Callable[[], Mapping[str, OutputPlan]]  # those in force, by name of the server
WrongName = Callable[[str], str]  # SCOPE:NAME → why Rucio cannot hold it; empty: it can


def no_plans() -> Mapping[str, OutputPlan]:
    """Return no plans: nothing goes out."""
    return {}


def any_name(did: str) -> str:
    """Return an empty text: each name is fine."""
    return ""
