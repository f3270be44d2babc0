"""A whole central on fakes: what it counts, what it lets go of, and what it keeps."""

import asyncio
import dataclasses
import hashlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from pilotage.central.accounts import record_series as series_records, series as jobs_series
from pilotage.central.accounts.record_series import AccountSums, SeriesSample
from pilotage.central.dispatch.turns.reports import STRAYS_MAX
from pilotage.central.errors import Refused
from pilotage.central.identity.scope import CountKey
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.blobs.removal import BlobSweep
from pilotage.central.jobs.record import EVIDENCE_MAX
from pilotage.central.pilots import record as pilot_records
from pilotage.central.settings import RetentionSettings, Settings
from pilotage.proto.api.accounts import AccountsBy, Series, SeriesBy
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import Input
from pilotage.proto.ids import ID_MAX
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import How, Report, Usage
from pilotage.proto.pilot_states import PilotState
from tests.integration.line.test_metrics import metrics
from tests.integration.line.test_protocol import Scene, ended, scene

DAY_S = 86_400.0
USED = Usage(wall_s=100.0, cpu_s=90.0, bytes_in=3, bytes_out=4)


def used(report: Report) -> Report:
    return dataclasses.replace(report, usage=USED)


async def series(one: Scene, step_s: int = 10, by: SeriesBy = SeriesBy.SITE) -> Series:
    return await one.world.central.services.series.series(
        one.world.user(), step_s=step_s, since=None, by=by, site="", type=""
    )


async def run_one(one: Scene) -> int:
    (job_id,) = await one.submit()
    held = await one.ask()
    await asyncio.sleep(USED.wall_s)
    await one.turn(used(ended(held)))
    return job_id


def kept(one: Scene, **days: float) -> Settings:
    """Return the settings with these days of retention."""
    retention = msgspec.convert(days, RetentionSettings)
    return msgspec.structs.replace(one.world.settings, retention=retention)


async def restarted(one: Scene, settings: Settings) -> None:
    """Start the central anew, and the pilot with it."""
    await one.world.kill()
    one.world.settings = settings
    await one.start()


async def stored(one: Scene, content: bytes) -> str:
    async def bytes_() -> AsyncIterator[bytes]:
        yield content

    sha256 = hashlib.sha256(content).hexdigest()
    await one.world.blobs.put(sha256, bytes_(), size_max=100)
    return sha256


def test_what_waits_runs_and_ends_is_counted_by_site_without_reading_a_job() -> None:
    async def tell(one: Scene) -> None:
        await one.submit(2)
        held = await one.ask()
        await asyncio.sleep(USED.wall_s)
        await one.turn(used(ended(held)))
        await asyncio.sleep(25)
        found = await series(one)
        lines = {line.key: line for line in found.lines}

        assert sum(lines["PIC"].done) == 1
        assert sum(lines["PIC"].cpu_s) == 90.0
        assert sum(lines["PIC"].core_s) == 100.0 * held.grant.cores
        assert sum(lines["PIC"].bytes_out) == 4
        assert lines[""].waiting[-1] == 1
        assert len(found.at) == len(lines["PIC"].done) >= 2
        assert sum((await series(one, by=SeriesBy.TYPE)).lines[0].done) == 1

    scene(tell)


def test_counts_outlive_a_death_of_the_central_but_for_ten_seconds() -> None:
    async def tell(one: Scene) -> None:
        await run_one(one)
        await asyncio.sleep(15)
        await one.world.kill()
        await asyncio.sleep(300)
        await one.world.start()
        await asyncio.sleep(61)
        found = await series(one)
        owners = await one.world.central.services.series.accounts(
            one.world.user(), by=AccountsBy.OWNER, since=None, until=None
        )

        assert sum(sum(line.done) for line in found.lines) == 1
        assert [(line.key, line.done, line.cpu_s) for line in owners.lines] == [("admin", 1, 90.0)]

    scene(tell)


def test_a_graceful_end_keeps_the_last_counts_too() -> None:
    async def tell(one: Scene) -> None:
        await asyncio.sleep(15)
        await run_one(one)
        await one.world.central.stop()
        await one.world.kill()
        await one.world.start()

        assert sum(sum(line.done) for line in (await series(one)).lines) == 1

    scene(tell)


