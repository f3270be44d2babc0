"""One kept-alive connection for those who wait between two requests."""

import asyncio
import ssl
from array import array

from .wire import CONNECT_S, NotAnswered, Wire, host_and_port

ASK_S = 60.0


class Line:
    """Sends one request at a time and returns the body of its answer."""

    def __init__(self, took_ms: "array[float]") -> None:
        self._wire = Wire(self, took_ms)
        self._answer: asyncio.Future[bytes] | None = None

    @classmethod
    async def open(
        cls, url: str, took_ms: "array[float]", *, tls: ssl.SSLContext | None = None
    ) -> "Line":
        line = cls(took_ms)
        async with asyncio.timeout(CONNECT_S):
            await asyncio.get_running_loop().create_connection(
                lambda: line._wire, *host_and_port(url), ssl=tls
            )
        return line

    async def ask(self, said: bytes) -> bytes:
        """Raises NotAnswered."""
        if self._wire.ended.done():
            self._wire.ended.result()
            raise NotAnswered("the connection was closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._wire.say(said)
        try:
            async with asyncio.timeout(ASK_S):
                await asyncio.wait(
                    (self._answer, self._wire.ended), return_when=asyncio.FIRST_COMPLETED
                )
        except TimeoutError:
            raise NotAnswered(f"no answer within {ASK_S:g} s") from None
        if not self._answer.done():
            self._wire.ended.result()
        return self._answer.result()

    async def close(self) -> None:
        self._wire.close()
        await asyncio.wait((self._wire.ended,))

    # -- the talk of its wire -------------------------------------------------------------------

    def first(self) -> bytes:
        return b""

    def after(self, body: bytes) -> bytes:
        assert self._answer is not None
        self._answer.set_result(body)
        return b""
