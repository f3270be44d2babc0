"""The rights that a provider's file gives to a person, from the claims about that person. Pure.

A login has one community and one role, with the groups of the rows for these alone. It is never
the widest role over all groups.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, cast

import msgspec

from pilotage.proto.claims import Role
from pilotage.proto.decoding.complaints import short
from pilotage.proto.decoding.strict_yaml import YamlPath
from pilotage.proto.problems import Code

from ...errors import Refused
from ..errors import Forbidden
from ..issuance import GROUP_NAME, GROUPS_MAX
from .group_patterns import GroupPattern, filled, parsed
from .provider_files import ALL, MapRow, ProviderEntry, shown_place

VALUES_MAX: Final = 5_000  # groups of a person that are looked at; providers list some dozens
VALUE_MAX: Final = 512  # characters of one
SEEN_MAX: Final = 20  # groups in a message
CAPABILITIES: Final = ("compute.", "storage.")  # WLCG profile 1.3: the scopes that authorise
_NARROWEST_FIRST: Final = (Role.READER, Role.USER, Role.MANAGER, Role.OPERATOR, Role.ADMIN)


class MatchedRow(msgspec.Struct, frozen=True):
    """A row of the file, and the first group or subject that it matched."""

    place: YamlPath  # ("map", 0)
    value: str

    def __str__(self) -> str:
        return f"{shown_place(self.place)}, which matches {self.value!r}"


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """The community, role and groups of one login."""

    community: str  # empty: all
    role: Role
    groups: tuple[str, ...]
    rows: tuple[MatchedRow, ...]  # the rows that gave it
    groups_left_out: int = 0  # groups beyond the number that a token can have


class ClaimReading(msgspec.Struct, frozen=True, kw_only=True):
    """The rights and groups in the claims about a person."""

    memberships: tuple[Membership, ...]  # one for each community and role, as in the file
    seen: tuple[str, ...]  # all groups in the claims
    skipped: tuple[str, ...]  # groups here whose names no token can have, with their origin


def seen_groups(entry: ProviderEntry, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return all groups in the claims, without duplicates, in the order of the claims."""
    return tuple(_values(entry, claims))