def test_nothing_is_forgotten_while_the_store_is_full() -> None:
    async def tell(one: Scene) -> None:
        await run_one(one)
        one.world.store.full = True
        await asyncio.sleep(60)
        one.world.store.full = False
        await asyncio.sleep(20)

        assert sum(sum(line.done) for line in (await series(one)).lines) == 1

    scene(tell)


def test_a_step_that_is_not_kept_is_refused_by_name() -> None:
    async def tell(one: Scene) -> None:
        with pytest.raises(Refused, match="step: found 7 s, expected one of 10, 60, 600"):
            await series(one, 7)

    scene(tell)


def test_jobs_go_when_their_days_are_over_and_the_books_stay() -> None:
    async def tell(one: Scene) -> None:
        await restarted(one, kept(one, done_days=0.01, killed_days=0.0))
        done = await run_one(one)
        (killed,) = await one.submit()
        await one.kill(killed)
        services = one.world.central.services
        retention = one.world.central.retention
        await retention.round()

        assert (await services.queries.job(one.world.user(), done)).view.id == done
        await asyncio.sleep(0.01 * DAY_S)
        await retention.round()
        with pytest.raises(Refused, match=f"job {done}"):
            await services.queries.job(one.world.user(), done)

        kept_books = await services.series.accounts(
            one.world.user(), by=AccountsBy.SITE, since=None, until=None
        )
        assert [(line.key, line.done) for line in kept_books.lines] == [("PIC", 1)]
        assert (await services.queries.job(one.world.user(), killed)).view.id == killed
        in_memory = sorted(one.world.central.memory.counters.rows())
        await one.world.kill()
        await one.world.start()
        assert sorted(one.world.central.memory.counters.rows()) == in_memory

    scene(tell)


def test_a_late_result_of_a_pruned_job_is_evidence_and_ends_its_repetition() -> None:
    async def tell(one: Scene) -> None:
        await restarted(one, kept(one, done_days=0.001))
        await one.submit()
        held = await one.ask()
        await one.turn(ended(held))
        await asyncio.sleep(100)
        await one.world.central.retention.round()
        reply = await one.turn(ended(held))

        assert [answer.answer.value for answer in reply.reports] == ["stale"]
        assert len(await one.world.store.read(job_records.evidence, held.job)) == 1

    scene(tell)


def test_a_file_goes_that_nothing_names_when_its_hold_is_over() -> None:
    async def tell(one: Scene) -> None:
        world = one.world
        world.blobs.wall = world.clock.wall
        named, orphan = await stored(one, b"named"), await stored(one, b"orphan")
        asked = await stored(one, b"asked for")
        await one.submit(inputs=(Input(name="a", sha256=named, size_bytes=5),))
        sweep = BlobSweep(world.store, world.blobs, world.clock, hold_s=600)

        assert await sweep.sweep() == 0
        await asyncio.sleep(500)
        assert await world.blobs.missing([asked]) == []  # somebody is about to name it
        await asyncio.sleep(200)
        assert await sweep.sweep() == 1
        assert set(world.blobs.blobs) == {named, asked}
        assert orphan not in world.blobs.blobs

    scene(tell)


def test_a_pilot_that_is_lost_for_long_leaves_memory_and_may_not_come_back() -> None:
    async def tell(one: Scene) -> None:
        await restarted(one, kept(one, lost_pilot_s=3_600.0))
        pilot, retention = one.caller.pilot, one.world.central.retention
        await asyncio.sleep(2_000)
        await retention.round()
        row = await one.world.store.read(pilot_records.pilot, pilot)
        assert row is not None and row.state is PilotState.LOST
        await one.beat()  # a long cut that heals
        await asyncio.sleep(3_700)
        await retention.round()
        row = await one.world.store.read(pilot_records.pilot, pilot)

        assert row is not None and row.state is PilotState.FAILED
        assert one.world.central.memory.pilots.find(pilot) is None
        with pytest.raises(Refused, match="has ended"):
            await one.beat()

    scene(tell)


