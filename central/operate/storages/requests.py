"""Requests to storages with httpx: no redirects, bounded answers, no retries."""

import asyncio
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from ...catalogue.remote.storage_http import (
    SILENT_S,
    WHOLE_S,
    StorageAnswer,
    StorageAway,
    StorageRefuses,
)
from ..http_clients import HttpClients, words_of

if TYPE_CHECKING:  # importing it takes a tenth of a second
    import httpx

ANSWER_MAX: Final = 64 << 20  # bytes: a copy of hours reports its progress each few seconds


class RealStorageHttp:
    """The port to storages on the network."""

    def __init__(self) -> None:
        self._clients = HttpClients()

    async def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        ca_file: str = "",
        body: bytes = b"",
        silent_s: float = SILENT_S,
        whole_s: float = WHOLE_S,
    ) -> StorageAnswer:
        """Return the answer with its whole body. Raises StorageAway, StorageRefuses."""
        import httpx

        whole = asyncio.timeout(whole_s)
        try:
            async with whole, self._clients.trusting(ca_file) as http:
                return await _answer(http, method, url, headers, body, silent_s)
        except TimeoutError:
            did = f"did not end after {whole_s:g} s"
            did = did if whole.expired() else f"was silent for {silent_s:g} s"
            raise StorageAway(f"it {did}") from None
        except (httpx.InvalidURL, UnicodeError):
            raise StorageRefuses("its URL is not valid") from None
        except (httpx.HTTPError, ssl.SSLError, OSError) as why:
            told = words_of(why)
            if "CERTIFICATE_VERIFY_FAILED" in told and not ca_file:
                told += "; if the system does not know its authority, set ca_file"
            raise StorageAway(told) from None


async def _answer(
    http: "httpx.AsyncClient",
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    silent_s: float,
) -> StorageAnswer:
    content = bytearray()
    async with asyncio.timeout(silent_s) as limit:
        clock = asyncio.get_running_loop()
        # Some servers close a connection after a refusal, when the next request is on its way.
        sent = {**headers, "connection": "close"}
        async with http.stream(method, url, headers=sent, content=body or None) as reply:
            limit.reschedule(clock.time() + silent_s)
            if reply.headers.get("content-encoding", "identity").lower() != "identity":
                raise StorageRefuses("its answer is compressed, which was not asked for")
            if method != "HEAD":
                async for part in reply.aiter_raw():
                    limit.reschedule(clock.time() + silent_s)
                    content += part
                    if len(content) > ANSWER_MAX:
                        raise StorageRefuses(f"its answer has more than {ANSWER_MAX} bytes")
            named = {name.lower(): value for name, value in reply.headers.items()}
            return StorageAnswer(reply.status_code, named, bytes(content))
