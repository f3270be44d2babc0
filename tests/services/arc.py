"""ARC 7 (A-REX) on loopback without systemd: jobs are forked, tokens are of an issuer of our own.

Its keys lie where A-REX looks for those of trusted issuers, so that no issuer has to be reachable.
"""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
import uuid
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import RSAKey

from pilotage.pilot import processes

from .htcondor import OWNER, make_owner

READY_S = 60.0
ISSUER = "http://127.0.0.1/test-issuer"
PROGRAMS = (Path("/usr/share/arc/arc-arex-start"), Path("/usr/share/arc/arc-arex-ws-start"))
_CONFIG = """\
[common]
hostname = localhost
x509_host_key = {folder}/ca/host.key
x509_host_cert = {folder}/ca/host.pem
x509_cert_dir = {folder}/ca/trusted
[authgroup:certs]
subject = /DC=test/CN=pilot submitter
[authgroup:tokens]
authtokens = * {issuer} * * *
[mapping]
map_to_user = certs {owner}:{owner}
map_to_user = tokens {owner}:{owner}
[lrms]
lrms = fork
[arex]
controldir = {folder}/control
sessiondir = {folder}/session
tmpdir = {folder}/tmp
logfile = {folder}/log/arex.log
joblog = {folder}/log/jobs.log
helperlog = {folder}/log/helper.log
pidfile = {folder}/run/arex.pid
loglevel = 3
wakeupperiod = 2
infoproviders_timelimit = 60
[arex/ws]
wsurl = https://localhost:{port}/arex
logfile = {folder}/log/ws.log
pidfile = {folder}/run/ws.pid
[arex/ws/jobs]
allowaccess = certs
allowaccess = tokens
[infosys]
logfile = {folder}/log/infoprovider.log
[infosys/glue2]
[infosys/cluster]
[queue:fork]
"""
# The packaged start script writes a configuration without an address to listen on.
_ARCHED = """\
#!/bin/bash
for a; do
    case $a in
    /*arex.xml.*) sed -i 's#<tcp:Port>#<tcp:Interface>127.0.0.1</tcp:Interface><tcp:Port>#' "$a" ;;
    esac
done
exec /usr/sbin/arched "$@"
"""
_POLICY = """\
access_id_CA X509 '/DC=test/CN=CE Test CA'
pos_rights globus CA:sign
cond_subjects globus '"/DC=test/*"'
"""


def missing() -> str:
    """Return what must be installed before it can start, or an empty string."""
    if os.geteuid() != 0:
        return "the right of root, as which A-REX runs here"
    absent = [str(one) for one in PROGRAMS if not one.exists()]
    packages = "nordugrid-arc-arex nordugrid-arc-plugins-needed"
    return f"{', '.join(absent)} (apt: {packages})" if absent else ""


class Arc:
    """One compute element."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._key = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig", "alg": "RS256"})
        self._daemons: list[subprocess.Popen[bytes]] = []

    @property
    def options(self) -> dict[str, object]:
        """Return what an element of kind `arc` has to know of it."""
        return {
            "url": f"https://localhost:{self.port}/arex",
            "ca_file": str(self.folder / "ca" / "ca.pem"),
        }

    def token(self, lifetime_s: int = 3600) -> str:
        """Return a token with the claims of the WLCG profile."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": "pilot-factory",
            "aud": "https://wlcg.cern.ch/jwt/v1/any",
            "iat": now,
            "nbf": now - 5,
            "exp": now + lifetime_s,
            "jti": uuid.uuid4().hex,
            "wlcg.ver": "1.0",
            "scope": "compute.read compute.create compute.cancel compute.modify",
        }
        return jwt.encode({"alg": "RS256", "kid": "k1"}, claims, self._key)

    def certificate(self) -> str:
        """Return the certificate of a submitter with its key, in PEM."""
        folder = self.folder / "ca"
        return (folder / "user.pem").read_text() + (folder / "user.key").read_text()

    def start(self) -> None:
        """Start the daemons and wait until the interface answers."""
        make_owner()
        for name in ("run", "log", "control", "session", "tmp", "ca/trusted", "root/sbin"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "tmp").chmod(0o1777)
        _authority(self.folder / "ca")
        self._trust_issuer()
        self._dh_parameters()
        root = self._private_root()
        config = self.folder / "arc.conf"
        config.write_text(
            _CONFIG.format(folder=self.folder, port=self.port, issuer=ISSUER, owner=OWNER)
        )
        environment = {
            "PATH": f"{os.environ['PATH']}:/usr/sbin",
            "ARC_CONFIG": str(config),
            "ARC_LOCATION": str(root),
            "TMPDIR": str(self.folder / "tmp"),
        }
        with (self.folder / "log" / "start.log").open("ab") as log:
            for program in PROGRAMS:
                self._daemons.append(
                    subprocess.Popen(
                        [program],
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
        self._wait()

    def _trust_issuer(self) -> None:
        number = f"{zlib.crc32(ISSUER.encode()) & 0xFFFFFFFF:x}"
        folder = self.folder / "control" / "tokenissuers" / number
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "issuer").write_text(ISSUER)
        (folder / "metadata").write_text(
            json.dumps({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"})
        )
        (folder / "keys").write_text(json.dumps({"keys": [self._key.as_dict(private=False)]}))

    def _dh_parameters(self) -> None:
        """Write quick ones: what A-REX would find by itself costs it minutes."""
        file = self.folder / "control" / "dhparam.pem"
        words = ["openssl", "dhparam", "-dsaparam", "-out", str(file), "2048"]
        subprocess.run(words, check=True, capture_output=True, timeout=READY_S)

    def _private_root(self) -> Path:
        root = self.folder / "root"
        for name in ("bin", "lib", "libexec", "share", "etc"):
            if Path("/usr", name).exists():
                (root / name).symlink_to(f"/usr/{name}")
        (root / "sbin" / "arcctl").symlink_to("/usr/sbin/arcctl")
        arched = root / "sbin" / "arched"
        arched.write_text(_ARCHED)
        arched.chmod(0o755)
        return root

    def _wait(self) -> None:
        context = ssl.create_default_context(cafile=str(self.folder / "ca" / "ca.pem"))
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(
                    f"{self.options['url']}/rest/1.0/info", timeout=5, context=context
                ).close()
            except urllib.error.HTTPError:
                pass  # it answers
            except OSError:
                time.sleep(0.2)
                continue
            if (self.folder / "run" / "arex.pid").exists():
                return
            time.sleep(0.2)
        raise AssertionError(f"A-REX does not start: {self.logs()}")

    def logs(self) -> str:
        """Return the ends of what it has logged."""
        return "\n".join(one.read_text()[-3_000:] for one in self.folder.glob("log/*"))

    def stop(self) -> None:
        """End all of it."""
        roots = [one.pid for one in self._daemons]
        roots += [int(one.read_text()) for one in self.folder.glob("run/*.pid")]
        for one in processes.family(processes.every(), roots):
            processes.send(one.pid, signal.SIGKILL)
        for daemon in self._daemons:
            daemon.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


def _authority(folder: Path) -> None:
    """Make an authority, and what it signs: the host's certificate and a submitter's."""
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
    shutil.copy(folder / "ca.pem", trusted / "ca.pem")
    words = ["openssl", "x509", "-in", str(folder / "ca.pem"), "-noout", "-hash"]
    number = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    (trusted / f"{number}.0").symlink_to("ca.pem")
    (trusted / f"{number}.signing_policy").write_text(_POLICY)


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
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _write(file: Path, certificate: x509.Certificate) -> None:
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
