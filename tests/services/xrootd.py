"""XRootD of Debian as a storage with tokens, over HTTPS and over its own protocol (`roots`).

It runs as the user `xrootd` of the package if root starts it. Tokens are of an issuer of the tests,
whose keys are laid where the server's library keeps known ones: no issuer has to be reachable. It
listens on all addresses, because it has no setting for another; without a token it gives nothing.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from joserfc import jwt
from joserfc.jwk import RSAKey

from pilotage.proto.trust import trusting

from .authority import make_authority
from .folders import open_folder
from .ports import HeldPorts, free_ports

HANDSHAKE_S: Final = 10.0
ISSUER: Final = "https://issuer.test/data"
ROOT: Final = "/ctao"  # below which tokens reach
READY_S: Final = 30.0
_USER: Final = "xrootd"
_PROGRAMS: Final = ("xrootd", "xrdcp", "xrdfs")
_PLUGINS: Final = ("libXrdHttp-5.so", "libXrdAccSciTokens-5.so", "libXrdSecztn-5.so")
_CONFIGURATION: Final = """\
all.sitename test
xrd.port {port}
xrd.network nodnr
xrd.tls {folder}/ca/host.pem {folder}/ca/host.key
xrd.tlsca certfile {folder}/ca/ca.pem
xrd.protocol http:{https_port} libXrdHttp.so
xrootd.tls capable all
xrootd.chksum max 2 adler32
xrootd.seclib libXrdSec.so
sec.protocol ztn
all.export {root}
oss.localroot {folder}/data
all.adminpath {folder}/run
all.pidpath {folder}/run
http.header2cgi Authorization authz
http.exthandler xrdtpc libXrdHttpTPC.so
http.selfhttps2http no
ofs.authorize
ofs.authlib libXrdAccSciTokens.so config={folder}/scitokens.cfg
"""
_ISSUER: Final = """\
[Issuer i{number}]
issuer = {issuer}
base_path = {root}
"""
# Otherwise the library would ask the issuer after ten minutes.
_TRUST: Final = """\
import ctypes, sys
library, why = ctypes.CDLL("libSciTokens.so.0"), ctypes.c_char_p()
for key in (b"keycache.update_interval_s", b"keycache.expiration_interval_s"):
    if library.config_set_int(key, 365 * 86400, ctypes.byref(why)):
        sys.exit(repr(why.value))
if library.keycache_set_jwks(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(why)):
    sys.exit(repr(why.value))
