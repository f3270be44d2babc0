"""Storages with WebDAV and tokens in memory, behind the central's port to storages."""

import asyncio
import urllib.parse
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pilotage.central.catalogue.remote.storage_http import (
    RemoteStorages,
    S3Keys,
    StorageAnswer,
    StorageAway,
    StorageRefuses,
    StorageToken,
)
from tests.fake_central import FakeClock


@dataclass
class FakeStorageServer:
    """One server. `files` has contents by path below the host."""

    host: str
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    is_away: bool = False
    pulls: bool = True  # it can fetch from others
    pushes: bool = True
    says: str = "success: Created"
    lies: bool = False  # about checksums
    cuts: bool = False  # a copy stores the first half only
    slow: asyncio.Event | None = None  # a copy waits for it


class FakeStorageNetwork:
    """The port to several servers. It notes the requests as (method, host, path)."""

    def __init__(self, *servers: FakeStorageServer) -> None:
        self.servers = {one.host: one for one in servers}
        self.requests: list[tuple[str, str, str]] = []
        self.tokens: list[str] = []

    def asked(self, method: str) -> list[str]:
        return [path for its, _, path in self.requests if its == method]

    async def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        ca_file: str = "",
        body: bytes = b"",
        silent_s: float = 60.0,
        whole_s: float = 600.0,
    ) -> StorageAnswer:
        return await self.answer(method, url, headers, body)

    async def answer(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> StorageAnswer:
        """Answer a request."""
        server, path = self._at(url)
        self.requests.append((method, server.host, path))
        self.tokens.append(headers.get("authorization", "").removeprefix("Bearer "))
        if server.is_away:
            raise StorageAway("it does not answer")
        if method == "COPY":
            return await self._copied(server, path, headers)
        if method == "PROPFIND":
            return self._listed(server, path)
        if method == "PUT":
            server.files[path] = body
            return StorageAnswer(201, {})
        if path not in server.files:
            return self._no_file(server, method, path)
        if method == "DELETE":
            del server.files[path]
            return StorageAnswer(204, {})
        content = server.files[path]
        told = {"content-length": str(len(content))}
        told["digest"] = f"adler32={zlib.adler32(content) + server.lies:08x}"
        return StorageAnswer(200, told, content if method == "GET" else b"")

    def _at(self, url: str) -> tuple[FakeStorageServer, str]:
        parts = urllib.parse.urlsplit(url)
        return self.servers[parts.netloc], urllib.parse.unquote(parts.path)

    def _no_file(self, server: FakeStorageServer, method: str, path: str) -> StorageAnswer:
        if method == "HEAD" and path.count("/") == 1:
            return StorageAnswer(200, {})  # the folder of the storage itself
        is_full = any(name.startswith(f"{path}/") for name in server.files)
        return StorageAnswer(409 if is_full and method == "DELETE" else 404, {})

    def _listed(self, server: FakeStorageServer, path: str) -> StorageAnswer:
        path = path.rstrip("/")
        names = {
            name[len(path) + 1 :].partition("/")[0]: "/" in name[len(path) + 1 :]
            for name in server.files
            if name.startswith(f"{path}/")
        }
        if not names:
            return StorageAnswer(404, {})
        said = [(path + "/", True), *((f"{path}/{name}", its) for name, its in names.items())]
        kind = {True: "<D:collection/>", False: ""}
        text = "".join(
            f"<D:response><D:href>{urllib.parse.quote(name)}</D:href><D:propstat><D:prop>"
            f"<D:resourcetype>{kind[its]}</D:resourcetype></D:prop></D:propstat></D:response>"
            for name, its in said
        )
        body = f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{text}</D:multistatus>'
        return StorageAnswer(207, {}, body.encode())

    async def _copied(
        self, server: FakeStorageServer, path: str, headers: Mapping[str, str]
    ) -> StorageAnswer:
        is_push = "destination" in headers
        if not (server.pushes if is_push else server.pulls):
            return StorageAnswer(405, {})
        if server.slow is not None:
            await server.slow.wait()
        other, its_path = self._at(headers["destination" if is_push else "source"])
        source, target = ((server, path), (other, its_path))[:: 1 if is_push else -1]
        content = source[0].files.get(source[1])
        if content is None:
            return StorageAnswer(500, {}, b"failure: status code 404 of the other side")
        cut = len(content) // 2 if server.cuts else len(content)
        target[0].files[target[1]] = content[:cut]
        return StorageAnswer(201, {}, f"Perf Marker\nEnd\n{server.says}\n".encode())


def fake_remote(
    network: FakeStorageNetwork, tokens: "FakeStorageTokens | None" = None
) -> RemoteStorages:
    """Return the drivers of a central that reaches this network."""
    return RemoteStorages(network, tokens or FakeStorageTokens(), FakeXrdfs(), FakeClock())


class FakeXrdfs:
    """A program that answers what it is told, by the words of a command."""

    def __init__(self, **answers: str | None) -> None:
        self.answers, self.ran = answers, list[list[str]]()

    async def run(
        self, server: str, words: Sequence[str], *, token: str, ca_file: str = ""
    ) -> str | None:
        self.ran.append(list(words))
        return self.answers.get(words[0], "")


class FakeStorageTokens:
    """Gives a token whose text is the scopes."""

    def __init__(self) -> None:
        self.refuses = False
        self.wide = ""

    async def token(self, storage: str, scopes: tuple[str, ...]) -> StorageToken:
        if self.refuses:
            raise StorageRefuses("its issuer gives no such token")
        return StorageToken(text=f"{storage}|{' '.join(scopes)}")

    async def keys(self, storage: str) -> S3Keys:
        return S3Keys("key", "secret")

    def width(self, storage: str) -> str:
        return self.wide
