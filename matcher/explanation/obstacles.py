"""The obstacles for a job that fits offers: limits, shares, preferences, its reservation."""

from collections import Counter
from collections.abc import Iterator, Sequence

from pilotage.proto.documents.job import Preference

from ..clauses.clause import listed
from ..clauses.word_bits import flags
from ..limits.fair_shares import ShareNode, Shares, competing_level
from ..limits.running_limits import (
    NO_POOL,
    NO_TEST,
    TEST,
    ElementLimits,
    Kinds,
    Limit,
    LimitKind,
    LimitTable,
    shuts,
)
from ..queue.backlog import Backlog
from ..queue.ledger import ABSENT
from ..reservations.reservations import Reservations
from ..types import ClassSpec, LiveOffer
from .nearest_words import nearest

SHOWN_MAX = 5  # limits that are named one by one


def by_limits(
    spec: ClassSpec,
    offers: Sequence[LiveOffer],
    fits: Sequence[int],
    limits: LimitTable,
    now: float,
) -> tuple[int, list[str], bool]:
    """Return on how many offers limits block all fitting needs now, and which limits.

    The last value says whether one of them counts all sites together, so that other offers would
    not help. `fits`: for each need, the offers that fit it, as bits.
    """
    kinds = [limits.kinds_of(spec, need) for need in spec.needs]
    if not any(kinds) or not offers:
        return 0, [], False
    unknown = listed(name for need in spec.needs for name in limits.uncounted(need))
    held, anywhere = 0, False
    why: Counter[str] = Counter()
    columns = [flags(bits, len(offers)) for bits in fits]
    places = ((it.site, it.element) for it in offers)
    for (at, *fitting), count in Counter(zip(places, *columns, strict=True)).items():
        its = [kinds[need] for need, flag in enumerate(fitting) if flag == "1"]
        place = limits.place(spec.community, *at)
        if not its or not all(shuts(place, some, now) for some in its):
            continue
        held += count
        for text, where in holding(place, its, unknown):
            why[text] += count
            anywhere = anywhere or not where
    said = [f"{text}: {count} of the offers" for text, count in why.most_common(SHOWN_MAX)]
    return held, said, anywhere


def by_submission(spec: ClassSpec, backlog: Backlog) -> list[str]:
    """Return a note if its submission's limit of running jobs blocks it everywhere."""
    cls = backlog.classes.find(spec.class_id)
    if cls is None or cls.cap is None or not cls.is_shut:
        return []
    most = cls.cap.most
    return [f"its submission lets at most {most} jobs run at once, and {most} run (running_max)"]


def holding(
    place: ElementLimits | None, rows: Sequence[Kinds], unknown: str
) -> Iterator[tuple[str, str]]:
    """Yield, in words, the limits that block rows at a place, and where they hold ("": anywhere).

    `unknown`: the pools that no limit counts.
    """
    most: dict[LimitKind, int] = {}  # largest amount of each kind that any of the rows takes
    for kinds in rows:
        for kind, takes in kinds.items():
            most[kind] = max(takes, most.get(kind, 0))
    if NO_POOL in most:
        yield f"no limit sets the total of {unknown}", ""
    if place is None:
        return
    for kind in place.without:
        if kind == NO_TEST and kind in most:
            yield banned(place), place.site
        elif kind != NO_POOL and kind in most:
            at = f"{place.site}/{place.element}"
            yield f"no limit sets the total of {kind[1]} at {at}", place.site
    for limit in place.limits:
        if limit.kind in most and limit.is_short_of(most[limit.kind]):
            yield told(limit, most[limit.kind]), limit.where


def told(limit: Limit, takes: int = 1) -> str:
    """Return a text that describes what a used-up limit blocks."""
    by, value = limit.kind
    at = f"at {limit.where}" if limit.where else "at all sites together"
    if limit.is_amount:
        left = max(0, int(limit.room))
        return f"{at}, at most {limit.most:.0f} {value} may be in use: {takes} needed, {left} left"
    if limit.is_rate:
        return f"{at}, at most {limit.per_s:g} jobs of {by} {value} start per second"
    if limit.most < 1:
        return f"{at}, no job of {by} {value} may run"
    most = f"{limit.most:g} {'job' if limit.most == 1 else 'jobs'}"
    return f"{at}, at most {most} of {by} {value} may run at once, and as many are running"


