"""Get the pilot's bundle, verify its signature, and become the pilot.

This is the second part of `pilot.sh`. The first part finds a Python to run it, and passes the
central's address, the public key and the lowest accepted version. Nothing of the bundle is unpacked
or run before its signature is verified. This program does not read the bootstrap secret: the pilot
reads it, from a file or from standard input.
"""

import argparse
import base64
import hashlib
import http.client
import io
import ipaddress
import os
import random
import re
import signal
import ssl
import sys
import tempfile
import time
import urllib.parse
import zipfile
from typing import NoReturn, Optional

EXIT_USAGE, EXIT_NO_BUNDLE, EXIT_FORGED, EXIT_OLD, EXIT_NO_PLACE = 2, 21, 22, 23, 24

SIZE_MAX = 16 << 20  # of the bundle, which has about 1 MiB
TRIES_MAX = 6
TRY_S = 60  # for one whole try, with name look-up and handshakes
SILENCE_S = 20.0  # of the central, within a try
PAUSE_FIRST_S, PAUSE_MAX_S = 2.0, 60.0


class Stop(Exception):
    """No pilot can be started."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class TryAgain(Exception):
    """The central did not answer, or with an error that may pass."""


# ---- Ed25519 (RFC 8032, 5.1.7), verification alone: nothing here is secret, so time may vary -----

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)  # of -1

Point = tuple[int, int, int, int]  # X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z


def is_signed(content: bytes, signature: bytes, key: bytes) -> bool:
    """Whether `signature` is that of `content` for the public `key`."""
    if len(key) != 32 or len(signature) != 64:
        return False
    mine = _point(key)
    factor = int.from_bytes(signature[32:], "little")
    if mine is None or factor >= _ORDER:  # a larger factor is another form of the same signature
        return False
    digest = hashlib.sha512(signature[:32])
    digest.update(key)
    digest.update(content)
    challenge = int.from_bytes(digest.digest(), "little") % _ORDER
    minus = (_P - mine[0], mine[1], 1, _P - mine[3])
    return _text(_sum(_times(factor, _BASE), _times(challenge, minus))) == signature[:32]


def _sum(one: Point, two: Point) -> Point:
    a = (one[1] - one[0]) * (two[1] - two[0]) % _P
    b = (one[1] + one[0]) * (two[1] + two[0]) % _P
    c = 2 * one[3] * two[3] * _D % _P
    d = 2 * one[2] * two[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(factor: int, point: Point) -> Point:
    found = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            found = _sum(found, point)
        point = _sum(point, point)
        factor >>= 1
    return found


def _point(text: bytes) -> Optional[Point]:
    y = int.from_bytes(text, "little")
    odd, y = y >> 255, y & ((1 << 255) - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (not x and odd):
        return None
    if x & 1 != odd:
        x = _P - x
    return x, y, 1, x * y % _P


def _text(point: Point) -> bytes:
    inverse = pow(point[2], _P - 2, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


_BASE_Y = 4 * pow(5, _P - 2, _P) % _P
_BASE = _point(_BASE_Y.to_bytes(32, "little")) or (0, 1, 1, 0)

# ---- where the bundle comes from -----------------------------------------------------------------


def from_path(path: str) -> tuple[bytes, bytes]:
    """Return a bundle from a path, and the signature beside it. Raises OSError."""
    with open(path, "rb") as bundle, open(f"{path}.sig", "rb") as beside:
        return bundle.read(SIZE_MAX + 1), beside.read(65)


def from_central(url: str, ca: str, plain_http: bool) -> tuple[bytes, bytes]:
    """Return the bundle of the central and its signature; repeat while that may help."""
    address = _address(url, plain_http)
    pause_s, said = PAUSE_FIRST_S, ""
    for left in range(TRIES_MAX - 1, -1, -1):
        try:
            return _fetched(address, ca)
        except ssl.SSLCertVerificationError as why:
            say = f"{url}: its certificate is not trusted: {why.verify_message}; see --ca"
            raise Stop(EXIT_NO_BUNDLE, say) from None
        except (TryAgain, OSError, http.client.HTTPException) as why:
            said = f"{url}: {why or type(why).__name__}"
        if left:
            # Random, so that pilots that started together do not all come back together.
            wait_s = random.uniform(0.5, 1.0) * pause_s
            tell(f"{said}; {left} more tries, the next in {wait_s:.0f} s")
            time.sleep(wait_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
    raise Stop(EXIT_NO_BUNDLE, said)


def _address(url: str, plain_http: bool) -> urllib.parse.SplitResult:
    say = f"--central {url!r} must look like https://central.example:8443"
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme in ("https", "http") and parts.hostname and parts.port != 0
    except ValueError:
        raise Stop(EXIT_USAGE, say) from None
    if not good:
        raise Stop(EXIT_USAGE, say)
    if parts.scheme == "http" and not (plain_http or _is_here(parts.hostname or "")):
        raise Stop(EXIT_USAGE, f"--central {url}: use https, or allow http with --plain-http")
    return parts


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _fetched(address: urllib.parse.SplitResult, ca: str) -> tuple[bytes, bytes]:
    host = address.hostname or ""
    if address.scheme == "https":
        trust = ssl.create_default_context(cafile=ca or None)  # noqa: TID251 - it stands alone
        trust.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as in the pilot: proto/trust.py
        trust.minimum_version = ssl.TLSVersion.TLSv1_2
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, address.port, timeout=SILENCE_S, context=trust
        )
    else:
        connection = http.client.HTTPConnection(host, address.port, timeout=SILENCE_S)
    # A socket's timeout starts again with each byte, and the look-up of a name has none.
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(TRY_S)
    try:
        connection.request("GET", address.path.rstrip("/") + "/pilot.pyz")
        with connection.getresponse() as reply:
            return _read(reply)
    finally:
        signal.alarm(0)
        connection.close()


def _late(_number: int, _frame: object) -> NoReturn:
    raise TryAgain(f"not done within {TRY_S} s")


def _read(reply: http.client.HTTPResponse) -> tuple[bytes, bytes]:
    if reply.status != 200:
        why = f"GET /pilot.pyz gave {reply.status} {reply.reason}"
        if reply.status >= 500 or reply.status in (408, 429):
            raise TryAgain(why)
        raise Stop(EXIT_NO_BUNDLE, why)
    content = reply.read(SIZE_MAX + 1)
    length = reply.getheader("content-length")
    if length is not None and length != str(len(content)) and len(content) <= SIZE_MAX:
        raise TryAgain(f"the answer broke off after {len(content)} of {length} bytes")
    try:
        signature = base64.b64decode(reply.getheader("pilotage-signature", ""), validate=True)
    except ValueError:
        signature = b""
    return content, signature


# ---- whether it may be run -----------------------------------------------------------------------


def check(content: bytes, signature: bytes, *, key: bytes, least: str, where: str) -> None:
    """Check that the bundle is signed with `key`, and not older than `least`. Raises Stop."""
    if len(content) > SIZE_MAX:
        raise Stop(EXIT_FORGED, f"{where}: a pilot has at most {SIZE_MAX} bytes")
    if not is_signed(content, signature, key):
        say = f"not signed with the key {key.hex()}: altered, cut off, or of another central"
        raise Stop(EXIT_FORGED, f"{where}: {say}")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            version = archive.read("VERSION").decode("ascii").strip()
    except (zipfile.BadZipFile, KeyError, ValueError):
        raise Stop(EXIT_OLD, f"{where}: it has no version") from None
    if order(version) < order(least):
        say = f"{where}: version {version} is too old: use at least {least}, or a new pilot.sh"
        raise Stop(EXIT_OLD, say)


def order(version: str) -> tuple[tuple[int, ...], int, int]:
    """Return the sort key of a version: 0.9 < 0.10.dev1 < 0.10a1 < 0.10rc1 < 0.10."""
    found = re.fullmatch(r"(\d+(?:\.\d+)*)(?:(a|b|rc|\.dev)(\d+))?(?:\+[\w.]+)?", version)
    if found is None:
        raise Stop(EXIT_OLD, f"{version!r} is not a version")
    numbers = [int(number) for number in found[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    stages = (".dev", "a", "b", "rc", None)
    return tuple(numbers), stages.index(found[2]), int(found[3] or 0)


# ---- the way to the pilot ------------------------------------------------------------------------


def folder_of_user() -> str:
    """Return the folder of all pilots of this user, which is hidden from payloads."""
    folder = os.path.join(tempfile.gettempdir(), f"pilotage-{os.geteuid()}")
    try:
        os.mkdir(folder, 0o700)
    except OSError:  # it exists, or cannot be made
        pass
    try:
        is_ours = not os.path.islink(folder) and os.stat(folder).st_uid == os.geteuid()
    except OSError:
        is_ours = False
    return folder if is_ours else tempfile.gettempdir()


def become_pilot(content: bytes, words: list[str]) -> NoReturn:
    """Run exactly these bytes: a file that others can write may have changed since it was read."""
    try:
        folder = tempfile.mkdtemp(prefix="pilotage-", dir=folder_of_user())
    except OSError as why:
        raise Stop(EXIT_NO_PLACE, f"no folder for pilot.pyz: {why}; see TMPDIR") from None
    file = os.path.join(folder, "pilot.pyz")
    try:
        with open(file, "wb") as out:
            out.write(content)
        # `once`: the pilot removes the file and its folder.
        os.execv(sys.executable, [sys.executable, "-I", "-S", file, "once", *words])
    except OSError as why:
        of_user = os.path.dirname(folder)
        ours = [(os.unlink, file), (os.rmdir, folder)]
        if of_user != tempfile.gettempdir():
            ours.append((os.rmdir, of_user))
        for remove, name in ours:
            try:
                remove(name)
            except OSError:
                pass
        raise Stop(EXIT_NO_PLACE, f"{file}: {why.strerror}; see TMPDIR") from None


def tell(what: str) -> None:
    """Print a line into the output of the batch job."""
    print(f"pilot.sh: {what}", file=sys.stderr, flush=True)


def run(central: str, key: str, least: str, words: list[str]) -> NoReturn:
    """Get the bundle from the place in `words`, verify it, become the pilot. Raises Stop."""
    if not (key and least):
        raise Stop(EXIT_USAGE, "this file has no key: use the one from a central")
    said, rest = _said(words)
    url = said.central or central
    got: Optional[tuple[bytes, bytes]] = None
    where = said.bundle
    if where:
        try:
            got = from_path(where)
        except OSError as why:
            tell(f"--bundle {where}: {why.strerror}: {why.filename}; using the central instead")
    if got is None:
        if not url:
            raise Stop(EXIT_USAGE, "--central URL is needed")
        where = f"{url.rstrip('/')}/pilot.pyz"
        got = from_central(url, said.ca, said.plain_http)
    check(*got, key=bytes.fromhex(key), least=least, where=where)
    if not rest or rest[0].startswith("-"):
        rest = ["run", *rest]
    if url and rest[0] == "run":
        rest = [*rest, f"--central={url}"]
    become_pilot(got[0], rest)


def _said(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return our own options, and the words for the pilot, with the CA for both."""
    env = os.environ.get
    parser = argparse.ArgumentParser("pilot.sh", add_help=False, allow_abbrev=False)
    parser.add_argument("--bundle", default=env("PILOTAGE_BUNDLE", ""))
    parser.add_argument("--central", default=env("PILOTAGE_PILOT__CENTRAL", ""))
    parser.add_argument("--ca", default=env("PILOTAGE_PILOT__CA", ""))
    parser.add_argument("--plain-http", action="store_true", default=_is_plain())
    said, rest = parser.parse_known_args(words)
    if said.ca:
        rest.append(f"--ca={said.ca}")
    if said.plain_http:
        rest.append("--plain-http")
    return said, rest


def _is_plain() -> bool:
    return os.environ.get("PILOTAGE_PILOT__PLAIN_HTTP", "").lower() in ("1", "true", "yes")


def main(words: list[str]) -> int:
    """Return an exit code if no pilot can be started."""
    try:
        run(words[0], words[1], words[2], words[3:])
    except Stop as why:
        tell(f"{why}; nothing was run")
        return why.code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
