"""Hosts that swallow jobs, and hosts that cannot run one: the shipped central on fakes."""

import dataclasses
import uuid
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.callers import PilotCaller, User
from pilotage.central.sites.suspended_hosts import HostFailure, SuspendedHosts
from pilotage.proto.api.jobs import Submission
from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.api.sites import SiteAction, SiteActionName
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import (
    Ask,
    Assignment,
    Attempt,
    Beat,
    BrokerLogin,
    How,
    Node,
    Offer,
    Register,
    Report,
    Turn,
    Usage,
    What,
)
from pilotage.proto.problems import Code
from tests import virtual
from tests.fakes import FakeInstallation

OFFER = Offer(cores=4, cores_free=4, memory_mb=8_000, memory_free_mb=8_000, wall_left_s=90_000)
HOSTS = 6


class Voice:
    """A pilot on a host, which says what a test lets it say."""

    def __init__(self, world: FakeInstallation, host: str) -> None:
        self._world, self.host = world, host
        self.gen, self.n, self.session = "", 0, 0
        self.is_parked = False
        self.held: set[Attempt] = set()
        self.caller = PilotCaller(pilot="", community="", site="", element="")
        self.broker: BrokerLogin | None = None

    async def start(self) -> "Voice":
        pilots = self._world.central.services.pilots
        request = SecretRequest(site="PIC", element="slurm")
        made = await pilots.make_secrets(self._world.user(), request)
        me = await pilots.register(
            Register(secret=made.secrets[0].secret, nonce="n", node=Node(host=self.host))
        )
        self.caller = PilotCaller(
            pilot=me.pilot, community=me.community, site=me.site, element=me.element
        )
        self.gen, self.session, self.broker = me.gen, me.session, me.broker
        return self

    async def ask(self, jobs_max: int = 1) -> tuple[Assignment, ...]:
        """Ask as a pilot does that is alive: after a beat."""
        dispatch = self._world.central.services.dispatch
        self.n += 1
        held = tuple(self.held)
        beat = Beat(gen=self.gen, session=self.session, n=self.n, closed=self.n - 1, holding=held)
        await dispatch.beat(self.caller, beat)
        ask = Ask(n=self.n, offer=OFFER, jobs_max=jobs_max, holding=held)
        reply = await dispatch.turn(self.caller, Turn(gen=self.gen, session=self.session, ask=ask))
        assert reply.ask is not None
        self.is_parked = reply.ask.parked
        self.held |= {Attempt(one.job, one.epoch) for one in reply.ask.assignments}
        return tuple(reply.ask.assignments)

    async def says(self, one: Assignment, what: What = What.ENDED, **told: object) -> None:
        if what is What.ENDED:
            self.held.discard(Attempt(one.job, one.epoch))
        usage = Usage(wall_s=1.0) if what is What.ENDED else None
        plain = Report(one.job, one.epoch, one.attempt_id, n=1, what=what, usage=usage)
        await self._world.central.services.dispatch.turn(
            self.caller,
            Turn(
                gen=self.gen,
                session=self.session,
                reports=(dataclasses.replace(plain, **told),),  # type: ignore[arg-type]
            ),
        )

    async def fails(self, one: Assignment) -> None:
        await self.says(one, how=How.EXITED, exit_code=127)

    async def does_well(self, one: Assignment) -> None:
        await self.says(one, how=How.EXITED, exit_code=0)

    async def lacks(self, one: Assignment) -> None:
        await self.says(one, how=How.SOFTWARE, detail="no module gammapy here")


class Scene:
    """A central with a pilot on each of some hosts of one site."""

    def __init__(self) -> None:
        self.world = FakeInstallation()
        self.voices: list[Voice] = []

    async def start(self) -> None:
        await self.world.start()
        for number in range(HOSTS):
            self.voices.append(await Voice(self.world, f"wn{number}").start())
            await self.voices[-1].ask()
            # Not parked any more, so that no job is kept for one that a test leaves silent.
            self.world.central.memory.queue.matcher.withdraw(self.voices[-1].caller.pilot)

    def user(self, name: str) -> User:
        return msgspec.structs.replace(self.world.user(), subject=name)

    async def submit(self, count: int, name: str = "maria", retries: int = 0) -> list[int]:
        body = msgspec.Raw(msgspec.json.encode(Job(command=("run",), retries=retries)))
        made = await self.world.central.services.submissions.submit(
            self.user(name), Submission(key=uuid.uuid4().hex, jobs=[body] * count), body_hash="x"
        )
        return [job for one in made.ids for job in range(one.first, one.first + one.count)]

    async def swallow(self) -> int:
        """Let the first host fail all that it gets; return how many jobs that were."""
        for number in range(50):
            got = await self.voices[0].ask()
            if not got:
                return number
            await self.voices[0].fails(got[0])
        return 50


