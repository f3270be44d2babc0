"""Advice: how a job's demand would have to change so that more offers fit.

Each clause proposes changes. The exact rule then counts the offers that fit the changed job, so
advice never promises too much.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import msgspec

from pilotage.proto.api.explanations import Advice
from pilotage.proto.documents.job import Need

from ..clauses.amounts import lacking, offered
from ..clauses.clause import Clause, Clauses, one_of
from ..clauses.clause_kinds import NodeVersion
from ..clauses.tag_expressions import parse
from ..errors import BadTags
from ..types import ClassSpec, CountedAmounts
from ..versions import Version, shown, version
from .offer_bits import Miss, OfferBits, OfferFit

CHANGES_MAX: Final = 2  # that a clause proposes
COMBINED_FOR: Final = 64  # offers for which several changes are tried together
ROUNDS_MAX: Final = 4  # rounds of combined changes: one change may make another necessary
TAGS_MAX: Final = 16  # in one piece of advice
_IDLE: Final = Need()
_OF_GPUS: Final = tuple(name for name in Need.__struct_fields__ if name.startswith("gpu"))


class Change(NamedTuple):
    """A proposal: some fields of the need or of the job, with their new values."""

    words: str
    need: tuple[tuple[str, Any], ...] = ()
    job: tuple[tuple[str, Any], ...] = ()
    demands: int = 1  # that it changes


_Propose = Callable[[Need, Sequence[Any]], Iterable[Change]]  # from the facts of the refused offers


def advise(
    spec: ClassSpec, place: int, looks: Sequence[OfferFit], asked: OfferBits, clauses: Clauses
) -> list[Advice]:
    """Return changes that make more offers fit, of the need at `place` or of the job."""
    before = _union(look.fitting for look in looks).bit_count()
    misses = looks[place].misses
    single = [change for miss in misses for change in _proposed(spec.needs[place], miss)]
    found = _that_help(spec, place, single, asked, before)
    if not found:
        several = sorted(_combined(spec, place, asked, clauses), key=lambda one: one.demands)
        found = _that_help(spec, place, several, asked, before)
        most = max(found, key=lambda one: one.offers, default=None)
        found = [
            one
            for one in found
            if one is found[0] or (one is most and one.offers > found[0].offers)
        ]
    return found


def _that_help(
    spec: ClassSpec,
    place: int,
    changes: Iterable[Change],
    asked: OfferBits,
    before: int,
) -> list[Advice]:
    """Return the changes that make more offers fit than `before`, each once."""
    found: dict[str, Advice] = {}
    for change in changes:
        changed = _changed(spec, place, change)
        count = _union(asked.look(it, changed).fitting for it in changed.needs).bit_count()
        if count > before:
            given = {name: _plain(value) for name, value in (*change.need, *change.job)}
            text = f"{change.words}: {_offers(count, before)}"
            found[text] = Advice(text=text, need=place, change=given, offers=count)
    return list(found.values())


def _changed(spec: ClassSpec, place: int, change: Change) -> ClassSpec:
    need = msgspec.structs.replace(spec.needs[place], **dict(change.need))
    needs = (*spec.needs[:place], need, *spec.needs[place + 1 :])
    return msgspec.structs.replace(spec, needs=needs, **dict(change.job))


def _proposed(need: Need, miss: Miss) -> Iterable[Change]:
    return proposal(miss.clause)(need, miss.alone or miss.nearest)


def _combined(spec: ClassSpec, place: int, asked: OfferBits, clauses: Clauses) -> Iterator[Change]:
    """Propose for some offers all changes that such an offer requires, together."""
    for offer in asked.offers[:COMBINED_FOR]:
        change = Change("", demands=0)
        for _ in range(ROUNDS_MAX):
            its = _changed(spec, place, change)
            need = its.needs[place]
            refusing = [clause for clause in clauses if clause.refuses(need, its, offer)]
            if not refusing:
                yield change
                break
            for clause in refusing:
                more = next(iter(proposal(clause)(need, [clause.has(offer)])), None)
                if more is not None:
                    change = _together(change, more)


def _together(one: Change, other: Change) -> Change:
    words = f"{one.words} and {other.words}" if one.words else other.words
    need, job = dict(one.need) | dict(other.need), dict(one.job) | dict(other.job)
    return Change(words, tuple(need.items()), tuple(job.items()), one.demands + other.demands)


def _union(bits: Iterable[int]) -> int:
    found = 0
    for some in bits:
        found |= some
    return found


def _plain(value: Any) -> Any:
    return list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value


def _offers(count: int, before: int) -> str:
    text = "1 offer" if count == 1 else f"{count} offers"
    return f"{text} instead of {before}" if before else text


# -- what each clause proposes --------------------------------------------------------------------


def _nothing(need: Need, had: Sequence[Any]) -> Iterable[Change]:
    """Propose nothing: no change of the job can help."""
    return ()


def _without(name: str, *fields: str) -> _Propose:
    """Propose to drop a demand."""
    return _dropping(f"without its demand on {name}", *fields)


def _dropping(words: str, *fields: str) -> _Propose:
    change = Change(words, tuple((field, getattr(_IDLE, field)) for field in fields))
    return lambda need, had: (change,)


def _less(
    lower: Callable[[Need, Any], Change | None],
    otherwise: _Propose,
    order: Callable[[Any], Any] = int,
) -> _Propose:
    """Propose the least reduction that helps, and one that helps with half of the offers."""

    def propose(need: Need, had: Sequence[Any]) -> Iterator[Change]:
        ranked = sorted(map(order, had))
        values = dict.fromkeys((ranked[-1], ranked[(len(ranked) - 1) // 2]))
        changes = [change for value in values if value and (change := lower(need, value))]
        yield from changes or otherwise(need, had)

    return propose


def _most_frequent(changes: Iterable[Change]) -> list[Change]:
    return [change for change, _ in Counter(changes).most_common(CHANGES_MAX)]


def _field(name: str, field: str, unit: str = "", step: int = 1) -> Callable[[Need, Any], Change]:
    """Return a function that proposes a smaller number, if possible a multiple of `step`.

    Free disk and the remaining time change by themselves before the user follows the advice.
    """

    def lower(need: Need, most: Any) -> Change:
        least = most if step == 1 or most <= 2 * step else (most - step) // step * step
        return Change(f"with {name} ≤ {least}{unit}", ((field, least),))

    return lower


def _memory(need: Need, most: int) -> Change | None:
    """Propose less total memory; reduce the part for each core only if needed."""
    cores, per_core = need.cores_min, need.memory_per_core_mb
    if not per_core:
        return Change(f"with memory ≤ {most} MB", (("memory_mb", most),))
    words = f"with memory ≤ {most} MB for {cores} core{'s' if cores > 1 else ''}"
    base = most - per_core * cores
    if base >= 0:
        return Change(words, (("memory_mb", base),))
    return Change(words, (("memory_mb", 0), ("memory_per_core_mb", most // cores)))


def _cpu_work(need: Need, per_core: float) -> Change | None:
    """Propose less CPU work; the job's cores share it."""
    most = int(per_core * need.cores_min)
    if most < 1:
        return None
    return Change(f"with cpu work ≤ {most} HS23 s", (("cpu_work_hs23_s", most),))


