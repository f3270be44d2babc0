"""Contents of a store that had no holders: whoever names them in time may read them for good."""

from hashlib import sha256
from types import SimpleNamespace
from typing import Any, cast

from pilotage.central.accounts import record_quotas as quota_records
from pilotage.central.accounts.counters import Counters
from pilotage.central.accounts.holdings import Holdings
from pilotage.central.accounts.quotas import Quotas
from pilotage.central.identity.callers import AttemptCaller
from pilotage.central.identity.record_types import Holder
from pilotage.central.identity.scope import Owners
from pilotage.central.jobs import record_submissions as submission_records
from pilotage.central.jobs.blobs.removal import EVERY_S, BlobSweep
from pilotage.central.observe.events import no_log
from pilotage.central.settings import QuotaSettings
from tests.contract.store.rows import a_class, a_submission, some_jobs
from tests.fake_central import FakeBlobs, FakeClock
from tests.memory_store import MemoryStore

CONTENT = b"a shower"
NAME = sha256(CONTENT).hexdigest()
ATTEMPT = AttemptCaller(job=1, epoch=1, attempt_id=1, community="ctao")


class Quick(FakeClock):
    """Time that moves as far as somebody waits."""

    async def sleep(self, seconds: float) -> None:
        self.move(seconds)


class Scene:
    """A store of before with one content, on which a new release has started."""

    def __init__(self) -> None:
        self.clock, self.blobs = Quick(), FakeBlobs()
        self.store = MemoryStore(clock_wall=self.clock.wall)
        self.store.by_hand("INSERT INTO holding_state VALUES (1, 0, 0.0)")
        self.blobs.blobs[NAME], self.blobs.touched[NAME] = CONTENT, self.clock.wall()
        self.sweep = BlobSweep(self.store, self.blobs, self.clock, hold_s=10 * EVERY_S)
        owners = Owners(self.store, "local")
        memory = cast(Any, SimpleNamespace(owners=owners, counters=Counters()))
        settings = QuotaSettings()
        quotas = Quotas(self.store, memory, self.clock, no_log, settings, local_issuer="local")
        self.holdings = Holdings(self.store, self.blobs, self.clock, owners, quotas)

    async def named(self) -> int:
        """Submit a job that names the content, as an older process does; return its owner."""
        kind = await a_class(self.store)
        text = b'{"inputs":[{"sha256":"%s"}]}' % NAME.encode()
        await self.store.write(
            submission_records.submit, a_submission(kind, template=text), some_jobs(kind, 1)
        )
        return kind.owner_id

    async def day(self) -> None:
        """Let a day go by, and sweep if that is due."""
        self.clock.move(EVERY_S)
        await self.sweep.sweep_if_due()

    async def may_read(self, owner_id: int) -> bool:
        of = Holder("ctao", "dpps", owner_id, "", "")
        return await self.holdings.may_read(ATTEMPT, NAME, of)


async def test_a_content_that_is_named_after_the_first_sweep_can_be_read_for_good() -> None:
    scene = Scene()
    await scene.sweep.sweep_if_due()
    owner_id = await scene.named()
    for _ in range(5):
        assert await scene.may_read(owner_id)
        await scene.day()

    assert not await scene.holdings.is_open()
    assert [one.owner_id for one in await scene.store.read(quota_records.holdings, [NAME])] == [
        owner_id
    ]


async def test_a_content_that_nobody_names_is_open_for_two_days_after_the_first_sweep() -> None:
    scene = Scene()
    scene.clock.move(5 * EVERY_S)  # nothing has run since the upgrade
    before = await scene.may_read(1)
    await scene.sweep.sweep_if_due()
    found: list[bool] = []
    for _ in range(3):
        found.append(await scene.may_read(1))
        await scene.day()

    assert before
    assert found == [True, True, False]
    assert await scene.store.read(quota_records.holdings, [NAME]) == []


async def test_contents_that_are_named_when_all_is_closed_are_not_charged_any_more() -> None:
    scene = Scene()
    for _ in range(6):
        await scene.day()
    owner_id = await scene.named()
    await scene.day()

    assert await scene.store.read(quota_records.holdings, [NAME]) == []
    assert not await scene.may_read(owner_id)
