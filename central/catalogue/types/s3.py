"""`s3`: a bucket of an object store, which pilots reach by URLs that the central signs.

The signatures are those of AWS Signature Version 4 in query parameters, for unsigned payloads:
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

import base64
import hashlib
import hmac
import time
import urllib.parse
from collections.abc import AsyncGenerator
from types import MappingProxyType
from typing import Final

from ..remote.removals import RemoteStorage
from ..remote.storage_http import (
    GONE,
    S3Keys,
    StorageAnswer,
    StorageRefuses,
    check_same,
    expect,
    xml_list,
)
from ..storage_types import StorageType, wrong_server
from ..storages import StorageEntry

REGION: Final = "us-east-1"  # of stores without regions
_LIFE_S: Final = 300  # of a URL that the central uses itself
_PAGES_MAX: Final = 100  # of 1 000 names in the folder of an attempt


class S3Type(StorageType):
    """A StorageType whose URLs are buckets, or folders in them."""

    credential = "keys"
    pfn_schemes = MappingProxyType({"s3": 443, "s3s": 443, "https": 443, "http": 80})

    def wrong(self, url: str) -> str:
        right = "https://host/bucket"
        wrong = wrong_server(url, ("http", "https"), right)
        if not wrong and not urllib.parse.urlsplit(url).path.strip("/"):
            wrong = f"expected {right}"
        return wrong

    def signed_url(
        self,
        entry: StorageEntry,
        method: str,
        path: str,
        *,
        keys: S3Keys,
        now: float,
        life_s: int,
        sha256: str = "",
    ) -> str:
        return _signed_url(
            method,
            entry.url,
            path,
            keys=keys,
            region=entry.region,
            now=now,
            life_s=life_s,
            sha256=sha256,
        )

    def unswept(self, entry: StorageEntry) -> str:
        return ""

    async def remove(
        self, storage: RemoteStorage, path: str, *, is_folder: bool, size: int | None
    ) -> None:
        bucket = _Bucket(storage, await storage.remote.tokens.keys(storage.name))
        if is_folder:
            async for one in bucket.below(path):
                await bucket.delete(one)
            return
        check_same(await bucket.size(path), size)
        await bucket.delete(path)


TYPE = S3Type()


class _Bucket:
    """A bucket, or a folder in one, with the keys to it."""

    def __init__(self, storage: RemoteStorage, keys: S3Keys) -> None:
        self._storage, self._keys = storage, keys
        path = urllib.parse.unquote(urllib.parse.urlsplit(storage.entry.url).path).strip("/")
        self._bucket, _, folder = path.partition("/")
        self._prefix = f"{folder}/" if folder else ""

    async def size(self, path: str) -> int | None:
        """Return the size of an object in bytes; None: there is none. Raises StorageRefuses."""
        answer = await self._asked("HEAD", self._storage.entry.url, path, (200, *GONE))
        if answer.status in GONE:
            return None
        length = answer.headers.get("content-length", "")
        if not length.isdecimal():
            raise StorageRefuses("it does not report the size of the object")
        return int(length)

    async def delete(self, path: str) -> None:
        """Delete an object. Stores confirm it for a missing one too; 404 is a missing bucket."""
        await self._asked("DELETE", self._storage.entry.url, path, (200, 204))

    async def below(self, path: str) -> AsyncGenerator[str]:
        """Yield the paths of the objects below a path (ListObjectsV2)."""
        server = urllib.parse.urlsplit(self._storage.entry.url)
        url = f"{server.scheme}://{server.netloc}/{urllib.parse.quote(self._bucket)}"
        wanted = query = {"list-type": "2", "prefix": f"{self._prefix}{path}/"}
        for _ in range(_PAGES_MAX):
            names = _names((await self._asked("GET", url, "", (200,), query)).body)
            for name in names:
                if not name.startswith(wanted["prefix"]):
                    raise StorageRefuses(f"it lists {name[:200]!r}, which is not in the folder")
                yield name.removeprefix(self._prefix)
            if not names:
                return
            query = {**wanted, "start-after": names[-1]}
        raise StorageRefuses("the folder has too many entries")

    async def _asked(
        self,
        method: str,
        url: str,
        path: str,
        good: tuple[int, ...],
        query: dict[str, str] | None = None,
    ) -> StorageAnswer:
        """Return an answer with a good status. Raises StorageAway, StorageRefuses."""
        entry, remote = self._storage.entry, self._storage.remote
        signed = _signed_url(
            method,
            url,
            path,
            keys=self._keys,
            region=entry.region,
            now=remote.clock.wall(),
            life_s=_LIFE_S,
            query=query,
        )
        answer = await remote.http.ask(method, signed, headers={}, ca_file=entry.ca_file)
        secrets = (self._keys.access, self._keys.secret, signed.rpartition("=")[2])
        expect(answer, *good, secrets=secrets)
        return answer


def _names(body: bytes) -> list[str]:
    """Return the names in a list of objects. Raises StorageRefuses."""
    return [one.text or "" for one in xml_list(body).iter() if one.tag.rpartition("}")[2] == "Key"]


def _signed_url(
    method: str,
    url: str,
    path: str,
    *,
    keys: S3Keys,
    region: str,
    now: float,
    life_s: int,
    sha256: str = "",
    query: dict[str, str] | None = None,
) -> str:
    """Return a URL that allows one kind of request for an object until `now + life_s`.

    With `sha256` (64 hexadecimal digits), the request must send it, and create the object.
    """
    parts = urllib.parse.urlsplit(url)
    at = urllib.parse.quote(
        urllib.parse.unquote(parts.path).rstrip("/") + (f"/{path}" if path else "")
    )
    when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    scope = f"{when[:8]}/{region or REGION}/s3/aws4_request"
    headers = {"host": parts.netloc}
    if sha256:
        headers["if-none-match"] = "*"
        headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
    names = ";".join(sorted(headers))
    fields = {
        **(query or {}),
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{keys.access}/{scope}",
        "X-Amz-Date": when,
        "X-Amz-Expires": str(life_s),
        "X-Amz-SignedHeaders": names,
    }
    text = urllib.parse.urlencode(sorted(fields.items()), quote_via=urllib.parse.quote, safe="-_.~")
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = f"{method}\n{at}\n{text}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{keys.secret}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{digest}".encode(), "sha256")
    return f"{parts.scheme}://{parts.netloc}{at}?{text}&X-Amz-Signature={signature.hex()}"
