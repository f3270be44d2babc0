"""Checks whether a data directory belongs to the store that a setting names.

A store in a file is in its data directory. A database is elsewhere, and several processes share
both. A process with another directory would have other keys and files, and tokens would not be
valid at all processes.
"""

from pathlib import Path
from typing import Final

from ..identity import derived_secrets, keys, record as token_records
from ..identity.tokens import ADMIN_FILE, TokenIssuer
from ..ports import Disk
from ..store.engine import Store
from ..store.errors import StoreError

SHARED: Final = (
    "name the data directory that all processes of the store share, or restore its keys from a "
    "backup; nothing was changed"
)


async def check_keys(data: Path, store: Store) -> None:
    """Refuse to use an existing store with new keys. Raises StoreError."""
    files = (keys.FILE, ADMIN_FILE, derived_secrets.FILE)
    there = await store.read(token_records.tokens, None, limit=1)
    if there and not any((data / name).exists() for name in files):
        raise StoreError(f"--data {data} has no keys, and the store has tokens: {SHARED}")


async def check_token(data: Path, tokens: TokenIssuer, store: Store, *, disk: Disk) -> None:
    """Check that the store knows the administrator's token. Raises StoreError."""
    admin = tokens.read_admin(data / ADMIN_FILE, disk=disk)
    if admin is None:
        return
    if await store.read(token_records.token, admin.jti) is not None:
        return
    file = data / ADMIN_FILE
    if await store.read(token_records.tokens, None, limit=1):
        raise StoreError(
            f"the token in {file} is not in the store: these keys belong to another store: "
            f"{SHARED}. If the store was restored to an earlier state, remove that file"
        )
    raise StoreError(
        f"the token in {file} is not in the store, which is empty: it lost its data, or it is "
        f"the wrong one. Restore a backup, or, if its data is not needed, remove {file}"
    )
