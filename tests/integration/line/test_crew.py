"""What is told of pilots to those who plan others, and the order to go: on fakes."""

from pilotage.proto.messages import Beat
from pilotage.proto.pilot_states import PilotState

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
