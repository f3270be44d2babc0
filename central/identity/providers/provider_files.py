"""Identity providers, as the operator's files `identity/NAME.yaml` define them: one in each file.

The rules for such files are in `entry_files`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import yaml
from msgspec import Meta

from pilotage.proto.claims import Role
from pilotage.proto.decoding.complaints import short
from pilotage.proto.decoding.patterns import whole
from pilotage.proto.decoding.strict_yaml import YamlPath, line_of

from ...entry_files import (
    BadEntryFile,
    WatchedFolder,
    read_folder,
    read_text,
    read_yaml,
    unlisted,
)
from ...errors import printable
from ..issuance import COMMUNITY_NAME, GROUP_NAME, GROUPS_MAX
from .addresses import wrong_address
from .group_patterns import BadPattern, parsed, placeholders

FOLDER: Final = "identity"  # in the data directory
FILES_MAX: Final = 100
FILE_MAX_BYTES: Final = 1_000_000
ROWS_MAX: Final = 1_000
SUBJECT_MAX: Final = 255  # OpenID Connect Core, section 2
ANY_AUDIENCE: Final = "https://wlcg.cern.ch/jwt/v1/any"  # WLCG profile; it is never ours
ALL: Final = "*"  # all communities, for operators and admins
_ACTS_FOR_ALL: Final = (Role.OPERATOR, Role.ADMIN)

_File = Annotated[str, Meta(pattern=whole(r"/[^\x00-\x1f]*"), max_length=4_096)]
_OptionalFile = Annotated[
    str,
    Meta(
        pattern=whole(r"(/[^\x00-\x1f]*)?"),
        max_length=4_096,
        extra_json_schema={"description": "an absolute path, or nothing"},
    ),
]
_Line = Annotated[
    str,
    Meta(
        pattern=whole(r"[^\x00-\x1f\x7f-\x9f]*"),
        max_length=512,
        extra_json_schema={"description": "at most 512 characters, without control characters"},
    ),
]
_Word = Annotated[
    str,
    Meta(
        pattern=whole(r"[!#-\[\]-~]+"),  # RFC 6749, section 3.3
        max_length=256,
        extra_json_schema={"description": "one word, without blanks, quotes and backslashes"},
    ),
]
_Groups = Annotated[tuple[str, ...], Meta(max_length=GROUPS_MAX)]


class _Part(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    pass


class ProviderClient(_Part, frozen=True):
    """The client of this central at the provider, a confidential one."""

    id: _Word  # as the provider registered it
    secret_file: _File  # file with its secret, mode 0600


class BearerRules(_Part, frozen=True):
    """The access tokens of the provider that this central accepts without a login here."""

    #: the audiences that mean this central; a token needs one of them, letter by letter
    audiences: Annotated[tuple[_Word, ...], Meta(min_length=1, max_length=32)]
    capabilities: bool = False  # true: groups also count in tokens with compute.* or storage.*
    community: str = ""  # for people in several; empty: their tokens are refused


class GroupClaims(_Part, frozen=True):
    """Where the provider tells the groups of a person."""

    #: names of claims; `realm_access.roles` is also the claim `roles` within `realm_access`
    claims: Annotated[tuple[_Word, ...], Meta(max_length=16)] = ()
    #: documents of a login that have these claims
    from_: Annotated[
        tuple[Literal["id_token", "access_token", "userinfo"], ...],
        Meta(min_length=1, max_length=3),
    ] = msgspec.field(name="from", default=("id_token", "access_token", "userinfo"))


class SubjectRow(_Part, frozen=True):
    """The rights of one subject, such as a robot: client credentials have no groups."""

    role: Role
    community: str = ""  # "*": all; empty: the only community of `map`
    groups: _Groups = ()


class MapRow(_Part, frozen=True):
    """The rights of the members of a provider's group."""

    match: Annotated[_Line, Meta(min_length=1)]  # the group, or a pattern: /ctao/{group}
    community: str  # "*": all, for operators and admins
    role: Role
    groups: _Groups = ()  # groups here; `{group}` is the part of the name that matched


