"""What is told of pilots to those who plan others, and the order to go: on fakes."""

import asyncio

import pytest

from pilotage.central.errors import Refused
from pilotage.proto import topics
from pilotage.proto.messages import Assignment, Beat, Down
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.problems import Code
from pilotage.proto.wire import decode

from .test_hosts import Scene, Voice, scene


async def goodbye(one: Scene, voice: Voice) -> None:
    voice.n += 1
    await one.world.central.services.dispatch.beat(
        voice.caller,
        Beat(gen=voice.gen, session=voice.session, n=voice.n, closed=voice.n, goodbye=True),
    )


async def state(one: Scene, voice: Voice) -> PilotState:
    pilots = one.world.central.services.pilots
    return (await pilots.get(one.world.user(), voice.caller.pilot)).state


def test_a_pilot_that_leaves_without_a_job_is_told_apart_from_one_that_had_some() -> None:
    async def tell(one: Scene) -> None:
        crew = one.world.central.crew
        works, empty, told, _, old = one.voices[:5]
        await one.submit(1)
        (got,) = await works.ask()
        await works.does_well(got)
        await one.world.central.services.pilots.drain(one.world.user(), told.caller.pilot)
        for voice in (works, empty, told):
            await goodbye(one, voice)
        news = crew.news()
        again = crew.news()
        await one.world.kill()
        await one.world.start()
        after = one.world.central.crew
        await old.ask()
        await goodbye(one, old)

        assert news == ([works.caller.pilot], [empty.caller.pilot])
        assert again == ([], [])
        assert after.news() == ([], []), "of a pilot of before nobody knows what it did"

    scene(tell)


def test_a_pilot_of_a_suspended_host_does_not_speak_against_its_element() -> None:
    async def tell(one: Scene) -> None:
        await one.submit(20, "maria")
        await one.submit(20, "jorge")
        await one.swallow()
        late = await Voice(one.world, one.voices[0].host).start()
        nothing = await late.ask()
        one.world.central.crew.news()
        await goodbye(one, late)

        assert nothing == ()
        assert one.world.central.crew.news() == ([], [])

    scene(tell)


def test_only_pilots_with_nothing_to_do_are_idle_and_go_when_they_are_told_to() -> None:
    async def tell(one: Scene) -> None:
        crew = one.world.central.crew
        busy, idle, silent = one.voices[:3]
        await one.submit(1)
        await busy.ask()
        await busy.ask()
        await silent.ask()
        await one.world.clock.sleep(90)
        await busy.ask()
        await idle.ask()
        first = crew.idle()
        await one.world.clock.sleep(20)
        later = crew.idle()
        await busy.ask()
        names = [voice.caller.pilot for voice in (busy, idle, silent)]
        gone = await crew.drain(dict.fromkeys(names, "no job needs it"))
        await one.submit(1)
        none = await idle.ask()

        assert first == {idle.caller.pilot: 0.0}
        assert later == {idle.caller.pilot: 20.0}
        assert gone == [idle.caller.pilot]
        assert none == (), "it was told to go"
        assert await state(one, idle) is PilotState.DRAINING
        assert await state(one, busy) is PilotState.RUNNING

    scene(tell)


def test_an_idle_pilot_that_may_go_is_told_so_over_the_bus() -> None:
    async def tell(one: Scene) -> None:
        idle = one.voices[0]
        await idle.ask()
        await one.world.clock.sleep(1)  # until the central is on the bus
        assert idle.broker is not None
        link = one.world.broker.connect(idle.broker.user, idle.broker.password)
        link.subscribe(topics.down(idle.caller.community, idle.caller.pilot))
        gone = await one.world.central.crew.drain({idle.caller.pilot: "no job needs it"})
        async with asyncio.timeout(10):
            _, said = await link.receive()

        assert gone == [idle.caller.pilot]
        assert decode(Down, said) == Down(drain=True)

    scene(tell)


