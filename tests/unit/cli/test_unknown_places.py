"""A job whose site or element is not known is submitted, and its submitter is told."""

import pytest

from pilotage.central.cli import unknown_places
from pilotage.central.cli.unknown_places import missed_site, warn_of_unknown, warn_of_unmet
from pilotage.proto.api.explanations import Explanation, Obstacle
from pilotage.proto.api.sites import Elements, ElementView, Sites, SiteView
from pilotage.proto.documents.job import Job, Need, Preference

from ..client.stub_central import StubCentral, ok, problem


def a_site(name: str) -> SiteView:
    return SiteView(site=name, pilots=0, cores=0, cores_free=0, running=0, done=0, failed=0)


def central(*sites: str) -> StubCentral:
    stub = StubCentral()
    stub.always["GET /v1/sites"] = ok(Sites(sites=[a_site(one) for one in sites]))
    found = [ElementView(site=one, element="slurm") for one in sites]
    stub.always["GET /v1/elements"] = ok(Elements(elements=found, unmet_jobs=0))
    return stub


def a_job(need: Need, preferred: str = "") -> Job:
    preference = Preference(sites=(preferred,)) if preferred else None
    return Job(command=("true",), needs=(need,), preference=preference)


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (a_job(Need(sites=("PIC",), element="slurm")), ""),
        (a_job(Need(sites=("pic",))), "site 'pic' is not known yet (did you mean 'PIC'?)"),
        (a_job(Need(sites=("PCI",))), "site 'PCI' is not known yet (did you mean 'PIC'?)"),
        (a_job(Need(banned_sites=("PIC", "XY"))), "site 'XY' is not known yet; the jobs are"),
        (a_job(Need(), "PICC"), "site 'PICC' is not known yet (did you mean 'PIC'?)"),
        (a_job(Need(element="slrum")), "element 'slrum' is not known yet (did you mean 'slurm'?)"),
        (a_job(Need(element="{where}")), ""),  # a template's
    ],
)
async def test_what_is_not_known_is_told(
    job: Job, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with central("PIC", "CSCS").client() as client:
        await warn_of_unknown(client, [job])

    told = capsys.readouterr().err
    assert said in told
    assert bool(said) == bool(told)


async def test_nothing_is_asked_for_jobs_that_name_no_place() -> None:
    stub = central("PIC")
    async with stub.client() as client:
        await warn_of_unknown(client, [a_job(Need())])

    assert stub.got == []


async def test_where_no_site_is_known_or_nobody_says_none_is_missed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    refusing = central("PIC")
    refusing.always["GET /v1/sites"] = problem(403, "forbidden", "no")
    for stub in (central(), refusing):
        async with stub.client() as client:
            await warn_of_unknown(client, [a_job(Need(sites=("PCI",)))])

    assert capsys.readouterr().err == ""


UNMET = [Obstacle(clause="cores", wanted="100", excludes=2, best="8", would_fit=2)]


@pytest.mark.parametrize(
    ("offers", "fitting", "on_terminal", "said"),
    [
        (2, 0, True, "no live pilot fits: without the clause cores (100 wanted), 2 offers would"),
        (2, 1, True, ""),
        (0, 0, True, ""),  # pilots may come when there is work
        (2, 0, False, ""),
    ],
)
async def test_needs_that_no_live_pilot_meets_are_told(
    offers: int,
    fitting: int,
    on_terminal: bool,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(unknown_places, "watched", lambda: on_terminal)
    stub = central("PIC")
    stub.always["POST /v1/jobs/explain"] = ok(
        Explanation(job=None, state="", offers=offers, fitting=fitting, obstacles=UNMET)
    )
    async with stub.client() as client:
        await warn_of_unmet(client, [a_job(Need(cores_min=100))] * 3)

    told = capsys.readouterr().err
    assert said in told
    assert bool(said) == bool(told)
    assert len(stub.got) == on_terminal  # equal jobs are asked for once


async def test_a_site_of_which_nothing_is_listed_is_told_when_it_is_not_known() -> None:
    async with central("PIC").client() as client:
        assert await missed_site(client, "PIC") == ""
        near = await missed_site(client, "PICC")
        assert near == "site 'PICC' is not known yet (did you mean 'PIC'?)"
    async with central().client() as client:
        assert await missed_site(client, "PIC") == "site 'PIC' is not known yet"
