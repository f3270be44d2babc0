"""How drivers speak HTTPS with an element, and what its silence means."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import httpx

from pilotage.proto.trust import trusting

from ...regular_files import read_regular
from ..errors import Denied, ElementOperation, ElementTrouble, ElementUnreachable
from .program_calls import AT_ONCE

T = TypeVar("T")
ANSWER_MAX_BYTES = 64_000_000
LATER = (408, 425, 429)  # these say that it takes too long or is too much: no word on what was done


@dataclass(frozen=True)
class WebReply:
    """What came back, whatever it says."""

    status: int
    said: bytes


class Web:
    """The connection of one call of a driver; requests of it share what is open."""

    def __init__(self, client: httpx.AsyncClient, timeout_s: float) -> None:
        self._client, self._timeout_s = client, timeout_s

    async def ask(
        self,
        step: ElementOperation,
        method: str,
        path: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        most: int = ANSWER_MAX_BYTES,
    ) -> WebReply:
        """Send a request; of an answer beyond `most` bytes its end is kept. Raises Unreachable."""
        try:
            async with (
                asyncio.timeout(self._timeout_s),  # of all of it, however slowly it comes
                self._client.stream(method, path, content=content, headers=headers) as reply,
            ):
                encoding = reply.headers.get("content-encoding", "identity")
                if encoding != "identity":  # a little of it may stand for more than there is memory
                    raise ElementUnreachable(
                        step, f"its answer is in the encoding {encoding[:40]!r}"
                    )
                return WebReply(reply.status_code, await _end_of(reply, most))
        except (httpx.HTTPError, ssl.SSLError, OSError, TimeoutError, ValueError) as why:
            raise ElementUnreachable(step, _in_words(why, str(self._client.base_url))) from None


def _in_words(why: BaseException, url: str) -> str:
    """Say what happened at a URL: the library's own words hide what the system has said."""
    first: BaseException | None = why
    words = [str(why)]
    while first is not None:
        if isinstance(first, OSError) and str(first) not in words:
            words.append(str(first))
        first = first.__cause__ or first.__context__
    said = ": ".join(dict.fromkeys(filter(None, (words[0], words[-1]))))
    return f"{type(why).__name__} at {url}" + (f": {said}" if said else "")


async def _end_of(reply: httpx.Response, most: int) -> bytes:
    """Return the end of an answer; what is before it is read and dropped."""
    said = bytearray()
    async for chunk in reply.aiter_bytes():
        said += chunk
        if len(said) > 2 * most:
            del said[:-most]
    return bytes(said[-most:])


def _trusting(ca_file: str, certificate: str) -> ssl.SSLContext:
    """Return whom to trust and who we are: what is in the files now. Raises Denied."""
    try:
        for one in filter(None, (ca_file, certificate)):
            read_regular(Path(one), 1)  # a pipe would be waited for
        authorities = Path(ca_file).stat().st_mtime_ns if ca_file else 0
        context = _trusting_as_of(ca_file, authorities)
    except OSError as why:  # of ssl too
        raise Denied(ElementOperation.REACH, f"ca_file: {ca_file}: {why}") from None
    if not certificate:
        return context
    try:
        return _known_as_of(ca_file, authorities, certificate, Path(certificate).stat().st_mtime_ns)
    except OSError as why:
        raise Denied(
            ElementOperation.CREDENTIAL, f"it is no certificate with its key: {why}"
        ) from None


@lru_cache(maxsize=64)
def _trusting_as_of(ca_file: str, written: int) -> ssl.SSLContext:
    """Return what was made before: to read the authorities of a system takes 50 ms."""
    return trusting(ca_file)


@lru_cache(maxsize=64)
def _known_as_of(ca_file: str, _: int, certificate: str, written: int) -> ssl.SSLContext:
    context = trusting(ca_file)
    context.load_cert_chain(certificate)
    return context


@asynccontextmanager
async def opened(
    url: str,
    *,
    ca_file: str,
    token: str = "",
    certificate: str = "",
    timeout_s: float,
    transport: httpx.AsyncBaseTransport | None,
) -> AsyncGenerator[Web]:
    """Yield the way to an element. `certificate`: a file that has its key too.

    Raises Denied where the file of its authorities, or that of our certificate, does not read.
    """
    context = await asyncio.to_thread(_trusting, ca_file, certificate)
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    try:
        client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            verify=context,
            timeout=timeout_s,
            transport=transport,
            trust_env=False,
        )
    except ValueError:  # not said with it: it may stand in a log
        raise Denied(
            ElementOperation.CREDENTIAL, "the token has letters that no token has"
        ) from None
    async with client:
        yield Web(client, timeout_s)


async def for_each(items: Iterable[T], do: Callable[[T], Awaitable[None]]) -> None:
    """Do something with all of them, some at a time. Raises what one raised; then no more begin."""
    raised: list[ElementTrouble] = []
    left = iter(items)

    async def some() -> None:
        for item in left:
            if raised:
                return
            try:
                await do(item)
            except ElementTrouble as why:
                raised.append(why)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some())
    if raised:
        raise raised[0]
