"""`s3`: a bucket of an object store, which pilots reach by URLs that the central signs.

The signatures are those of AWS Signature Version 4 in query parameters, for unsigned payloads:
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

import base64
import hashlib
import hmac
import time
import urllib.parse
from typing import NamedTuple

from ..storage_types import wrong_server

REGION = "us-east-1"  # of stores without regions


class S3Keys(NamedTuple):
    """The access key and the secret of an account."""

    access: str
    secret: str

    def __repr__(self) -> str:
        return f"S3Keys({self.access}, …)"


class S3Type:
    """A StorageType whose URLs are buckets, or folders in them."""

    tag = ""
    credential = "keys"
    swept_by = ""

    def wrong(self, url: str) -> str:
        right = "https://host/bucket"
        wrong = wrong_server(url, ("http", "https"), right)
        if not wrong and not urllib.parse.urlsplit(url).path.strip("/"):
            wrong = f"expected {right}"
        return wrong


TYPE = S3Type()


def signed_url(
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
