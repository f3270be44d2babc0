"""Single messages against the shipped central on fakes: races that stories do not hit by chance."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from pilotage.central.dispatch import record as turn_records
from pilotage.central.errors import Refused
from pilotage.central.identity import derived_secrets
from pilotage.central.identity.callers import PilotCaller
from pilotage.central.jobs import record as job_records
from pilotage.central.pilots import record as pilot_records
from pilotage.central.settings import LeaseSettings
from pilotage.proto.api.jobs import Action, ActionName, Submission
from pilotage.proto.api.pilots import PilotEnd, SecretRequest
from pilotage.proto.api.sites import SiteAction, SiteActionName
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import (
    Answer,
    Ask,
    Assignment,
    Attempt,
    Beat,
    Hello,
    How,
    Node,
    Offer,
    Register,
    Report,
    TokenRequest,
    Turn,
    TurnReply,
    Usage,
    What,
    Why,
)
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.problems import Code
from tests import virtual
from tests.fakes import DATA, FakeInstallation

OFFER = Offer(cores=4, cores_free=4, memory_mb=8_000, memory_free_mb=8_000, wall_left_s=90_000)


class Scene:
    """A central, and a pilot that says exactly what a test lets it say."""

    def __init__(self) -> None:
        self.world = FakeInstallation()
        self.caller = PilotCaller(pilot="", community="", site="", element="")
        self.gen, self.session, self.ask_n, self.beat_n = "", 0, 0, 0

    async def start(self) -> None:
        await self.world.start()
        services = self.world.central.services
        made = await services.pilots.make_secrets(self.world.user(), SecretRequest(site="PIC"))
        me = await services.pilots.register(
            Register(secret=made.secrets[0].secret, nonce="n", node=Node(host="h"))
        )
        self.caller = PilotCaller(
            pilot=me.pilot, community=me.community, site=me.site, element=me.element
        )
        self.gen, self.session = me.gen, me.session

    async def submit(self, count: int = 1, **job: object) -> list[int]:
        body = msgspec.json.encode(msgspec.structs.replace(Job(command=("run",)), **job))
        made = await self.world.central.services.submissions.submit(
            self.world.user(),
            Submission(key=uuid.uuid4().hex, jobs=[msgspec.Raw(body)] * count),
            body_hash="x",
        )
        return [job for one in made.ids for job in range(one.first, one.first + one.count)]

    async def turn(self, *reports: Report, ask: Ask | None = None) -> TurnReply:
        return await self.world.central.services.dispatch.turn(
            self.caller, Turn(gen=self.gen, session=self.session, reports=reports, ask=ask)
        )

    async def ask(
        self, *, jobs_max: int = 1, holding: tuple[Attempt, ...] = (), offer: Offer = OFFER
    ) -> Assignment:
        self.ask_n += 1
        ask = Ask(n=self.ask_n, offer=offer, holding=holding, jobs_max=jobs_max)
        reply = await self.turn(ask=ask)
        assert reply.ask is not None
        (assignment,) = reply.ask.assignments
        return assignment

    async def beat(self, *held: Attempt, closed: int | None = None) -> tuple[Attempt, ...]:
        """Send a beat and return what of it is stale."""
        self.beat_n += 1
        answer = await self.world.central.services.dispatch.beat(
            self.caller,
            Beat(
                gen=self.gen,
                session=self.session,
                n=self.beat_n,
                closed=self.ask_n if closed is None else closed,
                holding=held,
            ),
        )
        return answer.stale

    async def kill(self, job: int) -> None:
        await self.world.central.services.control.act(
            self.world.user(), Action(action=ActionName.KILL, ids=(job,))
        )

    async def state(self, job: int) -> JobState:
        detail = await self.world.central.services.queries.job(self.world.user(), job)
        return detail.view.state


def scene(tell: Callable[[Scene], Awaitable[None]]) -> None:
    async def whole() -> None:
        one = Scene()
        await one.start()
        try:
            await tell(one)
        finally:
            await one.world.kill()

    virtual.run(whole(), limit_s=100_000)


def ended(one: Assignment, *, how: How = How.EXITED, exit_code: int | None = 0) -> Report:
    return Report(
        job=one.job,
        epoch=one.epoch,
        attempt_id=one.attempt_id,
        n=2,
        what=What.ENDED,
        how=how,
        exit_code=exit_code,
        usage=Usage(wall_s=1.0),
    )


def started(one: Assignment) -> Report:
    return Report(job=one.job, epoch=one.epoch, attempt_id=one.attempt_id, n=1, what=What.STARTED)


def of(one: Assignment) -> Attempt:
    return Attempt(one.job, one.epoch)


def test_a_hello_that_is_overtaken_by_the_goodbye_does_not_wake_the_pilot() -> None:
    async def tell(one: Scene) -> None:
        services, store = one.world.central.services, one.world.store
        made = await services.pilots.make_secrets(one.world.user(), SecretRequest(site="PIC"))
        me = await services.pilots.register(
            Register(secret=made.secrets[0].secret, nonce="n", node=Node(host="h"))
        )
        caller = PilotCaller(
            pilot=me.pilot, community=me.community, site=me.site, element=me.element
        )

        async def overtaken(read: Any, pilot: str) -> Any:
            row = await read(pilot)
            await services.dispatch.beat(
                caller, Beat(gen=me.gen, session=me.session, n=1, goodbye=True)
            )
            return row

        store.ways[pilot_records.pilot] = overtaken
        with pytest.raises(Refused) as refused:
            await services.pilots.hello(Hello(me.pilot, me.renewal_secret, "m"))

        assert refused.value.code is Code.OLD_SESSION
        assert one.world.central.memory.pilots.find(me.pilot) is None

    scene(tell)


def test_a_life_that_still_registers_does_not_share_the_session_of_one_that_said_hello() -> None:
    async def tell(one: Scene) -> None:
        services = one.world.central.services
        made = await services.pilots.make_secrets(one.world.user(), SecretRequest(site="PIC"))
        message = Register(secret=made.secrets[0].secret, nonce="n", node=Node(host="h"))
        me = await services.pilots.register(message)
        again = await services.pilots.hello(Hello(me.pilot, me.renewal_secret, "m"))
        with pytest.raises(Refused) as refused:
            await services.pilots.register(message)

        assert (me.session, again.session) == (1, 2)
        assert refused.value.code is Code.OLD_SESSION

    scene(tell)


def test_a_late_copy_of_a_registration_leaves_the_renewal_secret_as_it_was() -> None:
    async def tell(one: Scene) -> None:
        services = one.world.central.services
        made = await services.pilots.make_secrets(one.world.user(), SecretRequest(site="PIC"))
        message = Register(secret=made.secrets[0].secret, nonce="n", node=Node(host="h"))
        me = await services.pilots.register(message)
        await one.world.kill()
        await one.world.start()
        services = one.world.central.services
        again = await services.pilots.register(message)

        assert again.renewal_secret == me.renewal_secret
        assert (await services.pilots.token(TokenRequest(me.pilot, me.renewal_secret))).token

    scene(tell)


def test_a_late_copy_of_an_older_hello_does_not_end_the_life_that_came_after_it() -> None:
    async def tell(one: Scene) -> None:
        services = one.world.central.services
        made = await services.pilots.make_secrets(one.world.user(), SecretRequest(site="PIC"))
        me = await services.pilots.register(
            Register(secret=made.secrets[0].secret, nonce="n", node=Node(host="h"))
        )
        second = Hello(me.pilot, me.renewal_secret, "second", session=2)
        third = Hello(me.pilot, me.renewal_secret, "third", session=3)
        unnamed = Hello(me.pilot, me.renewal_secret, "of a version before")
        answers = [await services.pilots.hello(message) for message in (second, third, third)]
        with pytest.raises(Refused) as refused:
            await services.pilots.hello(second)
        presence = one.world.central.memory.pilots.find(me.pilot)

        assert [answer.session for answer in answers] == [2, 3, 3]
        assert refused.value.code is Code.OLD_SESSION
        assert presence is not None and presence.session == 3
        assert (await services.pilots.hello(unnamed)).session == 4

    scene(tell)


def test_a_pilot_that_says_hello_while_it_is_called_lost_is_back_with_its_next_word() -> None:
    async def tell(one: Scene) -> None:
        services, store = one.world.central.services, one.world.store
        made = await services.pilots.make_secrets(one.world.user(), SecretRequest(site="PIC"))
        me = await services.pilots.register(
            Register(secret=made.secrets[0].secret, nonce="n", node=Node(host="h"))
        )
        caller = PilotCaller(
            pilot=me.pilot, community=me.community, site=me.site, element=me.element
        )

        async def overtaken(
            plain: Any, pilot: str, old: PilotState, new: PilotState, at: float, reason: str
        ) -> Any:
            if pilot == me.pilot and new is PilotState.LOST:
                await services.pilots.hello(Hello(me.pilot, me.renewal_secret, "m"))
            return await plain(pilot, old, new, at, reason)

        async def states() -> tuple[PilotState, PilotState]:
            presence, row = (
                one.world.central.memory.pilots.find(me.pilot),
                await store.read(pilot_records.pilot, me.pilot),
            )
            assert presence is not None and row is not None
            return presence.state, row.state

        store.ways[pilot_records.move_pilot] = overtaken
        await asyncio.sleep(LeaseSettings().silent_pilot_s + 2.0)
        lost = await states()
        await services.dispatch.beat(caller, Beat(gen=me.gen, session=2, n=1))

        assert lost == (PilotState.LOST, PilotState.LOST)
        assert await states() == (PilotState.RUNNING, PilotState.RUNNING)

    scene(tell)


@pytest.mark.parametrize("order", ["drain", "end", "site"])
def test_a_pilot_that_was_lost_before_it_heard_an_order_hears_it_after_a_restart(
    order: str,
) -> None:
    async def tell(one: Scene) -> None:
        user, pilot = one.world.user(), one.caller.pilot
        service = one.world.central.services.pilots

        async def state() -> PilotState:
            return (await one.world.central.services.pilots.get(user, pilot)).state

        if order == "drain":
            await service.drain(user, pilot)
        await asyncio.sleep(LeaseSettings().silent_pilot_s + 10.0)
        lost = await state()
        if order == "end":
            await service.kill(user, pilot, PilotEnd(reason="test"))
        if order == "site":  # whose end of draining is no word to those that were told before
            made = await service.make_secrets(user, SecretRequest(site=one.caller.site))
            await service.register(Register(secret=made.secrets[0].secret, nonce="n"))
            for said in (SiteActionName.DRAIN, SiteActionName.ENABLE):
                action = SiteAction(action=said)
                await one.world.central.services.sites.act(user, one.caller.site, action)
        await one.world.kill()
        await one.world.start()
        answer = await one.world.central.services.dispatch.beat(
            one.caller, Beat(gen=one.gen, session=one.session, n=1)
        )

        assert lost is PilotState.LOST
        assert (answer.drain, answer.hurry) == (True, order == "end")
        assert await state() is PilotState.DRAINING

    scene(tell)


def test_a_pilot_that_was_told_to_drain_does_so_in_its_next_session() -> None:
    async def tell(one: Scene) -> None:
        services, user = one.world.central.services, one.world.user()
        made = await services.pilots.make_secrets(user, SecretRequest(site="PIC"))
        me = await services.pilots.register(
            Register(secret=made.secrets[0].secret, nonce="n", node=Node(host="h"))
        )
        await services.pilots.drain(user, me.pilot)
        await asyncio.sleep(LeaseSettings().silent_pilot_s + 10.0)
        lost = (await services.pilots.get(user, me.pilot)).state
        await services.pilots.hello(Hello(me.pilot, me.renewal_secret, "m"))
        view = await services.pilots.get(user, me.pilot)

        assert lost is PilotState.LOST
        assert (view.state, view.reason) == (PilotState.DRAINING, "it was ordered to drain")

    scene(tell)


def test_a_registration_that_another_key_has_answered_is_refused() -> None:
    """The renewal secret is derived from a key that a restore makes anew."""

    async def tell(one: Scene) -> None:
        made = await one.world.central.services.pilots.make_secrets(
            one.world.user(), SecretRequest(site="PIC")
        )
        message = Register(secret=made.secrets[0].secret, nonce="n", node=Node(host="h"))
        await one.world.central.services.pilots.register(message)
        await one.world.kill()
        one.world.disk.files[DATA / derived_secrets.FILE] = b"m" * 64
        await one.world.start()
        with pytest.raises(Refused) as refused:
            await one.world.central.services.pilots.register(message)

        assert refused.value.code is Code.OTHER_STORE

    scene(tell)


def test_a_late_copy_of_a_registration_does_not_wake_a_pilot_that_has_ended() -> None:
    async def tell(one: Scene) -> None:
        services = one.world.central.services
        made = await services.pilots.make_secrets(one.world.user(), SecretRequest(site="PIC"))
        message = Register(secret=made.secrets[0].secret, nonce="n", node=Node(host="h"))
        me = await services.pilots.register(message)
        caller = PilotCaller(
            pilot=me.pilot, community=me.community, site=me.site, element=me.element
        )
        goodbye = Beat(gen=me.gen, session=me.session, n=1, goodbye=True)
        await services.dispatch.beat(caller, goodbye)
        with pytest.raises(Refused) as refused:
            await services.pilots.register(message)

        assert refused.value.code is Code.OLD_SESSION
        assert one.world.central.memory.pilots.find(me.pilot) is None

    scene(tell)


def test_a_beat_is_not_answered_while_the_end_of_its_lease_is_being_written() -> None:
    """Answered, it would move the fence of a payload whose job is about to run elsewhere."""

    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        held = await one.ask()
        gate = asyncio.Event()
        plain = one.world.store.synced

        async def slow() -> None:
            await gate.wait()

        await asyncio.sleep(119.0)
        one.world.store.synced = slow  # type: ignore[method-assign]
        await asyncio.sleep(5.0)  # the watch begins to write the end of the lease
        with pytest.raises(Refused) as refused:
            await one.beat(of(held))

        assert refused.value.code is Code.UNAVAILABLE
        one.world.store.synced = plain  # type: ignore[method-assign]
        gate.set()
        await asyncio.sleep(1.0)
        assert await one.state(job) is JobState.WAITING
        assert await one.beat(of(held)) == ()  # taken back: nobody else had it yet
        assert await one.state(job) is JobState.RUNNING

    scene(tell)


def test_a_repeated_ask_gets_the_same_attempt_and_an_older_one_is_stale() -> None:
    async def tell(one: Scene) -> None:
        await one.submit(2)
        first = await one.ask()
        again = await one.turn(ask=Ask(n=one.ask_n, offer=OFFER))
        older = await one.turn(ask=Ask(n=0, offer=OFFER))

        assert again.ask is not None and again.ask.assignments[0].epoch == first.epoch
        assert again.ask.assignments[0].job == first.job
        assert older.ask is not None and older.ask.stale

    scene(tell)


def test_an_attempt_that_a_later_ask_does_not_hold_is_given_back() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        first = await one.ask()
        second = await one.ask(holding=())

        assert (second.job, second.epoch) == (job, first.epoch + 1)

    scene(tell)


def test_a_beat_sent_before_the_reply_came_gives_nothing_back() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        await one.ask()
        await one.beat(closed=0)

        assert await one.state(job) is JobState.MATCHED

    scene(tell)


def test_a_result_after_an_acknowledged_kill_never_counts() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        held = await one.ask()
        await one.kill(job)
        stops = (await one.turn()).stop
        reply = await one.turn(ended(held))

        assert [(stop.job, stop.why) for stop in stops] == [(job, Why.KILL)]
        assert reply.reports[0].answer is Answer.OK
        assert await one.state(job) is JobState.KILLED
        detail = await one.world.central.services.queries.job(one.world.user(), job)
        assert detail.outputs == []

    scene(tell)


def test_a_late_result_of_the_last_epoch_counts_and_one_of_an_older_does_not() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        first = await one.ask()
        await asyncio.sleep(200.0)
        assert await one.state(job) is JobState.WAITING
        late = await one.turn(ended(first))
        twice = await one.turn(ended(first))

        assert late.reports[0].answer is Answer.OK
        assert await one.state(job) is JobState.DONE
        assert twice.reports[0].answer is Answer.ALREADY

        (other,) = await one.submit()
        old = await one.ask()
        await asyncio.sleep(200.0)
        new = await one.ask()
        stale = await one.turn(ended(old))

        assert (new.job, new.epoch) == (other, old.epoch + 1)
        assert stale.reports[0].answer is Answer.STALE
        assert await one.state(other) is JobState.MATCHED
        assert len(await one.world.store.read(job_records.evidence, other)) == 1

    scene(tell)


def test_a_priority_that_is_given_while_a_match_is_written_is_the_jobs_when_it_waits_again() -> (
    None
):
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()

        async def overtaken(plain: Any, *words: Any) -> Any:
            del one.world.store.ways[turn_records.turn]
            await one.world.central.services.control.act(
                one.world.user(), Action(action=ActionName.PRIORITY, ids=(job,), priority=9)
            )
            return await plain(*words)

        one.world.store.ways[turn_records.turn] = overtaken
        await one.ask()
        held = one.world.central.memory.leases.of_job(job)

        assert held is not None and held.priority == 9

    scene(tell)


def test_a_start_that_is_told_late_ends_nothing_before_a_new_attempt_has_begun() -> None:
    """A pilot that was cut off as it started a payload tells of it before its next beat."""

    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        held = await one.ask()
        await asyncio.sleep(200.0)
        assert await one.state(job) is JobState.WAITING
        unanswered = await one.turn(started(held))
        stale = await one.beat(of(held))
        answered = await one.turn(started(held))

        assert unanswered.reports == () and stale == ()
        assert answered.reports[0].answer is Answer.ALREADY
        assert await one.state(job) is JobState.RUNNING

        await asyncio.sleep(200.0)
        await one.ask()
        late = await one.turn(started(held))

        assert late.reports[0].answer is Answer.STALE

    scene(tell)


def test_a_full_store_takes_nothing_and_loses_nothing() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        one.world.store.full = True
        with pytest.raises(Refused) as refused:
            await one.ask()
        one.world.store.full = False
        one.ask_n += 1

        assert refused.value.code is Code.STORE_FULL
        assert (await one.ask()).job == job

    scene(tell)


def test_an_older_session_and_another_store_are_told_to_end() -> None:
    async def tell(one: Scene) -> None:
        one.session = 7
        with pytest.raises(Refused) as old:
            await one.beat()
        one.session, one.gen = 1, "elsewhere"
        with pytest.raises(Refused) as other:
            await one.beat()

        assert old.value.code is Code.OLD_SESSION
        assert other.value.code is Code.OTHER_STORE

    scene(tell)


def test_five_attempts_lost_after_their_start_hold_the_job() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        for _ in range(5):
            held = await one.ask()
            await one.turn(
                Report(
                    job=job,
                    epoch=held.epoch,
                    attempt_id=held.attempt_id,
                    n=1,
                    what=What.STARTED,
                )
            )
            await asyncio.sleep(200.0)

        assert await one.state(job) is JobState.HELD

    scene(tell)


def test_an_attempt_keeps_the_lease_that_its_pilot_was_told_of_when_a_shorter_one_is_set() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        held = await one.ask()
        assert held.lease_s == 120.0
        await one.beat(of(held))
        await one.world.kill()
        shorter = LeaseSettings(lease_s=12.0)
        one.world.settings = msgspec.structs.replace(one.world.settings, lease=shorter)
        await one.world.start()
        for _ in range(3):
            await one.world.clock.sleep(100)  # it beats each 40 s, and pauses after 96
            assert await one.state(job) is JobState.MATCHED
            assert await one.beat(of(held)) == ()
        await one.world.clock.sleep(130)
        assert await one.state(job) is JobState.WAITING
        assert (await one.ask()).lease_s == 12.0
        await one.world.clock.sleep(20)
        assert await one.state(job) is JobState.WAITING

    scene(tell)