def scene(tell: Callable[[Scene], Awaitable[None]]) -> None:
    async def whole() -> None:
        one = Scene()
        await one.start()
        try:
            await tell(one)
        finally:
            await one.world.kill()

    virtual.run(whole(), limit_s=100_000)


def test_a_black_hole_swallows_a_few_jobs_and_no_more_until_a_canary_does_well() -> None:
    async def tell(one: Scene) -> None:
        await one.submit(20, "maria")
        await one.submit(20, "jorge")
        swallowed = await one.swallow()
        elsewhere = await one.voices[1].ask()
        is_held = one.world.central.memory.hosts.is_held("PIC", "slurm", "wn0")
        await one.world.clock.sleep(601)
        canary = await one.voices[0].ask(jobs_max=4)
        beside = await one.voices[0].ask(jobs_max=4)
        await one.voices[0].does_well(canary[0])
        after = await one.voices[0].ask(jobs_max=4)

        assert 5 <= swallowed <= 12
        assert len(elsewhere) == 1
        assert is_held
        assert (len(canary), len(beside), len(after)) == (1, 0, 4)

    scene(tell)


def test_a_canary_that_runs_for_a_minute_need_not_come_to_its_end() -> None:
    async def tell(one: Scene) -> None:
        await one.submit(20, "maria")
        await one.submit(20, "jorge")
        await one.swallow()
        await one.world.clock.sleep(601)
        (canary,) = await one.voices[0].ask(jobs_max=4)
        await one.voices[0].says(canary, What.STARTED)
        at_once = await one.voices[0].ask()
        await one.world.clock.sleep(61)
        later = await one.voices[0].ask()

        assert (len(at_once), len(later)) == (0, 1)

    scene(tell)


def test_no_pilot_of_a_suspended_host_is_woken_for_a_job() -> None:
    async def tell(one: Scene) -> None:
        second = await Voice(one.world, "wn0").start()
        await one.submit(3, "maria")
        await one.submit(3, "jorge")
        swallowed = await one.swallow()
        matcher = one.world.central.memory.queue.matcher
        await second.ask()
        await one.submit(1, "maria")

        assert swallowed == 5
        assert (second.is_parked, matcher.parked_ask(second.caller.pilot)) == (False, 0)

    scene(tell)


def test_pilots_that_wait_on_a_host_are_woken_no_more_once_it_is_suspended() -> None:
    async def tell(one: Scene) -> None:
        first, elsewhere = one.voices[:2]
        beside = await Voice(one.world, "wn0").start()
        await one.submit(3, "maria")
        await one.submit(2, "jorge")
        for _ in range(4):
            await first.fails((await first.ask())[0])
        (fifth,) = await first.ask()
        for voice in (beside, elsewhere):
            await voice.ask()
        parked = one.world.central.memory.queue.matcher.parked_pilots()
        before = {beside.caller.pilot, elsewhere.caller.pilot} & set(parked)
        await first.fails(fifth)

        assert before == {beside.caller.pilot, elsewhere.caller.pilot}
        assert list(one.world.central.memory.queue.matcher.parked_pilots()) == [
            elsewhere.caller.pilot
        ]

    scene(tell)


@pytest.mark.parametrize("owners", [1, 3])
@pytest.mark.parametrize("bad_hosts", [1, 8])
def test_an_element_is_suspended_for_many_bad_hosts_and_not_for_one(
    bad_hosts: int, owners: int
) -> None:
    hosts = SuspendedHosts()
    for number in range(8):
        hosts.room("PIC", "slurm", f"wn{number}", 0.0)
    hosts.room("CSCS", "slurm", "wn0", 0.0)
    for number in range(200):
        owner = f"owner{number % owners}"
        bad = HostFailure(number, owner, How.EXITED, ran_s=1.0, why="exit 1")
        hosts.did_well("CSCS", "slurm", "wn0", owner, 1.0)
        hosts.ended("PIC", "slurm", f"wn{number % bad_hosts}", bad, 1.0)

    assert hosts.is_held("PIC", "slurm", "wn0")
    assert hosts.is_held("PIC", "slurm", "wn7") is (bad_hosts > 1), "no job of it has failed"


def test_a_site_that_is_as_it_should_be_clears_its_own_hosts_and_elements_alone() -> None:
    hosts = SuspendedHosts()
    for site in ("CSCS", "PIC"):
        for element in ("arc", "slurm"):
            hosts.room(site, element, "wn0", 0.0)
    for number in range(40):  # at both elements called slurm, on one host of each site
        for site in ("CSCS", "PIC"):
            owner = f"owner{number % 5}"
            bad = HostFailure(number, owner, How.EXITED, ran_s=1.0, why="exit code 127")
            hosts.ended(site, "slurm", f"wn{number % 8}", bad, 1.0)

    def held() -> set[tuple[str, ...]]:
        return {one.place for shown in hosts.shown() for one in shown}

    before = held()
    hosts.lift_all("PIC", "arc")
    another = held()
    hosts.lift_all("PIC", "slurm")
    cleared = held()
    hosts.lift_all("PIC")

    of_pic = {place for place in before if place[0] == "PIC"}
    assert {("PIC", "slurm"), ("CSCS", "slurm")} < before
    assert len(of_pic) > 1
    assert another == before
    assert before - cleared == {("PIC", "slurm")}
    assert held() == before - of_pic


