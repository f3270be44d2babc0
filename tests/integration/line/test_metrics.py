"""What a whole central on fakes says of itself: metrics, readiness, ids of requests."""

import asyncio
import io
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pilotage.central.factory.commands import CommandNotStarted, CompletedCommand
from pilotage.central.factory.credential import Credential
from pilotage.central.factory.credentials.credential_expiry import KnownCredential
from pilotage.central.factory.drivers import Tools
from pilotage.central.factory.element_book import ElementBook
from pilotage.central.factory.site_files.sites import ElementEntry
from pilotage.central.observe.events import JsonLog, no_log
from pilotage.central.observe.metrics import METRICS, MetricsPage
from pilotage.central.observe.request_ids import REQUEST
from pilotage.central.store.probe import StoreProbe
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Ask
from tests.integration.line.test_protocol import OFFER, Scene, ended, of, scene


async def metrics(one: Scene) -> dict[str, float]:
    page = await one.world.central.services.metrics.page({})
    rows = (line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


def test_the_page_counts_what_happens() -> None:
    async def tell(one: Scene) -> None:
        await one.submit(3)
        held = await one.ask()
        before = await metrics(one)
        await one.turn(ended(held))
        await asyncio.sleep(15)
        after = await metrics(one)

        assert before['pilotage_attempts{phase="live"}'] == 1
        assert before['pilotage_jobs{state="Waiting"}'] == 2
        assert after['pilotage_jobs{state="Done"}'] == 1
        assert after['pilotage_events_total{event="matched"}'] == 1
        assert after['pilotage_pilots{state="Running"}'] == 1
        assert after["pilotage_turn_seconds_count"] == 2
        assert after['pilotage_attempts_ended_total{how="exited"}'] == 1
        assert after['pilotage_used_wall_seconds_total{site="PIC"}'] == 1
        assert after["pilotage_attempt_memory_peak_megabytes_count"] == 1
        assert after["pilotage_store_write_seconds_count"] >= 1
        assert after["pilotage_loop_late_seconds_count"] >= 14
        assert after["pilotage_ready"] == 1

    scene(tell)


def test_every_metric_of_the_table_is_on_the_page_or_of_the_machine() -> None:
    async def tell(one: Scene) -> None:
        page = await one.world.central.services.metrics.page({})
        found = set(re.findall(r"# TYPE (\S+)", page))

        of_the_machine = {name for name in METRICS if name.startswith("process_")}
        of_the_machine |= {"pilotage_disk_free_bytes", "pilotage_certificate_expires_seconds"}
        assert found == set(METRICS) - of_the_machine

    scene(tell)


class _NoPrograms:
    """A machine without any program."""

    async def run(self, argv: Sequence[str], **_: object) -> CompletedCommand:
        raise CommandNotStarted(f"{argv[0]}: no such file")


class _Lasting:
    """A source of credentials that are good until a moment."""

    def __init__(self, until: float) -> None:
        self._until = until

    async def current(self) -> Credential:
        return Credential("token", self._until)


def test_the_life_left_of_an_elements_credential_shows(tmp_path: Path) -> None:
    (tmp_path / "PIC.yaml").write_text("elements: {here: {kind: htcondor}}")

    async def tell(one: Scene) -> None:
        central = one.world.central
        known = KnownCredential(_Lasting(central.clock.wall() + 600), central.clock)
        tools = Tools(_NoPrograms(), central.clock, tmp_path, known)

        def tools_of(site: str, name: str, entry: ElementEntry) -> Tools:
            return tools

        central.elements.book = book = ElementBook(tmp_path, tools_of, no_log)
        book.reload()
        unused = await metrics(one)
        await known.current()
        await asyncio.sleep(60)
        found = await metrics(one)

        name = 'pilotage_credential_expires_seconds{element="here",site="PIC"}'
        assert name not in unused
        assert found[name] == 540

    scene(tell)


def test_a_kill_that_no_pilot_carries_out_grows_old_and_an_overdue_lease_shows() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        held = await one.ask()
        await one.beat(of(held))
        await one.kill(job)
        await asyncio.sleep(40)
        await one.beat(of(held))
        waits = await metrics(one)
        await asyncio.sleep(125)
        over = await metrics(one)

        assert waits["pilotage_wanted_oldest_seconds"] == 40
        assert over["pilotage_wanted_oldest_seconds"] == 0
        assert over["pilotage_lease_overdue_seconds"] == 0
        assert await one.state(job) is JobState.KILLED

    scene(tell)


def test_a_full_store_is_not_ready_and_says_why() -> None:
    async def tell(one: Scene) -> None:
        health = one.world.central.services.health
        assert health.ready().ready
        one.world.store.full = True
        await asyncio.sleep(25)
        full, told = health.ready(), await metrics(one)
        one.world.store.full = False
        await asyncio.sleep(25)

        assert (full.ready, full.loaded) == (False, True)
        assert "test says so" in full.store
        assert told["pilotage_store_full"] == 1
        assert health.ready().ready

    scene(tell)


def test_a_full_store_that_refuses_one_part_of_the_watch_does_not_stop_the_others() -> None:
    async def tell(one: Scene) -> None:
        await one.submit()
        held = of(await one.ask())
        matcher = one.world.central.memory.queue.matcher
        await one.turn(ask=Ask(n=one.ask_n + 1, offer=OFFER, holding=(held,)))
        one.world.store.full = True
        for _ in range(13):  # it says nothing of its job, whose lease is over after 120 s
            await asyncio.sleep(10)
            await one.beat(closed=0)
        parked = matcher.parked_ask(one.caller.pilot)
        await asyncio.sleep(100)

        assert next(one.world.central.memory.leases.live()).deadline < one.world.clock.monotonic()
        assert parked == one.ask_n + 1
        assert matcher.parked_ask(one.caller.pilot) == 0

    scene(tell)


def test_a_store_that_is_full_for_long_is_told_once_and_so_is_its_end() -> None:
    said: list[str] = []

    def log(event: str, **fields: object) -> None:
        said.append(event)

    probe = StoreProbe(log)
    probe.wrote(0.001)
    for _ in range(3):
        probe.refused("no room")
    full = probe.full
    for _ in range(2):
        probe.wrote(0.002)

    assert (full, probe.full) == ("no room", "")
    assert said == ["store_full", "store_has_room"]
    assert MetricsPage(probe.write_s.collect()).text().count("_count 3.0\n") == 1


def test_a_line_that_is_logged_while_a_request_is_answered_names_it() -> None:
    out = io.BytesIO()
    log = JsonLog(out)
    log("bus_up", url="a")
    token = REQUEST.set("5f-17")
    log("bus_up", url="b")
    REQUEST.reset(token)
    first, second = (msgspec.json.decode(line) for line in out.getvalue().splitlines())

    assert "request" not in first
    assert second["request"] == "5f-17"
