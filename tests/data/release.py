"""The data of one release: where they stand in a folder, and how they become a central's again."""

import json
import lzma
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from joserfc import jws

from pilotage.central.identity import keys
from pilotage.central.identity.verification import ALGORITHM
from pilotage.central.operate.files import RealDisk
from tests.services.postgresql import Postgresql

PILOT: Final = "pilot.pyz.xz"
DATABASE: Final = "postgresql.sql.xz"  # plain SQL, for psql: one schema
SCHEMA: Final = "central"  # its name
DAY_S: Final = 86_400
KINDS: Final = ("sqlite", "postgresql")  # of stores; each has a data directory and facts
DATA_FOLDER: Final = "{}.tar.xz"
FACTS: Final = "{}.json"

PLACE: Final = "/PLACE"  # in storages' files, for the folder that all of it is unpacked to
DISK: Final = "disk"  # the storage's folder, beside the data directory
SETTINGS: Final = {
    "bus.broker": "none",
    "community.name": "ctao",
    "community.groups": '["dpps", "users"]',
    "community.others": '["lst"]',
}


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that a pilot held when the central was stopped."""

    job: int
    epoch: int
    attempt_id: int
    started: bool
    wanted: str = ""  # kill, hold or reschedule, where its end was asked for


class HeldPilot(msgspec.Struct, frozen=True, kw_only=True):
    """What a pilot's journal would hold."""

    pilot: str
    gen: str
    session: int
    token: str
    renewal_secret: str
    asks: int  # how many it has made
    held: tuple[Held, ...] = ()


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the central said of its store just before it was stopped; lists come by id or name."""

    version: str
    jobs: dict[str, dict[str, Any]]  # id → its view
    deleted: list[int]
    outputs: dict[str, dict[str, str]]  # id → name → SHA-256
    histories: dict[str, list[str]]  # id → events
    pilots: dict[str, str]  # id → state
    transformations: dict[str, dict[str, Any]]  # name → its view
    productions: dict[str, dict[str, Any]]
    files: dict[str, dict[str, Any]]
    datasets: list[str]
    rules: list[dict[str, Any]]
    storages: list[str]
    tokens: dict[str, str]  # who → a token
    revoked: str  # a token that is no longer good
    accounts: list[dict[str, Any]]
    keys: dict[str, list[int]]  # key of a submission of maria's → its first id and count
    holders: list[HeldPilot]


def unpack(release: Path, kind: str, to: Path) -> Facts:
    """Lay out a data directory as `central` below `to`, and the storage's folder beside it."""
    with tarfile.open(release / DATA_FOLDER.format(kind)) as archive:
        archive.extractall(to, filter="data")
    for file in (to / "central" / "storages").glob("*.yaml"):
        file.write_text(file.read_text().replace(PLACE, str(to)))
    return msgspec.json.decode((release / FACTS.format(kind)).read_bytes(), type=Facts)


def last(facts: Facts, data: Path, run: Callable[[str], object], table: str) -> Facts:
    """Let the tokens of people last for another day: a revoked one must not expire as well.

    `run` executes a statement on the store of the central at `data`, which calls them `table`.
    """
    signing = keys.find(data, disk=RealDisk())
    assert signing is not None, f"{data} has no keys"
    expires_at, key = int(time.time()) + DAY_S, signing.made_by(time.time())

    def lasting(token: str) -> str:
        claims = json.loads(jws.extract_compact(token.encode()).payload) | {"exp": expires_at}
        run(f"UPDATE {table} SET expires_at = {expires_at} WHERE jti = '{claims['jti']}'")  # noqa: S608
        header = {"alg": ALGORITHM, "typ": "JWT", "kid": key.kid}
        payload = json.dumps(claims).encode()
        return jws.serialize_compact(header, payload, key, algorithms=[ALGORITHM])

    tokens = {who: lasting(token) for who, token in facts.tokens.items()}
    return msgspec.structs.replace(facts, tokens=tokens, revoked=lasting(facts.revoked))


def load_database(release: Path, server: Postgresql) -> str:
    """Fill an empty database and return the URL of the store in it."""
    text = server.folder / "release.sql"
    text.write_bytes(lzma.decompress((release / DATABASE).read_bytes()))
    server.sql(f"\\i {text}")
    text.unlink()
    return server.url(schema=SCHEMA)


def unpack_pilot(release: Path, to: Path) -> Path:
    """Write `pilot.pyz` as the release had it; return its path."""
    file = to / "pilot.pyz"
    file.write_bytes(lzma.decompress((release / PILOT).read_bytes()))
    return file
