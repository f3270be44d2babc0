"""Places that swallow jobs: small stories, and promises over random ones."""

import random

import pytest

from pilotage.central.sites.host_scores import (
    HostScores,
    PlaceChange,
    PlaceStatus,
    SiteHost,
    SuspensionPolicy,
)

TERMS = SuspensionPolicy()
BAD: SiteHost = ("PIC", "wn7")


def a_site(hosts: int = 10, terms: SuspensionPolicy = TERMS) -> HostScores:
    scores = HostScores(terms)
    for number in range(hosts):
        scores.saw(("PIC", f"wn{number}"), "PIC", 0.0)
    return scores


def fail(
    scores: HostScores,
    *,
    jobs: int = 5,
    owners: int = 2,
    place: SiteHost = BAD,
    first: int = 0,
    at: float,
) -> list[PlaceChange | None]:
    return [
        scores.failed(place, first + number, f"owner{number % owners}", "exit code 127", at)
        for number in range(jobs)
    ]


def suspended(scores: HostScores) -> set[SiteHost]:
    return {one.place for one in scores.shown() if one.standing is not PlaceStatus.REPORTED}


def test_a_host_on_which_jobs_of_several_owners_fail_is_suspended_and_a_canary_brings_it_back() -> (
    None
):
    scores = a_site()
    told = fail(scores, at=10.0)
    rooms = [scores.room(BAD, at) for at in (10.0, 609.0, 611.0)]
    scores.went(BAD, 77, 611.0)
    while_it_is_out = scores.room(BAD, 620.0)
    after = scores.did_well(BAD, "owner1", 630.0)

    assert told == [None, None, None, None, PlaceChange.SUSPENDED]
    assert rooms == [0, 0, 1]
    assert while_it_is_out == 0
    assert after is PlaceChange.RESTORED
    assert scores.room(BAD, 630.0) is None


def test_a_canary_that_fails_doubles_the_pause() -> None:
    scores = a_site()
    fail(scores, at=0.0)
    until: list[float] = []
    at = 0.0
    for number in range(8):
        at = scores.shown()[0].until
        assert scores.room(BAD, at) == 1
        scores.went(BAD, 100 + number, at)
        scores.failed(BAD, 100 + number, "owner1", "exit code 127", at + 1)
        until.append(scores.shown()[0].until - at - 1)

    assert until == [1_200, 2_400, 4_800, 9_600, 19_200, 21_600, 21_600, 21_600]


def test_many_failures_of_one_owner_and_one_of_another_suspend_no_host() -> None:
    scores = a_site()

    scores.failed(BAD, 0, "maria", "exit code 1", 1.0)
    told = [scores.failed(BAD, n, "mallory", "exit code 1", 1.0 + n) for n in range(1, 60)]

    assert set(told) == {None}


def test_canaries_of_one_owner_keep_no_host_from_the_others_for_ever_longer() -> None:
    scores = a_site()
    fail(scores, at=0.0)
    pauses: list[float] = []
    for number in range(6):
        at = scores.shown()[0].until
        scores.did_well(("PIC", "wn1"), "maria", at)
        assert scores.room(BAD, at) == 1
        scores.went(BAD, 100 + number, at)
        scores.failed(BAD, 100 + number, "mallory", "exit code 1", at)
        pauses.append(scores.shown()[0].until - at)

    assert scores.tried(BAD) == {"mallory"}
    assert pauses == [1_200, 600, 600, 600, 600, 600]


def test_a_canary_that_says_nothing_is_followed_by_another() -> None:
    scores = a_site()
    fail(scores, at=0.0)
    scores.room(BAD, 700.0)
    scores.went(BAD, 77, 700.0)
    scores.came_back(BAD, 77)
    given_back = scores.room(BAD, 701.0)
    scores.went(BAD, 78, 701.0)
    silent = scores.room(BAD, 701.0 + TERMS.canary_s)

    assert (given_back, silent) == (1, 1)


