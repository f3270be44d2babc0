"""`pilotage token …`."""

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO
from urllib.parse import urlsplit

import msgspec
from cyclopts import App, Parameter

from pilotage.proto.api.tokens import TokenIssue, TokenIssued, TokenView, WhoAmI
from pilotage.proto.claims import Role

from ..client.credentials import CredentialsFile
from .command_frame import Answers, CentralConnection, Client, CommandResult, changes, reads
from .exit_codes import UsageError
from .identity.login_words import groups_in_words
from .jobs.job_options import request
from .presentation import note, print_line, table
from .times import time_of
from .units import with_unit

ROUNDED_S = 2.0  # by which the life of a token may differ from the wanted one

app = App(name="token", help="Issue, list and revoke tokens.")


@app.command
@changes
async def issue(
    central: CentralConnection,
    subject: str,
    /,
    *,
    role: Annotated[Role, Parameter(help="Role of the person.")] = Role.USER,
    community: Annotated[str, Parameter(help="Community (default: your own).")] = "",
    group: Annotated[
        tuple[str, ...], Parameter(help="Group to submit for (default: your own). Repeatable.")
    ] = (),
    name: Annotated[str, Parameter(help="Name for display.")] = "",
    valid_s: Annotated[int, with_unit("valid_s", help="Time until the token expires.")] = 86_400,
    save: Annotated[
        Path | None,
        Parameter(
            help=("Write URL and token to this new file (0600), in the format of credentials.json.")
        ),
    ] = None,
) -> CommandResult:
    """Issue a token, and print or save it. It cannot have more rights than yours."""
    wanted = request(
        TokenIssue,
        subject=subject,
        role=role,
        community=community,
        groups=group,
        name=name,
        valid_s=valid_s,
    )
    client = await central.client()
    # First create the file: a token that cannot be saved must not be issued.
    with _new_secret_file(save) if save else nullcontext() as stream:
        issued = await client.issue_token(wanted)
        if stream is not None:
            kept = CredentialsFile(url=for_others(client.url), token=issued.token)
            stream.write(msgspec.json.encode(kept))
    me = await client.whoami()
    for stranger in _new_groups(issued.view, me):
        note(f"your own token does not have the group {stranger!r}: check its spelling")
    view = issued.view
    life = time_of(view.expires_at) - time_of(view.issued_at)
    if life.total_seconds() < valid_s - ROUNDED_S:
        note(_why_short(me))
    if save is None:
        return CommandResult(issued, _print)

    def saved(view: TokenView) -> None:
        note(f"saved to {save}")
        _tell(view)

    return CommandResult(issued.view, saved)


def _why_short(me: WhoAmI) -> str:
    """Return why a token lives for less than its issuer has asked for."""
    if me.session:
        return (
            "this token ends with the token of your login, within the hour; tokens that live "
            "longer need `pilotage login --role admin`"
        )
    return "this token ends with your own one, which is the longest possible"


def _new_groups(issued: TokenView, me: WhoAmI) -> list[str]:
    """Return the groups of a token that its issuer, of the same community, does not have."""
    if issued.community != me.community or not me.groups:
        return []
    return [group for group in issued.groups if group not in me.groups]


def _print(issued: TokenIssued) -> None:
    print_line(issued.token)
    _tell(issued.view)


def _tell(view: TokenView) -> None:
    note(f"{view.role.value} {view.subject}, until {view.expires_at}, id {view.jti}")
    groups = groups_in_words(view.role, view.groups)
    note(f"community {view.community or 'all'}, groups {groups}")


@app.command(name="list")
@reads
async def list_tokens(client: Client) -> CommandResult:
    """List issued tokens, without the secrets."""
    found = await client.tokens()
    rows = (
        (t.jti, t.subject, t.community or "all", t.role, t.expires_at, "revoked" * t.revoked)
        for t in sorted(found.tokens, key=lambda one: (one.subject, one.issued_at))
    )
    columns = ("id", "subject", "community", "role", "until", "state")
    return CommandResult(found, table(columns, rows, empty="no tokens"))


@app.command
@changes
async def revoke(central: CentralConnection, *ids: str) -> Answers:
    """Revoke tokens. They are refused from now on."""
    if not ids:
        raise UsageError("no tokens to revoke: give ids from `pilotage token list`")
    client = await central.client()
    for jti in ids:
        await client.revoke_token(jti)
        yield CommandResult({"jti": jti, "revoked": True}, f"{jti}: revoked")


def for_others(url: str) -> str:
    """Return a URL that other machines can use: the host name in place of `0.0.0.0`."""
    parts = urlsplit(url)
    if parts.hostname not in ("0.0.0.0", "::"):
        return url
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"{socket.gethostname()}{port}").geturl()


@contextmanager
def _new_secret_file(path: Path) -> Generator[BinaryIO]:
    """Open a new file, readable by its owner only. After a failure, remove it."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as why:
        raise UsageError(f"--save {path}: {why.strerror}") from None
    try:
        with os.fdopen(number, "wb") as stream:
            yield stream
    except BaseException:
        path.unlink(missing_ok=True)
        raise
