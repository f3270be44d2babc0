"""Quotas in simulated worlds: in some they bind, in all what is used is what the rows say."""

# pyright: reportPrivateUsage=false

from collections import Counter

from pilotage.central.settings import QuotaSettings
from pilotage.proto.api_quotas import UsageView
from tests.fake_store import FakeStore
from tests.fake_store_quotas import Key, keys_of

from .violation import Violation

BINDING = QuotaSettings(owner_jobs=5, owner_gb=6e-8)  # 60 bytes: some streams have no room
SUBMITS = frozenset({"submit", "add_jobs", "make_tasks"})


def quota_of(seed: int) -> QuotaSettings:
    """Return the quotas of a world. They are not drawn, so that all else stays as it was."""
    return BINDING if seed % 3 == 0 else QuotaSettings()


def committed(verb: str, rows: FakeStore, quota: QuotaSettings) -> None:
    """Something was written. Raises Violation if an acknowledged submission exceeds a quota."""
    for key, jobs in rows._quota_data.jobs.items():
        if verb in SUBMITS and key[0] == "owner" and 0 < quota.owner_jobs < jobs:
            raise Violation("quotas", f"{key} has {jobs} jobs after {verb}")
    for key, held in rows._quota_data.bytes.items():
        if verb == "hold" and key[0] == "owner" and 0 < int(quota.owner_gb * 1e9) < held:
            raise Violation("quotas", f"{key} has {held} bytes after {verb}")


def over(rows: FakeStore, usage: UsageView) -> None:
    """All jobs have ended. Raises Violation if what is used is not what is there."""
    for row in usage.rows:
        if row.jobs:
            raise Violation("quotas", f"all jobs have ended, and {row} shows some")
    counted: Counter[Key] = Counter()
    for one in rows._quota_data.holdings.values():
        counted.update(dict.fromkeys(keys_of(one.community, one.group, one.owner_id), one.bytes))
    if +counted != +rows._quota_data.bytes:
        raise Violation("quotas", f"{rows._quota_data.bytes} is charged, {counted} is held")
