"""Makes the data of a release, which later ones are tested to open. Run once, from its checkout:

python -m tests.data.make_release tests/data/release-0.1
"""

import io
import lzma
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from pilotage.central.operate.datadir import STORE_FILE
from pilotage.central.operate.distribution.pilot_bundle import pilot_bundle
from pilotage.central.operate.servers.postgresql import USER
from tests.services import postgresql

from .release import DATA_FOLDER, DATABASE, DISK, FACTS, PILOT, SCHEMA, Facts
from .story import tell

# Of the data directory: what a start makes anew, and what pilots have left.
LEFT_OUT: Final = ("central.log", "central.json", "lock", "standby", "pilots")


def make(folder: Path) -> None:
    """Write the pilot, and of each kind of store its content and what is known of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PILOT).write_bytes(lzma.compress(pilot_bundle().read_bytes(), preset=9))
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        facts = tell(place, {})
        _make_one_file(place / "central" / STORE_FILE)
        _keep(folder, "sqlite", place, facts)
    with tempfile.TemporaryDirectory() as made, postgresql.started() as server:
        server.sql(f"CREATE SCHEMA {SCHEMA}")
        facts = tell(Path(made), {"store.url": server.url(schema=SCHEMA)})
        _keep(folder, "postgresql", Path(made), facts)
        (folder / DATABASE).write_bytes(lzma.compress(_dump(server), preset=9))


def _make_one_file(store: Path) -> None:
    connection = sqlite3.connect(store, isolation_level=None)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.execute("VACUUM").fetchall()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


def _keep(folder: Path, kind: str, place: Path, facts: Facts) -> None:
    shown = msgspec.json.format(msgspec.json.encode(facts), indent=1)
    (folder / FACTS.format(kind)).write_bytes(shown + b"\n")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz", preset=9) as archive:
        for name in ("central", DISK):
            archive.add(place / name, name, filter=_anybodys)
    (folder / DATA_FOLDER.format(kind)).write_bytes(packed.getvalue())


def _anybodys(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what is not kept, and who owned the rest."""
    if member.name.split("/")[1:2] and member.name.split("/")[1] in LEFT_OUT:
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _dump(server: postgresql.Postgresql) -> bytes:
    command = ["pg_dump", "--no-owner", "--no-privileges", f"--schema={SCHEMA}"]
    command += ["-h", str(server.folder), "-U", USER, "postgres"]
    text = subprocess.run(command, check=True, capture_output=True).stdout
    # Words of the newest pg_dump, which psql of an older minor release does not know.
    lines = text.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith((b"\\restrict", b"\\unrestrict")))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
