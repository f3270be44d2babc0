"""What was used by shares outlives a central that is stopped, and mostly one that is killed."""

import asyncio
from dataclasses import replace

import pytest

from pilotage.matcher.limits.fair_shares import PART_MIN
from pilotage.proto.documents.job import Need
from pilotage.proto.messages import How
from tests.integration.line.test_protocol import OFFER, Scene, ended, of, scene


def levels(one: Scene) -> tuple[dict[str, float], dict[str, float]]:
    """Return what was used, and the same with what runs."""
    matcher, now = one.world.central.memory.queue.matcher, one.world.clock.monotonic()
    return matcher.levels(now), matcher.shares.levels(now)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_use_counts_after_a_restart(end: str) -> None:
    async def tell(one: Scene) -> None:
        await one.submit(3)
        got = await one.ask()
        await one.turn(ended(got, how=How.EXITED, exit_code=0))
        held = await one.ask()
        if end == "kill":
            for _ in range(8):
                await asyncio.sleep(10.0)
                await one.beat(of(held))
        else:
            await one.world.central.stop()
        before = levels(one)
        await one.world.kill()
        await one.world.start()

        after = levels(one)
        assert after[0] == pytest.approx(before[0], rel=1e-3)
        assert 0.9 < max(before[0].values()) < 1.1 < max(before[1].values())
        # That its jobs end early is not known any more: what runs is charged in full, once.
        for path, level in after[1].items():
            runs = before[1][path] - before[0][path]
            assert level - after[0][path] == pytest.approx(runs / PART_MIN, rel=1e-2), path

    scene(tell)


def test_what_memory_costs_is_charged_through_a_restart() -> None:
    async def tell(one: Scene) -> None:
        await one.submit(1, needs=(Need(wall_s=3_600, memory_mb=OFFER.memory_free_mb),))
        got = await one.ask()

        def charged() -> float:
            out = one.world.central.memory.queue.matcher.attempts.by_job
            return out[got.job].grant.charged_cores

        assert charged() == OFFER.cores > got.grant.cores
        await one.world.kill()
        await one.world.start()
        assert charged() == OFFER.cores

    scene(tell)


def test_named_amounts_that_are_taken_are_known_after_a_restart() -> None:
    async def tell(one: Scene) -> None:
        offer = replace(OFFER, amounts={"net": 10}, amounts_free={"net": 10})
        await one.submit(2, needs=(Need(wall_s=3_600, amounts={"net": 6}),))
        got = await one.ask(offer=offer)
        assert got.grant.amounts == {"net": 6}
        await one.world.kill()
        await one.world.start()
        memory = one.world.central.memory
        out = memory.queue.matcher.attempts.by_job[got.job]
        (lease,) = memory.leases.all()

        assert out.grant.amounts == lease.grant.amounts == {"net": 6}
        presence = memory.pilots.all()[0]
        presence.offer = offer  # said before it knew of the attempt
        free = presence.free_offer([lease])
        assert free is not None and free.amounts_free == {"net": 4}

    scene(tell)