def banned(place: ElementLimits) -> str:
    """Return the note that a place is banned."""
    return f"{place.site}/{place.element} is banned: only jobs of type {TEST} run there"


def by_shares(spec: ClassSpec, shares: Shares, now: float) -> tuple[int, int, list[str]]:
    """Return how many groups, and owners of its group, are served first, with notes.

    A group or owner without waiting jobs counts at the place where it would start. Names and usage
    of other owners are not shown.
    """
    community = shares.find(spec.community)
    if community is None:
        return 0, 0, []
    group = shares.find(spec.community, spec.group)
    owner = shares.find(spec.community, spec.group, spec.owner)
    groups, all_groups = _before(community, group)
    owners, all_owners = _before(group, owner)
    notes: list[str] = []
    if all_groups > 1:
        text = f"by fair share, group {spec.group} is number {groups + 1} of {all_groups} groups"
        text += _standing(group, shares, now)
        if groups:
            first = next(iter(community.order))
            text += f"; the first is {first.name}{_standing(first, shares, now)}"
        notes.append(text)
    if all_owners > 1:
        text = f"by fair share, owner {spec.owner} is number {owners + 1} of {all_owners} owners "
        notes.append(f"{text}of group {spec.group}{_standing(owner, shares, now)}")
    return groups, owners, notes


def _before(parent: ShareNode | None, child: ShareNode | None) -> tuple[int, int]:
    """Return how many busy children come before one, and how many there are including it."""
    if parent is None:
        return 0, 1
    if child is not None and child.busy:
        place, count = (child.level, child.serial), len(parent.order)
    else:  # if it starts to compete again, or for the first time
        level = competing_level(parent)
        place, count = (level, len(parent.children)), len(parent.order) + 1
        if child is not None:
            place = (max(level, child.level), child.serial)
    return sum((node.level, node.serial) < place for node in parent.order), count


def _standing(node: ShareNode | None, shares: Shares, now: float) -> str:
    """Explain the place of a group or an owner.

    The counted usage may exceed the real one: a child that returns after a pause has saved nothing
    up.
    """
    if node is None:
        return ": no usage yet"
    return f": share {node.share:g}, usage {_hours(shares.used_core_s(node, now))} core hours"


def _hours(seconds: float) -> str:
    hours = seconds / 3_600.0
    return f"{hours:.0f}" if hours >= 100 else f"{hours:.3g}"


def by_preference(
    job: int | None,
    spec: ClassSpec,
    offers: Sequence[LiveOffer],
    fitting: Sequence[LiveOffer],
    backlog: Backlog,
    *,
    is_its: bool,
) -> list[str]:
    """Return notes on the preferred sites that a job waits for, or that have no live offer.

    `is_its`: the job is next nevertheless, because no other job waits.

    """
    preference = spec.preference
    if preference is None or not preference.sites or not offers:
        return []
    there = {offer.site for offer in offers}
    notes: list[str] = []
    for site in preference.sites:
        if site not in there:
            near = nearest(site, there)
            hint = f": did you mean {near}?" if near else ""
            notes.append(f"its preferred site {site} has no live offer{hint}")
    others = sum(offer.site not in preference.sites for offer in fitting)
    left_s = _prefers_s(job, spec.class_id, preference, backlog)
    if others and left_s > 0.0:
        prefix = f"it prefers {' or '.join(preference.sites)} for {left_s:.0f} s more: "
        if is_its:
            notes.append(f"{prefix}other sites may run it, because no other job waits there")
        else:
            notes.append(f"{prefix}until then, all other jobs precede it on {others} of the offers")
    return notes


def _prefers_s(job: int | None, class_id: int, preference: Preference, backlog: Backlog) -> float:
    """Return how much longer a job prefers some sites; the whole time if it arrived now."""
    cls = backlog.classes.find(class_id)
    if job is None or cls is None or cls.arrivals is None or backlog.state(job) == ABSENT:
        return float(preference.for_s)
    return cls.arrivals.prefers_until(job) - backlog.now


def reservation(spec: ClassSpec, reservations: Reservations, backlog: Backlog) -> list[str]:
    """Return notes on the offers that are reserved for a class, and until when."""
    held = reservations.by_class.get(spec.class_id, ())
    return [
        f"pilot {its.pilot} is reserved for a job of its class and has room within "
        f"{max(0.0, its.until - backlog.now):.0f} s"
        for its in held
    ]
