"""X.509 proxies (RFC 3820) of tests: a person's certificate with one that it has signed."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

_PROXY_INFO = ObjectIdentifier("1.3.6.1.5.5.7.1.14")
# SEQUENCE { SEQUENCE { OID id-ppl-inheritAll } }: it may do what the person may.
_INHERITS_ALL = bytes.fromhex("300c300a06082b06010505071501")
_USAGE = x509.KeyUsage(
    digital_signature=True,
    key_encipherment=True,
    content_commitment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def proxy_of(
    person: x509.Certificate, key: rsa.RSAPrivateKey, *, ends: datetime | None = None
) -> str:
    """Return a proxy, its key and the person's certificate in PEM, as grid tools write them."""
    own, number = rsa.generate_private_key(65537, 2048), x509.random_serial_number()
    serial = x509.NameAttribute(NameOID.COMMON_NAME, str(number))
    now = datetime.now(UTC)
    proxy = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*person.subject, serial]))
        .issuer_name(person.subject)
        .public_key(own.public_key())
        .serial_number(number)
        .not_valid_before(min(now, ends or now) - timedelta(hours=1))
        .not_valid_after(ends or now + timedelta(hours=12))
        .add_extension(_USAGE, critical=True)
        .add_extension(x509.UnrecognizedExtension(_PROXY_INFO, _INHERITS_ALL), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    parts = (
        proxy.public_bytes(pem),
        own.private_bytes(
            pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ),
        person.public_bytes(pem),
    )
    return b"".join(parts).decode()


def a_person(ends: datetime) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    """Return a certificate that an authority of nobody has signed, and its key."""
    key = rsa.generate_private_key(65537, 2048)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ada")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An Authority")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - timedelta(days=30))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    return certificate, key
