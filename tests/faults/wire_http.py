"""HTTP for a crowd of pilots in one process: no thread for each, everything else as the pilot's."""

import asyncio
import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from pilotage.pilot.ports import Downloaded, HttpReply, NoReply

BLOB_TIMEOUT_S = 60.0
JSON, BYTES = "application/json", "application/octet-stream"


class WireHttp:
    """Driver of the pilot's ports.Http: one kept connection, which may die while it is idle."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def post(
        self, path: str, body: bytes, *, token: str, timeout_s: float, aside: bool = False
    ) -> HttpReply:
        return await self.request("POST", path, body, token=token, timeout_s=timeout_s)

    def go_to(self, url: str, *, aside: bool = False) -> bool:
        return False  # there is one central, wherever it is

    async def upload(self, path: str, content: Path | bytes, *, token: str) -> HttpReply:
        assert isinstance(content, bytes), "these pilots have no files"
        return await self.request(
            "PUT", path, content, token=token, timeout_s=BLOB_TIMEOUT_S, kind=BYTES
        )

    async def download(self, path: str, file: Path, *, token: str, bytes_max: int) -> Downloaded:
        reply = await self.request("GET", path, token=token, timeout_s=BLOB_TIMEOUT_S)
        return Downloaded(reply.status, hashlib.sha256(reply.body).hexdigest())

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        token: str,
        timeout_s: float,
        kind: str = JSON,
    ) -> HttpReply:
        """Send a request and return the answer, whatever it is. Raises NoReply."""
        authorization = f"authorization: Bearer {token}\r\n" if token else ""
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: central\r\n{authorization}content-type: {kind}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        async with self._turn:
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._exchange(head.encode() + body)
            except (OSError, EOFError, TimeoutError, ValueError) as why:
                self.close()
                raise NoReply(f"{type(why).__name__}: {why}") from why
            except asyncio.CancelledError:
                self.close()
                raise

    async def _exchange(self, request: bytes) -> HttpReply:
        reused = self._streams is not None
        try:
            return await self._once(request)
        except (OSError, EOFError):
            self.close()
            if not reused:
                raise
        return await self._once(request)

    async def _once(self, request: bytes) -> HttpReply:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        length = next((int(one[15:]) for one in lines if one.startswith("content-length:")), 0)
        content = await reader.readexactly(length)
        if "connection: close" in lines:
            self.close()
        return HttpReply(int(lines[0].split()[1]), content)
