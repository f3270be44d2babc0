"""Finds communities and groups that the settings name but that do not exist. Pure."""

import difflib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from pilotage.matcher.rules import ALL_COMMUNITIES, RunningLimit, StartLimit

from ..settings import CommunitySettings, MatcherSettings

NEW_TOKEN: Final = (
    "remove admin.token and restart: the new one has them; earlier jobs, tokens and pilots"
    " do not change"
)


class UnusedSetting(NamedTuple):
    """A setting without effect, most likely a typing error."""

    setting: str
    why: str


def strangers(
    settings: MatcherSettings, known: Iterable[tuple[str, str]]
) -> Iterator[UnusedSetting]:
    """Yield each share and limit for a (community, group) that is not in `known`."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for community, group in known:
        groups[community].add(group)
    for path in settings.shares:
        community, group = path.split("/")[:2]
        setting = f"matcher.shares.{path}"
        if community not in groups:
            yield UnusedSetting(setting, f"no community {community!r}{_nearest(community, groups)}")
        elif group not in groups[community]:
            near = _nearest(group, groups[community])
            yield UnusedSetting(setting, f"no group {group!r} in {community!r}{near}")
    everywhere = {group for several in groups.values() for group in several}
    for key in ("running", "starts"):
        limits: tuple[RunningLimit | StartLimit, ...] = getattr(settings, key)
        for place, one in enumerate(limits):
            setting, mine = f"matcher.{key}[{place}]", everywhere
            if one.community not in ("", ALL_COMMUNITIES):
                if one.community not in groups:
                    near = _nearest(one.community, groups)
                    yield UnusedSetting(setting, f"no community {one.community!r}{near}")
                    continue
                mine = groups[one.community]
            if one.by == "group" and one.value not in mine:
                yield UnusedSetting(setting, f"no group {one.value!r}{_nearest(one.value, mine)}")


def unused(settings: CommunitySettings, community: str, groups: Sequence[str]) -> str:
    """Return a message if the administrator's token lacks some of the settings' communities.

    These settings count only when that token is made, not at later starts.
    """
    if not community:  # it is for the whole installation
        return ""
    if settings.name != community:
        return (
            f"community.name is {settings.name!r}, the administrator's token is for {community!r}"
        )
    if settings.others:
        others = ", ".join(settings.others)
        return f"community.others has {others}, the administrator's token is for {community!r} only"
    missing = [group for group in settings.groups if group not in groups]
    if missing:
        has = ", ".join(groups) or "none"
        return f"community.groups has {', '.join(missing)}, the administrator's token has {has}"
    return ""


def _nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint at the most similar name, or ""."""
    close = difflib.get_close_matches(word, [one for one in known if one], n=1)
    return f": did you mean {close[0]!r}?" if close else ""