class ProviderEntry(_Part, frozen=True):
    """A provider as its file defines it. The file's name is the provider's name."""

    issuer: str  # URL, as in its tokens, letter by letter
    title: _Line = ""  # shown to people; empty: the file's name
    client: ProviderClient | None = None  # left out: nobody logs in with a browser or a device
    #: asked for at a login
    scopes: Annotated[tuple[_Word, ...], Meta(max_length=64)] = (
        *("openid", "profile", "email", "offline_access"),
    )
    bearer: BearerRules | None = None  # left out: none of its tokens is taken directly
    groups: GroupClaims = GroupClaims()
    subjects: Annotated[dict[str, SubjectRow], Meta(max_length=ROWS_MAX)] = {}
    map: Annotated[tuple[MapRow, ...], Meta(max_length=ROWS_MAX)] = ()
    #: signatures that it may use; its metadata does not decide that
    algorithms: Annotated[
        tuple[Literal["ES256", "RS256"], ...], Meta(min_length=1, max_length=2)
    ] = ("ES256", "RS256")
    ca_file: _OptionalFile = ""  # PEM file of its authority, if the system does not know it

    def community_of(self, row: SubjectRow | MapRow) -> str:
        """Return the community of a row as tokens have it; empty: all."""
        if row.community == ALL:
            return ""
        return row.community or self.communities[0]

    @property
    def communities(self) -> list[str]:
        """The communities that the map names, in the order of its rows."""
        return list(dict.fromkeys(row.community for row in self.map if row.community != ALL))


@dataclass(frozen=True)
class ProviderBook:
    """All providers in force, and the errors in files, by name of the provider."""

    providers: Mapping[str, ProviderEntry] = field(default_factory=dict[str, ProviderEntry])
    troubles: Mapping[str, str] = field(default_factory=dict[str, str])
    unlisted: str = ""  # why the folder cannot be listed; empty: it was listed

    @cached_property
    def _by_issuer(self) -> Mapping[str, tuple[str, ProviderEntry]]:
        return {entry.issuer: (name, entry) for name, entry in self.providers.items()}

    def by_issuer(self, issuer: str) -> tuple[str, ProviderEntry] | None:
        """Return the name and the entry of the provider with exactly this issuer."""
        return self._by_issuer.get(issuer)


def read_provider(file: Path) -> ProviderEntry:
    """Return the provider that a file defines. Raises BadEntryFile."""
    read = read_yaml(file, FILE_MAX_BYTES)
    entry = read.converted(read.found, ProviderEntry)
    for place, wrong in _contradictions(entry):
        raise read.wrong(place, shown_place(place), wrong)
    return entry


def shown_place(place: YamlPath) -> str:
    """Return a place in a file as people read it: `map[0].groups`."""
    words = (f"[{one}]" if isinstance(one, int) else f".{one}" for one in place)
    return printable("".join(words).removeprefix("."))


Mistakes = Iterator[tuple[YamlPath, str]]


def placed(file: Path, place: YamlPath) -> str:
    """Return FILE:LINE of a place in a provider's file; FILE if it cannot be read any more."""
    try:
        line = line_of(read_text(file, FILE_MAX_BYTES), place)
    except (BadEntryFile, yaml.YAMLError):  # it has just changed
        line = None
    return str(file) if line is None else f"{file}:{line}"


def _contradictions(entry: ProviderEntry) -> Mistakes:
    wrong = wrong_address(entry.issuer, query=False)
    if wrong:
        yield ("issuer",), wrong
    if entry.client is None and entry.bearer is None:
        yield ("client",), "is missing, and so is `bearer`: nobody could log in or use a token"
    if entry.client is not None and "openid" not in entry.scopes:
        yield ("scopes",), "expected openid among them: a login needs it"
    if not entry.map and not entry.subjects:
        yield ("map",), "is missing: without rows of `map` or `subjects` nobody gets in"
    if entry.map and not entry.groups.claims:
        yield ("groups", "claims"), "is missing: name the claims that hold the groups of people"
    if entry.bearer is not None:
        yield from _bearer_mistakes(entry, entry.bearer)
    for index, row in enumerate(entry.map):
        if not row.community:
            right = f'name a community, or "{ALL}" for all'
            yield ("map", index, "community"), f"is empty: {right}"
        yield from _row_mistakes(("map", index), entry, row)
        yield from _pattern_mistakes(("map", index), row)
    for subject, rights in entry.subjects.items():
        yield from _subject_mistakes(subject, entry, rights)


