"""An authority of tests, as sites trust them: its certificate, a host's and a submitter's."""

import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

_HOSTS = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
_POLICY = """\
access_id_CA X509 '{name}'
pos_rights globus CA:sign
cond_subjects globus '"*"'
"""


def make_authority(folder: Path) -> None:
    """Make ca.pem and what it signs, each with its .key: host.pem of localhost, user.pem.

    In `trusted` it stands as grid software looks for it.
    """
    ca_key = rsa.generate_private_key(65537, 2048)
    ca_name = _name("CE Test CA")
    ca = _certificate(ca_name, ca_key.public_key(), ca_name, ca_key, is_ca=True)
    _write(folder / "ca.pem", ca)
    for name, common in (("host", "localhost"), ("user", "pilot submitter")):
        key = rsa.generate_private_key(65537, 2048)
        _write(
            folder / f"{name}.pem", _certificate(_name(common), key.public_key(), ca_name, ca_key)
        )
        file = folder / f"{name}.key"
        file.touch(mode=0o600)
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
    trusted = folder / "trusted"
    trusted.mkdir(exist_ok=True)
    trust(trusted, (folder / "ca.pem").read_bytes())


def trust(trusted: Path, pem: bytes) -> None:
    """Put an authority into a folder, as grid software looks for it."""
    words = ["openssl", "x509", "-noout", "-hash"]
    done = subprocess.run(words, check=True, capture_output=True, input=pem)
    number = done.stdout.decode().strip()
    subject = x509.load_pem_x509_certificate(pem).subject
    name = "".join(f"/{one.rfc4514_string()}" for one in subject.rdns)
    (trusted / f"{number}.signing_policy").write_text(_POLICY.format(name=name))
    (trusted / f"{number}.0").write_bytes(pem)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "test"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _certificate(
    subject: x509.Name,
    key: rsa.RSAPublicKey,
    issuer: x509.Name,
    signer: rsa.RSAPrivateKey,
    *,
    is_ca: bool = False,
) -> x509.Certificate:
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=not is_ca,
        key_encipherment=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectAlternativeName(_HOSTS), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _write(file: Path, certificate: x509.Certificate) -> None:
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
