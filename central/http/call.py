"""One request as its handler sees it, and the state that all requests share."""

import asyncio
from collections import Counter
from collections.abc import Callable, Generator, Hashable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl
from weakref import WeakValueDictionary

import msgspec

from pilotage.proto.problems import Code

from ..decode import decode, invalid
from ..errors import Refused
from ..received_messages import check
from .answers import JSON
from .asgi import AsgiReceive, AsgiScope
from .body import SMALL_MAX, RequestBody, header
from .client_addresses import ClientAddresses

T = TypeVar("T")
Q = TypeVar("Q", bound=msgspec.Struct)

QUERY_FIELDS_MAX: Final = 10_100  # 10 000 ids, and other fields
LARGE_AT_ONCE_MAX: Final = 2  # submissions held whole in memory; others wait on the disk


class OpenRequests:
    """The requests that are being answered, so that the answers to a caller can be ended."""

    def __init__(self) -> None:
        self._callers: dict[asyncio.Event, object] = {}

    @contextmanager
    def open(self, caller: object) -> Generator[asyncio.Event]:
        """Yield an event that is set when the caller may no longer receive the answer."""
        ended = asyncio.Event()
        self._callers[ended] = caller
        try:
            yield ended
        finally:
            del self._callers[ended]

    def end(self, is_over: Callable[[object], bool]) -> None:
        """End the streamed answers to the callers for which `is_over` is true."""
        for ended, caller in self._callers.items():
            if is_over(caller):
                ended.set()


@dataclass(frozen=True)
class RouteContext:
    """The state that all requests share."""

    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    open_requests: OpenRequests = field(default_factory=OpenRequests)
    spool_dir: Path | None = None  # for large bodies; None: the system's temporary folder
    addresses: ClientAddresses = field(default_factory=ClientAddresses)
    requests: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    large: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LARGE_AT_ONCE_MAX))
    _turns: WeakValueDictionary[Hashable, asyncio.Lock] = field(
        default_factory=WeakValueDictionary[Hashable, asyncio.Lock]
    )

    def turn(self, owner: Hashable) -> asyncio.Lock:
        """Return the lock of an owner: only one of its large bodies is received at a time."""
        lock = self._turns.get(owner)
        if lock is None:  # the dictionary drops a lock that nobody holds or waits for
            lock = self._turns[owner] = asyncio.Lock()
        return lock


class Call:
    """A request whose caller may make it."""

    def __init__(
        self,
        face: RouteContext,
        scope: AsgiScope,
        receive: AsgiReceive,
        caller: object,
        parts: Mapping[str, str],
    ) -> None:
        """`caller` is None for public routes. `parts` are the variable parts of the path."""
        self.face, self.caller, self._parts = face, caller, parts
        self.scope, self.receive = scope, receive

    def path(self, name: str) -> str:
        """Return a variable part of the path."""
        return self._parts[name]

    def header(self, name: bytes) -> str:
        return header(self.scope["headers"], name)

    @property
    def address(self) -> str:
        """The address of the client, or of a proxy in front of it; empty if unknown."""
        return self.face.addresses.of(self.scope)

    def query(self, kind: type[Q]) -> Q:
        """Return the query as `kind`. An unknown word is refused, as in a body."""
        return parse_query(self.scope["query_string"], kind)

    def body(self, size_max: int) -> RequestBody:
        return RequestBody(self.receive, self.scope["headers"], size_max=size_max)

    def media(self, *right: str) -> str:
        """Return the body's media type, which must be one of `right` (default: the first)."""
        return media(self.header(b"content-type"), *right)

    async def read(self, kind: type[T], size_max: int = SMALL_MAX) -> T:
        """Return the whole body as `kind`. The ranges of a pilot's message are checked."""
        self.media(JSON)
        found = decode(await self.body(size_max).whole(), kind)
        if is_dataclass(kind):
            check(found)
        return found


def media(given: str, *right: str) -> str:
    """Return the content type, which must be one of `right`. Raises Refused, UNSUPPORTED."""
    word = given.partition(";")[0].strip().lower() or right[0]
    if word not in right:
        why = f"the content type is {word[:80]!r}; use {' or '.join(right)}"
        raise Refused(Code.UNSUPPORTED, why, field="content-type")
    return word


def parse_query(query: bytes, kind: type[Q]) -> Q:
    """Return a query string as `kind`. Repeated words become lists, and numbers are parsed."""
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError as why:
        raise Refused(Code.MALFORMED, f"invalid query string: {why}") from None
    many = _lists_of(kind)
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in many:
            found.setdefault(name, []).append(value)
        elif name in found:
            raise Refused(Code.INVALID, f"{name} is given twice; give it once", field=name)
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
    """Return the words that a query may repeat. Cached, because reading the fields is slow."""
    return frozenset(one.encode_name for one in msgspec.structs.fields(kind) if _is_list(one))


def _is_list(one: msgspec.structs.FieldInfo) -> bool:
    return isinstance(one.default, tuple)
