"""The shares of communities in a site's pilots: actual ones, and those of the site's file. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping

from pilotage.proto.api.sites import CommunityShare
from pilotage.proto.pilot_states import LIVING

from ..pilots.presence import Presence
from ..ports import SiteFile


def community_shares(
    files: Mapping[str, SiteFile], pilots: Iterable[Presence], only: str | None
) -> dict[str, list[CommunityShare]]:
    """Return the shares of communities by site. `only`: the one community to return, or None."""
    there = Counter((one.site, one.community) for one in pilots if one.state in LIVING)
    known = {*there, *((site, name) for site, file in files.items() for name in file.shares)}
    found: dict[str, list[CommunityShare]] = {}
    for site, community in sorted(known):
        if only and community != only:
            continue
        file = files.get(site)
        had_s = sum(file.pilot_s_of.values()) if file is not None else 0.0
        found.setdefault(site, []).append(
            CommunityShare(
                community=community,
                pilots=there[site, community],
                share_wanted=None if file is None else file.shares.get(community, 0.0),
                share_had=file.pilot_s_of.get(community, 0.0) / had_s if file and had_s else None,
            )
        )
    return found