def _older(words: str, clause: NodeVersion) -> _Propose:
    """Propose an older version; none if the offers' versions are too new or unknown."""
    field, without = clause.least, _without(words, *fields_of(clause.name))

    def lower(need: Need, most: Version) -> Change | None:
        text = shown(most)
        return Change(f"with {words} ≤ {text}", ((field, text),))

    def propose(need: Need, had: Sequence[Any]) -> Iterable[Change]:
        least = version(getattr(need, field))
        older = [node for node in had if () < clause.of(node) < least]
        return reduced(need, older) if older else without(need, had)

    reduced = _less(lower, without, clause.of)
    return propose


def _smaller_amounts(need: Need, had: Sequence[CountedAmounts | None]) -> Iterator[Change]:
    """Propose the named amounts that offers have, first where the fewest amounts must shrink."""
    wanted = offered(need)
    shortages = dict.fromkeys(
        tuple((name, free.get(name, 0)) for name, _ in lacking(wanted, one))
        for one in had
        for free in [dict(one or ())]
    )
    fewest = sorted(shortages, key=lambda one: (len(one), [-free for _, free in one]))
    for shortage in fewest[:CHANGES_MAX]:
        left = {name: it for name, it in need.amounts.items() if dict(shortage).get(name, it)}
        smaller = {name: min(it, dict(shortage).get(name, it)) for name, it in left.items()}
        words = [f"{name} ≤ {free}" if free else f"no {name}" for name, free in shortage]
        yield Change(f"with {' and '.join(words)}", (("amounts", smaller),))


