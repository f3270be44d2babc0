"""HTTPS calls to an element, and the meaning of missing answers."""

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
LATER = (408, 425, 429)  # too slow or too much: the request may have had its effect


@dataclass(frozen=True)
class WebReply:
    """An answer with any status."""

    status: int
    said: bytes


class ElementHttp:
    """The connection of one call of a driver; its requests share open connections."""

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
        """Send a request; keep the last `most` bytes of the answer. Raises ElementUnreachable."""
        try:
            async with (
                asyncio.timeout(self._timeout_s),  # for the whole answer, however slow
                self._client.stream(method, path, content=content, headers=headers) as reply,
            ):
                encoding = reply.headers.get("content-encoding", "identity")
                if encoding != "identity":  # a small compressed answer may fill the memory
                    raise ElementUnreachable(step, f"the answer has the encoding {encoding[:40]!r}")
                return WebReply(reply.status_code, await _end_of(reply, most))
        except (httpx.HTTPError, ssl.SSLError, OSError, TimeoutError, ValueError) as why:
            raise ElementUnreachable(step, _in_words(why, str(self._client.base_url))) from None


def _in_words(why: BaseException, url: str) -> str:
    """Return a failure at a URL in the system's words, which the library hides."""
    first: BaseException | None = why
    words = [str(why)]
    while first is not None:
        if isinstance(first, OSError) and str(first) not in words:
            words.append(str(first))
        first = first.__cause__ or first.__context__
    text = ": ".join(dict.fromkeys(filter(None, (words[0], words[-1]))))
    return f"{type(why).__name__} at {url}" + (f": {text}" if text else "")


async def _end_of(reply: httpx.Response, most: int) -> bytes:
    """Return the end of an answer; read and drop the bytes before it."""
    said = bytearray()
    async for chunk in reply.aiter_bytes():
        said += chunk
        if len(said) > 2 * most:
            del said[:-most]
    return bytes(said[-most:])


def _trusting(ca_file: str, certificate: str) -> ssl.SSLContext:
    """Return the authorities and the certificate to use, from the files now. Raises Denied."""
    try:
        for one in filter(None, (ca_file, certificate)):
            read_regular(Path(one), 1)  # so that a pipe is not waited for
        authorities = Path(ca_file).stat().st_mtime_ns if ca_file else 0
        context = _trusting_as_of(ca_file, authorities)
    except OSError as why:  # including errors of ssl
        raise Denied(ElementOperation.REACH, f"ca_file: {ca_file}: {why}") from None
    if not certificate:
        return context
    try:
        return _known_as_of(ca_file, authorities, certificate, Path(certificate).stat().st_mtime_ns)
    except OSError as why:
        raise Denied(
            ElementOperation.CREDENTIAL, f"it is not a certificate with its key: {why}"
        ) from None


@lru_cache(maxsize=64)
def _trusting_as_of(ca_file: str, written: int) -> ssl.SSLContext:
    """Return a cached context: reading the system's authorities takes 50 ms."""
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
) -> AsyncGenerator[ElementHttp]:
    """Yield a connection to an element. `certificate`: a file with its key.

    Raises Denied if the file of authorities or of our certificate cannot be read.
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
    except ValueError:  # its text could show the token
        raise Denied(ElementOperation.CREDENTIAL, "the token contains invalid characters") from None
    async with client:
        yield ElementHttp(client, timeout_s)


async def for_each(items: Iterable[T], do: Callable[[T], Awaitable[None]]) -> None:
    """Run `do` for all items, some in parallel. After an error start no more, and raise it."""
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