@pytest.mark.parametrize(("jobs", "owners"), [(4, 2), (60, 1)])
def test_few_jobs_or_one_owner_say_nothing(jobs: int, owners: int) -> None:
    scores = a_site()

    fail(scores, jobs=jobs, owners=owners, at=0.0)

    assert scores.shown() == []


def test_where_one_owner_has_all_jobs_twice_as_many_have_to_fail_while_others_do_well() -> None:
    told: list[PlaceChange | None] = []
    for others_do_well in (False, True):
        scores = a_site()
        for number in range(10):
            if others_do_well:
                scores.did_well(("PIC", "wn1"), "maria", 1.0 + number)
            told.append(scores.failed(BAD, number, "maria", "exit code 127", 1.0 + number))

    assert [at for at, one in enumerate(told) if one is PlaceChange.SUSPENDED] == [19]


def test_one_job_again_and_again_is_one_job() -> None:
    scores = a_site()
    for number in range(50):
        scores.failed(BAD, 1, f"owner{number % 2}", "exit code 1", 0.0)

    assert scores.shown() == []


def test_a_job_that_does_well_in_between_clears_a_host() -> None:
    scores = a_site()
    for number in range(50):
        fail(scores, jobs=4, first=10 * number, at=float(number))
        scores.did_well(BAD, "owner0", float(number))

    assert scores.shown() == []


def test_failures_of_long_ago_do_not_count() -> None:
    scores = a_site()
    for number in range(50):
        scores.failed(BAD, number, f"owner{number % 2}", "exit code 1", 600.0 * number)

    assert scores.shown() == []


def test_owners_whose_jobs_fail_everywhere_harm_no_host() -> None:
    scores = a_site(hosts=50)
    for number in range(2_000):
        place = ("PIC", f"wn{number % 50}")
        scores.failed(place, number, f"owner{number // 50 % 2}", "exit code 1", number / 10)

    assert suspended(scores) == set()


def test_the_only_host_of_a_site_is_told_of_once() -> None:
    scores = a_site(hosts=1)
    place: SiteHost = ("PIC", "wn0")
    told = fail(scores, place=place, jobs=40, at=0.0)

    assert [one for one in told if one] == [PlaceChange.REPORTED]
    assert scores.room(place, 1.0) is None
    assert [one.standing for one in scores.shown()] == [PlaceStatus.REPORTED]


def test_a_person_lifts_what_is_held() -> None:
    scores = a_site()
    fail(scores, at=0.0)
    lifted = scores.lift(BAD), scores.lift(BAD), scores.lift(("PIC", "wn1"))

    assert lifted == (True, False, False)
    assert scores.room(BAD, 1.0) is None
    assert fail(scores, first=50, at=2.0)[-1] is PlaceChange.SUSPENDED
    assert scores.shown()[0].until == 2.0 + TERMS.pause_first_s


@pytest.mark.parametrize("seed", range(30))
def test_never_more_than_a_fifth_of_a_site_and_what_is_good_stays(seed: int) -> None:
    chance = random.Random(seed)
    hosts = chance.choice([1, 2, 4, 9, 10, 23])
    bad = {("PIC", f"wn{number}") for number in range(hosts) if chance.random() < 0.3}
    places = [("PIC", f"wn{number}") for number in range(hosts)]
    scores, now, most, held_good = a_site(hosts), 0.0, max(1, hosts // 5), 0
    for job in range(4_000):
        now += chance.expovariate(1.0)
        place = chance.choice(places)
        scores.saw(place, "PIC", now)
        if scores.room(place, now) == 0:
            continue
        scores.went(place, job, now)
        owner = f"owner{chance.randrange(6)}"
        if place in bad:
            scores.failed(place, job, owner, "exit code 127", now)
        elif chance.random() < 0.2:
            scores.failed(place, job, owner, "exit code 1", now)
        else:
            scores.did_well(place, owner, now)
        held = suspended(scores)
        held_good += len(held - bad)

        assert len(held) <= most
        assert hosts > 1 or not held
    if bad and hosts > 1:
        assert suspended(scores) & bad, "no black hole was found"
    assert held_good == 0