def _unbanned(need: Need, had: Sequence[str]) -> Iterable[Change]:
    return _most_frequent(
        Change(
            f"if it did not ban {site}",
            (("banned_sites", tuple(one for one in need.banned_sites if one != site)),),
        )
        for site in had
    )


def _accepted(field: str) -> _Propose:
    """Propose a group, owner or type that the offers accept."""

    def propose(need: Need, had: Sequence[frozenset[str]]) -> Iterable[Change]:
        return _most_frequent(
            Change(f"if its {field} were {one_of(words)}", job=((field, min(filter(None, words))),))
            for words in had
            if any(words)
        )

    return propose


def _other_tags(need: Need, had: Sequence[frozenset[str]]) -> Iterable[Change]:
    """Propose to drop the expression; if offers require tags, propose to ask for those alone."""
    yield Change("without its demand on tags", (("tags", ""),))


def _required(need: Need, had: Sequence[frozenset[str]]) -> Iterable[Change]:
    """Propose to ask for the required tags too."""
    named = parse(need.tags).named
    changes: list[Change] = []
    for tags in had:
        lacking = sorted(tags - named)
        if not lacking or len(lacking) > TAGS_MAX:
            continue
        asked = " & ".join([f"({need.tags})" if need.tags.strip() else "", *lacking])
        words = f"if it asked for the {'tag' if len(lacking) == 1 else 'tags'}"
        changes.append(Change(f"{words} {', '.join(lacking)}", (("tags", asked.lstrip(" &")),)))
    return [change for change in _most_frequent(changes) if _can_be_asked(change)]


def _can_be_asked(change: Change) -> bool:
    try:
        for _, tags in change.need:
            parse(tags)
    except BadTags:
        return False
    return True


PROPOSE: Final[Mapping[str, _Propose]] = {
    "community": _nothing,
    "group": _accepted("group"),
    "owner": _accepted("owner"),
    "type": _accepted("type"),
    "banned_sites": _unbanned,
    "cores": _less(_field("cores", "cores_min"), _nothing),
    "memory": _less(_memory, _without("memory", "memory_mb", "memory_per_core_mb")),
    "wall": _less(_field("wall", "wall_s", " s", step=300), _nothing),
    "scratch": _less(
        _field("scratch", "scratch_mb", " MB", step=500), _without("scratch", "scratch_mb")
    ),
    "cpu_work": _less(_cpu_work, _without("cpu work", "cpu_work_hs23_s"), float),
    "gpus": _less(_field("gpus", "gpus_min"), _dropping("if it asked for no GPU", *_OF_GPUS)),
    "amounts": _smaller_amounts,
    "gpu_memory": _less(
        _field("gpu memory", "gpu_memory_mb", " MB"),
        _without("gpu memory", "gpu_memory_mb"),
        lambda node: node.gpu_memory_mb,
    ),
    "tags": _other_tags,
    "required_tags": _required,
}


def proposal(clause: Clause[Any, Any]) -> _Propose:
    """Return the proposals of a clause.

    A clause that PROPOSE does not list proposes an older version, or to drop its demand.
    """
    if clause.name in PROPOSE:
        return PROPOSE[clause.name]
    words = clause.name.replace("_", " ")
    if isinstance(clause, NodeVersion):
        return _older(words, clause)
    return _without(words, *fields_of(clause.name))


def fields_of(name: str) -> tuple[str, ...]:
    """Return the fields of a need that belong to a clause of this name."""
    names = (name, f"{name}_min", f"{name}_max")
    return tuple(one for one in names if one in _IDLE.__struct_fields__)
