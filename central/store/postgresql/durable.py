"""What a database must be before the store writes there, read back from the server itself."""

from typing import Any, Final

from ..errors import StoreBroken

VERSION_MIN: Final = 130_000
_SYNCED: Final = ("on", "remote_apply")


def check(found: Any) -> None:
    """Look at the row of `durability`. Raises StoreBroken with what would be right."""
    for setting in ("fsync", "full_page_writes"):
        if found[setting] != "on":
            raise StoreBroken(
                f"PostgreSQL has {setting}={found[setting]}: a power cut would lose or damage what "
                f"was acknowledged; set {setting} = on"
            )
    if found["synchronous_commit"] not in _SYNCED:
        raise StoreBroken(
            f"PostgreSQL has synchronous_commit={found['synchronous_commit']}: nothing "
            "acknowledged would be safe; set it to on, for this database and user too"
        )
    if found["replicas"] and not found["synchronous_standby_names"]:
        raise StoreBroken(
            f"PostgreSQL has {found['replicas']} replica and none is synchronous: a failover would "
            "lose what was acknowledged; name one in synchronous_standby_names"
        )
    if found["in_recovery"]:
        raise StoreBroken("this PostgreSQL is a standby: store.url must name the one that leads")
    if found["version"] < VERSION_MIN:
        raise StoreBroken(
            f"PostgreSQL {found['version'] // 10_000} is too old: 13 or newer is right"
        )
    if found["encoding"] != "UTF8" or found["collation"] not in ("C", "POSIX"):
        raise StoreBroken(
            f"the database has encoding {found['encoding']} and collation {found['collation']}: "
            "make one with createdb --template=template0 --encoding=UTF8 --locale=C"
        )
