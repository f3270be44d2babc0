"""The table of clauses: everything by which an offer can refuse a job.

One more clause is one more row: rule, index and explanations follow. What is not known of an offer
meets no demand: a need is a promise that is asked for, and nobody can promise what he does not
know. A job that would also run there says so with an alternative.
"""

from collections.abc import Iterable, Mapping

from pilotage.proto.images import is_of_images
from pilotage.proto.storages import TAG as DATA

from .clause import Clause, Clauses, is_other, listed, one_word, some_of, some_of_sets
from .node_clauses import (
    GPU,
    ROOM,
    lacking,
    least_memory_mb,
    memory_due_mb,
    offered,
    platform,
)
from .platforms import ANY
from .tagexpr import EVERY_TAG, TagExpression, parse

__all__ = [
    "Clause",
    "Clauses",
    "lacking",
    "least_memory_mb",
    "memory_due_mb",
    "offered",
    "table",
]


def table(compatible: Mapping[str, tuple[str, ...]]) -> Clauses:
    """Return all clauses.

    `compatible`: platform of an offer → platforms whose jobs it also runs.
    """
    return (*_WHO, *_WHERE, *platform(compatible), *ROOM, *GPU, *_TAGS)


def _not_accepted(wanted: str, had: frozenset[str]) -> bool:
    return bool(had) and wanted not in had and ANY not in had


_WHO = (
    Clause[str, str](
        name="community",
        wants=lambda need, spec: spec.community,
        fact="community",
        denies=lambda wanted, had: wanted != had,
        wanted=str,
        best=some_of,
        is_of_class=True,
    ),
    Clause[str, frozenset[str]](
        name="group",
        wants=lambda need, spec: spec.group,
        fact="groups",
        denies=_not_accepted,
        wanted=str,
        best=some_of_sets,
        among=True,
        is_of_class=True,
        is_rare=True,
    ),
    Clause[str, frozenset[str]](
        name="owner",
        wants=lambda need, spec: spec.owner,
        fact="owners",
        denies=_not_accepted,
        wanted=str,
        best=some_of_sets,
        among=True,
        is_of_class=True,
        is_rare=True,
    ),
    Clause[str, frozenset[str]](
        name="type",
        wants=lambda need, spec: spec.type,
        fact="types",
        denies=_not_accepted,
        wanted=str,
        best=some_of_sets,
        among=True,
        is_of_class=True,
        is_rare=True,
    ),
)


def _elsewhere(wanted: tuple[str, ...], had: str) -> bool:
    return bool(wanted) and had not in wanted and had != ANY


_WHERE = (
    Clause[tuple[str, ...], str](
        name="sites",
        wants=lambda need, spec: need.sites,
        fact="site",
        denies=_elsewhere,
        wanted=" or ".join,
        idle=(),
        only=tuple,
        best=some_of,
    ),
    Clause[tuple[str, ...], str](
        name="banned_sites",
        wants=lambda need, spec: need.banned_sites,
        fact="site",
        denies=lambda wanted, had: had in wanted,
        never=tuple,
        wanted=lambda wanted: "not " + " or ".join(wanted),
        idle=(),
        best=some_of,
    ),
    Clause[str, str](
        name="element",
        idle="",
        wants=lambda need, spec: need.element,
        fact="element",
        denies=is_other,
        only=one_word,
        wanted=str,
        best=some_of,
        is_rare=True,
    ),
)


def _tags_fail(wanted: TagExpression, had: frozenset[str]) -> bool:
    return not wanted.holds(EVERY_TAG if ANY in had else had)


def _nearest_tags(wanted: TagExpression, had: Iterable[frozenset[str]]) -> str:
    """Return the tag set that has most of the tags asked for, and little else.

    Where none has any of them, those of an offer with tags: it shows how tags are written. What a
    pilot says by itself, of images that it runs and of data, is for those alone who ask for it.
    """
    nearest = min(
        (
            frozenset(
                tag for tag in tags if tag in wanted.named or not (tag == DATA or is_of_images(tag))
            )
            for tags in had
        ),
        key=lambda tags: (-len(tags & wanted.named), not tags, len(tags), sorted(tags)),
        default=(),
    )
    return listed(nearest) or "no tags"


def _fewest_required(wanted: frozenset[str], had: Iterable[frozenset[str]]) -> str:
    nearest = min(had, key=lambda tags: (len(tags - wanted), sorted(tags)), default=())
    return "requires " + (listed(nearest) or "nothing")


_TAGS = (
    Clause[TagExpression, frozenset[str]](
        name="tags",
        idle=parse(""),
        wants=lambda need, spec: parse(need.tags),
        fact="tags_had",
        denies=_tags_fail,
        wanted=str,
        choices=lambda wanted: wanted.choices,
        speaks_of=lambda wanted: wanted.words,
        best=_nearest_tags,
    ),
    Clause[frozenset[str], frozenset[str]](
        name="required_tags",
        wants=lambda need, spec: parse(need.tags).named,
        fact="required_tags",
        denies=lambda wanted, had: not had <= wanted,
        wanted=lambda wanted: "asks for " + (listed(wanted) or "no tag"),
        covers=tuple,
        best=_fewest_required,
        is_rare=True,
    ),
)
