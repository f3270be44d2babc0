"""A matcher as a restart of the central leaves it: what it held as values, and one made of them.

It is made by the calls that the central makes at a start: what these lose, this loses too.
"""

from collections.abc import Iterable, Mapping

import msgspec

from pilotage.matcher import Matcher
from pilotage.matcher.queue.ledger import ABSENT, PAGE_BITS, priority_of
from pilotage.matcher.rules import Rules
from pilotage.matcher.types import ClassSpec, RunningAttempt


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a matcher holds. Parked offers are not in it, and what was pending waits."""

    specs: tuple[ClassSpec, ...]
    waiting: list[tuple[int, int]]  # (class, job)
    priorities: dict[int, int]
    running: list[RunningAttempt]
    levels: Mapping[str, float]  # of groups and owners by path, without what runs


def held(matcher: Matcher, now: float | None = None) -> Held:
    """Return all jobs, attempts and levels."""
    backlog = matcher.backlog
    if now is not None:
        backlog.now = now
    waiting: list[tuple[int, int]] = []
    priorities: dict[int, int] = {}
    by_slot = backlog.classes.by_slot
    for number, page in sorted(backlog.ledger.pages.items()):
        for place, mark in enumerate(page.marks):
            if mark != ABSENT:
                job = (number << PAGE_BITS) + place
                waiting.append((by_slot[page.slots[place]].spec.class_id, job))
                priorities[job] = priority_of(mark)
    return Held(
        specs=tuple([cls.spec for cls in backlog.classes.all()]),
        waiting=waiting,
        priorities=priorities,
        running=list(_running(matcher, backlog.now)),
        levels=matcher.levels(backlog.now),
    )


def _running(matcher: Matcher, now: float) -> Iterable[RunningAttempt]:
    for job, out in matcher.attempts.by_job.items():
        if out.is_running:
            yield RunningAttempt(
                job=job,
                class_id=out.class_id,
                site=out.site,
                element=out.element,
                grant=out.grant,
                age_s=now - out.at,
                pilot=out.pilot,
            )


def again(rules: Rules, state: Held, now: float) -> Matcher:
    """Return a matcher that holds what another one held."""
    matcher = Matcher(rules)
    matcher.restore(state.levels, now)
    for spec in state.specs:
        matcher.add_class(spec)
    for one in state.running:
        matcher.running(one, now)
    for class_id, job in state.waiting:
        matcher.add(class_id, state.priorities[job], (job,))
    matcher.begin(now)
    return matcher
