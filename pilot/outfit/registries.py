"""The digests of tags in image registries.

A tag can name another image tomorrow. So the pilot asks the registry once for the digest of a tag,
and everything after that uses the digest. It logs in nowhere: registries give a token for public
images to anyone. The content comes through Apptainer or podman, which check it.
"""

import json
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import Future, TimeoutError as TooLate
from email.message import Message
from http.client import HTTPException
from typing import Any, cast

from pilotage.proto.images import ImageReference, is_digest

from ..ports import OutfitMissing

PATIENCE_S = 60.0  # for all requests about one tag together
_SOCKET_S = 20.0
_TOKEN_BYTES_MAX = 1 << 20
_HOSTS = {"docker.io": "registry-1.docker.io"}  # if the API has another name
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_MEANINGS = {
    401: "it asks for credentials, which pilots do not have",
    403: "it asks for credentials, which pilots do not have",
    404: "it has no such image",
    429: "it has had too many requests from here",
}


def digest_of(wanted: ImageReference, *, patience_s: float = PATIENCE_S) -> str:
    """Return the digest of an image. Raises OutfitMissing after `patience_s` at the latest."""
    if wanted.digest:
        return wanted.digest
    found: Future[str] = Future()

    def ask() -> None:
        try:
            found.set_result(_asked(wanted))
        except urllib.error.HTTPError as why:
            found.set_exception(OutfitMissing(_MEANINGS.get(why.code, f"it answers {why}")))
        except (OSError, HTTPException, ValueError) as why:  # ValueError: a bad answer
            found.set_exception(OutfitMissing(str(getattr(why, "reason", why)) or repr(why)))

    # In a thread of its own, since an answer that trickles never meets the time-out of a socket.
    threading.Thread(target=ask, name="registry", daemon=True).start()
    try:
        return found.result(patience_s)
    except TooLate:
        why = f"no answer within {patience_s:g} s"
    except OutfitMissing as refused:
        why = str(refused)
    raise OutfitMissing(f"image {wanted}: registry {wanted.registry}: {why}")


def _asked(wanted: ImageReference) -> str:
    scheme = "http" if wanted.is_local else "https"
    host = _HOSTS.get(wanted.registry, wanted.registry)
    url = f"{scheme}://{host}/v2/{wanted.repository}/manifests/{wanted.tag}"
    try:
        said = _headers(url, "")
    except urllib.error.HTTPError as why:
        token = _token(why.headers, wanted) if why.code == 401 else ""
        if not token:
            raise
        said = _headers(url, token)
    digest = str(said.get("Docker-Content-Digest", ""))
    if not is_digest(digest):
        raise ValueError(f"its answer has no digest: {digest[:80]!r}")
    return digest


def _headers(url: str, token: str) -> Message:
    request = urllib.request.Request(url, method="HEAD", headers={"Accept": ", ".join(_MANIFESTS)})
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=_SOCKET_S) as reply:
        headers: Message = reply.headers
        return headers


def _token(challenge: Message, wanted: ImageReference) -> str:
    """Return a token for public images; empty if the registry gives none without a login."""
    asks = str(challenge.get("WWW-Authenticate", ""))
    words = dict(re.findall(r'(\w+)="([^"]*)"', asks))
    realm = words.get("realm", "")
    if not asks.lower().startswith("bearer ") or not _may_ask(realm, wanted):
        return ""
    query = {"scope": f"repository:{wanted.repository}:pull"}
    if "service" in words:
        query["service"] = words["service"]
    url = f"{realm}{'&' if '?' in realm else '?'}{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=_SOCKET_S) as reply:
        said = json.loads(reply.read(_TOKEN_BYTES_MAX))
    if not isinstance(said, dict):
        raise ValueError("its answer to a request for a token is no JSON object")
    answer = cast("dict[str, Any]", said)
    token = answer.get("token") or answer.get("access_token") or ""
    return token if isinstance(token, str) and token.isprintable() else ""


def _may_ask(realm: str, wanted: ImageReference) -> bool:
    return realm.startswith("https://") or (wanted.is_local and realm.startswith("http://"))