def test_the_books_show_everybody_what_is_theirs() -> None:
    async def tell(one: Scene) -> None:
        await run_one(one)
        await asyncio.sleep(15)
        admin = one.world.user()

        async def done(**who: object) -> int:
            caller = msgspec.structs.replace(admin, **who)
            found = await one.world.central.services.series.accounts(
                caller, by=AccountsBy.ALL, since=None, until=None
            )
            return sum(line.done for line in found.lines)

        (group,) = admin.groups
        assert await done() == 1
        assert await done(role=Role.USER) == 1
        assert await done(role=Role.USER, subject="somebody else") == 0
        assert await done(role=Role.USER, groups=("other",)) == 0
        assert await done(role=Role.MANAGER, subject="boss", groups=(group,)) == 1
        assert await done(role=Role.MANAGER, subject="boss", groups=("other",)) == 0
        assert await done(role=Role.READER, subject="guest") == 1
        assert await done(role=Role.READER, community="lhcb") == 0

        foreign = msgspec.structs.replace(admin, community="lhcb")
        shown = await one.world.central.services.series.series(
            foreign, step_s=10, since=None, by=SeriesBy.ALL, site="", type=""
        )
        assert shown.lines == []

    scene(tell)


def test_what_a_pilot_cannot_have_used_is_not_charged_and_not_dated_back() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        submitted_at = one.world.clock.wall()
        held = await one.ask()
        await asyncio.sleep(100)
        lie = Usage(wall_s=3e8, frozen_s=3e8, cpu_s=1e13, bytes_in=ID_MAX, bytes_out=ID_MAX)
        told = dataclasses.replace(ended(held), usage=lie, ago_s=3e8)
        reply = await one.turn(told)

        (attempt,) = await one.world.store.read(job_records.attempts, job)
        assert [answer.answer.value for answer in reply.reports] == ["ok"]
        assert attempt.usage is not None and attempt.ended_at is not None
        assert 100 <= attempt.usage.wall_s + attempt.usage.frozen_s <= 105
        assert attempt.usage.cpu_s <= 105 * 1_024
        assert submitted_at <= attempt.ended_at <= one.world.clock.wall()
        assert (await metrics(one))['pilotage_events_total{event="doubted"}'] == 1

    scene(tell)


def test_what_an_attempt_without_a_result_has_used_is_in_the_books_and_on_the_page() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        held = await one.ask()
        await asyncio.sleep(100)
        used = Usage(wall_s=90.0, cpu_s=80.0, bytes_in=7, bytes_out=9, memory_peak_mb=500.0)
        drained = dataclasses.replace(
            ended(held), how=How.DRAINED, exit_code=None, detail="out of time", usage=used
        )
        await one.turn(drained)
        await asyncio.sleep(15)

        detail = await one.world.central.services.queries.job(one.world.user(), job)
        (line,) = (one for one in (await series(one)).lines if one.key == "PIC")
        page = await metrics(one)
        assert detail.view.state is JobState.WAITING
        (attempt,) = detail.attempts
        assert (attempt.how, attempt.detail, attempt.epoch) == ("drained", "out of time", 1)
        assert (attempt.usage["cpu_s"], attempt.usage["memory_peak_mb"]) == (80.0, 500.0)
        assert (max(line.cpu_s), max(line.bytes_in), max(line.bytes_out)) == (80.0, 7, 9)
        assert (sum(line.done), sum(line.failed)) == (0, 0)
        assert page['pilotage_attempts_ended_total{how="drained"}'] == 1
        assert page['pilotage_staged_in_bytes_total{site="PIC"}'] == 7
        assert page['pilotage_attempt_memory_peak_megabytes_bucket{le="1000.0"}'] == 1

    scene(tell)