def _subject_mistakes(subject: str, entry: ProviderEntry, row: SubjectRow) -> Mistakes:
    place = ("subjects", subject)
    if not 0 < len(subject) <= SUBJECT_MAX:
        yield place, f"a subject has 1 to {SUBJECT_MAX} characters"
    yield from _row_mistakes(place, entry, row)
    for group in row.groups:
        if not GROUP_NAME.fullmatch(group):
            yield (*place, "groups"), wrong_group(group)


def _bearer_mistakes(entry: ProviderEntry, bearer: BearerRules) -> Mistakes:
    place = ("bearer", "audiences")
    if ANY_AUDIENCE in bearer.audiences:
        why = "any site or storage that sees such a token could use it here"
        yield place, f"{ANY_AUDIENCE} is refused: {why}; name the URL of this central"
    if entry.client is not None and entry.client.id in bearer.audiences:
        right = "name the URL of this central"
        yield place, f"{entry.client.id!r} is the client, the audience of ID tokens: {right}"
    if bearer.community and bearer.community not in entry.communities:
        known = ", ".join(entry.communities) or "none"
        yield ("bearer", "community"), f"{bearer.community!r} is not in the map; it names {known}"


def _row_mistakes(place: YamlPath, entry: ProviderEntry, row: MapRow | SubjectRow) -> Mistakes:
    """Yield mistakes in the community of a row."""
    place = (*place, "community")
    if row.community == ALL:
        if row.role not in _ACTS_FOR_ALL:
            yield place, f'"{ALL}" is for operators and admins; {row.role.value} needs a community'
    elif row.community:
        if not COMMUNITY_NAME.fullmatch(row.community):
            right = "use at most 64 letters, digits and . _ -, beginning with a letter or digit"
            yield place, f"{short(repr(row.community))} is not a valid community: {right}"
    elif len(entry.communities) != 1:
        known = ", ".join(entry.communities) or "none"
        yield place, f"is missing, and the map does not name exactly one; it names {known}"


def _pattern_mistakes(place: YamlPath, row: MapRow) -> Mistakes:
    try:
        pattern = parsed(row.match)
    except BadPattern as why:
        yield (*place, "match"), str(why)
        return
    known = pattern.names if pattern is not None else ()
    for group in row.groups:
        try:
            strange = [name for name in placeholders(group) if name not in known]
        except BadPattern as why:
            yield (*place, "groups"), str(why)
            continue
        if strange:
            right = "use a placeholder of `match`"
            yield (*place, "groups"), f"{group!r}: `match` has no {{{strange[0]}}}; {right}"
        elif not placeholders(group) and not GROUP_NAME.fullmatch(group):
            yield (*place, "groups"), wrong_group(group)


def wrong_group(group: str) -> str:
    """Return the message about a group that tokens cannot have."""
    return (
        f"{short(repr(group))} is not a valid group: use at most 128 letters, digits and "
        ". _ : / @ + -, beginning with a letter or digit"
    )


def read_providers(folder: Path, before: ProviderBook) -> ProviderBook:
    """Return the book of a folder. A file with an error keeps its version in `before`.

    If the folder cannot be listed, the whole book stays. A missing folder means no providers.
    """
    owners: dict[str, Path] = {}  # the file of each issuer

    def read(file: Path) -> ProviderEntry:
        entry = read_provider(file)
        first = owners.setdefault(entry.issuer, file)
        if first is not file:
            why = f"{entry.issuer!r} is that of {first.name}: write one file for each issuer"
            raise read_yaml(file, FILE_MAX_BYTES).wrong(("issuer",), "issuer", why)
        return entry

    try:
        found = read_folder(folder, "provider", read, before.providers, files_max=FILES_MAX)
    except FileNotFoundError:
        return ProviderBook()
    except OSError as why:
        return replace(before, unlisted=unlisted(folder, why))
    in_force = {
        name: entry
        for name, entry in found.entries.items()  # a kept version gives way to a valid file
        if name not in found.troubles or entry.issuer not in owners
    }
    return ProviderBook(in_force, found.troubles, found.too_many)


class Providers(WatchedFolder[ProviderBook]):
    """The providers in force."""

    def __init__(
        self, folder: Path | None = None, changed: Callable[[ProviderBook], None] = lambda _: None
    ) -> None:
        super().__init__(folder, ProviderBook(), read_providers, changed)
