"""The normal form of needs, so that jobs with equal needs have one class, however they are written.

Alternatives keep their order, because the first that fits is used.
"""

import msgspec

from pilotage.matcher.clauses.tag_expressions import canonical
from pilotage.proto.documents.job import Need, Preference


def normal_needs(needs: tuple[Need, ...]) -> tuple[Need, ...]:
    """Return needs with sorted sites, tags in normal form, and without useless upper bounds.

    Raises BadTags.
    """
    return tuple([_normal(need) for need in needs])


def normal_preference(preference: Preference | None) -> Preference | None:
    """Return a preference with sorted sites, without duplicates."""
    if preference is None or len(preference.sites) < 2:
        return preference
    return msgspec.structs.replace(preference, sites=_set(preference.sites))


def _normal(need: Need) -> Need:
    sites, banned_sites, tags = need.sites, need.banned_sites, need.tags
    cores_max, gpus_max = need.cores_max, need.gpus_max
    if not (
        tags or len(sites) > 1 or len(banned_sites) > 1 or cores_max or gpus_max or need.amounts
    ):
        return need  # most jobs
    return msgspec.structs.replace(
        need,
        sites=_set(sites),
        banned_sites=_set(banned_sites),
        tags=canonical(tags),
        cores_max=cores_max if cores_max > need.cores_min else 0,
        gpus_max=gpus_max if gpus_max > need.gpus_min else 0,
        amounts={name: it for name, it in sorted(need.amounts.items()) if it},
    )


def _set(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(words)))