"""


def missing() -> str:
    """Return what must be installed before it can start, or an empty string."""
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    libraries = [f"{one.parent}" for one in Path("/usr/lib").glob("*/libXrdHttp-5.so")]
    absent += [name for name in _PLUGINS if not any(Path(at, name).exists() for at in libraries)]
    packages = "xrootd-server xrootd-client xrootd-server-plugins xrootd-scitokens-plugins"
    return f"{', '.join(absent)} (apt: {packages})" if absent else ""


class Xrootd:
    """One server over `folder`/data/ctao. `stop` and `start` again keep ports and files.

    It trusts the issuer of the tests, and `others`: sets of public keys by the name of the issuer.
    Its certificate is of `authority`, a folder of `make_authority`, or of one of its own.
    """

    def __init__(
        self, folder: Path, others: Mapping[str, str] | None = None, authority: Path | None = None
    ) -> None:
        self.folder, self.files = folder, folder / "data" / ROOT.lstrip("/")
        self.port, self.https_port = free_ports(2)
        self.audience = f"https://localhost:{self.https_port}"
        self.url = f"{self.audience}{ROOT}"
        self.root_url = f"roots://localhost:{self.port}/{ROOT}"
        self.authorities = folder / "ca" / "trusted"  # for X509_CERT_DIR
        self._key = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig", "alg": "RS256"})
        self._process: subprocess.Popen[bytes] | None = None
        self._held = HeldPorts()
        for name in ("ca", "run", "cache"):
            (folder / name).mkdir()
        self.files.mkdir(parents=True)
        if authority is None:
            make_authority(folder / "ca")
        else:
            shutil.copytree(authority, folder / "ca", symlinks=True, dirs_exist_ok=True)
        own = json.dumps({"keys": [self._key.as_dict(private=False)]})
        text = f"[Global]\naudience = {self.audience}, https://wlcg.cern.ch/jwt/v1/any\n"
        for number, (issuer, keys) in enumerate({ISSUER: own, **(others or {})}.items()):
            self._trust(issuer, keys)
            text += _ISSUER.format(number=number, issuer=issuer, root=ROOT)
        (folder / "scitokens.cfg").write_text(text)
        (folder / "xrootd.cfg").write_text(
            _CONFIGURATION.format(
                folder=folder, port=self.port, https_port=self.https_port, root=ROOT
            )
        )
        self.own(folder)

    def _trust(self, issuer: str, keys: str) -> None:
        subprocess.run(
            [sys.executable, "-I", "-c", _TRUST, issuer, keys],
            env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache")},
            check=True,
        )

    def own(self, top: Path) -> None:
        """Give a file or folder, with all in it, to the server's user."""
        if os.geteuid() == 0:
            for one in (top, *top.rglob("*")):
                shutil.chown(one, _USER, _USER)

    def token(self, *scopes: str, lifetime_s: float = 3600, audience: str = "") -> str:
        """Return a token with the claims of the WLCG profile, for paths below ROOT."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": "pilots",
            "aud": audience or self.audience,
            "iat": now - 100_000,
            "nbf": now - 100_000,
            "exp": int(now + lifetime_s),
            "jti": uuid.uuid4().hex,
            "wlcg.ver": "1.0",
            "scope": " ".join(scopes),
        }
        return jwt.encode({"alg": "RS256", "kid": "k1"}, claims, self._key)

    def lay(self, path: str, content: bytes) -> None:
        """Put a file there without asking the server."""
        target = self.files / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        self.own(self.files / path.split("/", 1)[0])

    def start(self) -> None:
        """Return once both ports answer; fails with its log."""
        user = ["-R", _USER] if os.geteuid() == 0 else []
        with open(self.folder / "said.log", "ab") as said:
            self._held.release()
            self._process = subprocess.Popen(
                ["xrootd", "-c", str(self.folder / "xrootd.cfg"), *user, "-n", "x"],
                cwd=self.folder / "run",
                env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache")},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        until = time.monotonic() + READY_S
        while "initialization completed" not in self.log() or not self._answers():
            assert self._process.poll() is None, f"xrootd has ended: {self.log()}"
            assert time.monotonic() < until, f"xrootd does not start: {self.log()}"
            time.sleep(0.05)

    def revive(self) -> None:
        """Start it again if it has died, or takes no connections any more.

        XRootD 5 does either at times after connections are cut.
        """
        if self._process is None:
            return
        if self._process.poll() is not None or not self._shakes_hands():
            self.stop()
            self.start()

    def _shakes_hands(self) -> bool:
        """Return whether its HTTPS port does: the system alone accepts the first hundreds."""
        context = trusting(str(self.folder / "ca" / "ca.pem"))
        try:
            with (
                socket.create_connection(("localhost", self.https_port), HANDSHAKE_S) as plain,
                context.wrap_socket(plain, server_hostname="localhost"),
            ):
                return True
        except OSError:
            return False

    def _answers(self) -> bool:
        for port in (self.port, self.https_port):
            try:
                socket.create_connection(("localhost", port), 1).close()
            except OSError:
                return False
        return True

    def stop(self) -> None:
        """Kill it; whoever asks now is refused."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            self._held.hold(self.port, self.https_port)
        (self.folder / "said.log").write_bytes(b"")

    def close(self) -> None:
        """Kill it for good."""
        self.stop()
        self._held.release()

    def log(self) -> str:
        """Return the end of what it has said."""
        return (self.folder / "said.log").read_text(errors="replace")[-6_000:]


@contextmanager
def xrootd(
    others: Mapping[str, str] | None = None,
    authority: Path | None = None,
    inside: str | None = None,
) -> Generator[Xrootd]:
    """Run one that also trusts `others`, and end it. Its folder is in `inside`, or in /tmp."""
    with open_folder("xrootd", inside) as folder:
        server = Xrootd(folder, others, authority)
        server.start()
        try:
            yield server
        finally:
            server.close()