def test_a_job_whose_software_a_host_has_not_goes_to_another_host_and_comes_back_later() -> None:
    async def tell(one: Scene) -> None:
        first, second = await one.submit(2)
        (got,) = await one.voices[0].ask()
        await one.voices[0].lacks(got)
        (other,) = await one.voices[0].ask()
        none = await one.voices[0].ask()
        was_parked = one.voices[0].is_parked
        (elsewhere,) = await one.voices[1].ask()
        await one.voices[1].lacks(elsewhere)
        await one.world.clock.sleep(121)
        (again,) = await one.voices[0].ask()

        assert (got.job, other.job, none, elsewhere.job) == (first, second, (), first)
        assert not was_parked, "it would be woken for the job again and again"
        assert again.job == first

    scene(tell)


def test_a_retry_goes_to_another_host_and_comes_back_when_all_have_failed_it() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit(1, retries=HOSTS + 1)
        hosts: list[str] = []
        for voice in (*one.voices, one.voices[0]):
            (got,) = await voice.ask()
            hosts.append(voice.host)
            await voice.fails(got)
            if len(hosts) < HOSTS:
                assert await voice.ask() == (), "it was there a moment ago"
        detail = await one.world.central.services.queries.job(one.user("maria"), job)

        assert detail.view.state is JobState.WAITING
        assert hosts == [voice.host for voice in (*one.voices, one.voices[0])]

    scene(tell)


def test_a_retry_goes_to_another_host_even_if_only_the_bad_one_has_asked_since_a_restart() -> None:
    async def tell(one: Scene) -> None:
        await one.submit(1, retries=1)
        (got,) = await one.voices[0].ask()
        await one.world.kill()
        await one.world.start()
        await one.voices[0].fails(got)

        assert await one.voices[0].ask() == ()
        assert [retry.job for retry in await one.voices[1].ask()] == [got.job]

    scene(tell)


def test_a_job_that_no_host_can_run_is_held_for_what_they_said() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit(1)
        for voice in one.voices[:5]:
            (got,) = await voice.ask()
            await voice.lacks(got)
        detail = await one.world.central.services.queries.job(one.user("maria"), job)

        assert detail.view.state is JobState.HELD
        assert "no module gammapy here" in detail.view.reason

    scene(tell)


def test_the_only_host_gets_a_job_again_that_it_could_not_run() -> None:
    async def tell(one: Scene) -> None:
        await one.world.clock.sleep(1_000)
        (job,) = await one.submit(1)
        got: list[int] = []
        for _ in range(5):
            (matched,) = await one.voices[0].ask()
            got.append(matched.job)
            await one.voices[0].lacks(matched)
        detail = await one.world.central.services.queries.job(one.user("maria"), job)

        assert got == [job] * 5
        assert detail.view.state is JobState.HELD

    scene(tell)


def test_people_see_what_is_held_against_a_host_and_lift_it() -> None:
    async def tell(one: Scene) -> None:
        services = one.world.central.services
        (first, *_) = await one.submit(20, "maria")
        await one.submit(20, "jorge")
        await one.swallow()
        (held,) = (await services.sites.show(one.world.user(), "PIC")).hosts
        job = await services.explainer.job(one.world.user(), first + 19)
        pilot = await services.explainer.pilot(one.world.user(), one.voices[0].caller.pilot)
        enable = SiteAction(action=SiteActionName.ENABLE, host="wn0")
        with pytest.raises(Refused) as none:
            await services.sites.act(
                one.world.user(), "PIC", msgspec.structs.replace(enable, host="wn00")
            )
        with pytest.raises(Refused) as wrong:
            await services.sites.act(
                one.world.user(),
                "PIC",
                msgspec.structs.replace(enable, action=SiteActionName.BAN),
            )
        metrics = await services.metrics.page({})
        after = await services.sites.act(one.world.user(), "PIC", enable)
        got = await one.voices[0].ask()

        assert (held.host, held.state, held.owners) == ("wn0", "suspended", 2)
        assert held.reason == "exit code 127"
        assert 590 <= held.left_s <= 600
        assert any("on suspended hosts" in note for note in job.notes)
        assert any("failed one after another on its host wn0" in note for note in pilot.notes)
        assert none.value.code is Code.NOT_FOUND
        assert "did you mean wn0?" in str(none.value)
        assert (wrong.value.code, wrong.value.field) == (Code.INVALID, "host")
        assert 'pilotage_hosts_suspended{site="PIC"} 1' in metrics
        assert after.hosts == []
        assert len(got) == 1

    scene(tell)
