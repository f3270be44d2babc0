"""What an explanation says of the next match is what the next match does."""

from typing import Any

import msgspec
from hypothesis import given, settings, strategies as st

from pilotage.matcher import Matcher
from pilotage.matcher.rules import Rules
from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.documents.job import Need

from .makes import offer, spec
from .test_machine import ALTERNATIVES, PREFERENCES, RULES, THERE, WHOSE

NEW_JOB, NEW_CLASS = 5_000, 99

CLASSES = st.lists(
    st.tuples(
        ALTERNATIVES | st.just((Need(wall_s=60),)),
        WHOSE,
        PREFERENCES,
        st.sampled_from([0, 1, 5, 5, 5, 9]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=6,
)
ASKS = st.lists(st.tuples(THERE, st.integers(0, 2), st.booleans()), max_size=6)


def class_of(number: int, made: tuple[Any, ...]) -> ClassSpec:
    needs, (group, owner, type_), preference, _, _ = made
    return spec(number, *needs, group=group, owner=owner, type=type_, preference=preference)


def told(rules: Rules, classes: list[Any], asks: list[Any], *, wake: bool) -> tuple[Matcher, float]:
    """Return a matcher to which all of this has happened, always the same."""
    matcher, now = Matcher(rules), 0.0
    for number, made in enumerate(classes):
        matcher.add_class(class_of(number, made))
    for there, _, parks in asks:
        if parks and wake:
            matcher.park(there, 1, now)
    for late in (0, 100):
        for number, made in enumerate(classes):
            first = late + 4 * number
            matcher.add(number, made[3], range(first, first + made[4]))
        if wake and not late:
            matcher.wake(now)
        for there, jobs_max, parks in asks:
            now += 1.0 if not wake else 0.1
            if wake and parks:  # it does not come, so that its job is kept on
                continue
            for match in matcher.match(there, jobs_max, now):
                if match.job % 2:
                    matcher.confirm(match.job)
            if parks:
                matcher.park(there, 2, now)
    return matcher, now


@given(
    classes=CLASSES,
    asks=ASKS,
    offers=st.lists(THERE, min_size=1, max_size=3),
    wake=st.booleans(),
    reserves=st.booleans(),
    new=st.none() | st.integers(0, 5),
)
@settings(max_examples=100, deadline=None)
def test_it_is_the_next_exactly_where_a_match_gives_it(
    classes: list[Any],
    asks: list[Any],
    offers: list[LiveOffer],
    wake: bool,
    reserves: bool,
    new: int | None,
) -> None:
    rules = msgspec.structs.replace(RULES, reserve_after_s=0.5 if reserves else 1e9)
    matcher, now = told(rules, classes, asks, wake=wake)
    jobs = sorted(job for job in range(150) if job in matcher)
    for there in [*offers, *(its for its, _, _ in asks)]:
        other, _ = told(rules, classes, asks, wake=wake)
        is_kept = there.pilot in other.wakes.by_pilot
        is_reserved = there.pilot in other.reservations.by_pilot
        matched = [match.job for match in other.match(there, 1, now)]
        for job in jobs:
            said = matcher.explain(job, matcher.backlog.class_of(job).spec, [there], now)

            assert said.next_on <= (matched == [job])
            assert said.next_on == (matched == [job]) or is_kept or is_reserved
            is_told = any(note.startswith("it is next for") for note in said.notes)
            assert is_told == bool(said.next_on)
            if "other jobs come first where there is room now" in said.notes:
                assert matched and matched != [job]
        if new is not None:
            made = classes[new % len(classes)]
            its = class_of(NEW_CLASS, made)
            said = matcher.explain(None, its, [there], now, priority=made[3])
            other, _ = told(rules, classes, asks, wake=wake)
            other.add_class(its)
            other.add(NEW_CLASS, made[3], [NEW_JOB])
            matched = [match.job for match in other.match(there, 1, now)]

            assert said.next_on <= (matched == [NEW_JOB])


def test_a_new_job_is_not_promised_an_offer_for_which_others_wait() -> None:
    matcher = Matcher()
    matcher.add_class(spec(1))
    matcher.add(1, 5, range(50))

    said = matcher.explain(None, spec(0), [offer()], 0.0)

    assert (said.ahead, said.next_on, said.with_room) == (50, 0, 1)
    assert said.notes == ["other jobs also wait for the offers with room now"]

    alone = matcher.explain(None, spec(0, owner="bob", group="dpps"), [offer(gpus=1)], 0.0)
    assert (alone.ahead, alone.groups_ahead, alone.next_on) == (0, 1, 0)
