"""Checks of keys, tokens and certificates: present, private and valid."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509

from pilotage.proto.decoding.nesting import loads

from ...identity import derived_secrets, element_issuer, keys, signature
from ...identity.base64url import decoded
from ...identity.errors import BadKeyFile
from ...identity.tokens import ADMIN_FILE
from ...settings import CommunitySettings, Settings
from .. import api_address
from ..clocks import SystemClock, SystemRandomness
from ..files import RealDisk
from ..unknown_names import NEW_TOKEN, unused
from .findings import Finding, Severity, fault, ok, warning

SOON_S: Final = 30 * 86_400.0
DAY_S: Final = 86_400.0
NAME_SETTINGS: Final = (
    "these are default settings: if the central has a file of settings, name it with --config"
)


def key_files(data: Path) -> Iterator[Finding]:
    """Check the files of the data directory that hold keys."""
    names = (keys.FILE, derived_secrets.FILE, signature.FILE)
    missing = [name for name in names if not (data / name).is_file()]
    if len(missing) == len(names):
        yield warning("keys", "there are none yet", "pilotage serve makes them at its first start")
        return
    there = [name for name in (*names, element_issuer.FILE) if (data / name).is_file()]
    open_ = [name for name in there if readable_by_others(data / name)]
    if open_:
        where = " ".join(str(data / name) for name in open_)
        yield fault("keys", f"{', '.join(open_)}: readable by others", f"chmod 0600 {where}")
    elif missing:
        do = "the next start makes a new one; old signatures become invalid"
        if missing == [derived_secrets.FILE]:
            do = "after a restore nothing: it is left out on purpose, so that old pilots end"
        yield warning("keys", f"{', '.join(missing)}: missing", do)
    else:
        yield _readable(data)


def _readable(data: Path) -> Finding:
    disk, clock, randomness = RealDisk(), SystemClock(), SystemRandomness()
    try:
        keys.load(data, disk=disk, clock=clock, randomness=randomness)
        derived_secrets.load(data, disk=disk, randomness=randomness)
        signature.load(data, disk=disk)
        keys.find(data, disk=disk, name=element_issuer.FILE)
    except (BadKeyFile, OSError) as why:
        return fault("keys", str(why), "restore the file from the last backup")
    return ok("keys", "each file is readable by its owner only")


def admin_token(data: Path, community: CommunitySettings, *, is_default: bool = False) -> Finding:
    """Check the administrator's token of this machine, by its own claims.

    `is_default`: no file of settings is known, so the community may be another one.
    """
    path = data / ADMIN_FILE
    try:
        text = path.read_text().strip()
    except OSError as why:
        return warning("admin token", f"{path}: {why.strerror}", "the next start makes a new one")
    if readable_by_others(path):
        return fault("admin token", f"{path}: readable by others", f"chmod 0600 {path}; revoke it")
    claims = _claims_of(text)
    if claims is None:
        return warning(
            "admin token", f"{path} holds no token", "remove it: the next start makes a new one"
        )
    judged = _expiry("admin token", claims.exp, "remove the file and restart: a new one is made")
    unlike = unused(community, claims.community, claims.groups)
    if unlike and judged.level is Severity.OK:
        return warning("admin token", unlike, NAME_SETTINGS if is_default else NEW_TOKEN)
    return judged


class _Claims(msgspec.Struct, frozen=True):
    exp: float = 0.0
    community: str = ""
    groups: tuple[str, ...] = ()


def _claims_of(token: str) -> _Claims | None:
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        return loads(decoded(parts[1]), _Claims)
    except (ValueError, msgspec.DecodeError):
        return None


def certificate(settings: Settings) -> Finding:
    """Check the certificate of the API."""
    path = settings.http.tls_certificate
    if not path and api_address.readable_by_others(settings.http):
        text = (
            f"none, and {settings.http.host} can be reached from outside: tokens are in clear text"
        )
        return fault("certificate", text, "see http.tls_certificate, or http.url behind a proxy")
    if not path:
        return ok("certificate", "none: the API speaks plain HTTP to this machine or its proxy")
    try:
        found = x509.load_pem_x509_certificate(Path(path).read_bytes())
    except (OSError, ValueError) as why:
        return fault("certificate", f"{path}: {why}", "see http.tls_certificate")
    if settings.http.tls_key and readable_by_others(Path(settings.http.tls_key)):
        key = settings.http.tls_key
        return fault("certificate", f"{key}: other users may read it", f"chmod 0600 {key}")
    return _expiry("certificate", found.not_valid_after_utc.timestamp(), "renew it, then restart")


def _expiry(check: str, expires_at: float, do: str) -> Finding:
    left_s = expires_at - time.time()
    if left_s <= 0:
        return fault(check, f"expired {-left_s / DAY_S:.0f} days ago", do)
    text = f"valid for {left_s / DAY_S:.0f} days"
    return warning(check, text, do) if left_s < SOON_S else ok(check, text)


def readable_by_others(path: Path) -> bool:
    """Return whether another user than its owner may read or write the file."""
    try:
        return bool(os.stat(path).st_mode & 0o077)
    except OSError:
        return False
