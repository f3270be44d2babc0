"""Two processes on one database: together they exceed no quota."""

import asyncio

from pilotage.central.accounts import record_quotas as quota_records
from pilotage.central.accounts.record_quotas import Holding, QuotaLimit, QuotaLimits
from pilotage.central.store.errors import OverQuota
from pilotage.central.store.postgresql import open_beside, open_postgresql
from tests.services.postgresql import Postgresql

from .conftest import NOW, never
from .rows import a_class, submitted

LIMITS = QuotaLimits(
    own={("owner", "ctao", "ada"): QuotaLimit(jobs=25, bytes=100)}, local_issuer="local"
)


async def test_submissions_and_uploads_at_two_processes_never_exceed_a_quota_together(
    server: Postgresql,
) -> None:
    with server.empty_schema() as url:
        stores = [
            await open_postgresql(url, clock_wall=lambda: NOW, fatal=never),
            await open_beside(url, fatal=never),
        ]
        kind = await a_class(stores[0])
        for store in stores:
            await store.write(quota_records.obey, LIMITS)

        async def held(number: int) -> bool:
            return await stores[number % 2].write(
                quota_records.hold,
                Holding(
                    sha256=f"{number:064x}",
                    owner_id=kind.owner_id,
                    community="ctao",
                    group="sim",
                    bytes=9,
                    at=5.0,
                ),
            )

        calls = [submitted(stores[n % 2], kind, 4, f"key {n}") for n in range(16)]
        found = await asyncio.gather(*calls, *(held(n) for n in range(24)), return_exceptions=True)
        uses = {one.kind: (one.jobs, one.bytes) for one in await stores[1].read(quota_records.uses)}
        for store in stores:
            await store.close()

    assert sum(isinstance(one, OverQuota) for one in found) == 10 + 13
    assert not [one for one in found if isinstance(one, Exception) and type(one) is not OverQuota]
    assert uses == dict.fromkeys(("community", "group", "owner"), (24, 99))
