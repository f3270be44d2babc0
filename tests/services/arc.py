"""ARC 7 (A-REX) on loopback without systemd: jobs are forked, tokens are of an issuer of our own.

Its keys lie where A-REX looks for those of trusted issuers, so that no issuer has to be reachable.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
import zlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwt
from joserfc.jwk import RSAKey

from pilotage.central.identity.element_issuer import ElementIssuer
from pilotage.proto.trust import trusting

from .authority import make_authority, trust
from .htcondor import OWNER, make_owner
from .keeper import Keeper
from .pages import on_page

READY_S = 60.0
LOOK_S = 60  # its own, unless told
ISSUER = "http://127.0.0.1/test-issuer"
PAGE = "docs/sites/arc.md"  # what an administrator writes so that it trusts an issuer
AUTHORITIES = "/etc/grid-security/certificates"  # with which A-REX fetches keys of issuers
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
authtokens = * * * * *
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
# The packaged start scripts write a configuration without an address to listen on, and without the
# seconds between two looks at jobs, which is how old the word of A-REX is.
_ARCHED = """\
#!/bin/bash
look='<arex:InfoproviderWakeupPeriod>{look_s}</arex:InfoproviderWakeupPeriod>'
here='<tcp:Interface>127.0.0.1</tcp:Interface>'
for a; do
    case $a in
    /*arex.xml.*) sed -i "s#<tcp:Port>#$here&#; s#<arex:gmconfig>#$look&#" "$a" ;;
    esac
done
exec /usr/sbin/arched "$@"
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

    def __init__(
        self,
        folder: Path,
        issuer: ElementIssuer | None = None,
        fetches_from: Path | None = None,
        look_s: int = LOOK_S,
    ) -> None:
        """With an `issuer` whoever has a token of it comes in, and scopes of tokens count.

        Its keys are fetched from where authorities in the folder `fetches_from` vouch for; without
        one they are laid into A-REX's folder. What it says of jobs is up to `look_s` old.
        """
        self.folder, self._issuer, self._fetches_from = folder, issuer, fetches_from
        self._look_s = look_s
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._key = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig", "alg": "RS256"})
        self._keeper: Keeper | None = None

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

    def person(self) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
        """Return the same, to sign a proxy with."""
        certificate = x509.load_pem_x509_certificate((self.folder / "ca" / "user.pem").read_bytes())
        key = load_pem_private_key((self.folder / "ca" / "user.key").read_bytes(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return certificate, key

    def start(self) -> None:
        """Start the daemons and wait until the interface answers."""
        self._keeper = Keeper()
        try:
            self._start(self._keeper)
        except BaseException:
            self.stop()
            raise

    def _start(self, keeper: Keeper) -> None:
        make_owner()
        for name in ("run", "log", "control", "session", "tmp", "ca/trusted", "root/sbin"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "tmp").chmod(0o1777)
        make_authority(self.folder / "ca")
        self._trust_issuer(ISSUER, {"keys": [self._key.as_dict(private=False)]})
        if self._issuer is not None and self._fetches_from is None:
            self._trust_issuer(self._issuer.name, self._issuer.published().jwks)
        self._dh_parameters()
        root = self._private_root()
        config = self.folder / "arc.conf"
        text = _CONFIG.format(folder=self.folder, port=self.port, owner=OWNER)
        config.write_text(_with(text, self._trust()))
        environment = {
            "PATH": f"{root / 'first'}:{os.environ['PATH']}:/usr/sbin",
            "ARC_CONFIG": str(config),
            "ARC_LOCATION": str(root),
            "TMPDIR": str(self.folder / "tmp"),
        }
        for program in PROGRAMS:
            words = [*self._view(), str(program)]
            keeper.begin(words, environment, self.folder / "log" / "start.log")
        self._wait()

    def _view(self) -> list[str]:
        """Return the words that give A-REX a view of its own of the machine's authorities."""
        script = f'mkdir -p {AUTHORITIES} && mount --bind "$0" {AUTHORITIES} && exec "$@"'
        authorities = self._fetches_from or self.folder / "ca" / "trusted"
        return ["unshare", "--mount", "sh", "-c", script, str(authorities)]

    def _trust(self) -> str:
        if self._issuer is None:
            return ""
        places = {
            "https://central.example.org:8470/elements": self._issuer.name,
            "pilots:pilots": f"{OWNER}:{OWNER}",
        }
        return on_page(PAGE, "arc.conf", places)

    def _trust_issuer(self, issuer: str, jwks: dict[str, object]) -> None:
        number = f"{zlib.crc32(issuer.encode()) & 0xFFFFFFFF:x}"
        folder = self.folder / "control" / "tokenissuers" / number
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "issuer").write_text(issuer)
        (folder / "metadata").write_text(
            json.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/jwks"})
        )
        (folder / "keys").write_text(json.dumps(jwks))

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
        # A forked job is nice by 10: on a busy machine it would not come to its turn for minutes.
        # What looks after forked jobs sleeps for 10 s between two looks.
        short = f'[ "$*" != 10 ] || set -- {min(10, self._look_s)}'
        first = {"nice": 'shift 2\nexec "$@"', "sleep": f'{short}\nexec /bin/sleep "$@"'}
        for name, lines in first.items():
            program = root / "first" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!/bin/sh\n{lines}\n")
            program.chmod(0o755)
        arched = root / "sbin" / "arched"
        arched.write_text(_ARCHED.format(look_s=self._look_s))
        arched.chmod(0o755)
        return root

    def _wait(self) -> None:
        context = trusting(str(self.folder / "ca" / "ca.pem"))
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

    def trust(self, certificate: bytes) -> None:
        """Fetch keys from any issuer whose host has this certificate, its own authority."""
        assert self._fetches_from is None
        trust(self.folder / "ca" / "trusted", certificate)

    def logs(self) -> str:
        """Return the ends of what it has logged."""
        return "\n".join(one.read_text()[-3_000:] for one in self.folder.glob("log/*.log"))

    def stop(self) -> None:
        """End all of it."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        shutil.rmtree(self.folder, ignore_errors=True)


def _with(config: str, more: str) -> str:
    """Return a configuration with more lines in its sections, of which none may stand twice.

    Groups of who comes in have to stand before the sections that name them.
    """
    for section in filter(None, more.split("[")):
        name, _, lines = section.partition("]\n")
        head = f"[{name}]\n"
        if head in config:
            config = config.replace(head, head + lines.strip() + "\n", 1)
        else:
            config = config.replace("[mapping]\n", f"{head}{lines.strip()}\n[mapping]\n", 1)
    return config
