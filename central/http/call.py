"""One request as a handler sees it, and what all handlers share."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import parse_qsl
from weakref import WeakValueDictionary

import msgspec
from litestar.types import ASGIApp, Receive, Scope

from pilotage.proto.ids import ID_MAX
from pilotage.proto.problems import Code

from ..decode import decode, invalid
from ..errors import Refused
from ..hearing import check
from ..identity.callers import AttemptCaller, Caller, PilotCaller, User
from ..identity.element_issuer import Published
from ..identity.errors import Forbidden
from ..identity.signature import PilotFiles
from ..services import Services
from .answers import JSON
from .body import SMALL_MAX, Body, header

T = TypeVar("T")
Q = TypeVar("Q", bound=msgspec.Struct)
Owner: TypeAlias = tuple[str, str, str]  # issuer, subject, community

QUERY_FIELDS_MAX: Final = 10_100  # 10 000 ids, and the rest
LARGE_AT_ONCE_MAX: Final = 2  # submissions that are held whole in memory; others wait on the disk


@dataclass(frozen=True)
class ClientWheel:
    """The wheel that this central hands out for its clients."""

    name: str  # of the file; pip reads version and tags in it
    content: bytes
    sha256: str
    needs_python: str  # as `>=3.10`


@dataclass(frozen=True)
class Face:
    """What all requests share."""

    services: Services
    pilot_files: Callable[[], Awaitable[PilotFiles | None]]
    client_wheel: Callable[[], Awaitable[ClientWheel | None]]
    element_issuer: Callable[[], Awaitable[Published]]
    openapi: Callable[[], bytes]  # returns the description of all routes
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    spool_dir: Path | None = None  # where large bodies wait; without one, where the system says
    requests: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    large: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LARGE_AT_ONCE_MAX))
    _turns: WeakValueDictionary[Owner, asyncio.Lock] = field(
        default_factory=WeakValueDictionary[Owner, asyncio.Lock]
    )

    def turn(self, user: User) -> asyncio.Lock:
        """Return the lock of a user's large bodies: one is on the disk, others wait unread."""
        owner = (user.issuer, user.subject, user.community)
        lock = self._turns.get(owner)
        if lock is None:  # it is gone when nobody holds it or waits for it
            lock = self._turns[owner] = asyncio.Lock()
        return lock


class Call:
    """A request whose caller has the right to make it."""

    def __init__(self, face: Face, scope: Scope, receive: Receive, caller: Caller) -> None:
        self.face, self.services, self.caller = face, face.services, caller
        self.scope, self.receive = scope, receive

    # -- who ------------------------------------------------------------------------------------

    def user(self) -> User:
        """Return the person. The policy table lets nobody else come here."""
        if not isinstance(self.caller, User):
            raise Forbidden("this is for people")
        return self.caller

    def user_or_attempt(self) -> User | AttemptCaller:
        if not isinstance(self.caller, User | AttemptCaller):
            raise Forbidden("this is for people and attempts")
        return self.caller

    def attempt_or_pilot(self) -> AttemptCaller | PilotCaller:
        if not isinstance(self.caller, AttemptCaller | PilotCaller):
            raise Forbidden("this is for pilots and attempts")
        return self.caller

    def pilot(self) -> PilotCaller:
        if not isinstance(self.caller, PilotCaller):
            raise Forbidden("this is for pilots")
        return self.caller

    # -- what is asked --------------------------------------------------------------------------

    def path(self, name: str) -> str:
        """Return a variable part of the path."""
        return str(self.scope["path_params"][name]).lstrip("/")

    def job_id(self) -> int:
        text = self.path("job_id")
        if not (text.isascii() and text.isdecimal() and len(text) <= 16 and int(text) <= ID_MAX):
            raise Refused(Code.NOT_FOUND, f"there is no job {text[:40]!r}")
        return int(text)

    def header(self, name: bytes) -> str:
        return header(self.scope["headers"], name)

    def query(self, kind: type[Q]) -> Q:
        """Return the query as `kind`; an unknown word is refused by name, like in a body."""
        return parse_query(self.scope["query_string"], kind)

    def body(self, size_max: int) -> Body:
        return Body(self.receive, self.scope["headers"], size_max=size_max)

    def media(self, *right: str) -> str:
        """Return which of the media types the body has; the first where none is named."""
        return media(self.header(b"content-type"), *right)

    async def read(self, kind: type[T]) -> T:
        """Return the whole body as `kind`."""
        self.media(JSON)
        return decode(await self.body(SMALL_MAX).whole(), kind)

    async def hear(self, kind: type[T]) -> T:
        """Return a pilot's message, its ranges checked."""
        message = await self.read(kind)
        check(message)
        return message


def media(given: str, *right: str) -> str:
    """Return which of `right` the content type is. Raises Refused, UNSUPPORTED."""
    word = given.partition(";")[0].strip().lower() or right[0]
    if word not in right:
        why = f"the body is {word[:80]!r}, right is {' or '.join(right)}"
        raise Refused(Code.UNSUPPORTED, why, field="content-type")
    return word


def parse_query(query: bytes, kind: type[Q]) -> Q:
    """Return a query string as `kind`: repeated words are lists, numbers are text."""
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError as why:
        raise Refused(Code.MALFORMED, f"the query cannot be read: {why}") from None
    many = _lists_of(kind)
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in many:
            found.setdefault(name, []).append(value)
        elif name in found:
            raise Refused(Code.INVALID, f"{name} is given twice", field=name)
        else:
            found[name] = value
    try:
        return msgspec.convert(found, kind, strict=False)
    except msgspec.ValidationError as why:
        refused = invalid(why, msgspec.json.encode(found), kind, where="$")
        raise Refused(
            refused.code, refused.message.removeprefix("$."), field=refused.field.removeprefix("$.")
        ) from None


@cache
def _lists_of(kind: type[msgspec.Struct]) -> frozenset[str]:
    """Return the words of a query that may be repeated: to read the fields takes long."""
    return frozenset(one.encode_name for one in msgspec.structs.fields(kind) if _is_list(one))


def _is_list(one: msgspec.structs.FieldInfo) -> bool:
    return isinstance(one.default, tuple)


Handler = Callable[[Call], Awaitable[ASGIApp]]