def test_bytes_without_end_stop_no_series() -> None:
    async def tell(one: Scene) -> None:
        much = Usage(bytes_in=ID_MAX, bytes_out=ID_MAX)
        tally = one.world.central.memory.tally
        kind = CountKey("ctao", "sim", "ada", "User")
        for _ in range(100):
            for _ in range(1_100):
                tally.ended(kind, 1, "PIC", JobState.DONE, usage=much, cores=1, hs23_per_core=0.0)
            await asyncio.sleep(10)

        (line,) = (await series(one, step_s=600)).lines
        assert max(line.bytes_in) == ID_MAX
        assert sum(line.done) > 0

    scene(tell)


def test_a_pilot_fills_no_disk_with_what_it_never_had() -> None:
    async def tell(one: Scene) -> None:
        await one.submit()
        old = await one.ask()
        await asyncio.sleep(200.0)
        await one.ask()
        for n in range(STRAYS_MAX + 9):
            late = dataclasses.replace(ended(old), n=n + 2, detail="d" * 3_500)
            made_up = dataclasses.replace(late, job=77, epoch=n)
            reply = await one.turn(late, made_up)
            assert [answer.answer.value for answer in reply.reports] == ["stale", "stale"]

        assert len(await one.world.store.read(job_records.evidence, old.job)) == EVIDENCE_MAX
        assert len(await one.world.store.read(job_records.evidence, 77)) == STRAYS_MAX
        assert (await metrics(one))['pilotage_events_total{event="stray"}'] == 9

    scene(tell)


def test_a_wrong_clock_empties_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell(one: Scene) -> None:
        done = await run_one(one)
        await asyncio.sleep(15)
        right = one.world.clock.wall
        monkeypatch.setattr(one.world.clock, "wall", lambda: right() + 400 * DAY_S)
        await one.world.central.retention.round()
        await asyncio.sleep(60)
        monkeypatch.setattr(one.world.clock, "wall", right)
        await one.world.central.retention.round()
        await asyncio.sleep(60)

        view = await one.world.central.services.queries.job(one.world.user(), done)
        assert view.view.id == done
        assert sum(sum(line.done) for line in (await series(one)).lines) == 1
        assert (await metrics(one))['pilotage_events_total{event="clock_jumped"}'] == 2

    scene(tell)


def test_a_central_that_starts_with_a_wrong_clock_empties_no_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def tell(one: Scene) -> None:
        done = await run_one(one)
        await asyncio.sleep(90)
        right = one.world.clock.wall
        await one.world.kill()
        monkeypatch.setattr(one.world.clock, "wall", lambda: right() + 400 * DAY_S)
        await one.world.start()
        await one.world.central.retention.round()
        await asyncio.sleep(60)

        view = await one.world.central.services.queries.job(one.world.user(), done)
        assert view.view.id == done
        assert (await metrics(one))['pilotage_events_total{event="clock_in_doubt"}'] == 1

    scene(tell)


def test_an_answer_that_would_be_too_long_is_refused_with_what_to_ask_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs_series, "VALUES_MAX", 350)

    async def tell(one: Scene) -> None:
        at = int(one.world.clock.wall()) // 10 * 10 - 2_000
        for slot in range(100):
            await one.world.store.write(
                series_records.keep_counts, at + 10 * slot, [sample(slot % 5)], [], drop=False
            )
        with pytest.raises(Refused, match="more than 3 lines of 100 slots"):
            await series(one)
        whole = await series(one, by=SeriesBy.TYPE)

        assert [line.key for line in whole.lines] == ["User"]
        assert sum(whole.lines[0].done) == len(whole.at) == len(whole.lines[0].running) == 100

    scene(tell)


def sample(site: int) -> SeriesSample:
    return SeriesSample(
        community="ctao",
        site=f"s{site}",
        type="User",
        waiting=1,
        running=1,
        sums=AccountSums(done=1),
    )


def test_files_that_cannot_be_looked_at_do_not_end_the_central(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def untouched(before: float) -> AsyncIterator[list[str]]:
        raise OSError(24, "Too many open files")

    async def tell(one: Scene) -> None:
        monkeypatch.setattr(one.world.blobs, "untouched", untouched)
        async with asyncio.TaskGroup() as tasks:
            retention = tasks.create_task(one.world.central.retention.run())
            await asyncio.sleep(1_000)

            assert not retention.done()
            retention.cancel()

    scene(tell)