def test_a_pilot_is_idle_until_two_beats_of_it_are_missing() -> None:
    async def tell(one: Scene) -> None:
        crew, idle = one.world.central.crew, one.voices[0]
        await idle.ask()
        beat_s = one.world.settings.lease.beat_s
        at_once = dict(crew.idle())
        await one.world.clock.sleep(2 * beat_s)
        still = dict(crew.idle())
        await one.world.clock.sleep(1)

        assert at_once == {idle.caller.pilot: 0.0}
        assert still == {idle.caller.pilot: 2 * beat_s}
        assert crew.idle() == {}

    scene(tell)


def test_lost_pilots_end_by_their_elements_word_but_not_one_that_may_hold_a_job() -> None:
    async def tell(one: Scene) -> None:
        holds, killed, alive = one.voices[:3]
        (job,) = await one.submit(1)
        (got,) = await holds.ask()
        why = "its element says that it has ended, with exit code 137"
        names = [voice.caller.pilot for voice in (holds, killed, alive)]
        for _ in range(10):
            await one.world.clock.sleep(100)
            beat = Beat(gen=alive.gen, session=alive.session, n=alive.n, closed=alive.n)
            await one.world.central.services.dispatch.beat(alive.caller, beat)
        lost = [await state(one, voice) for voice in (holds, killed)]
        await one.world.central.crew.end_lost(dict.fromkeys(names, why))
        states = [await state(one, voice) for voice in (holds, killed, alive)]
        view = await one.world.central.services.pilots.get(one.world.user(), killed.caller.pilot)
        with pytest.raises(Refused):
            await killed.ask()
        await one.world.kill()
        await one.world.start()

        assert got.job == job
        assert lost == [PilotState.LOST] * 2
        assert states == [PilotState.LOST, PilotState.FAILED, PilotState.RUNNING]
        assert view.reason == why
        assert await state(one, killed) is PilotState.FAILED
        assert one.world.central.memory.pilots.find(killed.caller.pilot) is None

    scene(tell)


def test_a_silent_pilot_is_lost_at_its_elements_word_but_not_one_that_holds_a_job() -> None:
    async def tell(one: Scene) -> None:
        crew = one.world.central.crew
        holds, killed, alive = one.voices[:3]
        await one.submit(1)
        await holds.ask()
        await one.world.clock.sleep(2 * one.world.settings.lease.beat_s + 1)
        await alive.ask()
        names = [voice.caller.pilot for voice in (holds, killed, alive)]
        silent = crew.silent([*names, "unknown"])
        await crew.lose(dict.fromkeys(names, "its element reports its end"))

        assert silent == set(names[:2])
        assert [await state(one, voice) for voice in (holds, killed, alive)] == [
            PilotState.RUNNING,
            PilotState.LOST,
            PilotState.RUNNING,
        ]

    scene(tell)


def test_a_pilot_of_the_store_before_a_restore_is_given_up_once_it_was_told() -> None:
    async def tell(one: Scene) -> None:
        told, holds, later = one.voices[:3]
        await one.submit(1)
        await holds.ask()
        later.session = 0  # a late message of a session before the present one
        for voice in (told, holds, later):
            with pytest.raises(Refused, match="the store was restored") as why:
                await old(one, voice)
            assert why.value.code is Code.OTHER_STORE
        silent = one.world.central.crew.silent([voice.caller.pilot for voice in one.voices])
        await one.world.clock.sleep(2)
        soon = [await state(one, voice) for voice in (told, holds, later)]
        view = await one.world.central.services.pilots.get(one.world.user(), told.caller.pilot)
        await one.world.clock.sleep(one.world.settings.lease.lease_s + 2)

        assert silent == {told.caller.pilot, holds.caller.pilot}
        assert soon == [PilotState.FAILED, PilotState.RUNNING, PilotState.RUNNING]
        assert view.reason == "told to end: the store was restored from a backup"
        assert await state(one, holds) is PilotState.FAILED
        (again,) = await later_asks(one)
        assert again.epoch == 2, "its job runs elsewhere"

    scene(tell)


async def later_asks(one: Scene) -> tuple[Assignment, ...]:
    return await one.voices[3].ask()


async def old(one: Scene, voice: Voice) -> None:
    beat = Beat(gen="before", session=voice.session, n=voice.n + 1, closed=voice.n)
    await one.world.central.services.dispatch.beat(voice.caller, beat)