def capabilities(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the scopes of a token that authorise by themselves (compute.*, storage.*).

    The WLCG profile says to ignore groups in such a token.
    """
    said: Any = claims.get("scope", "")
    words = said.split(" ") if isinstance(said, str) else _texts(said)
    return tuple(word for word in words if word.startswith(CAPABILITIES))


def read_claims(
    entry: ProviderEntry, claims: Mapping[str, Any], *, by_group: bool = True
) -> ClaimReading:
    """Return the memberships that claims give, with all groups that were seen.

    With `by_group=False`, only the table of subjects counts.
    """
    seen = _values(entry, claims)
    grants = _Grants()
    subject: Any = claims.get("sub")
    if isinstance(subject, str) and subject in entry.subjects:
        rights = entry.subjects[subject]
        matched = MatchedRow(("subjects", subject), subject)
        grants.add(entry.community_of(rights), rights.role, rights.groups, matched)
    rows = _indexed(entry.map)
    for value in seen if by_group else ():
        for number, values in rows.matching(value):
            row = entry.map[number]
            groups = [filled(one, values) for one in row.groups]
            bad = [one for one in groups if not GROUP_NAME.fullmatch(one)]
            if bad:  # skip the row: without its groups, a manager would have the whole community
                grants.skip(f"{short(repr(bad[0]))}, from {short(repr(value))}")
                continue
            matched = MatchedRow(("map", number), value)
            grants.add(entry.community_of(row), row.role, groups, matched)
    return ClaimReading(
        memberships=grants.memberships(), seen=tuple(seen), skipped=tuple(grants.skipped)
    )


def choose(found: ClaimReading, *, community: str = "", role: Role | None = None) -> Membership:
    """Return the membership for a login. Raises Refused with the field `community` or `role`.

    `community`: "*" means all; empty: the only one. Without a role it is `user`, or else the
    narrowest role that the person has.
    """
    left = list(found.memberships)
    if not left:
        raise Forbidden(
            f"none of your groups gives access here; the groups seen are {in_words(found.seen)}"
        )
    if community:
        wanted = "" if community == ALL else community
        left = [one for one in left if one.community == wanted]
        if not left:
            raise Forbidden(
                f"you are not in the community {short(repr(community))}; your groups give "
                f"{_communities(found.memberships)}",
                field="community",
            )
    if role is not None:
        has = left
        left = [one for one in left if one.role is role]
        if not left:
            roles = ", ".join(dict.fromkeys(one.role.value for one in has))
            raise Forbidden(
                f"your groups do not give the role {role.value}; they give {roles}", field="role"
            )
    left = _of_one_community(left)
    return min(left, key=_by_default)


def in_words(seen: Sequence[str]) -> str:
    """Return groups for a message: the first ones, quoted, and the number of the others."""
    shown = ", ".join(short(repr(one)) for one in seen[:SEEN_MAX]) or "none"
    more = len(seen) - SEEN_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def _of_one_community(found: list[Membership]) -> list[Membership]:
    """Return the memberships of the only named community, else those for all communities.

    Raises Refused if there are several.
    """
    named = [one for one in found if one.community]
    if len({one.community for one in named}) > 1:
        raise Refused(
            Code.INVALID,
            f"your groups give {_communities(found)}: name one community",
            field="community",
        )
    return named or found


def _by_default(one: Membership) -> int:
    return -1 if one.role is Role.USER else _NARROWEST_FIRST.index(one.role)


def _communities(found: Iterable[Membership]) -> str:
    return ", ".join(dict.fromkeys(one.community or f"{ALL} (all communities)" for one in found))


class _Grants:
    """Collects the groups that rows give, by community and role."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, Role], dict[str, None]] = {}
        self._rows: dict[tuple[str, Role], dict[YamlPath, MatchedRow]] = {}
        self._whole: set[tuple[str, Role]] = set()  # managers of a whole community
        self.skipped: list[str] = []

    def add(self, community: str, role: Role, groups: Iterable[str], row: MatchedRow) -> None:
        given = list(groups)
        key = (community, role)
        if role is Role.MANAGER and not given:
            self._whole.add(key)
        self._groups.setdefault(key, {}).update(dict.fromkeys(given))
        self._rows.setdefault(key, {}).setdefault(row.place, row)

    def skip(self, text: str) -> None:
        if len(self.skipped) < SEEN_MAX:
            self.skipped.append(text)

    def memberships(self) -> tuple[Membership, ...]:
        made: list[Membership] = []
        for (community, role), groups in self._groups.items():
            key = (community, role)
            named = [] if key in self._whole else list(groups)
            rows = self._rows[key]
            made.append(
                Membership(
                    community=community,
                    role=role,
                    groups=tuple(named[:GROUPS_MAX]),
                    rows=tuple(rows[place] for place in sorted(rows, key=_order)),
                    groups_left_out=max(0, len(named) - GROUPS_MAX),
                )
            )
        return tuple(sorted(made, key=lambda one: _order(one.rows[0].place)))


def _order(place: YamlPath) -> int:
    """Return the order of a row: subjects come before the map."""
    last = place[-1]
    return last if isinstance(last, int) else -1


class _Rows(NamedTuple):
    """An index of the rows of a map: a group is compared only with rows that may match it."""

    exact: Mapping[str, Sequence[int]]
    patterns: Mapping[str, Sequence[tuple[int, GroupPattern]]]  # by prefix
    lengths: Sequence[int]  # of the prefixes

    def matching(self, group: str) -> Iterator[tuple[int, Mapping[str, str]]]:
        """Yield the numbers of matching rows, and the values of their placeholders."""
        for number in self.exact.get(group, ()):
            yield number, {}
        for length in self.lengths:
            for number, pattern in self.patterns.get(group[:length], ()):
                values = pattern.values(group)
                if values is not None:
                    yield number, values


@lru_cache(maxsize=128)
def _indexed(rows: tuple[MapRow, ...]) -> _Rows:
    exact: dict[str, list[int]] = {}
    patterns: dict[str, list[tuple[int, GroupPattern]]] = {}
    for number, row in enumerate(rows):
        pattern = parsed(row.match)
        if pattern is None:
            exact.setdefault(row.match, []).append(number)
        else:
            patterns.setdefault(pattern.prefix, []).append((number, pattern))
    return _Rows(exact, patterns, sorted({len(prefix) for prefix in patterns}))


def _values(entry: ProviderEntry, claims: Mapping[str, Any]) -> list[str]:
    """Return the groups in claims without duplicates. Texts that are too long are left out."""
    found: dict[str, None] = {}
    for name in entry.groups.claims:
        for text in _texts(_claim(claims, name)):
            if len(found) >= VALUES_MAX:
                return list(found)
            if 0 < len(text) <= VALUE_MAX:
                found[text] = None
    return list(found)


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim, or None. A name with dots, such as `wlcg.groups`, is tried as a whole first.

    After that it is a path. A key in the path may have dots too, as in
    `resource_access.our.client.roles`.
    """
    if name in claims:
        return claims[name]
    at = name.rfind(".")
    while at > 0:
        inner: Any = claims.get(name[:at])
        if isinstance(inner, Mapping):
            found = _claim(cast("Mapping[str, Any]", inner), name[at + 1 :])
            if found is not None:
                return found
        at = name.rfind(".", 0, at)
    return None


def _texts(value: Any) -> list[str]:
    """Return the texts of a claim, which is a list or one text."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list | tuple):
        return []
    return [one for one in cast("Sequence[object]", value) if isinstance(one, str)]
