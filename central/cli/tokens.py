"""`pilotage token …`."""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import msgspec
from cyclopts import App, Parameter

from pilotage.proto.api import TokenIssue
from pilotage.proto.claims import Role

from ..client.credentials import Kept
from .exit_codes import Exit, UsageError
from .job_options import named
from .options import CHANGING_S, COMMON, READING_S, Common, run_with
from .present import note, print_json, print_line, print_table

if TYPE_CHECKING:
    from ..client.client import AsyncClient

app = App(name="token", help="Issue, list and revoke tokens.")


@app.command
def issue(
    subject: str,
    /,
    *,
    role: Annotated[Role, Parameter(help="What the person may do.")] = Role.USER,
    community: Annotated[str, Parameter(help="Community; else the issuer's own.")] = "",
    group: Annotated[
        tuple[str, ...], Parameter(help="Group to submit for; repeatable. Else your own.")
    ] = (),
    name: Annotated[str, Parameter(help="Name for display.")] = "",
    valid_s: Annotated[int, Parameter(help="How long it is valid.")] = 86_400,
    save: Annotated[
        Path | None,
        Parameter(
            help="Write URL and token into this new file (0600), as credentials.json has it."
        ),
    ] = None,
    common: Common = COMMON,
) -> int:
    """Issue a token and print it, or save it. Nobody hands out more than they have."""
    try:
        request = msgspec.convert(
            {
                "subject": subject,
                "role": role,
                "community": community,
                "groups": group,
                "name": name,
                "valid_s": valid_s,
            },
            TokenIssue,
        )
    except msgspec.ValidationError as why:
        raise UsageError(named(why, TokenIssue)) from None

    async def work(client: "AsyncClient") -> int:
        # The file comes first: a token that cannot be written down must not be issued.
        place = _new_secret_file(save) if save else None
        issued = await client.issue_token(request)
        if place is not None:
            with os.fdopen(place, "wb") as stream:
                kept = Kept(url=for_others(client.url), token=issued.token)
                stream.write(msgspec.json.encode(kept))
            print_json(issued.view) if common.json else note(f"saved to {save}")
        elif common.json:
            print_json(issued)
        else:
            print_line(issued.token)
        if not common.json:
            view = issued.view
            note(f"{view.role.value} {view.subject}, until {view.expires_at}, id {view.jti}")
            groups = ", ".join(view.groups) or "none"
            note(f"community {view.community or 'all'}, groups {groups}")
        return Exit.OK

    return run_with(common, work, patience_s=CHANGING_S)


@app.command(name="list")
def list_tokens(*, common: Common = COMMON) -> int:
    """List the tokens that were issued, without the tokens themselves."""

    async def work(client: "AsyncClient") -> int:
        found = await client.tokens()
        if common.json:
            print_json(found)
            return Exit.OK
        rows = (
            (t.jti, t.subject, t.community or "all", t.role, t.expires_at, "revoked" * t.revoked)
            for t in sorted(found.tokens, key=lambda one: (one.subject, one.issued_at))
        )
        print_table(("id", "subject", "community", "role", "until", ""), rows, empty="no tokens")
        return Exit.OK

    return run_with(common, work, patience_s=READING_S)


@app.command
def revoke(*ids: str, common: Common = COMMON) -> int:
    """Make tokens worthless from now on."""
    if not ids:
        raise UsageError("revoke which tokens? `pilotage token list` has their ids")

    async def work(client: "AsyncClient") -> int:
        for jti in ids:
            await client.revoke_token(jti)
            if common.json:
                print_json({"jti": jti, "revoked": True})
            else:
                print_line(f"{jti}: revoked")
        return Exit.OK

    return run_with(common, work, patience_s=CHANGING_S)


def for_others(url: str) -> str:
    """Return a URL that also means something elsewhere: `0.0.0.0` is every address of this
    machine to this machine alone."""
    parts = urlsplit(url)
    if parts.hostname not in ("0.0.0.0", "::"):
        return url
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"{socket.gethostname()}{port}").geturl()


def _new_secret_file(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as why:
        raise UsageError(f"--save {path}: {why.strerror}") from None
