"""Quotas in simulated worlds: in some they bind, in all what is used is what the rows say."""

from collections import Counter

from pilotage.central.accounts import record_quotas as quota_records
from pilotage.central.settings import QuotaSettings
from pilotage.proto.api.quotas import UsageView
from tests.memory_store import MemoryStore

from .store import step
from .violation import Violation

BINDING = QuotaSettings(owner_jobs=5, owner_gb=6e-8)  # 60 bytes: some streams have no room
SUBMITS = frozenset({"submit", "add_jobs", "make_tasks"})


def quota_of(seed: int) -> QuotaSettings:
    """Return the quotas of a world. They are not drawn, so that all else stays as it was."""
    return BINDING if seed % 3 == 0 else QuotaSettings()


def committed(verb: str, rows: MemoryStore, quota: QuotaSettings) -> None:
    """Something was written. Raises Violation if an acknowledged submission exceeds a quota."""
    if verb not in SUBMITS and verb != "hold":
        return
    for use in step(rows.read(quota_records.uses)):
        if use.kind != "owner":
            continue
        if verb in SUBMITS and 0 < quota.owner_jobs < use.jobs:
            raise Violation("quotas", f"{use} has too many jobs after {verb}")
        if verb == "hold" and 0 < int(quota.owner_gb * 1e9) < use.bytes:
            raise Violation("quotas", f"{use} has too many bytes after {verb}")


def over(rows: MemoryStore, usage: UsageView) -> None:
    """All jobs have ended. Raises Violation if what is used is not what is there."""
    for row in usage.rows:
        if row.jobs:
            raise Violation("quotas", f"all jobs have ended, and {row} shows some")
    held: Counter[tuple[str, str, str]] = Counter()
    for community, group, owner, count in rows.by_hand(
        "SELECT o.community, h.group_name, h.owner_id, h.bytes"
        "  FROM holding AS h JOIN owner AS o USING (owner_id)"
    ):
        held["community", community, ""] += count
        held["group", community, group] += count
        held["owner", community, str(owner)] += count
    charged = Counter(
        {
            (use.kind, use.community, use.name): use.bytes
            for use in step(rows.read(quota_records.uses))
        }
    )
    if +held != +charged:
        raise Violation("quotas", f"{charged} is charged, {held} is held")
