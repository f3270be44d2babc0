"""An X.509 proxy (RFC 3820) in a file that voms-proxy-init or arcproxy writes and renews.

The file holds the proxy, its key, and the chain of certificates up to the user's own. The chain
expires with the first of them, which need not be the proxy.
"""

import re
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ObjectIdentifier

from ...ports import Clock
from ..credential import Credential
from ..errors import CredentialExpired
from .files import FileOptions, check_left, read_private

_IS_PROXY = ObjectIdentifier("1.3.6.1.5.5.7.1.14")  # proxyCertInfo
_KEY = re.compile("-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?-----END \\1PRIVATE KEY-----", re.S)


class ProxyOptions(FileOptions, frozen=True):
    """The options of the source `proxy`."""


def read_proxy(path: Path, clock: Clock) -> Credential:
    """Return a proxy that is complete, private and still valid. Raises CredentialExpired."""
    text = read_private(path)
    try:
        chain = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise CredentialExpired(f"{path}: has no certificate in PEM") from None
    if not _is_proxy(chain[0]):
        raise CredentialExpired(
            f"{path}: its first certificate, {_name(chain[0])}, is not a proxy (RFC 3820):"
            " use the source `file` for a certificate"
        )
    _check_key(path, text, chain[0])
    for one, above in zip(chain, chain[1:], strict=False):
        if one.issuer != above.subject:
            raise CredentialExpired(
                f"{path}: {_name(one)} is followed by {_name(above)}, not by its signer"
            )
    if _is_proxy(chain[-1]):
        raise CredentialExpired(
            f"{path}: the certificate that signed {_name(chain[-1])} is missing"
        )
    first = min(chain, key=_end)
    which = "the proxy" if first is chain[0] else _name(first)
    check_left(_end(first), f"{path}: {which}", clock)
    return Credential(text, _end(first))


def _check_key(path: Path, text: str, proxy: x509.Certificate) -> None:
    found = _KEY.search(text)
    if found is None:
        raise CredentialExpired(f"{path}: has no private key")
    try:
        key = load_pem_private_key(found.group().encode(), password=None)
    except (ValueError, TypeError):
        raise CredentialExpired(f"{path}: its private key cannot be read") from None
    if _bits(key.public_key()) != _bits(proxy.public_key()):
        raise CredentialExpired(f"{path}: its private key is not that of {_name(proxy)}")


def _bits(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _is_proxy(certificate: x509.Certificate) -> bool:
    return any(one.oid == _IS_PROXY for one in certificate.extensions)


def _end(certificate: x509.Certificate) -> float:
    return certificate.not_valid_after_utc.timestamp()


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()
