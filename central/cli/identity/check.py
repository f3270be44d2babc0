"""`pilotage identity …`: files of identity providers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import App, Parameter

from pilotage.proto.claims import Role
from pilotage.proto.decoding.nesting import loads

from ...errors import Refused
from ...regular_files import read_regular
from ..command_frame import CommandResult
from ..exit_codes import ExitCode, UsageError
from ..presentation import note, print_line
from .login_words import groups_in_words

if TYPE_CHECKING:
    from ...identity.providers.mapping import ClaimReading, Membership
    from ...identity.providers.provider_files import ProviderEntry

app = App(name="identity", help="Check files of identity providers.")

CLAIMS_MAX_BYTES = 1_000_000


class MatchedPlace(msgspec.Struct, kw_only=True):
    """A row of the provider's file, and the group or subject that it matched."""

    place: str  # FILE:LINE: map[0]
    value: str


class LoginRights(msgspec.Struct, kw_only=True):
    """The rights of a login."""

    community: str  # "*": all
    role: Role
    groups: tuple[str, ...]
    rows: list[MatchedPlace]


class LoginCheck(msgspec.Struct, kw_only=True):
    """The answer of `identity check`."""

    rights: LoginRights | None  # null: the login would be refused
    refused: str  # the reason
    others: list[LoginRights]  # other roles and communities that a login may ask for
    seen: tuple[str, ...]  # groups that the provider told
    skipped: tuple[str, ...]  # groups whose names are not valid here


@app.command
def check(
    file: Path,
    /,
    *,
    claims: Annotated[
        Path | None, Parameter(help="JSON file with the claims about a person, as in an ID token.")
    ] = None,
    ask: Annotated[
        bool, Parameter(help="Ask the provider for its keys and flows, and test the secret.")
    ] = False,
    role: Annotated[
        Role | None, Parameter(help="Role to ask for (default: user, else the narrowest one).")
    ] = None,
    community: Annotated[
        str, Parameter(help='Community to ask for, "*" for all (default: the only one).')
    ] = "",
    json: Annotated[bool, Parameter(help="Print JSON, for programs.")] = False,
) -> int:
    """Show the community, groups and role that a person would get, and the rows that give them.

    FILE is a file of an identity provider. Only --ask needs the provider. The exit code is 1 if the
    person would not get in, or if --ask finds a fault.
    """
    from ...entry_files import BadEntryFile
    from ...identity.providers.mapping import choose, read_claims
    from ...identity.providers.provider_files import read_provider

    try:
        entry = read_provider(file)
    except BadEntryFile as why:
        raise UsageError(str(why)) from None
    if (claims is None) is not ask:
        raise UsageError("give either --claims FILE or --ask")
    if claims is None:
        return _asked(file, entry, json=json)
    said = _claims(claims)
    read = read_claims(entry, said)
    chosen: Membership | None = None
    refused = ""
    try:
        chosen = choose(read, community=community, role=role)
    except Refused as why:
        refused = why.message
    found = LoginCheck(
        rights=None if chosen is None else _rights(file, chosen),
        refused=refused,
        others=[_rights(file, one) for one in read.memberships if one is not chosen],
        seen=read.seen,
        skipped=read.skipped,
    )
    code = ExitCode.FAILED if chosen is None else ExitCode.OK
    CommandResult(found, _print).print(json=json)
    for remark in (*_remarks(entry, said, read), *_of_named_files(file, entry)):
        note(remark)
    return code


def _asked(file: Path, entry: "ProviderEntry", *, json: bool) -> int:
    import asyncio

    from ...operate.doctor import provider_checks
    from ...operate.doctor.findings import at_fault
    from ..admin import print_findings

    findings = asyncio.run(provider_checks.ask(file, entry))
    code = ExitCode.FAILED if at_fault(findings) else ExitCode.OK
    return CommandResult(findings, print_findings, code).print(json=json)


def _of_named_files(file: Path, entry: "ProviderEntry") -> list[str]:
    """Return remarks about the secret and the authority, which only the central needs."""
    from ...operate.doctor.identity_checks import named_files

    return [f"on this machine: {one.said}" for one in named_files(file, entry)]


def _claims(file: Path) -> dict[str, Any]:
    try:
        content = read_regular(file, CLAIMS_MAX_BYTES + 1)
    except OSError as why:
        raise UsageError(f"--claims {file}: {why.strerror}") from None
    if len(content) > CLAIMS_MAX_BYTES:
        raise UsageError(f"--claims {file}: is longer than {CLAIMS_MAX_BYTES} bytes")
    try:
        return loads(content, dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as why:
        right = 'expected a JSON object, as in {"sub": "ada", "groups": ["/ctao/prod"]}'
        raise UsageError(f"--claims {file}: {why}; {right}") from None


def _rights(file: Path, member: "Membership") -> LoginRights:
    from ...identity.providers.provider_files import ALL, placed, shown_place

    return LoginRights(
        community=member.community or ALL,
        role=member.role,
        groups=member.groups,
        rows=[
            MatchedPlace(
                place=f"{placed(file, row.place)}: {shown_place(row.place)}", value=row.value
            )
            for row in member.rows
        ],
    )


def _print(found: LoginCheck) -> None:
    from ...identity.providers.mapping import in_words

    if found.rights is None:
        print_line(f"refused: {found.refused}")
    else:
        _print_rights(found.rights)
    if found.others:
        print_line("with --community and --role, a login can also get:")
    for one in found.others:
        _print_rights(one)
    print_line(f"groups seen: {in_words(found.seen)}")
    for text in found.skipped:
        print_line(f"skipped, because no token can have this group: {text}")


def _print_rights(rights: LoginRights) -> None:
    groups = groups_in_words(rights.role, rights.groups)
    print_line(f"community {rights.community}, role {rights.role.value}, groups {groups}")
    for row in rights.rows:
        print_line(f"  by {row.place}, which matches {row.value!r}")


def _remarks(entry: "ProviderEntry", claims: dict[str, Any], read: "ClaimReading") -> "list[str]":
    """Return remarks about groups that do not count."""
    from ...identity.providers.mapping import capabilities, in_words

    remarks = [
        f"{one.groups_left_out} groups of the role {one.role.value} are left out: a token can "
        f"have at most {len(one.groups)}"
        for one in read.memberships
        if one.groups_left_out
    ]
    scopes = capabilities(claims)
    if scopes and entry.bearer is not None and not entry.bearer.capabilities:
        remarks.append(
            f"the scopes {in_words(scopes)} authorise by themselves: groups in a bearer token with "
            "them do not count, unless the file says `bearer: {capabilities: true}`"
        )
    return remarks
