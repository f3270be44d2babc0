"""Checks the guarantees that the store needs from a database, as the server reports them."""

from typing import Any, Final

from ..errors import StoreBroken

VERSION_MIN: Final = 130_000
_SYNCED: Final = ("on", "remote_apply")


def check(found: Any) -> None:
    """Check the row of `durability`. Raises StoreBroken with the right setting."""
    for setting in ("fsync", "full_page_writes"):
        if found[setting] != "on":
            raise StoreBroken(
                f"PostgreSQL has {setting}={found[setting]}: a power cut could lose or damage "
                f"committed rows; set {setting} = on"
            )
    if found["synchronous_commit"] not in _SYNCED:
        raise StoreBroken(
            f"PostgreSQL has synchronous_commit={found['synchronous_commit']}: committed rows "
            "would not be safe; set it to on, also for this database and user"
        )
    if found["replicas"] and not found["synchronous_standby_names"]:
        raise StoreBroken(
            f"PostgreSQL has {found['replicas']} replica and none is synchronous: a failover would "
            "lose committed rows; name a replica in synchronous_standby_names"
        )
    if found["in_recovery"]:
        raise StoreBroken("this PostgreSQL server is a standby; store.url must name the primary")
    if found["version"] < VERSION_MIN:
        raise StoreBroken(
            f"PostgreSQL {found['version'] // 10_000} is too old; install 13 or newer"
        )
    if found["encoding"] != "UTF8" or found["collation"] not in ("C", "POSIX"):
        raise StoreBroken(
            f"the database has encoding {found['encoding']} and collation {found['collation']}: "
            "create one with createdb --template=template0 --encoding=UTF8 --locale=C"
        )
