"""The counts of pilots, cores and jobs in the view of a site."""

from pilotage.proto.api.sites import SiteView

from .test_hosts import OFFER, Scene, scene


async def of_pic(one: Scene) -> SiteView:
    services = one.world.central.services
    return (await services.sites.show(one.world.user(), "PIC")).view


def test_a_site_has_the_cores_of_its_pilots_free_that_no_job_uses() -> None:
    async def tell(one: Scene) -> None:
        pilots, voice = len(one.voices), one.voices[0]
        idle = await of_pic(one)
        await one.submit(1)
        (job,) = await voice.ask()
        busy = await of_pic(one)
        await voice.does_well(job)
        after = await of_pic(one)

        cores = pilots * OFFER.cores
        assert (idle.pilots, idle.cores, idle.cores_free, idle.running) == (pilots, cores, cores, 0)
        assert (busy.cores, busy.cores_free, busy.running) == (cores, cores - 1, 1)
        assert (after.cores_free, after.running, after.done) == (cores, 0, 1)

    scene(tell)
